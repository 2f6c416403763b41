"""Benefits granted before Zhida, household by household, from what its rows claim."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from services.contracts.money import yuan
from services.registry.domain.benefits import ALONE_COVERED, BENEFITS, CATEGORIES
from services.registry.domain.roster.claims import Claim
from services.registry.domain.roster.columns import (
    ACCOUNT,
    ACCOUNT_NAME,
    AMOUNT,
    BENEFIT,
    DOCUMENT,
    INCOME,
    SINCE,
    title,
)
from services.registry.domain.roster.contents import Grant, Household, Person
from services.registry.domain.roster.problems import Findings

V = TypeVar("V")


def of_household(household: Household, claims: Sequence[Claim], found: Findings) -> list[Grant]:
    """The grants of one household: its 低保, then each person's own benefits."""
    grants: list[Grant] = []
    shared = [claim for claim in claims if claim.of_household]
    covered = [claim for claim in shared if claim.benefit is not None]
    if covered:
        dibao = _dibao(household, covered, shared, found)
        if dibao is not None:
            grants.append(dibao)
    else:
        for claim in shared:
            found.refuse(
                claim.row,
                BENEFIT,
                "",
                "有核定金额而没有待遇项目",
                "请填写待遇项目，或清空核定金额",
            )
    for claim in claims:
        if not claim.of_household:
            grant = _of_person(household, claim, found)
            if grant is not None:
                grants.append(grant)
    return grants


def _of_person(household: Household, claim: Claim, found: Findings) -> Grant | None:
    """A person's benefit: its row says everything."""
    assert claim.benefit is not None
    for column, empty, advice in (
        (AMOUNT, claim.amount_fen is None, "请填写每月金额（元）"),
        (SINCE, not claim.since, "请填写如 2024-03"),
        (DOCUMENT, not claim.document, "请填写批准该待遇的文号"),
    ):
        if empty and claim.row not in found.bad_rows:
            found.refuse(claim.row, column, "", f"{title(column)}为空", advice)
    if claim.row in found.bad_rows or claim.amount_fen is None:
        return None
    _consider_account(claim.row, claim.person, found)
    return Grant(
        claim.row,
        claim.benefit,
        "person",
        household,
        claim.person,
        [claim.person],
        claim.amount_fen,
        claim.since,
        claim.document,
    )


def _dibao(
    household: Household, covered: Sequence[Claim], shared: Sequence[Claim], found: Findings
) -> Grant | None:
    """低保 of the ``covered``: its figures may stand on any row of the household."""
    first = covered[0]
    assert first.benefit is not None
    for claim in covered[1:]:
        if claim.benefit != first.benefit:
            found.refuse(
                claim.row,
                BENEFIT,
                BENEFITS[claim.benefit or ""],
                f"同一户第 {first.row} 行是{BENEFITS[first.benefit]}",
                "一户只能有一种低保",
            )
    amount = _agreed(
        shared, AMOUNT, lambda c: c.amount_fen, lambda v: yuan(v, grouped=False), found
    )
    since = _agreed(covered, SINCE, lambda c: c.since or None, str, found)
    document = _agreed(covered, DOCUMENT, lambda c: c.document or None, str, found)
    if household.broken or any(claim.row in found.bad_rows for claim in shared):
        return None
    for column, value, advice in (
        (AMOUNT, amount, "请在其中一行填写全户每月金额（元）"),
        (SINCE, since, "请在其中一行填写如 2024-03"),
        (DOCUMENT, document, "请在其中一行填写批准文号"),
        (INCOME, household.income_fen, "请在其中一行填写全户月收入，没有收入填 0"),
    ):
        if value is None:
            found.refuse(
                first.row,
                column,
                "",
                f"低保户 {household.number} 各行的{title(column)}都为空",
                advice,
            )
    if household.head is None or first.row in found.bad_rows:
        return None
    if amount is None or since is None or document is None:
        return None
    alone = (
        len(covered) == 1
        and len(household.members) > 1
        and CATEGORIES[ALONE_COVERED] in first.person.categories
    )
    _consider_account(first.row, household.head, found)
    return Grant(
        first.row,
        first.benefit,
        "person" if alone else "household",
        household,
        household.head,
        [claim.person for claim in covered],
        amount,
        since,
        document,
    )


def _agreed(
    claims: Sequence[Claim],
    column: int,
    value: Callable[[Claim], V | None],
    show: Callable[[V], str],
    found: Findings,
) -> V | None:
    """The one value the claims give, on one row or equal on several."""
    agreed: V | None = None
    where = 0
    for claim in claims:
        given = value(claim)
        if given is None:
            continue
        if agreed is None:
            agreed, where = given, claim.row
        elif given != agreed:
            found.refuse(
                claim.row,
                column,
                show(given),
                f"与同户第 {where} 行的{title(column)}不一致",
                "低保按户核定，只填一行，或各行相同",
            )
    return agreed


def _consider_account(row: int, payee: Person, found: Findings) -> None:
    if not payee.account:
        found.warn(
            row,
            ACCOUNT,
            "",
            f"领款人{payee.name}没有银行账号",
            "可以导入，发放前须补录，否则列入缺账号名单",
        )
    elif payee.account_name and payee.account_name != payee.name:
        found.warn(
            row,
            ACCOUNT_NAME,
            payee.account_name,
            f"开户名与领款人{payee.name}不同",
            "请核对是否监护人或代管账户",
        )
