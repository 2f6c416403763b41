"""What the clerk is told of a roster: counts, every problem, and their own workbook marked up."""

from __future__ import annotations

import re
import time
from uuid import UUID

from services.chassis import files
from services.chassis.uow import UnitOfWork
from services.contracts.commands.registry import RosterProblem, RosterReport
from services.registry import error_workbook
from services.registry.roster_import.reading import SHEET, Given

SHOWN_ERRORS, SHOWN_WARNINGS = 10_000, 1_000
"""How many a report holds; the error workbook holds all errors."""

_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def report(
    uow: UnitOfWork,
    given: Given,
    started: float,
    *,
    workbook_too: bool = False,
    import_id: UUID | None = None,
) -> RosterReport:
    """The report on a roster whose reading began at ``started`` (monotonic seconds)."""
    checked = given.roster
    errors_file = None
    if workbook_too and checked.problems:
        name = re.sub(r"\.[^.]*$", "", given.file_name) + "-错误说明.xlsx"
        content = error_workbook.build(given.content, checked.problems, sheet=SHEET)
        errors_file = files.write(uow, name, content, _XLSX, division=uow.settings.county)
    return RosterReport(
        rows=checked.rows,
        accepted=checked.accepted,
        rejected=checked.rejected,
        warnings=len(checked.warnings),
        people=len(checked.people),
        households=len(checked.households),
        carried_over=len(checked.grants),
        officers=len(given.officers),
        error_count=len(checked.problems),
        errors=tuple(RosterProblem(**p._asdict()) for p in checked.problems[:SHOWN_ERRORS]),
        notices=tuple(RosterProblem(**p._asdict()) for p in checked.warnings[:SHOWN_WARNINGS]),
        errors_file=errors_file,
        import_id=import_id,
        seconds=round(time.monotonic() - started, 1),
    )
