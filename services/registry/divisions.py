"""The places the registry knows: seeded from the shipped data file, replaced by a newer one."""

from __future__ import annotations

import io
from collections.abc import Iterable
from datetime import date
from importlib.resources import files as resources

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from services.chassis import files
from services.chassis.models import AuditRow
from services.chassis.uow import UnitOfWork
from services.contracts.commands.registry import (
    DivisionView,
    ListDivisions,
    LoadDivisions,
)
from services.contracts.divisions import county
from services.contracts.errors import Invalid, NotFound
from services.contracts.events.registry import DivisionRegistered
from services.registry.domain.divisions import Division as Place
from services.registry.domain.divisions import Gazetteer, read_csv
from services.registry.models import Division

TOLD = "division.told"
_PARENT = {2: 0, 4: 2, 6: 4, 9: 6, 12: 9}


def seed(connection: Connection, of_county: str) -> None:
    """Put the shipped places of a county into an empty database (part of its first migration)."""
    path = resources("services.registry") / "data" / "divisions" / f"{county(of_county)}.csv"
    if path.is_file():
        places = list(read_csv(io.StringIO(path.read_text("utf-8"))))
        connection.execute(insert(Division).values([_row(place) for place in places]))


def tell_seeded(uow: UnitOfWork) -> None:
    """Tell the other services of the seeded places, once in the life of the database."""
    told = select(AuditRow.id).where(
        AuditRow.subject_type == "division", AuditRow.subject_id == "", AuditRow.action == TOLD
    )
    if uow.session.scalar(told.limit(1)) is None:
        codes = uow.session.scalars(select(Division.code)).all()
        uow.emit_all(registered(uow, list(codes)), bulk=False)
        uow.audit(TOLD, "division", "", places=len(codes))


def load(uow: UnitOfWork, command: LoadDivisions) -> int:
    """Take in a data file: new places come, places it lacks end today. How many it has."""
    text = files.read(uow, command.file_id).decode("utf-8-sig")
    try:
        places = {place.code: place for place in read_csv(io.StringIO(text))}
        rows = [_row(place) for place in places.values()]
    except (KeyError, ValueError, TypeError) as error:
        raise Invalid(
            f"区划文件不可用：{error}",
            field="文件",
            advice="请用 zhida registry divisions extract 生成",
        ) from error
    if not rows:
        raise Invalid("区划文件是空的", field="文件")
    uow.require(min(places, key=lambda code: (len(code) < 6, code))[:6])
    known = {division.code: division for division in uow.session.scalars(select(Division))}
    fresh = [row for row in rows if row["code"] not in known]
    if fresh:
        uow.session.execute(insert(Division).values(fresh))
    changed: list[str] = [str(row["code"]) for row in fresh]
    scopes = {county(code) for code in places if len(code) >= 6}
    for code, division in known.items():
        place = places.get(code)
        if place is not None and (division.name != place.name or division.valid_to is not None):
            division.name, division.short_name = place.name, place.short_name
            division.kind, division.valid_to = place.kind, None
        elif place is None and county(code) in scopes and division.valid_to is None:
            division.valid_to = uow.today()
        else:
            continue
        division.version += 1
        changed.append(code)
    uow.session.flush()
    uow.audit("division.loaded", "division", "", places=len(rows), changed=len(changed))
    uow.emit_all(registered(uow, changed))
    return len(rows)


def gazetteer(uow: UnitOfWork) -> Gazetteer:
    """The places in force, ready to be found by what people write."""
    rows = uow.session.execute(
        select(Division.code, Division.name, Division.valid_from, Division.source).where(
            Division.valid_to.is_(None)
        )
    )
    return Gazetteer(Place(code, name, str(since), source) for code, name, since, source in rows)


def named(uow: UnitOfWork, codes: Iterable[str]) -> dict[str, str]:
    """Code → short name."""
    return {code: place.short_name for code, place in uow.by_id(Division, codes).items()}


def village(uow: UnitOfWork, code: str) -> Division:
    """A village-level place in force. Raises ``Invalid`` (field division)."""
    return require_village(uow.session.get(Division, code), code)


def require_village(division: Division | None, code: str) -> Division:
    """The place that was found by this code; raises as ``village`` does."""
    if division is None or len(code) != 12 or division.valid_to is not None:
        raise Invalid(
            f"没有区划代码为 {code} 的村（社区）", field="division", advice="请从列表中选择"
        )
    return division


def list_below(uow: UnitOfWork, query: ListDivisions) -> list[DivisionView]:
    """The places below one. Raises ``NotFound`` when there is none such."""
    if query.parent and uow.session.get(Division, query.parent) is None:
        raise NotFound("没有这个区划", field="parent")
    rows = uow.session.scalars(
        select(Division)
        .where(Division.code.startswith(query.parent), Division.valid_to.is_(None))
        .order_by(Division.code)
    )
    return [
        DivisionView(
            code=row.code,
            name=row.name,
            short_name=row.short_name,
            kind=row.kind,
            parent=row.code[: _PARENT[len(row.code)]] or None,
            valid_from=row.valid_from,
            valid_to=row.valid_to,
        )
        for row in rows
        if row.code != query.parent
        and (query.deep or row.code[: _PARENT[len(row.code)]] == query.parent)
    ]


def _row(place: Place) -> dict[str, object]:
    return {
        "code": place.code,
        "name": place.name,
        "short_name": place.short_name,
        "kind": place.kind,
        "valid_from": date.fromisoformat(place.as_of),
        "source": place.source,
    }


def registered(uow: UnitOfWork, codes: list[str]) -> Iterable[DivisionRegistered]:
    """What the others are told of these places."""
    for row in uow.session.scalars(select(Division).where(Division.code.in_(codes))):
        yield DivisionRegistered(
            division=row.code,
            name=row.name,
            parent=row.code[: _PARENT[len(row.code)]] or None,
            valid_from=row.valid_from,
            valid_to=row.valid_to,
            epoch=uow.epoch,
            version=row.version,
        )
