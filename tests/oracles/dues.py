"""Which regular dues a cycle adds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.contracts.money import Fen
from services.funding.domain.dues import Due, Part
from services.funding.domain.months import Month, span


@dataclass(frozen=True, kw_only=True)
class Term:
    """An amount that holds from a month on, split over the covered people."""

    from_month: Month
    to_month: Month | None
    shares: Mapping[str, Fen]


def regular_dues(
    benefit: str,
    terms: Iterable[Term],
    *,
    already_through: Month | None,
    through: Month,
    last_months: Mapping[str, Month],
) -> list[Due]:
    """The regular dues a cycle adds: every owed month after ``already_through`` up to ``through``.

    ``last_months`` gives the last month owed to those who died. Shares of zero are not owed.
    """
    dues = []
    for term in terms:
        end = min(through, term.to_month) if term.to_month else through
        for month in span(term.from_month, end):
            if already_through is not None and month <= already_through:
                continue
            dues += [
                Due(person_id=person, benefit=benefit, month=month, part=Part.REGULAR, fen=fen)
                for person, fen in term.shares.items()
                if fen > 0 and month <= last_months.get(person, month)
            ]
    return dues
