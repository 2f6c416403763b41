"""Brings every blind index of a service under another key, while the service stands still.

``python -m services.chassis.reindexing registry`` with the service's environment and the key to
come in ``<SERVICE>_INDEX_KEY_NEXT``. An index is looked up under one key only, so nobody may write
or search meanwhile: all is one transaction, seconds for a county, and is refused while a process of
the service is connected. Done again it does no harm; until the next key has taken the place of the
old one the service does not start (``settings``).
"""

from __future__ import annotations

import argparse
import base64
import importlib
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from sqlalchemy import (
    LargeBinary,
    MetaData,
    Table,
    column,
    exists,
    func,
    select,
    table,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from services.chassis.crypto import FieldCipher
from services.chassis.reencryption import encrypted_tables
from services.chassis.settings import NEXT_INDEX_KEY, Settings
from services.chassis.uow import Foundation, UnitOfWork
from services.contracts.actors import system_actor
from services.contracts.errors import Conflict

INDEX = "_index"

_OTHERS = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
AND application_name = current_setting('application_name') AND pid <> pg_backend_pid()
"""
_MOVED = """
CREATE TEMP TABLE moved (old bytea PRIMARY KEY, new bytea NOT NULL) ON COMMIT DROP
"""
_moved = table("moved", column("old", LargeBinary), column("new", LargeBinary))
_FORGET_ARGUMENTS = "UPDATE command SET arguments_hash = ''"
"""What a key was used for is a keyed hash as well, of arguments that nobody keeps."""


def indexed(metadata: MetaData) -> Iterator[tuple[Table, str, str | None]]:
    """A service's blind indexes: table, column, and the encrypted column it is the index of.

    ``None`` for a copy of an index that stands elsewhere in the same database.
    """
    for each in metadata.sorted_tables:
        for found in each.columns:
            if isinstance(found.type, LargeBinary) and found.name.endswith(INDEX):
                yield each, found.name, found.info.get("index_of")


def run(foundation: Foundation, service: str, key: bytes) -> dict[str, int]:
    """Put everything under ``key``: rows by ``table.column``, and ``left`` whose number is kept
    nowhere any more. Raises ``Conflict`` when one of those may still be asked for, or the service
    still runs.
    """
    metadata = importlib.import_module(f"services.{service}.models").Base.metadata
    with foundation.begin(system_actor(service)) as uow:
        uow.session.execute(text("SET LOCAL statement_timeout = 0"))
        if uow.session.scalar(text(_OTHERS)):
            raise Conflict(f"{service} 还在运行", advice="先停下该服务的全部进程，再换检索密钥")
        uow.session.execute(text(_MOVED))
        _compute(uow, metadata, key)
        done = _apply(uow, metadata)
        uow.session.execute(text(_FORGET_ARGUMENTS))
        uow.audit("keys.reindexed", "keys", service, **done)
    return done


def _compute(uow: UnitOfWork, metadata: MetaData, key: bytes) -> None:
    after = FieldCipher(uow.settings.field_keys, key)
    bound_to = {each.table.name: each.bound_to for each in encrypted_tables(metadata)}
    for stands, name, of in indexed(metadata):
        if of is None:
            continue
        hashed, closed = stands.c[name], stands.c[of]
        rows = uow.session.execute(
            select(stands.c[bound_to[stands.name]], hashed, closed).where(
                hashed.is_not(None), closed.is_not(None)
            )
        )
        moved = []
        for row, old, sealed in rows:
            plain = uow.cipher.decrypt(sealed, table=stands.name, row=row, column=of)
            new = after.blind_index(plain)
            if bytes(old) not in (uow.cipher.blind_index(plain), new):
                raise Conflict(f"{stands.name}.{name} 有一行与密文不符", advice="先查明原因")
            moved.append({"old": bytes(old), "new": new})
        if moved:
            uow.session.connection().execute(insert(_moved).on_conflict_do_nothing(), moved)


def _apply(uow: UnitOfWork, metadata: MetaData) -> dict[str, int]:
    done = {"left": 0}
    for stands, name, _ in indexed(metadata):
        hashed = stands.c[name]
        change = update(stands).where(hashed == _moved.c.old).values({name: _moved.c.new})
        result: Any = uow.session.execute(change)
        done[f"{stands.name}.{name}"] = result.rowcount
        here = exists().where(_moved.c.new == hashed)
        behind = select(func.count()).select_from(stands).where(hashed.is_not(None), ~here)
        wanted = hashed.info.get("wanted_while", {})
        asked_for = behind.where(*(stands.c[each] == state for each, state in wanted.items()))
        if wanted and (count := uow.session.scalar(asked_for)):
            raise Conflict(
                f"{stands.name} 有 {count} 行的检索值还要用到，原号码已不在库中",
                advice="银行回盘读完之后再换",
            )
        done["left"] += uow.session.scalar(behind) or 0
    return done


def main() -> int:
    """The command line: what was done, as JSON; 2 and the reason when it was refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("service")
    service = parser.parse_args().service
    key = base64.b64decode(os.environ.pop(NEXT_INDEX_KEY.format(service.upper())))
    foundation = Foundation.build(Settings.from_env(service))
    try:
        done = run(foundation, service, key)
    except Conflict as refused:
        sys.stdout.write(json.dumps({"service": service, "refused": refused.message}) + "\n")
        return 2
    sys.stdout.write(json.dumps({"service": service, "rows": done}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
