"""What may be granted: asked for, quoted without a blocking exclusion, to the fen."""

from __future__ import annotations

from collections.abc import Sequence

from services.cases.domain import facts as f
from services.cases.domain.case import Case
from services.cases.domain.catalogue import AmountFrom
from services.cases.domain.entries import positive
from services.contracts.errors import Conflict, Invalid
from services.contracts.money import yuan


def grantable(case: Case, grants: Sequence[f.Grant]) -> tuple[f.Grant, ...]:
    """The grants as they may stand; no ``grants`` means all that the quote allows."""
    asked = {asked.benefit for asked in case.asked}
    for index, grant in enumerate(grants):
        if grant.benefit not in asked:
            raise Invalid(
                f"本案没有申请待遇“{grant.benefit}”",
                field=f"grants[{index}].benefit",
                advice="只能确认申请的待遇",
            )
    if len({grant.benefit for grant in grants}) != len(grants):
        raise Invalid("同一待遇写了两次", field="grants", advice="每项待遇只写一次")
    if case.route.amount is AmountFrom.QUOTE:
        if case.quote is None:
            raise Conflict(
                "政策测算结果还没有返回，不能同意",
                field="quote",
                advice="请稍候刷新；长时间没有结果时请重新申请测算",
                reason="no_quote",
            )
        grants = _as_quoted(case.quote, grants)
    if not grants:
        raise Invalid("没有填写待遇和金额", field="grants", advice="请填写待遇和金额")
    for index, grant in enumerate(grants):
        positive(grant.amount_fen, f"grants[{index}].amount_fen")
    return tuple(grants)


def _as_quoted(quote: f.Quoted, grants: Sequence[f.Grant]) -> Sequence[f.Grant]:
    """The policy's amounts hold; what a clause excludes is not granted."""
    blocked = {o.benefit: o for o in quote.obstacles if o.blocking}
    quoted = {line.benefit: line.amount_fen for line in quote.benefits}
    if not grants:
        grants = [
            f.Grant(benefit=benefit, amount_fen=fen)
            for benefit, fen in quoted.items()
            if benefit not in blocked and fen > 0
        ]
    if not grants:
        why = "；".join(f"{o.message}（{o.clause}）" for o in blocked.values())
        raise Conflict(
            f"不能同意：{why or '按政策测算金额为零'}",
            field="grants",
            advice="请作出不予确认的意见或决定",
            reason="excluded",
        )
    for index, grant in enumerate(grants):
        if obstacle := blocked.get(grant.benefit):
            raise Conflict(
                f"不能同意：{obstacle.message}（{obstacle.clause}）",
                field=f"grants[{index}].benefit",
                advice="请作出不予确认的决定，或只确认不受限制的待遇",
                reason="excluded",
            )
        if grant.benefit not in quoted:
            raise Conflict(
                f"待遇“{grant.benefit}”没有测算结果",
                field=f"grants[{index}].benefit",
                advice="请重新申请测算",
                reason="no_quote",
            )
        if grant.amount_fen != quoted[grant.benefit]:
            raise Invalid(
                f"金额 {yuan(grant.amount_fen)} 元与政策测算 {yuan(quoted[grant.benefit])} 元不符",
                field=f"grants[{index}].amount_fen",
                advice="金额以政策测算为准；收入有误时请更正调查或核对结果后重新测算",
                reason="not_the_quote",
            )
    return grants
