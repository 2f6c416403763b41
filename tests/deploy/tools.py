"""Where the tools are that tests start as programs of their own."""

from __future__ import annotations

import shutil

from deploy.local.accounts import PROJECT


def uv() -> list[str]:
    """uv: the machine's, or the one that bootstrap.sh put into the project's own folder."""
    return [shutil.which("uv") or str(PROJECT / ".zhida" / "tools" / "bin" / "uv")]
