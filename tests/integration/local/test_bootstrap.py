"""What is installed on a machine that has nothing of ours; tried with stand-in package tools."""

import os
import subprocess
from pathlib import Path

from deploy.local.accounts import PROJECT

SCRIPT = PROJECT / "deploy" / "local" / "bootstrap.sh"


def bootstrap(tmp_path: Path, **tools: str) -> subprocess.CompletedProcess[str]:
    """Run it with the given commands in front of the system's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, body in tools.items():
        tool = folder / name.replace("_", "-")
        tool.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        tool.chmod(0o755)
    return subprocess.run(
        [str(SCRIPT)],
        env={**os.environ, "PATH": f"{folder}:/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_root_the_missing_packages_and_the_command_are_named(tmp_path: Path) -> None:
    """Nothing can be installed: the person reads what to ask the administrator for."""
    done = bootstrap(tmp_path, dpkg_query="exit 1", id="echo 1000", sudo="exit 1")
    assert done.returncode == 1
    assert "apt-get install --no-install-recommends rabbitmq-server postgresql" in done.stderr


def test_only_what_is_missing_is_installed_and_said_aloud(tmp_path: Path) -> None:
    """One apt call with the missing packages; packages that are there are left alone."""
    log = tmp_path / "apt.log"
    done = bootstrap(
        tmp_path,
        dpkg_query='case "$*" in *postgresql*|*fontconfig*) exit 1;; esac; printf installed',
        id="echo 0",
        apt_get=f'echo "$@" >> {log}',
        uv="exit 0",
    )
    assert done.returncode == 0, done.stderr
    assert "正在用 apt 安装系统软件包：postgresql fontconfig" in done.stderr
    assert log.read_text().splitlines() == [
        "update -q",
        "install -q -y --no-install-recommends postgresql fontconfig",
    ]


def test_a_failed_installation_stops_the_set_up(tmp_path: Path) -> None:
    """The Python packages are not fetched for a machine that lacks its servers."""
    done = bootstrap(tmp_path, dpkg_query="exit 1", id="echo 0", apt_get="exit 100", uv="touch x")
    assert done.returncode != 0
