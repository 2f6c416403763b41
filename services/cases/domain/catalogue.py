"""What may be asked for: an item of the service catalogue, its materials and its routes of steps.

An item is data (``data/catalogue/<code>.toml``); adding one is a file, not code. What the words
of a step mean is in ``case.py``.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum

import msgspec


class StepCode(StrEnum):
    """The law's named steps. A route is a selection of them in order."""

    ACCEPTANCE = "acceptance"
    INVESTIGATION = "investigation"
    MEANS_CHECK = "means_check"
    OPINION = "opinion"
    PUBLICITY = "publicity"
    FEDERATION_REVIEW = "federation_review"
    DECISION = "decision"
    PAPERS = "papers"
    NOTIFICATION = "notification"


class CaseKind(StrEnum):
    """What sort of case an item opens."""

    APPLICATION = "application"
    CARRIED_OVER = "carried_over"
    REVIEW = "review"


class Unit(StrEnum):
    """Whether a benefit is granted to a household or to one person."""

    HOUSEHOLD = "household"
    PERSON = "person"


class AmountFrom(StrEnum):
    """Where the amount comes from: funding's quote, or the decider within the ceiling."""

    QUOTE = "quote"
    DECISION = "decision"
    NONE = "none"


class Law(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A legal basis: title, articles and the day it came into force."""

    name: str
    articles: str
    in_force: date | None = None


class Material(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A paper that the applicant brings.

    ``shared``: the state already holds it, so it is looked up and may not be asked for
    (《最低生活保障审核确认办法》第十条). ``tolerable``: may follow after acceptance (容缺), but
    before the decision, or after it in an urgent case.
    """

    code: str
    name: str
    copies: int = 1
    form: str = "原件"
    required: bool = True
    shared: bool = False
    tolerable: bool = False
    note: str = ""


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step of a route.

    ``after``: steps that must be done first. ``start_within`` and ``within``: working days, from
    the day the step became possible, to begin it and to finish it.
    """

    code: StepCode
    name: str
    by: str
    after: tuple[StepCode, ...] = ()
    start_within: int | None = None
    within: int | None = None
    article: str = ""


class Route(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A procedure of an item, e.g. 临时救助's 急难型 beside its 支出型."""

    code: str
    name: str
    steps: tuple[Step, ...]
    amount: AmountFrom
    urgent: bool = False

    def step(self, code: StepCode) -> Step | None:
        """The step named ``code``, if the route has it."""
        return next((step for step in self.steps if step.code == code), None)

    def has(self, code: StepCode) -> bool:
        """Whether the route has the step."""
        return self.step(code) is not None


class Publicity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a notice of an item shows. Fields outside the whitelist cannot be written at all."""

    fields: tuple[str, ...]
    place: str


class Item(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An item of the catalogue (事项)."""

    code: str
    name: str
    kind: CaseKind
    source: str
    law: tuple[Law, ...]
    applicants: str
    unit: Unit
    benefits: tuple[str, ...]
    routes: tuple[Route, ...]
    materials: tuple[Material, ...] = ()
    documents: tuple[str, ...] = ()
    publicity: Publicity | None = None
    child: bool = False
    guide: str = ""

    def route(self, code: str) -> Route | None:
        """The route named ``code``, if the item has it."""
        return next((route for route in self.routes if route.code == code), None)

    def missing(self, present: frozenset[str], *, strict: bool = False) -> tuple[Material, ...]:
        """Everything required that is not in ``present``, at once and in catalogue order.

        What the state holds is never asked for. Tolerable papers count only when ``strict``.
        """
        return tuple(
            material
            for material in self.materials
            if material.required
            and not material.shared
            and (strict or not material.tolerable)
            and material.code not in present
        )


class Benefit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A benefit (待遇项目). ``child``: every event about it stays among our own services."""

    code: str
    name: str
    unit: Unit
    child: bool = False
    counts_from: str = "next_month"
    """``application_month``, ``next_month`` after the decision, or ``one_off``."""


def read_item(data: object) -> Item:
    """An item from its TOML; raises ``ValueError`` naming what is wrong."""
    try:
        item = msgspec.convert(data, Item)
    except msgspec.ValidationError as error:
        raise ValueError(f"catalogue item: {error}") from error
    _check(item)
    return item


def _check(item: Item) -> None:
    """An item must be able to run to its end: known codes, ordered steps, a decision."""
    if not item.routes:
        raise ValueError(f"{item.code}: no route")
    codes = [material.code for material in item.materials]
    if len(set(codes)) != len(codes):
        raise ValueError(f"{item.code}: a material code stands twice")
    for route in item.routes:
        seen: set[StepCode] = set()
        for step in route.steps:
            if step.code in seen:
                raise ValueError(f"{item.code}/{route.code}: step {step.code} stands twice")
            late = [code for code in step.after if code not in seen]
            if late:
                raise ValueError(
                    f"{item.code}/{route.code}: step {step.code} comes after {late[0]}, "
                    "which does not stand before it"
                )
            seen.add(step.code)
        if StepCode.DECISION not in seen:
            raise ValueError(f"{item.code}/{route.code}: no decision")
        if StepCode.PUBLICITY in seen and item.publicity is None:
            raise ValueError(f"{item.code}/{route.code}: publicity without its whitelist")
