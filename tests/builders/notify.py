"""Builders for notify: people and staff as registry tells of them, and a mail server that obeys."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from email import message_from_bytes
from email.policy import default
from typing import Any
from uuid import UUID, uuid4

from aiosmtpd.controller import Controller

from deploy.local.ports import free_ports
from services.chassis.crypto import Seals
from services.chassis.uow import UnitOfWork
from services.contracts.events.funding import PaymentSettled
from services.contracts.events.registry import (
    PersonContactChanged,
    PersonRecorded,
    StaffAppointed,
    StaffContactChanged,
)
from services.notify import projections
from services.notify.domain.routing import MailForm
from services.notify.settings import GatewaySettings

VILLAGE = "421083108007"
PHONE = "13800138000"


def registry_seals(uow: UnitOfWork) -> Seals:
    """The other end of the transit key between registry and notify."""
    return Seals("registry", uow.settings.transit_keys)


def staff(uow: UnitOfWork, *, name: str = "刘志强", phone: str | None = "13900139000") -> UUID:
    """A member of staff as registry tells of him; his id."""
    staff_id = uuid4()
    projections.staff(
        uow,
        [
            StaffAppointed(
                staff_id=staff_id,
                staff_no="HH001",
                name=name,
                division=VILLAGE,
                roles=(),
                scopes=(VILLAGE,),
                active=True,
                epoch=0,
                version=1,
            )
        ],
    )
    sealed = registry_seals(uow).seal("notify", phone) if phone else None
    projections.staff_contacts(
        uow,
        [
            StaffContactChanged(
                staff_id=staff_id, division=VILLAGE, phone=sealed, epoch=0, version=1
            )
        ],
    )
    return staff_id


def person(
    uow: UnitOfWork,
    *,
    name: str = "陈桂兰",
    phone: str | None = PHONE,
    officer_id: UUID | None = None,
    deceased_on: date | None = None,
    division: str = VILLAGE,
    person_id: UUID | None = None,
    version: int = 1,
) -> UUID:
    """A resident as registry tells of her; her id."""
    person_id = person_id or uuid4()
    projections.people(
        uow,
        [
            PersonRecorded(
                person_id=person_id,
                household_id=uuid4(),
                division=division,
                name=name,
                sex="2",
                birth_date=None,
                relation="户主",
                is_head=True,
                officer_id=officer_id,
                deceased_on=deceased_on,
                epoch=0,
                version=version,
            )
        ],
    )
    contact(uow, person_id, phone, version=version)
    return person_id


def contact(uow: UnitOfWork, person_id: UUID, phone: str | None, *, version: int) -> None:
    """A number of a resident, sealed by registry."""
    sealed = registry_seals(uow).seal("notify", phone) if phone else None
    projections.contacts(
        uow,
        [
            PersonContactChanged(
                person_id=person_id, division=VILLAGE, phone=sealed, epoch=0, version=version
            )
        ],
    )


def settled(payee: UUID, *, amount_fen: int = 66050, division: str = VILLAGE) -> PaymentSettled:
    """A payment that arrived."""
    return PaymentSettled(
        payment_id=uuid4(),
        payee_person_id=payee,
        household_id=uuid4(),
        division=division,
        month=date(2026, 11, 1),
        benefits=("rural_dibao",),
        amount_fen=amount_fen,
        settled_on=date(2026, 11, 15),
    )


@dataclass(frozen=True)
class Arrived:
    """A message the server took."""

    message_id: str
    attempt: int
    to: str
    text: str


Rule = Callable[["Server", str], str | None]
"""Given the server and an address: the answer to give, or None to hang up."""


@dataclass
class Server:
    """A real aiosmtpd that takes, refuses, stays silent or hangs up as the test says."""

    at_rcpt: Rule = lambda _server, _address: "250 OK"
    at_data: Rule = lambda _server, _address: "250 OK"
    arrived: list[Arrived] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    silence: threading.Event = field(default_factory=threading.Event)

    def gateway(self, *, quiet_hours: bool = False) -> GatewaySettings:
        """Settings that lead here."""
        return GatewaySettings(
            host="127.0.0.1",
            port=self.port,
            scheme="smtp",
            user=None,
            password=None,
            sender="zhida@civil.example",
            form=MailForm("{number}@sms.example"),
            quiet_hours=quiet_hours,
        )

    async def handle_EHLO(  # noqa: N802
        self, _server: Any, session: Any, _envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        """Count the connection."""
        session.host_name = hostname
        self.connections += 1
        return responses

    async def handle_RCPT(  # noqa: N802
        self, server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        """Answer as the rule says."""
        answer = self.at_rcpt(self, address)
        if answer is None:
            server.transport.abort()
            return "421 bye"
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        """Take the text, then answer as the rule says: a broken line after that leaves doubt."""
        mail: Any = message_from_bytes(envelope.content, policy=default)
        arrived = Arrived(
            message_id=mail["Message-ID"].strip("<>").partition("@")[0],
            attempt=int(mail["X-Zhida-Attempt"]),
            to=envelope.rcpt_tos[0],
            text=mail.get_content().strip(),
        )
        answer = self.at_data(self, arrived.to)
        if answer is None or answer.startswith("250"):
            self.arrived.append(arrived)
        if answer is None:
            server.transport.abort()
            return "421 bye"
        if answer == "silence":
            await asyncio.get_running_loop().run_in_executor(None, self.silence.wait)
            return "421 too late"
        return answer


@contextmanager
def smtp_server(**rules: Rule) -> Iterator[Server]:
    """A server on a free port for the block."""
    server = Server(**rules)
    (server.port,) = free_ports(1)
    controller = Controller(server, hostname="127.0.0.1", port=server.port)
    controller.start()
    try:
        yield server
    finally:
        server.silence.set()
        controller.stop()
