"""Where the demo plays: the stack it runs on, the people who are signed in, what they may ask."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import httpx

from deploy.local.stack import Stack
from services.chassis.client import Client
from services.chassis.discovery import NAMES
from services.contracts.commands.common import SetClock
from services.contracts.commands.registry import SignedIn, SignIn
from services.contracts.errors import Conflict
from services.contracts.requests import Request

R = TypeVar("R")

PATIENCE_S = 600.0
LOOK_EVERY_S = 0.1


@dataclass(frozen=True)
class Desk:
    """A person at work: every question goes out under their own token."""

    client: Client
    signed_in: SignedIn

    @property
    def staff_id(self) -> UUID:
        """Who they are."""
        return self.signed_in.staff.staff_id

    def ask(self, request: Request[R], *, purpose: str | None = None) -> R:
        """Ask the service that owns the answer."""
        return self.client.call(request, token=self.signed_in.token, purpose=purpose)

    def upload(self, service: str, path: Path) -> UUID:
        """Hand in a file."""
        media_type = "application/octet-stream"
        return self.client.upload(
            service, path.name, path.read_bytes(), media_type, token=self.signed_in.token
        )

    def download(self, service: str, file_id: UUID, folder: Path) -> Path:
        """Fetch a file into ``folder``."""
        described, content = self.client.download(service, file_id, token=self.signed_in.token)
        path = folder / described.name
        path.write_bytes(content)
        return path


@dataclass
class World:
    """The demo's stage: stack, desks by role, folder for files, times by stage."""

    stack: Stack
    client: Client
    folder: Path
    people: int
    seed: int
    village: str = "421083100205"
    desks: dict[str, Desk] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def sign_in(self, role: str, account: str, password: str) -> Desk:
        """Sign somebody in and give them a desk."""
        signed_in = self.client.call(SignIn(account=account, password=password))
        self.passwords[account] = password
        self.desks[role] = Desk(self.client, signed_in)
        return self.desks[role]

    def __getitem__(self, role: str) -> Desk:
        return self.desks[role]

    def set_clock(self, today: date) -> None:
        """Make ``today`` the business date; every service acknowledges."""
        token = self["admin"].signed_in.token
        for name in NAMES:
            reading = self.client.call(SetClock(today=today), token=token, service=name)
            if reading.today != today:
                raise Conflict(f"{name} 没有接受业务日期 {today}")

    def metric(self, name: str) -> float:
        """The sum of a counter over the four services, as Prometheus would scrape it."""
        total = 0.0
        for service in NAMES:
            text = httpx.get(f"{self.stack.address(service)}/metrics", timeout=10).text
            total += sum(
                float(line.rsplit(" ", 1)[1])
                for line in text.splitlines()
                if line.startswith((f"{name}{{", f"{name} "))
            )
        return total


def eventually(what: str, look: Callable[[], R | None], *, patience_s: float = PATIENCE_S) -> R:
    """Look until there is something; the events are on their way. Raises when patience ends."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(LOOK_EVERY_S)
    raise Conflict(f"等不到：{what}", advice="查看 .zhida/demo/logs 里的服务日志")
