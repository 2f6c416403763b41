"""What a household or person is entitled to a month, worked out line by line.

The working is data: it is stored with the entitlement, shown on the case page, and printed by
``zhida funding payment``, so an amount is never a bare number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from services.contracts.errors import Invalid
from services.contracts.money import Fen, yuan
from services.funding.domain.months import Month, month_of, shift
from services.funding.domain.policy import (
    Band,
    Benefit,
    Condition,
    Flat,
    OneOff,
    TopUp,
    Version,
)

#: No single monthly entitlement is larger than this (fen): anything above is a typing error.
LARGEST_FEN = 100_000_000


class EntitlementError(Invalid):
    """Means that no amount can be worked out from, with the reason in Chinese."""


@dataclass(frozen=True, kw_only=True)
class Covered:
    """A covered person, as far as the amount depends on them."""

    person_id: str
    name: str = ""
    age: int | None = None
    disability_grade: int | None = None
    disability_kind: str | None = None
    categories: frozenset[str] = frozenset()
    placement: str | None = None
    care_level: str | None = None
    benefits_fen: Mapping[str, Fen] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a working: what it is, how it was reckoned, and its fen (signed)."""

    label: str
    formula: str
    fen: Fen
    person_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Working:
    """The amount of a month (or of a case, for one-off aid) with the lines that lead to it."""

    lines: tuple[Line, ...]
    fen: Fen
    shares: Mapping[str, Fen]


def work_out(
    version: Version,
    covered: Sequence[Covered],
    *,
    income_fen: Fen = 0,
    single_person: bool = False,
    asked_fen: Fen | None = None,
) -> Working:
    """The entitlement of the covered people under one version of a policy.

    ``income_fen`` is the counted income of the whole household a month, or the person's own for
    单人保 (办法 art. 8). ``asked_fen`` is the proposed sum of a one-off aid.
    """
    if not covered:
        raise EntitlementError("没有保障对象，无法计算金额")
    if len({person.person_id for person in covered}) != len(covered):
        raise EntitlementError("同一人在保障对象中出现两次")
    if income_fen < 0:
        raise EntitlementError("家庭月收入不能为负数")
    match version.rule:
        case TopUp() as rule:
            working = _top_up(rule, covered, income_fen, single_person)
        case Flat() as rule:
            working = _flat(rule, covered)
        case OneOff() as rule:
            working = _one_off(rule, covered, asked_fen)
    if working.fen > LARGEST_FEN:
        raise EntitlementError("金额超过单笔上限 1,000,000.00 元，请核对")
    return working


def split(fen: Fen, weights: Mapping[str, int]) -> dict[str, Fen]:
    """Split an amount over keys in proportion to weights, by largest remainder, losing no fen.

    Equal remainders go to the earlier key; all weights zero means equal parts.
    """
    if not weights or fen < 0 or any(weight < 0 for weight in weights.values()):
        raise EntitlementError("金额无法分摊到保障对象")
    total = sum(weights.values())
    if total == 0:
        weights = dict.fromkeys(weights, 1)
        total = len(weights)
    parts = {key: divmod(fen * weight, total) for key, weight in weights.items()}
    left = fen - sum(whole for whole, _ in parts.values())
    by_remainder = sorted(parts, key=lambda key: -parts[key][1])
    lucky = set(by_remainder[:left])
    return {key: whole + (key in lucky) for key, (whole, _) in parts.items()}


def first_month(benefit: Benefit, *, applied_on: date, decided_on: date) -> Month:
    """The first month owed: 两项补贴 from the application, 低保 and 特困 from the next month."""
    match benefit.counts_from:
        case "month_of_application":
            return month_of(applied_on)
        case "month_of_decision":
            return month_of(decided_on)
        case "month_after_decision":
            return shift(month_of(decided_on), 1)


def last_month_after_death(benefit: Benefit, died_on: date) -> Month:
    """The last month that is owed to somebody who died."""
    return shift(month_of(died_on), benefit.months_after_death)


def _top_up(
    rule: TopUp, covered: Sequence[Covered], income_fen: Fen, single_person: bool
) -> Working:
    if single_person and len(covered) != 1:
        raise EntitlementError("单人保只能有一名保障对象")
    limit = rule.standard_fen * rule.single_person_income_limit_bp // 10_000
    if single_person and income_fen >= limit:
        raise EntitlementError(f"单人保本人月收入须低于 {yuan(limit)} 元")
    people = len(covered)
    full = rule.standard_fen * people
    who = "本人" if single_person else "家庭"
    gap = max(0, full - income_fen)
    lines = [
        Line(label="保障标准", formula=f"{yuan(rule.standard_fen)} 元 × {people} 人", fen=full),
        Line(label=f"{who}月收入", formula="按核定收入扣减", fen=-income_fen),
    ]
    if full < income_fen:
        lines.append(Line(label="补差", formula="收入高于标准，补差为零", fen=income_fen - full))
    extra = dict.fromkeys((person.person_id for person in covered), 0)
    if gap > 0:
        for person in covered:
            for line in rule.supplements:
                if fits(line.when, person):
                    fen = rule.standard_fen * line.share_bp // 10_000
                    extra[person.person_id] += fen
                    share = f"{line.share_bp / 100:g}%"
                    lines.append(
                        Line(
                            label=f"分类施保（{line.name}）{person.name}",
                            formula=f"{yuan(rule.standard_fen)} 元 × {share}",
                            fen=fen,
                            person_id=person.person_id,
                        )
                    )
    exact = gap + sum(extra.values())
    total = rule.rounding.apply(exact)
    if total != exact:
        lines.append(_rounding_line(total - exact, rule.rounding.unit_fen))
    weights = {key: gap + people * fen for key, fen in extra.items()}
    return Working(lines=tuple(lines), fen=total, shares=split(total, weights))


def _flat(rule: Flat, covered: Sequence[Covered]) -> Working:
    lines: list[Line] = []
    shares: dict[str, Fen] = {}
    for person in covered:
        band = next((band for band in rule.bands if fits(band.when, person)), None)
        if band is None:
            raise EntitlementError(f"{person.name or '该对象'}不符合任何一档补贴条件")
        mine = [_band_line(band, person)]
        mine += [_band_line(band, person) for band in rule.additions if fits(band.when, person)]
        full = sum(line.fen for line in mine)
        for benefit in rule.less_benefits:
            if taken := min(full, person.benefits_fen.get(benefit, 0)):
                full -= taken
                label = f"已享受待遇（{benefit}）"
                mine.append(
                    Line(label=label, formula="补差发放", fen=-taken, person_id=person.person_id)
                )
        rounded = rule.rounding.apply(full)
        if rounded != full:
            mine.append(_rounding_line(rounded - full, rule.rounding.unit_fen))
        lines += mine
        shares[person.person_id] = rounded
    return Working(lines=tuple(lines), fen=sum(shares.values()), shares=shares)


def _one_off(rule: OneOff, covered: Sequence[Covered], asked_fen: Fen | None) -> Working:
    if asked_fen is None or asked_fen <= 0:
        raise EntitlementError("临时救助金额须大于零")
    if asked_fen > rule.ceiling_fen:
        raise EntitlementError(f"临时救助金额超过单次上限 {yuan(rule.ceiling_fen)} 元")
    line = Line(
        label="救助金额", formula=f"单次上限 {yuan(rule.ceiling_fen)} 元以内", fen=asked_fen
    )
    shares = split(asked_fen, {person.person_id: 1 for person in covered})
    return Working(lines=(line,), fen=asked_fen, shares=shares)


def fits(when: Condition, person: Covered) -> bool:
    """Whether a person meets a condition; an unknown fact never meets one that names it."""
    if when.age_from is not None and (person.age is None or person.age < when.age_from):
        return False
    if when.age_to is not None and (person.age is None or person.age > when.age_to):
        return False
    if when.disability_grades and person.disability_grade not in when.disability_grades:
        return False
    if when.disability_kinds and person.disability_kind not in when.disability_kinds:
        return False
    if when.category and when.category not in person.categories:
        return False
    if when.placement and person.placement != when.placement:
        return False
    return not (when.care_level and person.care_level != when.care_level)


def _band_line(band: Band, person: Covered) -> Line:
    label = f"{band.name} {person.name}".strip()
    return Line(label=label, formula="按档定额", fen=band.fen, person_id=person.person_id)


def _rounding_line(fen: Fen, unit_fen: Fen) -> Line:
    return Line(label="取整", formula=f"按 {yuan(unit_fen)} 元取整", fen=fen)
