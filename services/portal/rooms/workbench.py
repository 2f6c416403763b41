"""The desk: what waits, counted; each number leads to the list it counts."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from services.contracts.commands.cases import ListCases, ReadDesk
from services.contracts.commands.funding import BatchRow, ListBatches
from services.contracts.commands.notify import CountMessages
from services.contracts.commands.registry import ReadRegistryFigures
from services.portal.desk import Desk, SignedIn
from services.portal.menu import CASEWORK, INTAKE, MONEY, WATCHERS

room = APIRouter()

OPEN_BATCHES = ("open", "computed", "checked", "reviewed", "released", "locked", "sent")

WAITING = "waiting"
"""Everything that waits for somebody, a decision still to be told included."""

PRESSING = {"overdue": "over", "due_today": "today", "due_soon": "soon"}
"""The buckets by deadline, which stand above the others, and how they are marked."""


@room.get("/desk")
def workbench(desk: SignedIn) -> Response:
    """To-do counts, the most urgent cases, open batches, letters: whatever the posts concern."""
    casework = desk.has(*CASEWORK, *WATCHERS)
    return desk.page(
        "workbench.html",
        today=desk.today(),
        buckets=(desk.try_ask(ReadDesk()) or []) if casework else [],
        urgent=desk.try_ask(ListCases(bucket=WAITING, limit=10)) if casework else None,
        figures=desk.try_ask(ReadRegistryFigures()),
        messages=desk.try_ask(CountMessages()),
        batches=_open_batches(desk),
        pressing=PRESSING,
        waiting=WAITING,
        intake=desk.has(*INTAKE),
    )


def _open_batches(desk: Desk) -> list[BatchRow]:
    """Batches that are not settled or void, for who works with money."""
    if not desk.has(*MONEY, *WATCHERS):
        return []
    return desk.try_ask(ListBatches(states=OPEN_BATCHES)) or []
