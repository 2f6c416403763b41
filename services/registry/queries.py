"""Reads for the edge: people, households, ledgers, counts. Numbers show their last four only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, exists, false, func, or_, select, true, tuple_

from services.chassis.models import AuditRow
from services.chassis.uow import UnitOfWork
from services.contracts.commands.registry import (
    CategoryView,
    ChangeLine,
    CountPeople,
    ExpectedColumn,
    FindByIdentity,
    HouseholdLine,
    HouseholdPage,
    HouseholdView,
    ListChanges,
    ListHouseholds,
    ListPeople,
    PersonPage,
    PersonView,
    ReadHousehold,
    ReadPerson,
    ReadRegistryFigures,
    RegistryFigures,
    Revealed,
    RevealIdentity,
    SearchPeople,
)
from services.contracts.errors import Invalid, NotFound
from services.registry import announcements, divisions, responsibility
from services.registry.domain import identity_number
from services.registry.domain.benefits import CATEGORIES, KINSHIPS
from services.registry.domain.identity_number import mask
from services.registry.domain.roster import OPTIONAL, SYNONYMS, TITLES
from services.registry.models import (
    AccountChange,
    BureauNotice,
    Household,
    Person,
    PersonCategory,
    Staff,
)

_TITLES: dict[str, str] = {}
for _title, _code in CATEGORIES.items():
    _TITLES.setdefault(_code, _title)

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


def read_person(uow: UnitOfWork, query: ReadPerson) -> PersonView:
    """One person within the actor's divisions."""
    return person_view(uow, _person(uow, query.person_id))


def find_by_identity(uow: UnitOfWork, query: FindByIdentity) -> PersonView | None:
    """Whoever has this number; elsewhere, only place and officer are shown."""
    number = identity_number.read(query.identity_number, uow.today()).number
    person = uow.session.scalar(
        select(Person).where(
            Person.identity_index == uow.cipher.blind_index(number), Person.removed.is_(False)
        )
    )
    uow.audit("person.looked_up", "person", person.id if person else "")
    if person is None:
        return None
    view = person_view(uow, person)
    if uow.actor.covers(person.division):
        return view
    return _elsewhere(view)


def read_household(uow: UnitOfWork, query: ReadHousehold) -> HouseholdView:
    """One household by id or number."""
    if query.household_id is not None:
        household = uow.session.get(Household, query.household_id)
    elif query.household_no:
        household = uow.session.scalar(
            select(Household).where(
                Household.number == query.household_no, Household.removed.is_(False)
            )
        )
    else:
        raise Invalid("请给出户编号", field="household_no")
    if household is None or household.removed:
        raise NotFound("没有这一户", field="household_id")
    uow.require(household.division)
    return household_view(uow, household)


def search(uow: UnitOfWork, query: SearchPeople) -> PersonPage:
    """By identity number, 户编号, pinyin initials or part of a name, whichever it looks like."""
    text = query.text.strip()
    if not text:
        raise Invalid("请输入要找的内容", field="text")
    compact = identity_number.normalize(text)
    if len(compact) in (15, 18) and compact[:14].isdigit():
        number = identity_number.read(compact, uow.today()).number
        wanted = Person.identity_index == uow.cipher.blind_index(number)
    elif text.isascii() and text.isalpha():
        wanted = Person.initials.like(f"%{text.lower()}%")
    elif any(character.isdigit() for character in text):
        households = select(Household.id).where(Household.number.startswith(text))
        wanted = Person.household_id.in_(households)
    else:
        wanted = Person.name.like(f"%{text.replace('%', '').replace('_', '')}%")
    statement = select(Person).where(wanted, *_within(uow, query.division))
    return _page(uow, statement, query.after, query.limit)


def list_people(uow: UnitOfWork, query: ListPeople) -> PersonPage:
    """The ledger, by place and id."""
    statement = select(Person).where(*_filters(uow, query))
    return _page(uow, statement, query.after, query.limit)


def count_people(uow: UnitOfWork, query: CountPeople) -> int:
    """The length of that ledger."""
    return uow.session.scalar(select(func.count(Person.id)).where(*_filters(uow, query))) or 0


def list_households(uow: UnitOfWork, query: ListHouseholds) -> HouseholdPage:
    """Households by number."""
    limit = max(1, min(query.limit, 500))
    members = (
        select(func.count(Person.id))
        .where(Person.household_id == Household.id, Person.removed.is_(False))
        .correlate(Household)
        .scalar_subquery()
    )
    statement = (
        select(Household, Person.name, Staff.name, members)
        .outerjoin(Person, Person.id == Household.head_person_id)
        .outerjoin(Staff, Staff.id == Person.officer_id)
        .where(Household.removed.is_(False), *_scope(uow, Household.division, query.division))
        .order_by(Household.number)
        .limit(limit + 1)
    )
    if query.after:
        statement = statement.where(Household.number > query.after)
    found = uow.session.execute(statement).all()
    names = divisions.named(uow, (row[0].division for row in found))
    lines = tuple(
        HouseholdLine(
            household_id=household.id,
            household_no=household.number,
            division=household.division,
            division_name=names.get(household.division, household.division),
            head_name=head,
            members=count,
            officer_name=officer,
        )
        for household, head, officer, count in found[:limit]
    )
    return HouseholdPage(
        households=lines, next=lines[-1].household_no if len(found) > limit else None
    )


def reveal(uow: UnitOfWork, query: RevealIdentity) -> Revealed:
    """A person's numbers in full, for a purpose that is noted."""
    if len(query.purpose.strip()) < 2:
        raise Invalid("请写明查看用途", field="purpose", advice="如：办理低保复核")
    person = _person(uow, query.person_id)
    household = uow.session.get_one(Household, person.household_id)
    uow.audit("person.revealed", "person", person.id, purpose=query.purpose.strip())
    return Revealed(
        person_id=person.id,
        name=person.name,
        identity_number=opened(uow, person, "identity"),
        birth_date=person.birth_date,
        phone=opened(uow, person, "phone"),
        account_name=opened(uow, person, "account_name"),
        account_number=opened(uow, person, "account_number"),
        address=(
            uow.cipher.decrypt(
                household.address, table="household", row=household.id, column="address"
            )
            if household.address
            else None
        ),
    )


def list_changes(uow: UnitOfWork, query: ListChanges) -> list[ChangeLine]:
    """The history of a person or household, from the audit log."""
    subjects: list[tuple[str, str]] = []
    if query.person_id is not None:
        person = _person(uow, query.person_id)
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


def figures(uow: UnitOfWork, query: ReadRegistryFigures) -> RegistryFigures:
    """Counts for the desk."""
    people = uow.session.execute(
        select(
            func.count(Person.id),
            func.count(Person.id).filter(Person.beneficiary),
        ).where(*_within(uow, query.division), Person.deceased_on.is_(None))
    ).one()
    households = select(func.count(Household.id)).where(
        Household.removed.is_(False), *_scope(uow, Household.division, query.division)
    )
    changes = select(func.count(AccountChange.id)).where(
        AccountChange.state == "requested", *_scope(uow, AccountChange.division, query.division)
    )
    notices = select(func.count(BureauNotice.event_id)).where(BureauNotice.state == "waiting")
    return RegistryFigures(
        households=uow.session.scalar(households) or 0,
        people=people[0],
        beneficiaries=people[1],
        uncovered=sum(
            count
            for village, count in responsibility.uncovered(uow, query.division).items()
            if uow.actor.covers(village)
        ),
        account_changes_waiting=uow.session.scalar(changes) or 0,
        notices_waiting=uow.session.scalar(notices) or 0,
        staff=uow.session.scalar(select(func.count(Staff.id)).where(Staff.active)) or 0,
    )


def roster_columns() -> list[ExpectedColumn]:
    """The columns of a roster, for the template and its help."""
    return [
        ExpectedColumn(title=title, synonyms=SYNONYMS[column], required=column not in OPTIONAL)
        for column, title in enumerate(TITLES)
    ]


# -- views ------------------------------------------------------------------------------------


def person_view(uow: UnitOfWork, person: Person) -> PersonView:
    """A person as shown."""
    return person_views(uow, [person])[0]


def person_views(uow: UnitOfWork, people: Sequence[Person]) -> list[PersonView]:
    """People as shown, with one query for each kind of thing about them."""
    uow.session.flush()
    categories = announcements.current_categories(uow, [person.id for person in people])
    names = divisions.named(uow, (person.division for person in people))
    officers = {
        row.id: row
        for row in uow.session.scalars(
            select(Staff).where(Staff.id.in_({person.officer_id for person in people}))
        )
    }
    numbers = dict(
        uow.session.execute(
            select(Household.id, Household.number).where(
                Household.id.in_({person.household_id for person in people})
            )
        ).all()
    )
    return [
        PersonView(
            person_id=person.id,
            household_id=person.household_id,
            household_no=numbers[person.household_id],
            division=person.division,
            division_name=names.get(person.division, person.division),
            name=person.name,
            sex=person.sex,
            identity_masked=_masked(opened(uow, person, "identity")),
            relation=KINSHIPS[person.relation],
            is_head=person.is_head,
            categories=tuple(
                CategoryView(code=c.code, title=_TITLES.get(c.code, c.code), since=c.since)
                for c in categories.get(person.id, ())
            ),
            disability=person.disability,
            phone_masked=_masked(opened(uow, person, "phone")),
            account_masked=_masked(opened(uow, person, "account_number")),
            account_name=opened(uow, person, "account_name"),
            officer_id=person.officer_id,
            officer_name=officers[person.officer_id].name,
            officer_no=officers[person.officer_id].staff_no,
            beneficiary=person.beneficiary,
            deceased_on=person.deceased_on,
            version=person.version,
        )
        for person in people
    ]


def household_view(uow: UnitOfWork, household: Household) -> HouseholdView:
    """A household with its members, the head first."""
    uow.session.flush()
    people = uow.session.scalars(
        select(Person)
        .where(Person.household_id == household.id, Person.removed.is_(False))
        .order_by(Person.is_head.desc(), Person.birth_date)
    ).all()
    return HouseholdView(
        household_id=household.id,
        household_no=household.number,
        division=household.division,
        division_name=divisions.named(uow, [household.division]).get(household.division, ""),
        head_person_id=household.head_person_id,
        payee_person_id=household.payee_person_id,
        address=None,
        members=tuple(person_views(uow, people)) if people else (),
        version=household.version,
    )


def opened(uow: UnitOfWork, person: Person, column: str) -> str | None:
    """A personal number in full, for the registry's own use."""
    data: bytes | None = getattr(person, column)
    if data is None:
        return None
    return uow.cipher.decrypt(data, table="person", row=person.id, column=column)


def _masked(text: str | None) -> str | None:
    return mask(text) if text else None


def _elsewhere(view: PersonView) -> PersonView:
    """What a window of another place may know of somebody: where, and whom to ask."""
    return PersonView(
        person_id=view.person_id,
        household_id=view.household_id,
        household_no="",
        division=view.division,
        division_name=view.division_name,
        name=view.name[:1] + "*" * (len(view.name) - 1),
        sex=view.sex,
        identity_masked=view.identity_masked,
        relation=view.relation,
        is_head=view.is_head,
        categories=(),
        disability=None,
        phone_masked=None,
        account_masked=None,
        account_name=None,
        officer_id=view.officer_id,
        officer_name=view.officer_name,
        officer_no=view.officer_no,
        beneficiary=view.beneficiary,
        deceased_on=view.deceased_on,
        version=view.version,
    )


# -- filters ----------------------------------------------------------------------------------


def _person(uow: UnitOfWork, person_id: UUID) -> Person:
    person = uow.session.get(Person, person_id)
    if person is None or person.removed:
        raise NotFound("没有这个人", field="person_id")
    uow.require(person.division)
    return person


def _scope(uow: UnitOfWork, column: Any, division: str) -> list[Any]:
    """Within ``division`` and within the actor's own divisions."""
    own = [column.startswith(scope, autoescape=True) for scope in uow.actor.divisions if scope]
    everywhere = true() if "" in uow.actor.divisions else false()
    wanted = [column.startswith(division, autoescape=True)] if division else []
    return [*wanted, or_(everywhere, *own)]


def _within(uow: UnitOfWork, division: str) -> list[Any]:
    return [Person.removed.is_(False), *_scope(uow, Person.division, division)]


def _filters(uow: UnitOfWork, query: ListPeople | CountPeople) -> list[Any]:
    filters = _within(uow, query.division)
    if query.category:
        code = CATEGORIES.get(query.category, query.category)
        filters.append(
            exists(
                select(1).where(
                    PersonCategory.person_id == Person.id,
                    PersonCategory.code == code,
                    PersonCategory.until.is_(None),
                )
            )
        )
    if query.officer_no:
        officer = select(Staff.id).where(Staff.staff_no == query.officer_no)
        filters.append(and_(Person.officer_id.in_(officer), Person.officer_in_post.is_(True)))
    if query.beneficiary is not None:
        filters.append(Person.beneficiary.is_(query.beneficiary))
    if query.deceased is not None:
        filters.append(
            Person.deceased_on.is_not(None) if query.deceased else Person.deceased_on.is_(None)
        )
    return filters


def _page(uow: UnitOfWork, statement: Select[Person], after: str | None, limit: int) -> PersonPage:
    """A page by (division, id), the order of the index."""
    limit = max(1, min(limit, 500))
    if after:
        division, _, person_id = after.partition("/")
        try:
            place = (division, UUID(person_id))
        except ValueError:
            raise Invalid("翻页标记不对", field="after") from None
        statement = statement.where(tuple_(Person.division, Person.id) > place)
    found = uow.session.scalars(
        statement.order_by(Person.division, Person.id).limit(limit + 1)
    ).all()
    page = found[:limit]
    last = page[-1] if len(found) > limit else None
    return PersonPage(
        people=tuple(person_views(uow, page)) if page else (),
        next=f"{last.division}/{last.id}" if last else None,
    )
