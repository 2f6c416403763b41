"""Whom a server runs as, and the folders that user can enter."""

import hashlib
import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
RESULTS = Path(os.environ.get("ZHIDA_HOME") or PROJECT / ".zhida").absolute()
"""Where this machine's results, configuration and logs lie; a stack is known by this folder."""

MEMORY = Path("/dev/shm")  # noqa: S108 (see `throwaway_root`)
ROOM_IN_MEMORY = 6 << 30
"""Bytes that must be free: PostgreSQL's log alone may grow to two gigabytes."""


@dataclass(frozen=True)
class Account:
    """The operating-system user a private server runs as."""

    name: str
    uid: int
    gid: int

    @property
    def is_ours(self) -> bool:
        """True when no change of user is needed."""
        return self.uid == os.geteuid()

    def folder(self, path: Path) -> Path:
        """Make `path` a folder that only this account enters."""
        path.mkdir(parents=True, exist_ok=True)
        return self._own(path, 0o700)

    def file(self, path: Path, text: str) -> Path:
        """Write a file that only this account reads."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        return self._own(path, 0o600)

    def _own(self, path: Path, mode: int) -> Path:
        if not self.is_ours:
            os.chown(path, self.uid, self.gid)
        path.chmod(mode)
        return path


def account(package_user: str) -> Account:
    """Root hands the server to the user its Debian package made; anyone else runs it himself."""
    entry = pwd.getpwnam(package_user) if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def state_root() -> Path:
    """The folder that holds the servers' state, one for each `RESULTS`.

    Root's servers run as other users, who cannot reach into a clone in a folder that only its
    owner enters (0700): theirs is outside of it. Not in /var/tmp, which systems sweep by age.
    """
    if os.geteuid() != 0:
        root = RESULTS / "servers"
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return root
    return _entered_by_all(Path("/var/lib/zhida-local"))


def throwaway_root() -> Path:
    """Where servers stand that nobody needs tomorrow: in memory when there is room, which makes
    and removes a database five times as fast; else as `state_root`.
    """
    try:
        free = shutil.disk_usage(MEMORY).free
    except FileNotFoundError:
        free = 0
    parent = MEMORY / "zhida-local"
    if os.geteuid() != 0 or free < ROOM_IN_MEMORY:
        return state_root()
    parent.mkdir(mode=0o711, exist_ok=True)
    if parent.is_symlink() or parent.stat().st_uid != 0:  # anybody may write in memory
        return state_root()
    return _entered_by_all(parent)


def _entered_by_all(parent: Path) -> Path:
    key = hashlib.sha256(bytes(RESULTS)).hexdigest()[:10]
    root = parent / key
    root.mkdir(parents=True, exist_ok=True)
    for folder in (parent, root):
        folder.chmod(0o711)
    return root
