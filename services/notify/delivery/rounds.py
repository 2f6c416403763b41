"""Rounds of delivery: what is due goes out over a few connections, batch after batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy.exc import InterfaceError, OperationalError

from services.chassis.logs import get_logger
from services.chassis.uow import Foundation
from services.contracts.actors import Actor
from services.notify import metrics
from services.notify.delivery.answers import LEASE, mark, reclaim
from services.notify.delivery.claims import claim, is_due
from services.notify.domain.message import Outcome
from services.notify.mail import Answer, Envelope, GatewayError, Line
from services.notify.settings import GatewaySettings

log = get_logger(__name__)

ROUND_S = 5.0
"""After this time no further batch is begun, so that a stopping process is not waited for."""
GRACE_S = 10.0
"""How much longer a batch may take; with a server so slow the rest of it is put back."""
CONNECTIONS = 2
PAUSE_S = 0.5
"""Between two looks for a database that is away."""


class _Watch:
    """Says in the log when the mail server or the database goes away or comes back, once."""

    def __init__(self) -> None:
        self._trouble: str | None = None

    def note(self, trouble: str | None) -> None:
        """What is away just now, or None."""
        if trouble and trouble != self._trouble:
            log.warning("delivery_waits", trouble=trouble)
        elif self._trouble and not trouble:
            log.info("delivery_goes_on", after=self._trouble)
        self._trouble = trouble


_watch = _Watch()


def deliver_due(foundation: Foundation, actor: Actor, gateway: GatewaySettings) -> int:
    """One round: send what is due, over several connections; how many messages were dealt with.

    A mail server or database that is away ends the round; nothing is lost or counted by it.
    """
    ends = time.monotonic() + ROUND_S
    try:
        with foundation.begin(actor) as uow:
            reclaim(uow)
            waiting = is_due(uow, gateway)
        if not waiting:
            return 0
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            lines = [
                pool.submit(_deliver_over_one_line, foundation, actor, gateway, ends)
                for _ in range(CONNECTIONS)
            ]
            dealt = [line.result() for line in lines]
    except (OperationalError, InterfaceError) as error:
        _watch.note(f"database: {type(error).__name__}")
        return 0
    connected = [count for count in dealt if count is not None]
    metrics.GATEWAY_UP.set(bool(connected))
    _watch.note(None if connected else f"mail server {gateway.host}:{gateway.port}")
    return sum(connected)


def _deliver_over_one_line(
    foundation: Foundation, actor: Actor, gateway: GatewaySettings, ends: float
) -> int | None:
    """How many messages this line dealt with; None when it could not be opened.

    The other line's messages stand whatever this one meets.
    """
    dealt = 0
    try:
        with Line(gateway) as line:
            while not line.broken and time.monotonic() < ends:
                with foundation.begin(actor) as uow:
                    planned, envelopes = claim(uow, gateway)
                if not planned:
                    break
                answers = send(line, envelopes, lambda: time.monotonic() < ends + GRACE_S)
                _write_down(foundation, actor, envelopes, answers)
                dealt += planned
    except GatewayError:
        return None
    except (OperationalError, InterfaceError) as error:
        _watch.note(f"database: {type(error).__name__}")
    return dealt


def _write_down(
    foundation: Foundation, actor: Actor, envelopes: Sequence[Envelope], answers: Sequence[Answer]
) -> None:
    """Mark the answers; with the database away, wait for it as long as the claim is this worker's.

    Forgotten, they would be sent again when the lease has run out.
    """
    gives_up = time.monotonic() + LEASE.total_seconds()
    while True:
        try:
            with foundation.begin(actor) as uow:
                mark(uow, envelopes, answers)
        except (OperationalError, InterfaceError) as error:
            if time.monotonic() > gives_up:
                raise
            _watch.note(f"database: {type(error).__name__}")
            time.sleep(PAUSE_S)
        else:
            return


def send(
    line: Line, envelopes: Sequence[Envelope], in_time: Callable[[], bool] = lambda: True
) -> list[Answer]:
    """Send a batch over one connection; what was not begun in time is not tried."""
    return [
        line.send(envelope) if in_time() else Answer(Outcome.NOT_TRIED) for envelope in envelopes
    ]
