"""What is no longer needed goes: so much at a time, oldest first, after the periods of
``data/retention.toml``. The audit log, tries to sign in, the ledger and unsent events never go."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files

from sqlalchemy import text

from services.chassis import metrics
from services.chassis.logs import get_logger
from services.chassis.uow import UnitOfWork

log = get_logger(__name__)

ROWS_A_ROUND = 5000
"""In one transaction: some 50 ms, so that nobody waits."""


@dataclass(frozen=True)
class Periods:
    """How long things are kept."""

    inbox: timedelta
    command: timedelta
    upload: timedelta
    trace: timedelta
    log: timedelta


def periods() -> Periods:
    """The periods in force."""
    document = tomllib.loads(
        (files("services.chassis") / "data" / "retention.toml").read_text(encoding="utf-8")
    )
    return Periods(**{name: timedelta(days=entry["days"]) for name, entry in document.items()})


def sweep(uow: UnitOfWork) -> dict[str, int]:
    """Remove a round of what is over its period; how many rows by table."""
    now, keep = uow.machine_now(), periods()
    removed = {
        "inbox": _remove(uow, _INBOX, now - keep.inbox),
        "command": _remove(uow, _COMMAND, now - keep.command),
        "file": _remove(uow, _upload(uow), now - keep.upload),
        "span": _remove(uow, _SPAN, now - keep.trace),
    }
    for table, count in removed.items():
        if count:
            metrics.RETENTION_REMOVED.labels(uow.settings.service, table).inc(count)
            log.info("retention_removed", table=table, rows=count)
    return removed


_INBOX = (
    "DELETE FROM inbox WHERE (subscription, event_id) IN (SELECT subscription, event_id FROM inbox "
    "WHERE received_at < :before ORDER BY received_at LIMIT :rows) RETURNING 1"
)
_COMMAND = (
    "DELETE FROM command WHERE key IN (SELECT key FROM command "
    "WHERE at < :before ORDER BY at LIMIT :rows) RETURNING 1"
)
_SPAN = (
    "DELETE FROM span WHERE (trace_id, span_id) IN (SELECT trace_id, span_id FROM span "
    "WHERE started_at < :before ORDER BY started_at LIMIT :rows) RETURNING 1"
)
_REFERENCES = text(
    "SELECT table_name, column_name FROM information_schema.columns "
    "WHERE table_schema = current_schema() AND column_name LIKE '%file_id' "
    "AND table_name <> 'file_chunk' ORDER BY 1, 2"
)


def _upload(uow: UnitOfWork) -> str:
    """Files handed in (whose size is not known beforehand) to which no column refers."""
    unreferenced = "".join(
        f' AND NOT EXISTS (SELECT FROM "{table}" WHERE "{column}" = file.id)'
        for table, column in uow.session.execute(_REFERENCES)
    )  # names come from the catalogue of our own database
    return (
        "WITH gone AS (DELETE FROM file WHERE id IN (SELECT id FROM file "  # noqa: S608
        f"WHERE size IS NULL AND created_at < :before{unreferenced} LIMIT 20) RETURNING id), "
        "chunks AS (DELETE FROM file_chunk WHERE file_id IN (SELECT id FROM gone)) "
        "SELECT id FROM gone"
    )


def _remove(uow: UnitOfWork, statement: str, before: object) -> int:
    given = {"before": before, "rows": ROWS_A_ROUND}
    wanted = {name: value for name, value in given.items() if f":{name}" in statement}
    return len(uow.session.execute(text(statement), wanted).all())
