"""What was done to a person or household, from the audit log."""

from __future__ import annotations

from sqlalchemy import select, tuple_

from services.chassis.models import AuditRow
from services.chassis.uow import UnitOfWork
from services.contracts.commands.registry import ChangeLine, ListChanges
from services.contracts.errors import Invalid, NotFound
from services.registry.models import Household, Person
from services.registry.queries.sight import in_sight

_ACTIONS = {
    "household.registered": "登记建户",
    "person.added": "增加成员",
    "person.recorded": "变更类别",
    "person.phone_changed": "变更电话",
    "person.died": "登记死亡",
    "person.death_revoked": "撤销死亡登记",
    "person.revealed": "查看完整信息",
    "person.looked_up": "窗口查询",
    "account_change.requested": "申请变更账户或领款人",
    "account_change.confirmed": "确认变更账户或领款人",
    "account_change.refused": "不予变更账户或领款人",
}


def list_changes(uow: UnitOfWork, query: ListChanges) -> list[ChangeLine]:
    """The history of a person or household, from the audit log."""
    subjects: list[tuple[str, str]] = []
    if query.person_id is not None:
        person = in_sight(uow, query.person_id)
        subjects += [("person", str(person.id)), ("household", str(person.household_id))]
    if query.household_id is not None:
        household = uow.session.get(Household, query.household_id)
        if household is None:
            raise NotFound("没有这一户", field="household_id")
        uow.require(household.division)
        subjects.append(("household", str(household.id)))
        ids = uow.session.scalars(select(Person.id).where(Person.household_id == household.id))
        subjects += [("person", str(person_id)) for person_id in ids]
    if not subjects:
        raise Invalid("请给出人员或家庭", field="person_id")
    uow.write_down()
    rows = uow.session.scalars(
        select(AuditRow)
        .where(tuple_(AuditRow.subject_type, AuditRow.subject_id).in_(subjects))
        .order_by(AuditRow.id.desc())
        .limit(min(query.limit, 1000))
    )
    return [
        ChangeLine(
            at=row.machine_at,
            business_on=row.business_on,
            actor=row.actor_name,
            action=row.action,
            title=_ACTIONS.get(row.action, row.action),
            detail="；".join(f"{value}" for value in row.detail.values() if value),
        )
        for row in rows
    ]
