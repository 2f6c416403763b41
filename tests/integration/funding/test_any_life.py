"""Any order of events and steps: money is conserved to the fen, and everybody ends with their due.

A seeded office lives through grants, deaths, revocations, account changes, failing and bouncing
payments, voids and re-payments in an order nobody planned. After every step the books are checked;
at the end each person's money is compared with a plain-Python reckoning.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pytest
from sqlalchemy import text

from services.contracts.commands import funding as c
from services.contracts.errors import Conflict
from services.contracts.events.registry import PersonDeathRevoked
from services.contracts.ids import new_id
from services.funding import batches, deaths, locking
from services.funding.domain.months import month_of, shift, span
from tests.builders.funding import (
    AUDITOR,
    CLERK,
    FINANCE,
    VILLAGE,
    Household,
    Office,
    bank_answers,
)

FIRST = "2026-11"
MONEY = 10**9

BROKEN = {
    "a due with two live payments": """
        SELECT due_id FROM payment_due WHERE live GROUP BY 1 HAVING count(*) > 1""",
    "a live payment of another sum than its dues": """
        SELECT p.id FROM payment p JOIN payment_due pd ON pd.payment_id = p.id AND pd.live
         GROUP BY p.id HAVING p.fen <> sum(pd.fen)""",
    "a due paid more than once or more than it is": """
        SELECT d.id FROM due d JOIN payment_due pd ON pd.due_id = d.id AND pd.live
          JOIN payment p ON p.id = pd.payment_id AND p.state = 'settled'
         GROUP BY d.id HAVING sum(pd.fen) > d.fen""",
    "a paid due without its payment": """
        SELECT d.id FROM due d WHERE d.state = 'paid' AND NOT EXISTS (
          SELECT 1 FROM payment_due pd JOIN payment p ON p.id = pd.payment_id
           WHERE pd.due_id = d.id AND pd.live AND p.state = 'settled')""",
    "应付 that is not what locked, sent, failed and returned payments owe": """
        SELECT 1 WHERE (SELECT coalesce(sum(fen), 0) FROM due WHERE state = 'payable')
          <> (SELECT coalesce(sum(CASE WHEN debit = '应付' THEN -fen ELSE 0 END)
                   + sum(CASE WHEN credit = '应付' THEN fen ELSE 0 END), 0) FROM transfer)""",
    "在途 that is not what was sent and not answered": """
        SELECT 1 WHERE (SELECT coalesce(sum(fen), 0) FROM payment WHERE state = 'sent')
          <> (SELECT coalesce(sum(CASE WHEN debit = '在途' THEN fen ELSE 0 END)
                   - sum(CASE WHEN credit = '在途' THEN fen ELSE 0 END), 0) FROM transfer)""",
    "cash that is not what came in less what went out": f"""
        SELECT 1 WHERE (SELECT {MONEY} - balance_fen FROM fund_account WHERE kind = 'funds')
          <> (SELECT coalesce(sum(CASE WHEN credit = '资金账户' THEN fen ELSE 0 END)
                   - sum(CASE WHEN debit = '资金账户' THEN fen ELSE 0 END), 0) FROM transfer)""",
    "budget that is not what is payable and paid": """
        SELECT 1 WHERE (SELECT sum(used_fen) FROM budget_line)
          <> (SELECT coalesce(sum(fen), 0) FROM due WHERE state IN ('payable', 'paid'))""",
    "应收 that is not what is to be recovered": """
        SELECT 1 WHERE (SELECT coalesce(sum(fen), 0) FROM recovery WHERE NOT cancelled)
          <> (SELECT coalesce(sum(CASE WHEN debit = '应收' THEN fen ELSE 0 END)
                   - sum(CASE WHEN credit = '应收' THEN fen ELSE 0 END), 0) FROM transfer)""",
    "money asked for that is back at the treasury": """
        SELECT 1 FROM recovery r JOIN due d
          ON d.person_id = r.person_id AND d.benefit = r.benefit AND d.month = r.month
        WHERE NOT r.cancelled AND r.fen > r.recovered_fen AND d.state = 'payable'""",
}


REPAYABLE = """d.state = 'payable' AND NOT EXISTS (
    SELECT 1 FROM stop s WHERE s.person_id = d.person_id AND s.revoked_by IS NULL)"""
"""Dues of the living whose payment failed: nobody tries in vain for the dead."""


@dataclass
class Person:
    """What a plain reckoning knows of somebody."""

    home: Household
    fen: int
    from_month: str
    died: date | None = None
    event_id: str = ""


@dataclass
class Life:
    """An office that does what a seed says."""

    office: Office
    chance: random.Random
    people: list[Person] = field(default_factory=list)
    computed: str = ""
    month: str = FIRST
    done: list[str] = field(default_factory=list)
    answered: list[tuple[str, bytes, dict[int, str]]] = field(default_factory=list)
    """Batches that were sent, their files, and the lines that failed so far."""

    def step(self) -> None:
        """Something happens."""
        actions: list[tuple[int, Callable[[], None]]] = [
            (3, self.grant),
            (2, self.die),
            (1, self.revoke),
            (1, self.change_account),
            (9, self.advance),
            (1, self.send_back),
            (1, self.void),
            (1, self.bounce),
        ]
        act = self.chance.choices([a for _, a in actions], [weight for weight, _ in actions])[0]
        self.done.append(act.__name__)
        act()
        self.look()

    def grant(self) -> None:
        """Somebody gets an allowance, perhaps from an earlier month."""
        home = self.office.household()
        start = shift(self.month, self.chance.choice((-2, -1, 0, 0, 0, 1)))
        fen = self.chance.randint(1, 9) * 1_000 + self.chance.randint(0, 9)
        year, month = map(int, start.split("-"))
        self.office.grant(home, "elderly", fen=fen, from_month=date(year, month, 1))
        self.people.append(Person(home, fen, start))

    def die(self) -> None:
        """Somebody has died, now or some months ago."""
        alive = [person for person in self.people if person.died is None]
        if not alive:
            return
        person = self.chance.choice(alive)
        month = shift(self.month, -self.chance.choice((0, 0, 1, 2)))
        person.died = date(int(month[:4]), int(month[5:]), self.chance.randint(1, 28))
        person.event_id = self.office.dies(person.home, person.home.head, person.died)

    def revoke(self) -> None:
        """A death was a mistake."""
        dead = [person for person in self.people if person.died is not None]
        if not dead:
            return
        person = self.chance.choice(dead)
        person.died = None
        with self.office.uow() as uow:
            deaths.on_death_revoked(
                uow,
                [
                    PersonDeathRevoked(
                        person_id=person.home.head,
                        household_id=person.home.household_id,
                        division=VILLAGE,
                        revokes=person.event_id,
                        source_event_id=str(new_id()),
                    )
                ],
            )

    def change_account(self) -> None:
        """Somebody has a new account, today."""
        if self.people:
            home = self.chance.choice(self.people).home
            with self.office.uow() as uow:
                now = uow.now()
            self.office.account(
                home, home.head, changed_at=now, carried_over=False, version=self.office.serial + 2
            )

    def advance(self) -> None:
        """The open batch goes one step on; when there is none, the next one is opened."""
        batch = self.open_batch()
        if batch is None:
            self.open_next()
            return
        try:
            self._step(batch)
        except Conflict as refused:
            if not any(words in refused.message for words in ("没有可发放", "全部撤出")):
                raise
            if batch.state == "locked":
                self._void(batch.batch_no)
            else:
                with self.office.uow(CLERK) as uow:
                    batches.discard(uow, c.DiscardBatch(batch=batch.batch_no, reason="无应发款"))

    def _step(self, batch: c.BatchView) -> None:
        no = batch.batch_no
        steps: dict[str, Callable[[], Any]] = {
            "open": lambda: self.office.compute(no),
            "computed": lambda: self.office.check(no),
            "checked": lambda: self.office.sign(no, "review"),
            "reviewed": lambda: self.office.sign(no, "release"),
            "released": lambda: self.office.lock(no),
            "locked": lambda: self.office.export(no),
            "sent": lambda: self.settle(no),
        }
        steps[batch.state]()
        if batch.kind == "monthly" and batch.state == "open":
            self.computed = batch.month

    def settle(self, no: str) -> None:
        """The bank answers; some fail; sometimes one bounces later."""
        content = self.office.file(no)
        lines = len(content.split(b"\r\n")) - 2
        failing = {n: "1003" for n in range(1, lines + 1) if self.chance.random() < 0.2}
        read = self.office.settle(no, bank_answers(content, failing))
        assert read.problems == ()
        self.answered.append((no, content, failing))
        if self.chance.random() < 0.3:
            self.bounce()

    def bounce(self) -> None:
        """What was paid some time ago comes back."""
        if self.answered:
            no, content, failed = self.chance.choice(self.answered)
            lines = len(content.split(b"\r\n")) - 2
            failed[self.chance.randint(1, lines)] = "1001"
            read = self.office.settle(no, bank_answers(content, failed))
            assert read.problems == ()

    def open_next(self) -> None:
        """Re-pay what failed, if anything did; else the next month."""
        if self._to_repay():
            with self.office.uow(CLERK) as uow:
                settled = uow.session.execute(
                    text(
                        "SELECT b.id::text FROM batch b WHERE b.state = 'settled' AND EXISTS ("
                        "  SELECT 1 FROM payment p JOIN payment_due pd ON pd.payment_id = p.id"
                        "  JOIN due d ON d.id = pd.due_id WHERE p.batch_id = b.id"
                        f"  AND {REPAYABLE}) ORDER BY b.serial DESC"
                    )
                ).scalars()
                for batch in settled.all():
                    try:
                        batches.open_repayment(uow, c.OpenRepayment(batch=batch))
                    except Conflict:
                        continue
                    return
        if self.computed:
            self.month = shift(self.computed, 1)
        year, month = map(int, self.month.split("-"))
        self.office.today = max(self.office.today, date(year, month, 10))
        self.office.open(self.month)

    def send_back(self) -> None:
        """A signer has doubts."""
        batch = self.open_batch()
        if batch is not None and batch.state in ("reviewed", "released"):
            from services.funding import signing

            with self.office.uow(AUDITOR) as uow:
                signing.send_back(uow, c.SendBackBatch(batch=batch.batch_no, reason="再核"))

    def void(self) -> None:
        """A locked batch is given up; its month is opened again later."""
        batch = self.open_batch()
        if batch is not None and batch.state == "locked" and batch.kind == "monthly":
            self._void(batch.batch_no)
            self.office.open(batch.month)

    def _void(self, no: str) -> None:
        for actor, seat in ((AUDITOR, "review"), (FINANCE, "release")):
            with self.office.uow(actor) as uow:
                request = c.VoidBatch(batch=no, seat=seat, reason="作废")  # type: ignore[arg-type]
                locking.void(uow, request)

    def open_batch(self) -> c.BatchView | None:
        """The batch that is under way."""
        with self.office.uow(CLERK) as uow:
            found = uow.session.scalar(
                text(
                    "SELECT id::text FROM batch WHERE state NOT IN ('settled', 'voided')"
                    " ORDER BY serial LIMIT 1"
                )
            )
            return batches.view(uow, batches.find(uow, found)) if found else None

    def look(self) -> None:
        """Nothing may be wrong with the books, whatever happened."""
        with self.office.uow(CLERK) as uow:
            for what, statement in BROKEN.items():
                assert not uow.session.execute(text(statement)).all(), (what, self.done)
            for batch in uow.session.execute(text("SELECT id::text FROM batch")).scalars().all():
                sums = batches.view(uow, batches.find(uow, batch)).sums
                assert sums is None or sums.agree, (sums, self.done)

    def finish(self) -> None:
        """Nothing more happens but work: every batch to its end, and one month more."""
        self.office.today = date(2027, 12, 1)  # changed accounts have rested by now
        last = shift(self.computed or self.month, 1)
        for _ in range(100):
            if self.computed >= last and self.open_batch() is None and not self._to_repay():
                return
            self.chance = _Calm()
            self.advance()
            self.look()
        raise AssertionError(f"the work does not end: {self.done}")

    def _to_repay(self) -> bool:
        with self.office.uow() as uow:
            return bool(uow.session.scalar(text(f"SELECT count(*) FROM due d WHERE {REPAYABLE}")))

    def reckon(self, person: Person) -> int:
        """What a plain reckoning says a person is due up to the last month computed."""
        months = span(person.from_month, self.computed)
        return person.fen * sum(
            1 for month in months if person.died is None or month <= month_of(person.died)
        )

    def stands(self, person: Person) -> tuple[int, int]:
        """What the database says: paid less recoveries, and still owed."""
        with self.office.uow() as uow:
            row = uow.session.execute(
                text(
                    "SELECT (SELECT coalesce(sum(fen), 0) FROM due"
                    "         WHERE person_id = :p AND state = 'paid')"
                    "     - (SELECT coalesce(sum(fen), 0) FROM recovery"
                    "         WHERE person_id = :p AND NOT cancelled),"
                    " (SELECT coalesce(sum(fen), 0) FROM due"
                    "   WHERE person_id = :p AND state IN ('owed', 'payable'))"
                ),
                {"p": person.home.head},
            ).one()
        return int(row[0]), int(row[1])


class _Calm(random.Random):
    """Chance on a day when nothing fails."""

    def random(self) -> float:
        """Never below a threshold."""
        return 0.99


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(4))
def test_any_life_ends_with_everybody_paid_their_due(office: Office, seed: int) -> None:
    """The living have exactly their months, the dead theirs paid or owed; the books agree."""
    life = Life(office, random.Random(seed))
    office.money(budget=MONEY, cash=MONEY)
    for _ in range(3):
        life.grant()
    for _ in range(45):
        life.step()
    life.finish()
    for person in life.people:
        paid, owed = life.stands(person)
        assert paid + owed == life.reckon(person), (person, paid, owed, life.done)
        if person.died is None:
            assert owed == 0, (person, life.done)
