"""Plays the demo, then spoils the evidence of each check in turn and looks again.

Run with ``ZHIDA_HOME`` set to a folder of its own; prints ``{check: [ok before, ok after]}``, the
report and what Prometheus saw. A spoilt row stands only in a transaction that is rolled back; a
spoilt file is a copy.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from openpyxl import load_workbook

from deploy.local import stack
from deploy.local.accounts import RESULTS
from services.cli.demo import evidence, report, story
from services.cli.demo.evidence import CHECKS, Evidence, check
from tests.e2e import leaks, watched

PEOPLE = 1000
"""Each with an identity number that must stand nowhere in clear (`leaks`)."""

ONE = "(SELECT {key} FROM {table} {where} LIMIT 1)"


@dataclass
class Spoilt(Evidence):
    """Evidence in which one statement has changed one service's database."""

    spoilt_service: str = ""
    statement: str = ""

    def rows(self, service: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows as they are after the change, which is then taken back."""
        here = stack.Stack.load()
        assert here is not None and here.cluster is not None
        connection = here.cluster.connect(f"zhida_{service}")
        try:
            connection.autocommit = False
            with connection.cursor() as cursor:
                if service == self.spoilt_service:
                    cursor.execute("SET LOCAL session_replication_role = replica")
                    cursor.execute(self.statement)
                    assert cursor.rowcount > 0, f"nothing spoilt: {self.statement}"
                cursor.execute(statement, values)
                return list(cursor.fetchall())
        finally:
            connection.rollback()
            connection.close()


def in_database(service: str, statement: str) -> Callable[[Evidence], Evidence]:
    """Spoil by a statement."""

    def spoil(found: Evidence) -> Evidence:
        known = {f.name: getattr(found, f.name) for f in fields(Evidence)}
        return Spoilt(**known, spoilt_service=service, statement=statement)

    return spoil


def one_row(table: str, change: str, where: str = "", key: str = "id") -> str:
    """A change to one row."""
    condition = f"WHERE {where}" if where else ""
    chosen = ONE.format(key=key, table=table, where=condition)
    return f"UPDATE {table} SET {change} WHERE {key} = {chosen}"


def in_file(which: str, title: str, value: object) -> Callable[[Evidence], Evidence]:
    """Spoil by another value in the last line of a copy of the cycle's bank or return file."""

    def spoil(found: Evidence) -> Evidence:
        source: Path = getattr(found.cycle, which)
        book = load_workbook(source)
        sheet = book.worksheets[0]
        titles = [cell.value for cell in sheet[1]]
        sheet.cell(sheet.max_row, titles.index(title) + 1).value = value  # type: ignore[arg-type]
        copy = source.with_name(f"spoilt-{source.name}")
        book.save(copy)
        return replace(found, cycle=found.cycle._replace(**{which: copy}))

    return spoil


def leaked(found: Evidence) -> Evidence:
    """Spoil by an identity number in a log."""
    logs = RESULTS / "spoilt-logs"
    logs.mkdir(exist_ok=True)
    (logs / "cases.log").write_text(f'{{"detail": "{found.roster_rows[0]["身份证号"]}"}}\n')
    return replace(found, logs=logs)


SPOILERS: dict[str, Callable[[Evidence], Evidence]] = {
    "roster_people": in_database(
        "registry", one_row("person", "removed = true", "import_id IS NOT NULL")
    ),
    "roster_households": in_database(
        "registry", one_row("household", "removed = true", "import_id IS NOT NULL")
    ),
    "carried_cases": in_database(
        "cases", one_row("case_file", "state = 'in_progress'", "item = 'carried_over'")
    ),
    "carried_entitlements": in_database(
        "funding", one_row("entitlement", "basis = 'review'", "basis = 'carried_over'")
    ),
    "month_as_on_roster": in_database(
        "funding",
        "UPDATE due SET fen = fen + 1 WHERE month = '2026-11' AND entitlement_id IN "
        "(SELECT id FROM entitlement WHERE basis = 'carried_over')",
    ),
    "computed_is_payments": in_database(
        "funding", "UPDATE payment SET fen = fen + 1 WHERE line_no IS NOT NULL"
    ),
    "ledger_is_bank_file": in_database(
        "funding", "UPDATE transfer SET fen = fen + 1 WHERE step = 'locked'"
    ),
    "bank_file_is_answered": in_file("return_file", "应发金额(元)", 0.01),
    "settled_is_in_ledger": in_database(
        "funding", "UPDATE transfer SET fen = fen + 1 WHERE step = 'settled'"
    ),
    "failed_is_repaid": lambda found: replace(found, repayment=None),
    "nothing_paid_twice": in_database(
        "funding", one_row("payment_due", "fen = fen + 100", "live", key="due_id")
    ),
    "accounts_are_known": in_file("bank_file", "账号", "6217000000000000000"),
    "two_signatures": in_database(
        "funding", "UPDATE signature SET withdrawn = true WHERE seat = 'review'"
    ),
    "the_dead_get_nothing": lambda found: in_database(
        "funding",
        one_row(
            "payment",
            f"payee_person_id = '{found.dead_person_id}'",
            f"batch_id = '{found.next_batch_id}' AND state NOT IN ('held', 'withdrawn')",
        ),
    )(found),
    "stopped_everywhere": in_database(
        "funding", "UPDATE stop SET revoked_by = 'somebody' WHERE revoked_by IS NULL"
    ),
    "each_event_once": in_database(
        "cases", "DELETE FROM inbox WHERE event_id = (SELECT event_id FROM inbox LIMIT 1)"
    ),
    "nothing_left_over": in_database(
        "notify",
        "INSERT INTO outbox (event_id, type, exchange, routing_key, subject, county, bulk, body) "
        "VALUES (gen_random_uuid(), 'x', 'x', 'x', 'x', 'x', false, '')",
    ),
    "messages_read_back": in_database(
        "notify", one_row("message", "status = 'created'", "status IN ('sent', 'delivered')")
    ),
    "no_number_leaks": leaked,
}


def main() -> None:
    """Play, check, spoil, check again."""
    began = time.monotonic()
    try:
        told = story.play(PEOPLE, 7, RESULTS / "files", lambda words: print(words, file=sys.stderr))
        found = story.gather(told)
        before = evidence.check_all(found)
        document = report.document(told, found, before, time.monotonic() - began)
        by_name = {one.__name__: one for one in CHECKS}
        verdicts = {
            one.name: [one.ok, check(SPOILERS[one.name](replace(found)), by_name[one.name]).ok]
            for one in before
        }
        result = {
            "verdicts": verdicts,
            "report": document,
            "watched": watched.look(told.world.stack, RESULTS / "prometheus"),
            "held": watched.held(found.logs),
            "leaks": leaks.search(told.world, found),
        }
        print(json.dumps(result, ensure_ascii=False))
    finally:
        stack.erase()


if __name__ == "__main__":
    main()
