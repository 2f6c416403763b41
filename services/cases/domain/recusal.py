"""回避: who may take no part in a case."""

from __future__ import annotations

from collections.abc import Iterable

from services.cases.domain.case import Case
from services.contracts.errors import Forbidden


def impartial(case: Case, actor_ids: Iterable[str], act: str) -> None:
    """A near relative of the applicant takes no part (回避)."""
    kin = {str(relative.staff_id): relative.relation for relative in case.relatives}
    for actor_id in actor_ids:
        if actor_id in kin:
            raise Forbidden(
                f"与申请人有近亲属关系（{kin[actor_id]}）的工作人员不能{act}",
                field="actor",
                advice="请交由其他工作人员办理（回避）",
                reason="relative",
            )
