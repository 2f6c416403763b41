#!/bin/sh
# Everything Zhida needs on this machine: Debian packages, uv, Python packages.
# Says what it installs; does nothing, and quickly, when all is there.
set -eu
cd "$(dirname "$0")/../.."

say() { printf '直达：%s\n' "$*" >&2; }

missing_packages() {
    sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' deploy/local/packages.txt |
    while read -r package; do
        state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
        # npm also comes with a nodejs from elsewhere, which Debian's npm would not stand beside
        [ "$package" != npm ] || ! command -v npm >/dev/null 2>&1 || continue
        [ "$state" = installed ] || printf '%s ' "$package"
    done
}

# A package may want to start a system-wide server. Ours are private: while we install, none starts.
install_packages() {
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap '$root rm -f "$policy"' EXIT INT TERM
        printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null
        $root chmod 755 "$policy"
    fi
    $root apt-get update -q
    # shellcheck disable=SC2086  # a list of names
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $1
}

if ! command -v dpkg-query >/dev/null 2>&1; then
    say "这台机器不是 Debian 或 Ubuntu，请自行安装 deploy/local/packages.txt 所列软件"
    exit 1
fi
packages=$(missing_packages)
if [ -n "$packages" ]; then
    if [ "$(id -u)" = 0 ]; then
        root=
    elif command -v sudo >/dev/null 2>&1 && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        root=sudo
    else
        say "缺少系统软件包：$packages"
        say "请管理员运行：apt-get install --no-install-recommends $packages"
        exit 1
    fi
    say "正在用 apt 安装系统软件包：$packages"
    (install_packages "$packages") >&2
fi

mkdir -p .zhida && chmod 700 .zhida
if command -v uv >/dev/null 2>&1; then
    uv=uv
else
    uv=.zhida/tools/bin/uv
    if [ ! -x "$uv" ]; then
        say "没有找到 uv，正在用 pip 安装到 .zhida/tools"
        python3 -m venv .zhida/tools
        .zhida/tools/bin/python -m pip install --quiet --disable-pip-version-check uv
    fi
fi

# The interpreter of the image: Debian's, which runs Zhida a third faster than one that was built
# from source without profiling (as pyenv builds them). UV_PYTHON names another.
if [ -z "${UV_PYTHON:-}" ] && /usr/bin/python3 -c \
    'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null; then
    export UV_PYTHON=/usr/bin/python3
    if [ -f .venv/pyvenv.cfg ] && ! grep -qx 'home = /usr/bin' .venv/pyvenv.cfg; then
        say "改用 /usr/bin/python3，重建 .venv（要用别的 Python，请设 UV_PYTHON）"
    fi
fi

[ -d .venv ] || say "正在安装 Python 依赖（uv sync）"
"$uv" sync --locked --quiet
