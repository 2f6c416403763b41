"""Bringing in a roster: check first, nothing written before the go, then all or nothing."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from services.contracts.commands.registry import (
    CheckRoster,
    ImportRoster,
    ListImports,
    ReadRosterColumns,
    RosterReport,
    UndoImport,
)
from services.portal.desk import Desk, SignedIn

room = APIRouter(prefix="/import")


@room.get("")
def imports(desk: SignedIn) -> Response:
    """Choose a file; the columns it should have; what was imported before."""
    return desk.page(
        "imports/start.html",
        columns=desk.ask(ReadRosterColumns()),
        earlier=desk.ask(ListImports()),
    )


@room.post("/check")
def check(desk: SignedIn) -> Response:
    """Hand the file in and check it, row by row."""
    desk.again = partial(imports, desk)
    form = desk.form
    month = form.text("first_month", "首次应发月份")
    name, content = form.upload("roster", "花名册文件")
    form.check()
    file_id = desk.upload("registry", name, content)
    report = desk.do(CheckRoster(file_id=file_id, first_month=month, errors_workbook=True))
    return _checked(desk, file_id, name, month, report)


@room.post("/go")
def go(desk: SignedIn) -> Response:
    """Write the checked file: all of it or nothing."""
    desk.again = partial(imports, desk)
    form = desk.form
    file_id, month = form.uuid("file_id", "已校验的文件"), form.text("first_month", "首次应发月份")
    form.check()
    report = desk.do(ImportRoster(file_id=file_id, first_month=month, errors_workbook=True))
    if report.import_id is None:
        return _checked(desk, file_id, form.typed("name"), month, report)
    return desk.go(
        "/import",
        f"已导入 {report.people:,} 人、{report.households:,} 户，"
        f"存量结转 {report.carried_over:,} 项",
    )


def _checked(desk: Desk, file_id: UUID, name: str, month: str, report: RosterReport) -> Response:
    """The report of a check, with the go when no row is refused."""
    return desk.page("imports/report.html", file_id=file_id, name=name, month=month, report=report)


@room.get("/errors/{file_id}")
def errors_workbook(file_id: UUID, desk: SignedIn) -> Response:
    """The same workbook with a red column of reasons."""
    return desk.download("registry", file_id)


@room.post("/{import_id}/undo")
def undo(import_id: UUID, desk: SignedIn) -> Response:
    """Ask for an import to be taken back whole."""
    desk.again = partial(imports, desk)
    reason = desk.form.text("reason", "撤销原因")
    desk.form.check()
    desk.do(UndoImport(import_id=import_id, reason=reason))
    return desk.go("/import", "正在撤销：资金确认未锁定付款后生效，请稍候刷新查看")
