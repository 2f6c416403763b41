"""supervisord keeps the stack's programs running; here is its configuration and its telephone.

It lets logs grow: `log_keeper` lays them aside.
"""

import hashlib
import http.client
import os
import shlex
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import Faults, SupervisorTransport

from deploy.local.launch import identity
from deploy.local.programs import Program, is_alive

SUPERVISORD = Path(sys.executable).with_name("supervisord")


@dataclass(frozen=True)
class ProcessState:
    """One supervised process as the supervisor sees it."""

    name: str
    state: str
    pid: int
    seconds: int

    @property
    def is_running(self) -> bool:
        return self.state == "RUNNING"


@dataclass(frozen=True)
class Supervisor:
    """The supervisor of one stack. `home` holds its socket and files, `logs` every log."""

    home: Path
    logs: Path

    @property
    def _socket(self) -> Path:
        # A socket's path may hold 107 bytes; a deep clone has more.
        near = self.home / "supervisor.sock"
        if len(bytes(near)) <= 100:
            return near
        key = hashlib.sha256(bytes(near)).hexdigest()[:10]
        return Path(tempfile.gettempdir()) / f"zhida-{os.geteuid()}-{key}.sock"

    @property
    def pid_file(self) -> Path:
        """Where its process id stands while it runs."""
        return self.home / "supervisord.pid"

    def is_running(self) -> bool:
        """True when the supervisor answers."""
        try:
            self._rpc.getPID()
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return False
        return True

    def launch(self, first: Iterable[Program], later: Iterable[Program]) -> None:
        """Start the supervisor with `first` at once; `later` waits for `start`."""
        self.home.mkdir(mode=0o700, exist_ok=True)
        self.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        sections = [
            self._general(),
            *(
                self._section(each, 100 + min(rank, 1), at_once=True)
                for rank, each in enumerate(first)
            ),
            *(self._section(each, 200, at_once=False) for each in later),
        ]
        configuration = self.home / "supervisord.conf"
        configuration.write_text("\n".join(sections), encoding="utf-8")
        done = subprocess.run(
            [str(SUPERVISORD), "--configuration", str(configuration)],
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"supervisord: {done.stderr.strip() or done.stdout.strip()}")
        deadline = time.monotonic() + 10
        while not self.is_running():
            if time.monotonic() > deadline:
                raise TimeoutError("supervisord 没有应答")
            time.sleep(0.05)

    def processes(self) -> list[ProcessState]:
        """Every program, running or not; none when the supervisor is not there."""
        try:
            rows: Any = self._rpc.getAllProcessInfo()
        except (OSError, http.client.HTTPException):
            return []
        return [
            ProcessState(
                name=row["name"],
                state=row["statename"],
                pid=row["pid"],
                seconds=row["now"] - row["start"] if row["pid"] else 0,
            )
            for row in rows
        ]

    def start(self, name: str) -> None:
        """Start a program; one that already runs is left alone."""
        self._ignoring(Faults.ALREADY_STARTED, self._rpc.startProcess, name, False)

    def stop_together(self, names: Iterable[str]) -> None:
        """Ask these programs to stop, all at once, and wait until they are gone."""
        going = {row.name for row in self.processes()} & set(names)
        for name in going:
            self._ignoring(Faults.NOT_RUNNING, self._rpc.stopProcess, name, False)
        while any(row.pid for row in self.processes() if row.name in going):
            time.sleep(0.1)

    def shutdown(self) -> None:
        """Stop every program, then the supervisor; returns when its process is gone."""
        pid = identity(int(self._rpc.getPID()))
        self._rpc.shutdown()
        while is_alive(pid):
            time.sleep(0.05)

    @property
    def _rpc(self) -> Any:
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor

    @staticmethod
    def _ignoring(fault: int, call: Any, *arguments: Any) -> None:
        try:
            call(*arguments)
        except xmlrpc.client.Fault as error:
            if error.faultCode != fault:
                raise

    def _general(self) -> str:
        root = "user=root\n" if os.geteuid() == 0 else ""
        return f"""\
[unix_http_server]
file={self._socket}
chmod=0700

[supervisord]
{root}logfile={self.logs}/supervisord.log
logfile_maxbytes=0
pidfile={self.pid_file}
childlogdir={self.logs}
directory={self.home}
umask=077

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""

    def _section(self, program: Program, priority: int, *, at_once: bool) -> str:
        command = shlex.join(program.save(self.home)).replace("%", "%%")
        return f"""\
[program:{program.name}]
command={command}
priority={priority}
autostart={str(at_once).lower()}
autorestart=true
startsecs=10
startretries=30
stopsignal={program.stop_signal.name.removeprefix("SIG")}
stopwaitsecs={program.stop_seconds}
killasgroup=true
redirect_stderr=true
stdout_logfile={self.logs}/{program.name}.log
stdout_logfile_maxbytes=0
"""
