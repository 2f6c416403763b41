"""The policy files: benefits, their dated versions, exclusions; read once, shared by everything."""

import tomllib
from functools import cache
from pathlib import Path

import msgspec

from services.funding.domain.bank_profile import BankProfile
from services.funding.domain.exclusions import Exclusion
from services.funding.domain.policy import Benefit, PolicyError, read_benefit

DATA = Path(__file__).parent / "data"


@cache
def benefits() -> dict[str, Benefit]:
    """All benefits by code, in the order of their payment priority."""
    found = [
        read_benefit(tomllib.loads(path.read_text("utf-8")), where=path.name)
        for path in sorted((DATA / "policies").glob("*.toml"))
    ]
    return {benefit.code: benefit for benefit in sorted(found, key=lambda b: (b.priority, b.code))}


@cache
def exclusions() -> tuple[Exclusion, ...]:
    """All exclusion rules."""
    document = tomllib.loads((DATA / "exclusions.toml").read_text("utf-8"))
    rules = msgspec.convert(document["exclusions"], tuple[Exclusion, ...])
    known = benefits()
    for rule in rules:
        if rule.benefit not in known or rule.held not in known:
            raise PolicyError(f"互斥规则引用了没有的待遇：{rule.benefit} / {rule.held}")
    return rules


@cache
def bank_profiles() -> dict[str, BankProfile]:
    """All bank profiles by code."""
    found = [
        msgspec.convert(tomllib.loads(path.read_text("utf-8")), BankProfile)
        for path in sorted((DATA / "bank_profiles").glob("*.toml"))
    ]
    return {profile.code: profile for profile in found}
