"""A pytest plugin that takes one cure out of the chassis: ``TAKE_OUT=… pytest -p …taken_out``.

``tests.faults.uncured`` does the same to a service process; this does it to the test's own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import Phase, settings
from sqlalchemy.orm import Session

from services.chassis import closing, inbox, outbox
from services.chassis.edge import Endpoint
from services.chassis.uow import UnitOfWork

WITHOUT = "TAKE_OUT"


def inbox_() -> None:
    """Every delivery counts as the first."""
    inbox.claim = lambda _session, _subscription, ids: set(ids)


def outbox_transaction() -> None:
    """Events are written, and committed, apart from the change they tell of."""

    def emit_all(self: UnitOfWork, events: Iterable[Any], *, bulk: bool = True) -> list[Any]:
        said = list(outbox.rows(events, bulk=bulk, traceparent=None))
        with Session(self.session.get_bind()) as apart, apart.begin():
            closing.write(apart, said=said)
        self.emitted += len(said)
        return [row["event_id"] for row in said]

    UnitOfWork.emit_all = emit_all  # type: ignore[method-assign]


def idempotency_key() -> None:
    """Every request counts as the first."""
    Endpoint._claim = lambda *_: None  # type: ignore[method-assign]


TAKE_OUT = {
    "inbox": inbox_,
    "outbox transaction": outbox_transaction,
    "idempotency key": idempotency_key,
}


def pytest_configure(config: pytest.Config) -> None:
    """Take it out before anything is collected; a property need only fail, not be made small."""
    settings.register_profile("once", phases=[Phase.explicit, Phase.generate])
    settings.load_profile("once")
    TAKE_OUT[os.environ[WITHOUT]]()
