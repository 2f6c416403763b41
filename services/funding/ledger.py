"""Writes transfers, a batch of them in one statement; moves budget lines and accounts with them.

Amounts come from dues in the statement itself, so a transfer cannot differ from what it pays.
"""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from services.chassis.uow import UnitOfWork
from services.contracts.errors import Conflict
from services.contracts.money import Fen, yuan
from services.funding.domain.ledger import ENTRIES, Step
from services.funding.models import TransferRow

_FOR_PAYMENTS = """
INSERT INTO transfer
       (step, debit, credit, fen, batch_id, payment_id, due_id, division, reason, business_on)
SELECT :step, :debit, :credit, pd.fen, p.batch_id, p.id, pd.due_id, p.division, p.reason, :today
FROM payment p
JOIN payment_due pd ON pd.payment_id = p.id
JOIN due d ON d.id = pd.due_id
WHERE p.batch_id = :batch AND p.state = ANY(:states) AND pd.live
"""


def transfer_payments(
    uow: UnitOfWork,
    step: Step,
    batch_id: uuid.UUID,
    states: list[str],
    *,
    where: str = "",
    **parameters: Any,
) -> None:
    """One transfer for each live due of the batch's payments in some states.

    ``where`` narrows with SQL of this module's own callers, never with anything from outside.
    """
    debit, credit = ENTRIES[step]
    uow.session.execute(
        # nosemgrep: raw-sql-from-values (callers give constants)
        text(_FOR_PAYMENTS + where),
        {
            "step": step.value,
            "debit": debit.value,
            "credit": credit.value,
            "batch": batch_id,
            "states": states,
            "today": uow.today(),
            **parameters,
        },
    )


def transfer(
    uow: UnitOfWork,
    step: Step,
    fen: Fen,
    *,
    division: str,
    document: str = "",
    reason: str | None = None,
    batch_id: uuid.UUID | None = None,
    due_id: int | None = None,
) -> None:
    """A single transfer."""
    debit, credit = ENTRIES[step]
    uow.session.execute(
        insert(TransferRow).values(
            step=step.value,
            debit=debit.value,
            credit=credit.value,
            fen=fen,
            batch_id=batch_id,
            due_id=due_id,
            division=division,
            document=document,
            reason=reason,
            business_on=uow.today(),
        )
    )


_USE_BUDGET = """
WITH need AS MATERIALIZED (
    SELECT d.budget_year AS year, d.benefit, sum(pd.fen)::bigint AS fen
    FROM payment p
    JOIN payment_due pd ON pd.payment_id = p.id
    JOIN due d ON d.id = pd.due_id
    WHERE p.batch_id = :batch AND p.state = ANY(:states) AND pd.live AND d.state = 'owed'
    GROUP BY 1, 2
), used AS (
    UPDATE budget_line b SET used_fen = b.used_fen + need.fen
    FROM need
    WHERE b.division = :division AND b.year = need.year AND b.benefit = need.benefit
    RETURNING b.benefit
)
SELECT (SELECT count(*) FROM need) - (SELECT count(*) FROM used)
"""


def use_budget(uow: UnitOfWork, batch_id: uuid.UUID, division: str, states: list[str]) -> None:
    """Take what a batch spends from its budget lines, once a line. Raises ``Conflict``."""
    short = Conflict(
        "预算余额不足，校验之后预算有变动",
        advice="请退回批次，重新校验后按优先顺序部分发放",
        reason="budget_short",
    )
    try:
        with uow.session.begin_nested():
            without_line = uow.session.scalar(
                text(_USE_BUDGET),
                {"batch": batch_id, "division": division, "states": states},
            )
    except IntegrityError as error:
        raise short from error
    if without_line:
        raise short


def release_budget(uow: UnitOfWork, division: str, released: dict[tuple[int, str], Fen]) -> None:
    """Give back to budget lines, by year and benefit."""
    for (year, benefit), fen in sorted(released.items()):
        uow.session.execute(
            text(
                "UPDATE budget_line SET used_fen = used_fen - :fen"
                " WHERE division = :division AND year = :year AND benefit = :benefit"
            ),
            {"fen": fen, "division": division, "year": year, "benefit": benefit},
        )


def move_account(uow: UnitOfWork, kind: str, division: str, fen: Fen) -> None:
    """Add to (or take from) an account. Raises ``Conflict`` rather than overdraw it."""
    try:
        with uow.session.begin_nested():
            place = {"kind": kind, "division": division}
            uow.session.execute(
                text(
                    "INSERT INTO fund_account (kind, division, balance_fen)"
                    " VALUES (:kind, :division, 0) ON CONFLICT DO NOTHING"
                ),
                place,
            )
            uow.session.execute(
                text(
                    "UPDATE fund_account SET balance_fen = balance_fen + :fen"
                    " WHERE kind = :kind AND division = :division"
                ),
                place | {"fen": fen},
            )
    except IntegrityError as error:
        name = "资金账户" if kind == "funds" else "备用金"
        raise Conflict(
            f"{name}余额不足，付不出 {yuan(-fen)} 元",
            advice="请先拨入资金，或按优先顺序部分发放",
            reason="cash_short",
        ) from error


def balance(uow: UnitOfWork, kind: str, division: str) -> Fen:
    """What stands on an account (zero when it was never used)."""
    found = uow.session.scalar(
        text("SELECT balance_fen FROM fund_account WHERE kind = :kind AND division = :division"),
        {"kind": kind, "division": division},
    )
    return int(found or 0)
