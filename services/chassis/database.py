"""Engines: always psycopg2, which becomes cooperative under eventlet (psycopg 3 would block)."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import InvalidatePoolError

from services.chassis import planned

STATEMENT_TIMEOUT_MS = 120_000
LOCK_TIMEOUT_MS = 5_000
POOL_SIZE = 16
"""Connections a process opens at most, and keeps: one that is opened for a request and closed after
it (SQLAlchemy's overflow) makes a busy service a slow one."""

RANDOM_PAGE_COST = 1.1
"""What the planner reckons a page by index to cost, against 1 for the next one of a table: what is
asked all day stands in memory, or on a solid disk. With the server's own 4 the plans that a
connection keeps (``planned``), made while a new city's tables are empty, read them whole."""

_NOTICE_SILENCE = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""A server that was cut off without a word is given up within half a minute, also by a connection
that nobody used for long."""

SILENT_S = 1.0
"""A connection that answered within the last second is taken as it is; one that was silent for
longer is asked first whether it still stands. Where the server ended it within that second, its
next request finds out, and is done again on another (``edge``)."""


def engine(database_url: str, *, application: str = "zhida", **options: Any) -> Engine:
    """An engine for ``postgresql://…``; connects on first use, hides parameters in errors."""
    made = create_engine(
        make_url(database_url).set(drivername="postgresql+psycopg2"),
        hide_parameters=True,
        executemany_mode="values_plus_batch",  # many rows in few round trips, upserts too
        executemany_batch_page_size=500,
        connect_args={
            "connect_timeout": 5,
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS} "
            f"-c lock_timeout={LOCK_TIMEOUT_MS} "
            f"-c random_page_cost={RANDOM_PAGE_COST}",
            "application_name": application,
            **_NOTICE_SILENCE,
        },
        **options,
    )
    planned.plan_once(made)
    return made


def ask_after_silence(engine: Engine) -> None:
    """As ``pool_pre_ping``, but not with every request of a busy service."""
    ping = engine.dialect.do_ping

    @event.listens_for(engine, "checkin")
    def note(_connection: Any, record: Any) -> None:
        record.info["answered_at"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def ask(connection: Any, record: Any, _taken: Any) -> None:
        answered_at = record.info.get("answered_at")
        if answered_at is None or time.monotonic() - answered_at < SILENT_S:
            return
        try:
            alive = ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error
        if not alive:
            raise InvalidatePoolError
