"""A case in a terminal."""

from datetime import date

from rich.console import Group, RenderableType

from services.cli.output import present, table
from services.contracts.commands import cases as c
from services.contracts.money import yuan

MARKS = {"done": "●", "current": "◐", "waiting": "○", "skipped": "－"}


def present_case(case: c.CaseView, as_json: bool) -> None:
    """The case as it stands, to a person or a program."""
    present(case, as_json, lambda: _page(case))


def _page(case: c.CaseView) -> RenderableType:
    """The case page in a terminal."""
    bar = "  ".join(f"{MARKS[step.state]} {step.name}" for step in case.steps)
    head = (
        f"{case.case_no}　{case.item_name}（{case.route_name}）　{case.applicant_name}　"
        f"{case.division_name}　{case.outcome_label or case.state_label}"
    )
    parts: list[RenderableType] = [head, bar]
    if case.deadline:
        parts.append(case.deadline.words)
    if case.missing:
        parts.append(f"缺：{'、'.join(case.missing)}")
    if case.quote:
        parts.append(
            table(
                ("项目", "依据", "金额（元）"),
                [
                    (line.label, line.source, yuan(line.fen))
                    for benefit in case.quote.benefits
                    for line in benefit.working
                ],
                f"政策测算 {yuan(case.quote.total_fen)} 元",
            )
        )
        parts += [f"✗ {o.message}（{o.clause}）" for o in case.quote.obstacles]
    parts.append(
        table(
            ("日期", "事项", "内容", "经办"),
            [(_day(line.on), line.title, line.detail, line.by) for line in case.timeline],
        )
    )
    return Group(*parts)


def _day(day: date) -> str:
    return day.isoformat()
