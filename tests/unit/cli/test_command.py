"""The `zhida` command as a script meets it: JSON everywhere, exit codes that can be trusted."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import typer

from services.cli import session
from services.cli.app import build
from services.contracts.actors import Role
from services.contracts.commands.registry import StaffView
from services.contracts.errors import Unauthenticated

ZHIDA = str(Path(sys.executable).with_name("zhida"))


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "AMQP_URI"}
    return subprocess.run(
        [ZHIDA, *arguments],
        env={**environment, "ZHIDA_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def commands(group: Any, path: str = "zhida") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


ALL = dict(commands(typer.main.get_command(build())))


@pytest.mark.parametrize("name", ALL)
def test_every_command_speaks_json_and_chinese(name: str) -> None:
    """No command without `--json`, none whose help is missing or not Chinese."""
    options = {option for param in ALL[name].params for option in param.opts}
    assert "--json" in options
    assert any("\u4e00" <= letter <= "\u9fff" for letter in ALL[name].help or "")


def test_what_is_promised_is_there() -> None:
    """The commands the documents name exist."""
    promised = "up down status doctor demo login logout whoami first-admin"
    assert {f"zhida {name}" for name in promised.split()} <= ALL.keys()


def test_a_refusal_exits_2_and_says_what_to_do(tmp_path: Path) -> None:
    """Nobody is signed in: refused, nothing on standard output, advice in Chinese."""
    done = run(tmp_path, "whoami")
    assert (done.returncode, done.stdout) == (2, "")
    assert "zhida login" in done.stderr


def test_a_refusal_in_json_is_one_object_with_a_stable_code(tmp_path: Path) -> None:
    """A script reads code, message and advice from standard output."""
    done = run(tmp_path, "whoami", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "unauthenticated"


def test_a_fault_exits_1(tmp_path: Path) -> None:
    """Nothing runs on this machine: not the caller's mistake."""
    done = run(tmp_path, "clock", "show", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == "unavailable"


def test_a_wrong_option_exits_2(tmp_path: Path) -> None:
    """Usage mistakes are refusals too."""
    assert run(tmp_path, "status", "--no-such-option").returncode == 2


def test_status_of_a_stopped_machine_is_an_answer(tmp_path: Path) -> None:
    """Being down is no error: exit 0 and `up` false."""
    done = run(tmp_path, "status", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"up": False, "programs": []}


def _here(expires_at: datetime) -> session.SignedInHere:
    staff = StaffView(
        staff_id=UUID("01900000-0000-7000-8000-000000000001"),
        staff_no="T001",
        name="测试员",
        division="421083",
        roles=(Role.TOWN_CLERK,),
        scopes=("421083108",),
        active=True,
        since=expires_at.date(),
    )
    return session.SignedInHere(
        token="secret", expires_at=expires_at, account="tester", staff=staff
    )


def test_a_session_is_kept_for_its_owner_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token is read back, from a file nobody else can read, until signing out."""
    file = tmp_path / "other" / "session"
    monkeypatch.setenv(session.SESSION, str(file))
    here = _here(datetime.now(UTC) + timedelta(hours=8))
    session.keep(here)
    assert session.signed_in() == here
    assert file.stat().st_mode & 0o777 == 0o600
    assert session.forget()
    assert not session.forget()
    with pytest.raises(Unauthenticated):
        session.token()


def test_an_expired_session_is_refused_here_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No command goes out under a token that no service would accept."""
    monkeypatch.setenv(session.SESSION, str(tmp_path / "session"))
    session.keep(_here(datetime.now(UTC) - timedelta(seconds=1)))
    with pytest.raises(Unauthenticated, match="已过期"):
        session.token()
