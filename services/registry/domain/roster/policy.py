"""Grants beside what policy says of them: differences are told and come in all the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from services.contracts.money import yuan
from services.registry.domain.benefits import BENEFITS
from services.registry.domain.roster.columns import AMOUNT, BENEFIT
from services.registry.domain.roster.contents import Grant
from services.registry.domain.roster.problems import Findings


class Figures(Protocol):
    """What policy says of benefits that came with a roster."""

    def fen(self, grant: Grant, others: frozenset[str]) -> int | None:
        """The month's amount; ``None`` when there is no figure for it."""

    def excluded(self, benefits: Iterable[str]) -> list[tuple[str, str, str]]:
        """(benefit, held, clause) of what one person may not hold together."""


def compare(grants: Sequence[Grant], figures: Figures, found: Findings) -> None:
    """Warn of amounts that differ from policy, and of benefits that exclude one another."""
    held: dict[str, dict[str, int]] = {}
    for grant in grants:
        for person in grant.covered:
            held.setdefault(person.identity, {})[grant.benefit] = grant.row
    for grant in grants:
        others = frozenset(held[grant.covered[0].identity]) - {grant.benefit}
        figure = figures.fen(grant, others)
        if figure is not None and figure != grant.amount_fen:
            found.warn(
                grant.row,
                AMOUNT,
                yuan(grant.amount_fen, grouped=False),
                f"与现行政策计算的 {yuan(figure, grouped=False)} 元不同",
                "按核定金额发放，到复核或提标时重新核定",
            )
    for benefits in held.values():
        for benefit, other, clause in figures.excluded(benefits):
            found.warn(
                max(benefits[benefit], benefits[other]),
                BENEFIT,
                BENEFITS[benefit],
                f"不得与{BENEFITS[other]}同时享受：{clause}",
                "请复核后停发其中一项",
            )
