"""Who decides and within what limit: rules by item, route, division and effective date.

Rules overlay: the national default, then the province, city and county, each with its newest
version in force on the day; a local rule states only what it changes. The national value is also
the ceiling: no division may give itself a longer limit or a shorter notice than the law.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from enum import StrEnum
from typing import Any

import msgspec

from services.contracts.divisions import within


class Level(StrEnum):
    """The body that decides."""

    TOWN = "town"
    COUNTY = "county"


class PauseCause(StrEnum):
    """What a policy may let pause the limit after acceptance. Nationally nothing does."""

    MEANS_CHECK = "means_check"
    PUBLICITY = "publicity"
    OBJECTION = "objection"


class RuleText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule as written: ``division`` "" is national; unset fields say nothing."""

    item: str
    effective: date
    source: str
    division: str = ""
    route: str | None = None
    decides: Level | None = None
    limit: int | None = None
    extended: int | None = None
    publicity_days: int | None = None
    republish: bool | None = None
    pauses: tuple[PauseCause, ...] | None = None
    small_sum_fen: int | None = None
    papers_within: int | None = None
    refusal_told_within: int | None = None
    warn_before: int | None = None


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for a case. Days of ``publicity_days`` are calendar, all others working days.

    ``small_sum_fen``: up to this sum the town decides although the county otherwise would
    (《国务院关于全面建立临时救助制度的通知》: 小额救助委托乡镇审批).
    """

    item: str
    decides: Level
    limit: int
    extended: int
    publicity_days: int
    republish: bool
    pauses: tuple[PauseCause, ...]
    small_sum_fen: int
    papers_within: int
    refusal_told_within: int
    warn_before: int
    sources: tuple[str, ...]

    def decided_by(self, amount_fen: int | None) -> Level:
        """The body that decides a grant of ``amount_fen`` (``None``: a refusal)."""
        if self.decides is Level.COUNTY and amount_fen is not None:
            return Level.TOWN if amount_fen <= self.small_sum_fen else Level.COUNTY
        return self.decides


class Policies:
    """All rules, ready to be asked."""

    def __init__(self, rules: Iterable[RuleText]) -> None:
        self._rules = tuple(rules)
        for rule in self._rules:
            if rule.division:
                self._hold_to_ceiling(rule)

    def rule(self, item: str, route: str, division: str, on: date) -> Rule:
        """The rule in force in ``division`` on ``on``; ``LookupError`` when there is none."""
        return self._overlay(item, route, division, on)

    def _overlay(self, item: str, route: str, division: str, on: date) -> Rule:
        applicable = [
            rule
            for rule in self._rules
            if rule.item == item
            and rule.route in (None, route)
            and within(division, rule.division)
            and rule.effective <= on
        ]
        applicable.sort(key=lambda r: (len(r.division), r.route is not None, r.effective))
        values: dict[str, Any] = {"item": item}
        for rule in applicable:
            for field in _OVERLAID:
                if (value := getattr(rule, field)) is not None:
                    values[field] = value
        values["sources"] = tuple(dict.fromkeys(rule.source for rule in applicable))
        unsaid = [field for field in _OVERLAID if field not in values]
        if unsaid:
            raise LookupError(f"no policy for {item}/{route} on {on}: {', '.join(unsaid)} unsaid")
        return Rule(**values)

    def _hold_to_ceiling(self, rule: RuleText) -> None:
        """A local rule may be quicker and more open than the law, never slower or shorter."""
        routes = (rule.route,) if rule.route else self._routes(rule.item)
        for route in routes:
            law = self._overlay(rule.item, route or "", "", date.max)
            for field in ("limit", "extended", "papers_within", "refusal_told_within"):
                said = getattr(rule, field)
                if said is not None and said > getattr(law, field):
                    raise ValueError(
                        f"{rule.division} {rule.item}: {field} {said} is above the national "
                        f"ceiling {getattr(law, field)}"
                    )
            if rule.publicity_days is not None and rule.publicity_days < law.publicity_days:
                raise ValueError(
                    f"{rule.division} {rule.item}: publicity of {rule.publicity_days} days is "
                    f"shorter than the law's {law.publicity_days}"
                )

    def _routes(self, item: str) -> tuple[str | None, ...]:
        routes = {rule.route for rule in self._rules if rule.item == item and not rule.division}
        return tuple(routes) or (None,)


_OVERLAID = (
    "decides",
    "limit",
    "extended",
    "publicity_days",
    "republish",
    "pauses",
    "small_sum_fen",
    "papers_within",
    "refusal_told_within",
    "warn_before",
)
