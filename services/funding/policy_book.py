"""The policy files in the tables: dated versions that, once used, never change."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import msgspec
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from services.chassis.uow import UnitOfWork
from services.contracts.errors import Conflict, Invalid
from services.funding import policies
from services.funding.domain.months import Month
from services.funding.domain.policy import Benefit, Version, in_force
from services.funding.models import BenefitRow, ExclusionRow, PolicyRow


def policy_id(benefit: str, version: Version) -> str:
    """The id of a policy version: ``urban_dibao:421083:2026-07``."""
    return f"{benefit}:{version.division or 'all'}:{version.effective_from}"


@functools.cache
def _rows() -> list[dict[str, object]]:
    """The rows of every version of the files."""
    return [
        {
            "id": policy_id(benefit.code, version),
            "benefit": benefit.code,
            "division": version.division,
            "effective_from": version.effective_from,
            "effective_to": version.effective_to,
            "source": version.source,
            "clause": version.clause,
            "rule": msgspec.json.decode(msgspec.json.encode(version.rule)),
        }
        for benefit in policies.benefits().values()
        for version in benefit.versions
    ]


def install(uow: UnitOfWork) -> None:
    """Bring the tables to the files. A version in the table with another rule is a conflict."""
    known = policies.benefits().values()
    session = uow.session
    rows = _rows()
    stored: dict[str, dict[str, object]] = dict(
        session.execute(select(PolicyRow.id, PolicyRow.rule)).all()
    )
    changed = [row["id"] for row in rows if stored.get(str(row["id"]), row["rule"]) != row["rule"]]
    if changed:
        raise Conflict(
            f"政策 {changed[0]} 已经使用，金额与规则不能改动",
            advice="请新增一个生效月份更晚的版本",
        )
    if stored.keys() >= {row["id"] for row in rows} and _same_exclusions(uow):
        return
    benefits = insert(BenefitRow).values(
        [
            {
                "code": benefit.code,
                "name": benefit.name,
                "priority": benefit.priority,
                "unit": benefit.unit,
                "months_after_death": benefit.months_after_death,
                "child": benefit.child,
            }
            for benefit in known
        ]
    )
    session.execute(
        benefits.on_conflict_do_update(
            index_elements=["code"],
            set_={
                name: benefits.excluded[name]
                for name in ("name", "priority", "unit", "months_after_death", "child")
            },
        )
    )
    session.execute(insert(PolicyRow).values(rows).on_conflict_do_nothing())
    exclusions = insert(ExclusionRow).values(
        [
            {"benefit": r.benefit, "held": r.held, "effect": r.effect, "clause": r.clause}
            for r in policies.exclusions()
        ]
    )
    session.execute(
        exclusions.on_conflict_do_update(
            index_elements=["benefit", "held"],
            set_={name: exclusions.excluded[name] for name in ("effect", "clause")},
        )
    )


def _same_exclusions(uow: UnitOfWork) -> bool:
    count = uow.session.scalar(select(func.count()).select_from(ExclusionRow))
    return count == len(policies.exclusions())


def benefit(code: str) -> Benefit:
    """A benefit by code. Raises ``Invalid`` for one that is not there."""
    found = policies.benefits().get(code)
    if found is None:
        raise Invalid(f"没有待遇项目“{code}”", field="benefit", advice="请核对待遇项目代码")
    return found


def version(code: str, division: str, month: Month) -> Version:
    """The version that holds. Raises ``Invalid`` when none does."""
    found = in_force(benefit(code).versions, division, month)
    if found is None:
        raise Invalid(
            f"{benefit(code).name}在 {division} 于 {month} 没有生效的政策",
            field="month",
            advice="请先录入该区划的政策文件",
        )
    return found


def names(codes: Sequence[str]) -> tuple[str, ...]:
    """Benefit names for people."""
    return tuple(benefit(code).name for code in codes)
