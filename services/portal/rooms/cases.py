"""Cases: the list, and one case with its steps, deadlines, working, decision and letters."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from services.contracts.commands.cases import (
    CaseView,
    ListCases,
    ListItems,
    ReadCase,
    ReadDesk,
    RenderDocument,
)
from services.contracts.commands.registry import ListStaff, StaffView
from services.contracts.divisions import town
from services.portal.acts import acts_for, command_for
from services.portal.desk import Desk, SignedIn
from services.portal.history import case_timeline
from services.portal.menu import CASEWORK

room = APIRouter(prefix="/cases")


@room.get("")
def cases(desk: SignedIn) -> Response:
    """Cases within sight, the most urgent first, narrowed by the filters in the address."""
    case_no = desk.query("case_no")
    asked = ListCases(
        bucket=desk.query("bucket"),
        item=desk.query("item"),
        state=desk.query("state"),
        division=desk.query("division") or "",
        case_no=case_no,
        after=desk.query("after"),
    )
    page = desk.ask(asked)
    if case_no and len(page.cases) == 1:
        return desk.go(f"/cases/{page.cases[0].case_id}")
    return desk.page(
        "cases/list.html",
        page=page,
        cases=page.cases,
        asked=asked,
        buckets=desk.ask(ReadDesk()),
        items=desk.ask(ListItems(kind=None)),
    )


@room.get("/{case_id}")
def case_page(case_id: UUID, desk: SignedIn) -> Response:
    """One case, whole."""
    case = desk.ask(ReadCase(case_id=case_id))
    return desk.page(
        "cases/case.html",
        case=case,
        timeline=case_timeline(case),
        acts=acts_for(case, desk.actor.roles),
        staff=_investigators(desk, case),
    )


def _investigators(desk: Desk, case: CaseView) -> tuple[StaffView, ...]:
    """Who may be named as having gone to see: the staff over the case's town."""
    if "investigation" not in case.current and not case.needs_county_visit:
        return ()
    page = desk.try_ask(ListStaff(division=town(case.division)))
    return tuple(one for one in page.staff if CASEWORK & set(one.roles)) if page else ()


@room.post("/{case_id}/letters/{letter}")
def print_letter(case_id: UUID, letter: str, desk: SignedIn) -> Response:
    """Typeset a letter and show it as PDF."""
    desk.again = partial(case_page, case_id, desk)
    printed = desk.do(RenderDocument(case_id=case_id, letter=letter))
    return desk.go(f"/cases/letters/{printed.file_id}")


@room.get("/letters/{file_id}")
def letter_file(file_id: UUID, desk: SignedIn) -> Response:
    """A letter that was typeset."""
    return desk.download("cases", file_id, inline=True)


@room.post("/{case_id}/{act}")
def take_act(case_id: UUID, act: str, desk: SignedIn) -> Response:
    """One act on a case. Cases decides whether it may be done now, and by whom."""
    desk.again = partial(case_page, case_id, desk)
    command, notice = command_for(act, case_id, desk.form)
    desk.do(command)
    return desk.go(f"/cases/{case_id}", notice)
