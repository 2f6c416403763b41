"""A step on one case from a shell: the case found by its number, the words made a command."""

from typing import Annotated, Any
from uuid import UUID

import typer

from services.cli.cases.page import present_case
from services.cli.session import call
from services.contracts.commands import cases as c
from services.contracts.errors import Invalid
from services.contracts.money import fen

CaseNo = Annotated[str, typer.Argument(help="受理编号或案件编号")]
Reason = Annotated[str, typer.Option(help="理由")]
Key = Annotated[str | None, typer.Option("--key", help="请求编号：同一编号重复执行只生效一次")]
Yuan = Annotated[str | None, typer.Option(help="金额（元）")]


def find(case_no: str) -> c.CaseView:
    """The case of this number or id."""
    try:
        return call(c.ReadCase(case_id=UUID(case_no)))
    except ValueError:
        return call(c.ReadCase(case_no=case_no))


def act(case_no: str, command: Any, as_json: bool, key: str | None = None, **fields: Any) -> None:
    """Take one step on a case and show the case as it is then."""
    import msgspec

    given = {"case_id": find(case_no).case_id, **fields}
    try:
        request = msgspec.convert(given, command)
    except msgspec.ValidationError as error:
        field = str(error).rpartition("$.")[2].strip("`")
        raise Invalid(
            f"参数有误：{field} 不能是“{fields.get(field)}”",
            field=field,
            advice="可选值见该命令的 --help",
        ) from error
    present_case(call(request, key=key), as_json)


def read_grants(named: list[str]) -> tuple[c.Grant, ...]:
    """Benefits with their amounts, as typed: ``rural_dibao=660.00``."""
    grants = []
    for text in named:
        benefit, found, money = text.partition("=")
        if not found:
            raise Invalid(f"“{text}”不合格式", field="grant", advice="格式如 rural_dibao=660.00")
        grants.append(c.Grant(benefit=benefit, amount_fen=fen(money, field="grant")))
    return tuple(grants)
