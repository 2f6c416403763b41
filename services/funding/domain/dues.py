"""Dues: what is owed to one covered person, for one benefit and month, and why.

``due(covered person, benefit, month, part, cause)`` is unique. A *regular* due is the month's base
amount, even if paid late, and has no cause; an *adjustment* is a difference only and its cause is
the decision; an *instalment* is one part of a one-off aid, its cause the decision with a number.
Regular and adjustments of a month never exceed the month's entitlement.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from services.contracts.money import Fen
from services.funding.domain.months import Month


class Part(StrEnum):
    """Which part of what is owed a due is."""

    REGULAR = "regular"
    ADJUSTMENT = "adjustment"
    INSTALMENT = "instalment"


@dataclass(frozen=True, kw_only=True)
class Due:
    """One due; ``fen`` is greater than zero. ``attempted`` means that a payment of it is alive."""

    person_id: str
    benefit: str
    month: Month
    part: Part
    fen: Fen
    cause: str = ""
    attempted: bool = False

    @property
    def key(self) -> tuple[str, str, Month, Part, str]:
        """What makes the due unique."""
        return (self.person_id, self.benefit, self.month, self.part, self.cause)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What a new decision changes in months that already have dues.

    ``added`` are adjustment dues; ``lowered`` the new amounts of dues nobody has tried to pay yet
    (zero closes the due); ``overpaid`` what was paid too much, by person and month, to recover.
    """

    added: tuple[Due, ...] = ()
    lowered: tuple[tuple[Due, Fen], ...] = ()
    overpaid: tuple[tuple[str, Month, Fen], ...] = ()


def difference(
    benefit: str,
    existing: Iterable[Due],
    entitled: Mapping[tuple[str, Month], Fen],
    *,
    decision_id: str,
) -> Difference:
    """Compare what months already owe with what a new decision entitles them to.

    ``entitled`` has a figure (zero if nothing) for each person and month that the decision touches.
    """
    by_month: dict[tuple[str, Month], list[Due]] = {key: [] for key in entitled}
    for due in existing:
        if (due.person_id, due.month) in by_month and due.part is not Part.INSTALMENT:
            by_month[due.person_id, due.month].append(due)
    added, lowered, overpaid = [], [], []
    for (person, month), dues in by_month.items():
        gap = entitled[person, month] - sum(due.fen for due in dues)
        if gap > 0:
            added.append(
                Due(
                    person_id=person,
                    benefit=benefit,
                    month=month,
                    part=Part.ADJUSTMENT,
                    cause=decision_id,
                    fen=gap,
                )
            )
            continue
        for due in sorted(dues, key=lambda due: due.part is Part.REGULAR):
            if gap < 0 and not due.attempted:
                cut = min(due.fen, -gap)
                lowered.append((due, due.fen - cut))
                gap += cut
        if gap < 0:
            overpaid.append((person, month, -gap))
    return Difference(added=tuple(added), lowered=tuple(lowered), overpaid=tuple(overpaid))
