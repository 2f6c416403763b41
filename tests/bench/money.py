"""A month's money at city size: compute and check, the bank file, the return file.

The people are put into the tables directly (that is the import's and the bus's business, measured
elsewhere); what is timed is the real use cases in transactions of their own, commit included, on a
private PostgreSQL with its durability on, in this process. ``growth`` compares the cycle's time a
person at ten times the people.
"""

from __future__ import annotations

import csv
import io
import random
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import date
from typing import Any, TypeVar

from deploy.local import PrivateServers, Servers
from deploy.local.bank_simulator import answer_text
from services.chassis import migrate
from services.chassis.crypto import Seals
from services.chassis.database import engine
from services.chassis.uow import Foundation, UnitOfWork
from services.contracts.actors import Actor
from services.contracts.ids import new_id
from services.funding import policy_book
from tests.builders.funding import DECIDER, Office
from tests.fixtures.services import settings_for

CITY = 110_000
TEN_CITIES = 1_100_000
MONTHS = ("2026-11", "2026-12")
DIBAO = ("rural_dibao", "rural_dibao", "rural_dibao", "urban_dibao")
PERSONAL = ("rural_dibao", "elderly", "disability_care", "disability_living", "tekun")

T = TypeVar("T")

TABLES = {
    "person": "person_id,household_id,division,name,epoch,version,account_name,account_number,"
    "account_index,account_last4,account_carried_over,account_changed_at,account_epoch,"
    "account_version",
    "household": "household_id,household_no,division,head_person_id,payee_person_id,epoch,version",
    "entitlement": "id,case_id,case_no,decision_id,decision_no,position,basis,benefit,household_id,"
    "division,payee_person_id,one_off,child,from_month,state,decided_on,single_person,traits,"
    "involved",
    "term": "id,entitlement_id,from_month,fen,working,cause",
    "share": "term_id,person_id,fen",
    "coverage": "entitlement_id,person_id,benefit,one_off,active",
}


def measure() -> dict[str, dict[str, Any]]:
    """The figures of the money."""
    with PrivateServers() as servers:
        with office(servers) as city:
            small = cycle(city, CITY)
            workbook = timed(lambda: city.export(MONTHS[0], "card_xlsx"))[0]
            city_two(city)
            text_file, sent = timed(lambda: city.export(MONTHS[1], "fixed_gbk"))
            answer = answer_text(city.file(MONTHS[1]), 1, 97, 0)
            settled, read = timed(lambda: city.settle(MONTHS[1], answer))
            assert read.unanswered == 0
            assert read.settled + read.failed == sent.file_lines
            sums = city.view(MONTHS[1]).sums
            assert sums is not None
            assert sums.agree
        with office(servers) as cities:
            large = cycle(cities, TEN_CITIES)
    growth = (large["seconds"] / TEN_CITIES) / (small["seconds"] / CITY)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {
        "cycle_110k_s": {"value": round(small["seconds"], 1), "payments": small["payments"]},
        "bank_file_110k_s": {
            "value": round(max(workbook, text_file), 1),
            "xlsx_s": round(workbook, 1),
            "gbk_text_s": round(text_file, 1),
            "lines": sent.file_lines,
        },
        "settle_110k_s": {"value": round(settled, 1), "lines": read.rows, "process_mb": peak},
        "growth": {
            "value": round(growth, 2),
            "cycle_1100k_s": round(large["seconds"], 1),
            "payments": large["payments"],
        },
    }


@contextmanager
def office(servers: Servers) -> Iterator[Office]:
    """Funding on a fresh database of its own."""
    with ExitStack() as stack:
        url = stack.enter_context(servers.cluster.scratch_database("funding"))
        migrate.upgrade("funding", url)
        built = Foundation.build(settings_for("funding", url))
        foundation = replace(built, engine=engine(url))
        stack.callback(foundation.engine.dispose)

        @contextmanager
        def begin(
            _service: str, *, actor: Actor, today: date | None = None
        ) -> Iterator[UnitOfWork]:
            with foundation.begin(actor) as uow:
                if today is not None:
                    uow.clock.set_today(today)
                yield uow

        made = Office(begin, Seals("registry", foundation.settings.transit_keys))
        made.money(budget=10**12, cash=10**13)
        yield made


def cycle(at: Office, people: int) -> dict[str, Any]:
    """Load ``people`` covered people, then time compute and check of the first month."""
    load(at, people)
    at.open(MONTHS[0])
    computing, _ = timed(lambda: at.compute(MONTHS[0]))
    checking, view = timed(lambda: at.check(MONTHS[0]))
    assert view.people == people
    at.sign(MONTHS[0], "review")
    at.sign(MONTHS[0], "release")
    at.lock(MONTHS[0])
    return {"seconds": computing + checking, "payments": view.payments}


def city_two(at: Office) -> None:
    """The second month up to its lock."""
    at.open(MONTHS[1])
    at.compute(MONTHS[1])
    at.check(MONTHS[1])
    at.sign(MONTHS[1], "review")
    at.sign(MONTHS[1], "release")
    at.lock(MONTHS[1])


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds and result."""
    started = time.monotonic()
    result = work()
    return time.monotonic() - started, result


def load(at: Office, people: int) -> None:
    """Households of one to four in twenty towns, each with one benefit and a head's account."""
    chance = random.Random(1)
    with at.uow() as uow:
        policy_book.install(uow)
        done = 0
        while done < people:
            files = {table: io.StringIO() for table in TABLES}
            upto = min(people, done + 50_000)
            while done < upto:
                size = min(chance.choice((1, 1, 2, 3, 4)), people - done)
                _household(uow, files, chance, done, size)
                done += size
            cursor: Any = uow.session.connection().connection.cursor()
            for table, columns in TABLES.items():
                files[table].seek(0)
                cursor.copy_expert(
                    f"COPY {table} ({columns}) FROM STDIN WITH (FORMAT csv)", files[table]
                )


def _household(
    uow: UnitOfWork, files: dict[str, io.StringIO], chance: random.Random, number: int, size: int
) -> None:
    rows: dict[str, list[list[Any]]] = {table: [] for table in TABLES}
    home, entitlement, term = new_id(), new_id(), new_id()
    members = [new_id() for _ in range(size)]
    head = members[0]
    division = f"421083{chance.randint(100, 119)}{chance.randint(1, 20):03d}"
    account = f"6222{number:012d}"

    def sealed(column: str, text: str) -> str:
        closed = uow.cipher.encrypt(text, table="person", row=head, column=column)
        return "\\x" + closed.hex()

    index = "\\x" + uow.cipher.blind_index(account).hex()
    has_account = [sealed("account_name", "陈桂兰"), sealed("account_number", account), index]
    has_account += [account[-4:], "t", "2026-01-01", "0", "1"]
    for member in members:
        rest = has_account if member is head else [""] * 8
        rows["person"].append([member, home, division, "陈桂兰", 0, 1, *rest])
    rows["household"].append([home, f"H{number}", division, head, head, 0, 1])
    benefit = chance.choice(DIBAO if size > 1 else PERSONAL)
    rows["entitlement"].append(
        [
            *(entitlement, new_id(), "JZ", new_id(), "D", 0, "carried_over", benefit, home),
            *(division, head, "f", "f", "2026-11", "active", "2026-10-12", "f", "{}"),
            f"{{{DECIDER}}}",
        ]
    )
    fen = chance.randint(5_000, 200_000)
    rows["term"].append([term, entitlement, "2026-11", fen, "[]", "x"])
    each, rest_fen = divmod(fen, size)
    for place, member in enumerate(members):
        rows["share"].append([term, member, each + (place < rest_fen)])
        rows["coverage"].append([entitlement, member, benefit, "f", "t"])
    for table, lines in rows.items():
        csv.writer(files[table]).writerows(lines)
