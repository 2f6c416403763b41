"""What a policy's lines look at, read from a person's record and from a case's ``traits``.

Traits are words ``kind:value``: ``disability:肢体二级``, ``age:83``, ``category:serious_illness``,
``placement:centralised``, ``care:total``. What a case investigated goes before the record.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import date

from services.contracts.money import Fen
from services.funding.domain.entitlement import Covered
from services.funding.domain.months import age_on

GRADES = {"一": 1, "二": 2, "三": 3, "四": 4}
_DISABILITY = re.compile(r"(视力|听力|言语|肢体|智力|精神|多重)(?:残疾)?([一二三四])级")
_CARE_CATEGORIES = {"care_total": "total", "care_partial": "partial"}


def covered(
    person_id: str,
    *,
    name: str,
    birth_date: date | None,
    categories: Iterable[str],
    disability: str | None,
    traits: Iterable[str],
    on: date,
    benefits_fen: Mapping[str, Fen] | None = None,
) -> Covered:
    """A covered person as the working of an amount sees them on a day."""
    all_categories = set(categories)
    facts: dict[str, str] = {}
    for trait in traits:
        kind, colon, value = trait.partition(":")
        if not colon:
            all_categories.add(kind)
        elif kind == "category":
            all_categories.add(value)
        else:
            facts[kind] = value
    age = age_on(birth_date, on) if birth_date else None
    if facts.get("age", "").isdigit():
        age = int(facts["age"])
    match = _DISABILITY.search(facts.get("disability") or disability or "")
    care = facts.get("care") or next(
        (level for code, level in _CARE_CATEGORIES.items() if code in all_categories), None
    )
    placement = facts.get("placement") or (
        "centralised" if "centralised" in all_categories else None
    )
    return Covered(
        person_id=person_id,
        name=name,
        age=age,
        disability_kind=match[1] if match else None,
        disability_grade=GRADES[match[2]] if match else None,
        categories=frozenset(all_categories),
        placement=placement,
        care_level=care,
        benefits_fen=benefits_fen or {},
    )
