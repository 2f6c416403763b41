"""公示 and 异议: notices hung and taken down, objections taken in and answered."""

from __future__ import annotations

from sqlalchemy import select

from services.cases import casework, people_at_hand, views
from services.cases.domain import posting
from services.cases.domain.publicity import notice
from services.cases.models import CaseRow, NoticeRow
from services.chassis.uow import UnitOfWork
from services.contracts.commands.cases import (
    CaseView,
    EndPublicity,
    ListNotices,
    NoticeView,
    OpenPublicity,
    RecordObjection,
    ResolveObjection,
)
from services.contracts.events.cases import CaseObjected, PublicityOpened
from services.contracts.ids import new_id

_BATCH = 200


def hang(uow: UnitOfWork, command: OpenPublicity) -> CaseView:
    """公示: the notice is made from the whitelist and hung in the village."""
    opened = casework.load(uow, command.case_id)
    after = posting.open_publicity(opened.case, uow.actor, uow.today(), new_id())
    hung = after.open_notice
    assert hung is not None
    row = opened.row
    applicant = people_at_hand.person(uow, row.applicant_id, field="case_id")
    members = {person for asked in after.asked for person in asked.covered}
    made = notice(after, applicant_name=applicant.name, members=len(members), opens_on=uow.today())
    uow.session.add(
        NoticeRow(
            id=hung.notice_id,
            case_id=row.id,
            item=row.item,
            division=row.division,
            applicant_name=made.applicant_name,
            members=made.members,
            amount_fen=made.amount_fen,
            opens_on=made.opens_on,
            closes_on=made.closes_on,
        )
    )
    casework.keep(uow, opened, after)
    uow.emit(
        PublicityOpened(
            case_id=row.id,
            case_no=row.case_no,
            item=row.item,
            division=row.division,
            applicant_person_id=row.applicant_id,
            applicant_name=made.applicant_name,
            members=made.members,
            amount_fen=made.amount_fen,
            opens_on=made.opens_on,
            closes_on=made.closes_on,
        )
    )
    uow.audit("case.publicity_opened", "case", row.id, case_no=row.case_no)
    return views.read(uow, row.id)


def end(uow: UnitOfWork, command: EndPublicity) -> CaseView:
    """Take a notice down, once its days are over."""
    opened = casework.load(uow, command.case_id)
    after = posting.end_publicity(opened.case, uow.actor, uow.today())
    casework.keep(uow, opened, after)
    return views.read(uow, command.case_id)


def end_due(uow: UnitOfWork) -> None:
    """Take down every notice whose last day is past (timer)."""
    due = uow.session.scalars(
        select(CaseRow.id)
        .where(CaseRow.notice_until < uow.today())
        .order_by(CaseRow.id)
        .limit(_BATCH)
    ).all()
    casework.keep_all(
        uow,
        [
            (opened, posting.end_publicity(opened.case, uow.actor, uow.today()))
            for opened in casework.load_many(uow, due)
            if opened.case.open_notice
        ],
    )


def record_objection(uow: UnitOfWork, command: RecordObjection) -> CaseView:
    """异议: it blocks the decision until answered."""
    opened = casework.load(uow, command.case_id)
    after = posting.raise_objection(
        opened.case, uow.actor, uow.today(), command.content, complaint=command.complaint
    )
    row = casework.keep(uow, opened, after)
    if row.first_officer_id:
        uow.emit(
            CaseObjected(
                case_id=row.id,
                case_no=row.case_no,
                division=row.division,
                objected_on=uow.today(),
                first_officer_id=row.first_officer_id,
            )
        )
    uow.audit("case.objected", "case", row.id, case_no=row.case_no)
    return views.read(uow, row.id)


def resolve_objection(uow: UnitOfWork, command: ResolveObjection) -> CaseView:
    """Answer an objection."""
    opened = casework.load(uow, command.case_id)
    after = posting.answer_objection(
        opened.case,
        uow.actor,
        uow.today(),
        command.number,
        upheld=command.upheld,
        finding=command.finding,
    )
    row = casework.keep(uow, opened, after)
    uow.audit("case.objection_resolved", "case", row.id, case_no=row.case_no, upheld=command.upheld)
    return views.read(uow, row.id)


def board(uow: UnitOfWork, query: ListNotices) -> list[NoticeView]:
    """What hangs today in a place. Nothing that is over or taken down."""
    today = uow.today()
    rows = uow.session.scalars(
        select(NoticeRow)
        .where(
            NoticeRow.division.startswith(query.division, autoescape=True),
            NoticeRow.taken_down_on.is_(None),
            NoticeRow.closes_on >= today,
        )
        .order_by(NoticeRow.opens_on.desc(), NoticeRow.id)
        .limit(min(query.limit, 500))
    ).all()
    known = people_at_hand.places(uow, [row.division for row in rows])
    return [views.notice_view(row, known) for row in rows]
