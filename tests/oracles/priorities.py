"""Who is paid first when the budget or the cash is short (一次测算、全额预算、优先拨付).

The order is data: each benefit's ``priority`` (1 first), then the oldest month owed, then the
order of making. What no longer fits stays owed, with its reason.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.contracts.money import Fen
from services.funding.domain.months import Month


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A payment that wants to be in the batch; ``needs`` is what it takes of each budget line.

    Dues whose budget was used when they were first locked (re-payments) need cash only, so ``fen``
    may be more than the needs together.
    """

    payment_id: str
    priority: int
    oldest_month: Month
    position: int
    needs: Mapping[str, Fen]
    fen: Fen


def fit(candidates: Iterable[Candidate], lines: Mapping[str, Fen], cash_fen: Fen) -> dict[str, str]:
    """The payments that do not fit and why: ``budget_short`` or ``cash_short``.

    On each budget line, and then for the cash of all lines together, payments are taken in order
    until the first that would go below zero; from there on none of that line is paid, so nobody is
    overtaken by a smaller payment behind them.
    """
    order = sorted(candidates, key=lambda c: (c.priority, c.oldest_month, c.position))
    short: dict[str, str] = {}
    used: dict[str, Fen] = {}
    for candidate in order:
        for line, fen in candidate.needs.items():
            used[line] = used.get(line, 0) + fen
            if used[line] > lines.get(line, 0):
                short[candidate.payment_id] = "budget_short"
    spent = 0
    for candidate in order:
        if candidate.payment_id not in short:
            spent += candidate.fen
            if spent > cash_fen:
                short[candidate.payment_id] = "cash_short"
    return short
