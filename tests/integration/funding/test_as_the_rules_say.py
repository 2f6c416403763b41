"""The set-based SQL does what the rule says in plain Python, whatever people are owed."""

from __future__ import annotations

import random
from datetime import date

import pytest
from sqlalchemy import text

from tests.builders.funding import FINANCE, Office
from tests.oracles.dues import Term, regular_dues
from tests.oracles.priorities import Candidate, fit

BENEFITS = ("tekun", "elderly", "rural_dibao", "disability_care")
MONTHS = ("2026-09", "2026-10", "2026-11")

_WANTED = """
SELECT p.id, p.benefit, b.priority, min(d.month) AS oldest, d.budget_year AS year,
       sum(pd.fen)::bigint AS need, p.fen, p.state, p.reason_code,
       row_number() OVER (ORDER BY p.division, p.entitlement_id) AS position
FROM payment p
JOIN benefit b ON b.code = p.benefit
JOIN payment_due pd ON pd.payment_id = p.id
JOIN due d ON d.id = pd.due_id
GROUP BY p.id, b.priority, d.budget_year
"""


def a_town(office: Office, rng: random.Random) -> None:
    """Twenty households, each owed some benefit from one of three months on."""
    for _ in range(20):
        office.grant(
            office.household(rng.randint(1, 3)),
            rng.choice(BENEFITS),
            fen=rng.randrange(10_000, 90_000, 100),
            from_month=date(2026, rng.choice((9, 10, 11)), 1),
        )


@pytest.mark.parametrize(
    ("seed", "lines_of", "cash", "reasons"),
    [
        (0, (300_000,), 10**9, {"budget_short"}),
        (1, (10**9,), 700_000, {"cash_short"}),
        (2, (10**9,), 1_100_000, {"cash_short"}),
        (3, (0, 200_000, 10**9), 400_000, {"budget_short", "cash_short"}),
        (4, (250_000, 400_000), 500_000, {"budget_short", "cash_short"}),
    ],
)
def test_short_money_goes_to_whom_the_rule_names(
    office: Office, seed: int, lines_of: tuple[int, ...], cash: int, reasons: set[str]
) -> None:
    """Budget lines and cash at random: the same payments wait, for the same reason."""
    rng = random.Random(seed)
    a_town(office, rng)
    office.money(cash=cash)
    with office.uow(FINANCE) as uow:
        lines = {benefit: rng.choice(lines_of) for benefit in BENEFITS}
        for benefit, fen in lines.items():
            uow.session.execute(
                text(
                    "UPDATE budget_line SET allotted_fen = :fen WHERE benefit = :b AND year = 2026"
                ),
                {"fen": fen, "b": benefit},
            )
    office.bring_to("checked")
    with office.uow() as uow:
        rows = uow.session.execute(text(_WANTED)).all()
    wanted = [
        Candidate(
            payment_id=str(row.id),
            priority=row.priority,
            oldest_month=row.oldest,
            position=row.position,
            needs={row.benefit: row.need},
            fen=row.fen,
        )
        for row in rows
    ]
    assert len(wanted) == 20
    expected = fit(wanted, lines, cash)
    assert set(expected.values()) == reasons
    assert {str(row.id): row.reason_code for row in rows if row.state == "short"} == expected


@pytest.mark.parametrize("seed", range(5))
def test_each_month_owed_becomes_a_due_once(office: Office, seed: int) -> None:
    """Cycles skipped, repeated and in a row: every due of the rule, and no other."""
    rng = random.Random(seed)
    office.money()
    a_town(office, rng)
    cycles = sorted(rng.sample(MONTHS, rng.randint(1, 3)))
    for month in cycles:
        batch = office.open(month)
        office.compute(batch.batch_no)
        office.compute(batch.batch_no)
    with office.uow() as uow:
        shares = uow.session.execute(
            text(
                "SELECT e.benefit, t.id, t.from_month, t.to_month, s.person_id, s.fen"
                " FROM term t JOIN entitlement e ON e.id = t.entitlement_id"
                " JOIN share s ON s.term_id = t.id"
            )
        ).all()
        owed = {
            (str(row.person_id), row.benefit, row.month, row.fen)
            for row in uow.session.execute(text("SELECT person_id, benefit, month, fen FROM due"))
        }
        count = uow.session.scalar(text("SELECT count(*) FROM due"))
    expected = {
        (due.person_id, due.benefit, due.month, due.fen)
        for row in shares
        for due in regular_dues(
            row.benefit,
            [
                Term(
                    from_month=row.from_month,
                    to_month=row.to_month,
                    shares={str(row.person_id): row.fen},
                )
            ],
            already_through=None,
            through=cycles[-1],
            last_months={},
        )
    }
    assert owed == expected
    assert count == len(expected)
