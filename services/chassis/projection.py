"""Local copies of what another service owns: newer replaces older, never the other way round."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import tuple_
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.orm import DeclarativeBase, Session


def upsert_newer(
    session: Session,
    model: type[DeclarativeBase],
    rows: Sequence[Mapping[str, Any]],
    *,
    key: Sequence[str],
    guard: tuple[str, str] = ("epoch", "version"),
) -> None:
    """Insert ``rows``, or update where the guard columns (epoch, version) of the row are newer.

    Every facet has its own columns and guard, so two facets of one aggregate may arrive in any
    order. Columns not named in ``rows`` are left alone (they need a default or to be nullable).
    """
    if rows:
        statement = _upsert(model, tuple(rows[0]), tuple(key), guard)
        session.connection().execute(statement, list(rows))


@functools.cache
def _upsert(
    model: type[DeclarativeBase],
    names: tuple[str, ...],
    key: tuple[str, ...],
    guard: tuple[str, str],
) -> Insert:
    """Built once a table and facet; to build it costs more than to run it."""
    statement = insert(model)
    fresh = statement.excluded
    table = model.__table__
    old = tuple_(*(table.c[name] for name in guard))
    new = tuple_(*(fresh[name] for name in guard))
    return statement.on_conflict_do_update(
        index_elements=list(key),
        set_={name: fresh[name] for name in names if name not in key},
        where=table.c[guard[0]].is_(None) | (old < new),
    )
