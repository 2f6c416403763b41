"""What a policy says: dated, with its source and the division it holds for.

Every limit and amount is data (``data/policies/*.toml``); this module gives it types, refuses what
makes no sense, and answers which version holds for a division in a month.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

from services.contracts.money import Fen
from services.funding.domain.months import Month, first_day


class PolicyError(ValueError):
    """A policy file or table that cannot be used, with the reason in Chinese."""


class Rounding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an amount is rounded: to a multiple of ``unit_fen``."""

    unit_fen: Fen = 1
    mode: Literal["up", "half_up", "down"] = "half_up"

    def apply(self, fen: Fen) -> Fen:
        """Round an amount of fen that is not negative."""
        whole, rest = divmod(fen, self.unit_fen)
        up = rest > 0 if self.mode == "up" else self.mode == "half_up" and rest * 2 >= self.unit_fen
        return (whole + up) * self.unit_fen


class Condition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who a band or a supplement is for; what is not named does not matter."""

    age_from: int | None = None
    age_to: int | None = None
    disability_grades: tuple[int, ...] | None = None
    disability_kinds: tuple[str, ...] | None = None
    category: str | None = None
    placement: str | None = None
    care_level: str | None = None


class Band(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An amount for those who meet a condition. The first band that fits is the person's."""

    name: str
    fen: Fen
    when: Condition = Condition()


class Supplement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A 分类施保 line: a share of the standard (in hundredths of a percent) for one person."""

    name: str
    share_bp: int
    when: Condition


class TopUp(msgspec.Struct, frozen=True, kw_only=True, tag="top_up", forbid_unknown_fields=True):
    """补差: the standard for each covered person, less the counted income (办法 art. 23)."""

    standard_fen: Fen
    rounding: Rounding = Rounding()
    supplements: tuple[Supplement, ...] = ()
    single_person_income_limit_bp: int = 15_000


class Flat(msgspec.Struct, frozen=True, kw_only=True, tag="flat", forbid_unknown_fields=True):
    """A fixed amount by band; what the person has from ``less_benefits`` may be taken off."""

    bands: tuple[Band, ...]
    additions: tuple[Band, ...] = ()
    less_benefits: tuple[str, ...] = ()
    rounding: Rounding = Rounding()


class OneOff(msgspec.Struct, frozen=True, kw_only=True, tag="one_off", forbid_unknown_fields=True):
    """Aid for one case: its ceiling, what a town decides by itself, the town's 备用金."""

    ceiling_fen: Fen
    town_authority_fen: Fen
    reserve_fen: Fen
    instalments_at_most: int = 3


Rule = TopUp | Flat | OneOff


class Version(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One dated text of a policy for one division and everything below it."""

    division: str
    effective_from: Month
    effective_to: Month | None = None
    source: str
    clause: str
    rule: Rule


class Benefit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A benefit: how it is counted and paid, and the versions of its policy."""

    code: str
    name: str
    priority: int
    unit: Literal["household", "person", "case"]
    counts_from: Literal["month_of_application", "month_after_decision", "month_of_decision"]
    months_after_death: int = 0
    child: bool = False
    versions: tuple[Version, ...]


def read_benefit(document: object, *, where: str) -> Benefit:
    """The benefit in a parsed TOML document; raises PolicyError naming the file and the field."""
    try:
        benefit = msgspec.convert(document, Benefit)
        _check(benefit)
    except (msgspec.ValidationError, ValueError) as error:
        raise PolicyError(f"政策文件 {where} 不可用：{error}") from error
    return benefit


def _check(benefit: Benefit) -> None:
    if not benefit.versions:
        raise ValueError("没有任何版本")
    for version in benefit.versions:
        first_day(version.effective_from)
        if version.effective_to is not None:
            first_day(version.effective_to)
            if version.effective_to < version.effective_from:
                raise ValueError(f"{version.division} 的失效月份早于生效月份")
        if not version.source or not version.clause:
            raise ValueError(f"{version.division} {version.effective_from} 缺少来源或条款")
        if any(fen < 0 for fen in _amounts(version.rule)):
            raise ValueError(f"{version.division} {version.effective_from} 有负数金额")
    seen = [(v.division, v.effective_from) for v in benefit.versions]
    if len(seen) != len(set(seen)):
        raise ValueError("同一区划同一月份有两个版本")


def _amounts(rule: Rule) -> Iterable[Fen]:
    match rule:
        case TopUp():
            yield rule.standard_fen
            yield rule.rounding.unit_fen - 1
            yield from (line.share_bp for line in rule.supplements)
        case Flat():
            yield rule.rounding.unit_fen - 1
            yield from (band.fen for band in (*rule.bands, *rule.additions))
        case OneOff():
            yield from (rule.ceiling_fen, rule.town_authority_fen, rule.reserve_fen)


def in_force(versions: Iterable[Version], division: str, month: Month) -> Version | None:
    """The version that holds for a division and month: nearest division, then newest text."""
    fitting = [
        version
        for version in versions
        if division.startswith(version.division)
        and version.effective_from <= month
        and (version.effective_to is None or month <= version.effective_to)
    ]
    return max(fitting, key=lambda v: (len(v.division), v.effective_from), default=None)
