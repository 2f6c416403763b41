"""Engines: always psycopg2, which becomes cooperative under eventlet (psycopg 3 would block)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, create_engine, make_url

STATEMENT_TIMEOUT_MS = 120_000
LOCK_TIMEOUT_MS = 5_000
POOL_SIZE = 8
POOL_OVERFLOW = 8


def engine(database_url: str, *, application: str = "zhida", **options: Any) -> Engine:
    """An engine for ``postgresql://…``; connects on first use, hides parameters in errors."""
    return create_engine(
        make_url(database_url).set(drivername="postgresql+psycopg2"),
        hide_parameters=True,
        executemany_mode="values_plus_batch",  # many rows in few round trips, upserts too
        executemany_batch_page_size=500,
        connect_args={
            "connect_timeout": 5,
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS} "
            f"-c lock_timeout={LOCK_TIMEOUT_MS}",
            "application_name": application,
        },
        **options,
    )
