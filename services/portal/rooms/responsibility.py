"""The responsibility map: every beneficiary in the hands of one named person."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter
from starlette.responses import Response

from services.contracts.commands.registry import (
    HandOver,
    ListPeople,
    ListStaff,
    ReadCoverage,
    ReadRegistryFigures,
)
from services.portal.desk import SignedIn

room = APIRouter(prefix="/responsibility")


@room.get("")
def responsibility(desk: SignedIn) -> Response:
    """One level below a place: officers, people, and how many nobody is responsible for."""
    division = desk.query("division") or desk.actor.divisions[0]
    return desk.page(
        "responsibility/map.html",
        division=division,
        figures=desk.ask(ReadRegistryFigures(division=division)),
        lines=desk.ask(ReadCoverage(division=division)) if len(division) < 12 else [],
        staff=desk.ask(ListStaff(division=division, limit=200)) if len(division) > 6 else None,
    )


@room.get("/{staff_no}")
def in_hand(staff_no: str, desk: SignedIn) -> Response:
    """The people in one officer's hands."""
    page = desk.ask(ListPeople(officer_no=staff_no, after=desk.query("after")))
    return desk.page("responsibility/people.html", staff_no=staff_no, page=page)


@room.post("/{staff_no}/hand-over")
def hand_over(staff_no: str, desk: SignedIn) -> Response:
    """Give everybody in one officer's hands to another, all at once."""
    desk.again = partial(in_hand, staff_no, desk)
    to_no, reason = desk.form.text("to_no", "接手人工号"), desk.form.text("reason", "交接原因")
    desk.form.check()
    moved = desk.do(HandOver(from_no=staff_no, to_no=to_no, reason=reason))
    return desk.go(f"/responsibility/{to_no}", f"已交接 {moved} 人")
