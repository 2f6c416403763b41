"""Brings every encrypted column of a service under the field key in use.

``python -m services.chassis.reencryption registry`` where the service's environment is. A batch, a
transaction; a row that somebody changes meanwhile is left alone, since it is then written under the
new key anyway. Cut short, it goes on where it was: a column tells its key by its first byte.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import LargeBinary, MetaData, Table, and_, func, or_, select, update
from sqlalchemy.sql import ColumnElement

from services.chassis.crypto import FieldCipher, current_key
from services.chassis.models import FileChunkRow
from services.chassis.settings import Settings
from services.chassis.uow import Foundation, UnitOfWork
from services.contracts.actors import system_actor

ROWS_A_BATCH = 1000
CHUNKS_A_BATCH = 4
"""Pieces of files are up to four megabytes each."""

ROUNDS = 20
PAUSE_S = 0.5
"""A row that somebody holds is tried again: so often, so long apart."""

NOT_ENCRYPTED = ("_index",)
"""Binary columns that are keyed hashes."""


@dataclass(frozen=True)
class EncryptedTable:
    """A table with encrypted columns, and the column that binds a ciphertext to its row."""

    table: Table
    bound_to: str
    columns: tuple[str, ...]


def encrypted_tables(metadata: MetaData) -> list[EncryptedTable]:
    """All of a service's tables with encrypted columns, from its models.

    A ciphertext is bound to its row's key; where to another column, the column says so in
    ``info={"bound_to": …}``.
    """
    found = []
    for table in metadata.sorted_tables:
        columns = [
            column
            for column in table.columns
            if isinstance(column.type, LargeBinary) and not column.name.endswith(NOT_ENCRYPTED)
        ]
        if columns:
            (key,) = table.primary_key.columns
            bound_to = columns[0].info.get("bound_to", key.name)
            names = tuple(column.name for column in columns)
            found.append(EncryptedTable(table, bound_to, names))
    return found


def run(foundation: Foundation, service: str) -> dict[str, int]:
    """Re-encrypt everything that is under an older key; how many rows by table."""
    models = importlib.import_module(f"services.{service}.models")
    done: dict[str, int] = {}
    actor = system_actor(service)
    for encrypted in encrypted_tables(models.Base.metadata):
        done[encrypted.table.name] = 0
        while True:
            with foundation.begin(actor) as uow:
                count = _rows(uow, encrypted)
            done[encrypted.table.name] += count
            if not count:
                break
    done["file_chunk"] = 0
    while True:
        with foundation.begin(actor) as uow:
            count = _chunks(uow)
        done["file_chunk"] += count
        if not count:
            break
    with foundation.begin(actor) as uow:
        uow.audit("keys.reencrypted", "keys", current_key(foundation.settings.field_keys), **done)
    return done


def left(foundation: Foundation, service: str) -> int:
    """How many rows still stand under an older key."""
    models = importlib.import_module(f"services.{service}.models")
    current = current_key(foundation.settings.field_keys)
    total = 0
    with foundation.begin(system_actor(service)) as uow:
        for encrypted in encrypted_tables(models.Base.metadata):
            wanted = _older(encrypted.table, encrypted.columns, current)
            total += uow.session.scalar(select(func.count()).where(wanted)) or 0
        chunks = _older(FileChunkRow.__table__, ("content",), current)  # type: ignore[arg-type]
        total += uow.session.scalar(select(func.count()).where(chunks)) or 0
    return total


def _older(table: Table, columns: tuple[str, ...], current: int) -> ColumnElement[bool]:
    return or_(*(func.get_byte(table.c[name], 0) != current for name in columns))


def _rows(uow: UnitOfWork, encrypted: EncryptedTable) -> int:
    table, columns = encrypted.table, encrypted.columns
    (key,) = table.primary_key.columns
    current = current_key(uow.settings.field_keys)
    rows = uow.session.execute(
        select(key, table.c[encrypted.bound_to], *(table.c[name] for name in columns))
        .where(_older(table, columns, current))
        .limit(ROWS_A_BATCH)
        .with_for_update(skip_locked=True, key_share=True)
    ).all()
    if not rows:
        return 0
    changed = [
        {
            "row_key": row[0],
            **{
                name: _again(uow.cipher, value, table.name, row[1], name)
                for name, value in zip(columns, row[2:], strict=True)
            },
        }
        for row in rows
    ]
    _write(uow, table, [key], ["row_key"], columns, changed)
    return len(rows)


def _chunks(uow: UnitOfWork) -> int:
    table: Any = FileChunkRow.__table__
    current = current_key(uow.settings.field_keys)
    rows = uow.session.execute(
        select(table.c.file_id, table.c.number, table.c.content)
        .where(_older(table, ("content",), current))
        .limit(CHUNKS_A_BATCH)
        .with_for_update(skip_locked=True)
    ).all()
    if not rows:
        return 0
    changed = [
        {
            "file_key": file_id,
            "number_key": number,
            "content": _again(uow.cipher, content, "file_chunk", file_id, str(number)),
        }
        for file_id, number, content in rows
    ]
    _write(
        uow,
        table,
        [table.c.file_id, table.c.number],
        ["file_key", "number_key"],
        ("content",),
        changed,
    )
    return len(rows)


def _write(
    uow: UnitOfWork,
    table: Table,
    keys: list[Any],
    names: list[str],
    columns: tuple[str, ...],
    changed: list[dict[str, Any]],
) -> None:
    from sqlalchemy import bindparam

    where = and_(*(key == bindparam(name) for key, name in zip(keys, names, strict=True)))
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in columns}
    given = [
        {name: row[name] for name in names} | {f"new_{name}": row[name] for name in columns}
        for row in changed
    ]
    uow.session.connection().execute(update(table).where(where).values(values), given)


def _again(
    cipher: FieldCipher, value: bytes | None, table: str, row: object, column: str
) -> bytes | None:
    if value is None:
        return None
    content = cipher.decrypt_bytes(value, table=table, row=row, column=column)
    return cipher.encrypt_bytes(content, table=table, row=row, column=column)


def main() -> int:
    """The command line: what was done, as JSON; 1 when rows are left (locked by somebody)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("service")
    service = parser.parse_args().service
    foundation = Foundation.build(Settings.from_env(service))
    done: Counter[str] = Counter()
    for _ in range(ROUNDS):
        done.update(run(foundation, service))
        if not (remaining := left(foundation, service)):
            break
        time.sleep(PAUSE_S)
    sys.stdout.write(json.dumps({"service": service, "rows": done, "left": remaining}) + "\n")
    return 1 if remaining else 0


if __name__ == "__main__":
    sys.exit(main())
