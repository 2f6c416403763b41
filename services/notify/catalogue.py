"""The data of notify as its domain types, read once from data/*.toml."""

import tomllib
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib.resources import files
from typing import Any

from services.notify.domain import templates
from services.notify.domain.message import RetryPolicy
from services.notify.domain.occasions import Words
from services.notify.domain.quiet_hours import QuietHours
from services.notify.domain.templates import Field, Template

DATA = files("services.notify") / "data"


@dataclass(frozen=True)
class Delivery:
    """How messages are tried and kept (data/delivery.toml)."""

    retry: RetryPolicy
    quiet_hours: QuietHours
    number_replaced_within: timedelta
    keeps_text_for: timedelta


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((DATA / name).read_text(encoding="utf-8"))


@cache
def delivery() -> Delivery:
    """Retries, quiet hours and retention."""
    document = _read("delivery.toml")
    return Delivery(
        retry=RetryPolicy(
            waits=tuple(timedelta(seconds=wait) for wait in document["retry"]["waits"]),
            expires_after=timedelta(hours=document["retry"]["expires_after_hours"]),
        ),
        quiet_hours=QuietHours(document["quiet_hours"]["begins"], document["quiet_hours"]["ends"]),
        number_replaced_within=timedelta(days=document["account_changed"]["replaced_within_days"]),
        keeps_text_for=timedelta(days=document["retention"]["text_days"]),
    )


@cache
def words() -> Words:
    """The words for other services' codes."""
    document = _read("words.toml")
    return Words(
        items=document["items"],
        benefits=document["benefits"],
        changes=document["changes"],
        causes=document["causes"],
        deaths=frozenset(document["ended_by_death"]["reasons"]),
    )


@cache
def fields() -> dict[str, Field]:
    """The fixed list of personalisation fields."""
    return templates.parse_fields(_read("personalisation.toml"))


@cache
def _signatures() -> dict[str, str]:
    return {str(code): str(text) for code, text in _read("signatures.toml")["divisions"].items()}


@cache
def signature(division: str) -> str:
    """The 【signature】 of a division: that of the longest matching code prefix."""
    fitting = [code for code in _signatures() if division.startswith(code)]
    return _signatures()[max(fitting, key=len)] if fitting else ""


@cache
def all_templates() -> dict[str, Template]:
    """Every template by its code, each checked against the longest signature."""
    longest = max(_signatures().values(), key=len, default="")
    found = {}
    for entry in (DATA / "templates").iterdir():
        if entry.name.endswith(".toml"):
            code = entry.name.removesuffix(".toml")
            document = tomllib.loads(entry.read_text(encoding="utf-8"))
            found[code] = templates.parse(code, document, fields(), longest)
    return found
