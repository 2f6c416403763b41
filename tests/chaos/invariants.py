"""The promises of the matrix, each read from databases, archives and the bank's own files.

No service is asked. Each invariant gives back what contradicts it, in words; nothing is well.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import psycopg2

from deploy.local.servers import SERVICES
from services.chassis import archive, arrivals, audit_chain, topology
from services.cli.demo.evidence import sheet, to_fen
from services.contracts.actors import system_actor
from services.contracts.commands.common import VerifyAudit
from services.funding.domain.ledger import Account
from tests.chaos.bureau import Bureau
from tests.chaos.load import Answered
from tests.chaos.stage import Stage

QUIET_S = 600.0


class Said(NamedTuple):
    """An event as an archive holds it."""

    event_id: str
    exchange: str
    type: str
    county: str
    number: int
    routing_key: str


class Witness:
    """Reads the archives as they grow; everything ever published stands here once."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.bureau = Bureau(stage)
        self.said: dict[str, Said] = {}
        self.latest: deque[tuple[Said, Any]] = deque(maxlen=3000)
        """The newest of them with the message as it stands in the archive."""
        self._since = datetime.now(UTC) - timedelta(days=1)

    def read(self) -> None:
        """Take in what was published since the last reading (with a minute's overlap)."""
        began = datetime.now(UTC) - timedelta(minutes=1)
        exchanges = sorted({name for s in SERVICES for name in topology.exchanges_of(s)})
        for exchange in exchanges:
            stream = topology.archive(exchange)
            for chunk in archive.read_stream(self.stage.servers.amqp_uri, stream, self._since):
                for message in chunk:
                    key = message.delivery_info["routing_key"]
                    message.delivery_info["exchange"] = exchange
                    label = arrivals.label_of(message)
                    if label is None:
                        continue
                    event_id = str((message.headers or {})["cloudEvents:id"])
                    series, number = label
                    said = Said(event_id, *series, number, key)
                    if event_id not in self.said:
                        self.latest.append((said, message))
                    self.said[event_id] = said
        self._since = began


def bound_to(said: Said) -> list[str]:
    """The subscriptions that must have taken effect of an event, from what the code declares."""
    return _BOUND.get((said.exchange, said.type), [])


def _bindings() -> dict[tuple[str, str], list[str]]:
    from services.chassis.discovery import service_class
    from services.chassis.service import _marked
    from services.contracts.events import event_type

    bound: dict[tuple[str, str], list[str]] = defaultdict(list)
    for service in SERVICES:
        cls = service_class(service)
        kinds = {f"{service}.{name}": m.reacts_to for name, m in _marked(cls, "reacts_to")}
        kinds[f"{service}.copies"] = tuple(
            {k: None for _, m in _marked(cls, "projects") for k in m.projects}
        )
        for name, types in kinds.items():
            queue = topology.WorkQueue(name, tuple(event_type(t) for t in types), ())
            for exchange, key in queue.bindings():
                bound[exchange, key.removesuffix(".#")].append(name)
    return bound


_BOUND = _bindings()


# -- waiting ------------------------------------------------------------------------------------


def waiting(stage: Stage) -> int:
    """Events in outboxes, work queues and retry steps; messages still to be sent; people whose dues
    are still to be brought to the terms in force.
    """
    left = sum(stage.number(s, "SELECT count(*) FROM outbox") for s in SERVICES)
    left += stage.number(
        "notify", "SELECT count(*) FROM message WHERE status IN ('created', 'sending')"
    )
    left += stage.number("funding", "SELECT count(*) FROM unreconciled")
    left += sum(stage.number(s, "SELECT count(*) FROM audit_unsealed") for s in SERVICES)
    if left:
        return left
    return sum(
        int(queue.get("messages", 0))
        for queue in stage.queues()
        if not queue["name"].endswith((".archive", ".dead", ".published"))
        and not queue["name"].startswith(("rpc", "amq.", "bureau."))
    )


def until_quiet(stage: Stage, seconds: float = QUIET_S) -> None:
    """Wait until nothing is on its way, twice in a row."""
    deadline, before = time.monotonic() + seconds, -1
    while True:
        left = waiting(stage)
        effects = sum(stage.number(s, "SELECT count(*) FROM inbox") for s in SERVICES)
        if not left and effects == before:
            return
        before = effects if not left else -1
        if time.monotonic() > deadline:
            raise TimeoutError(f"{left} events are still on their way after {seconds:.0f} s")
        time.sleep(0.2)


def dead_letters(stage: Stage) -> dict[str, int]:
    """Messages laid aside, by queue."""
    return {
        queue["name"]: int(queue["messages"])
        for queue in stage.queues()
        if queue["name"].endswith(".dead") and int(queue.get("messages", 0))
    }


# -- the invariants -----------------------------------------------------------------------------


def i1_books_balance(stage: Stage, answered: Answered, _: Witness) -> list[str]:
    """I1: debits are credits; accounts are what the transfers say; the five sums agree."""
    wrong = []
    moved = stage.rows("funding", "SELECT debit, credit, sum(fen) FROM transfer GROUP BY 1, 2")
    balance: Counter[str] = Counter()
    for debit, credit, fen in moved:
        balance[debit] += int(fen)
        balance[credit] -= int(fen)
    if sum(balance.values()):
        wrong.append(f"debits less credits are {sum(balance.values())} fen")
    for kind, account in (("funds", Account.FUNDS), ("reserve", Account.RESERVE)):
        stands = stage.number(
            "funding", "SELECT sum(balance_fen) FROM fund_account WHERE kind=%s", kind
        )
        given = stage.number("funding", "SELECT sum(fen) FROM allotment WHERE kind = %s", kind)
        if stands != given + balance[account.value]:
            wrong.append(f"{account.value} is {stands}, should be {given + balance[account.value]}")
    for batch_no, *sums in stage.rows("funding", _FIVE_SUMS):
        approved, locked, in_file, answered_fen = (int(s) for s in sums)
        if len({approved, locked, in_file, answered_fen}) > 1:
            wrong.append(f"batch {batch_no}: the sums differ: {sums}")
    credited = sum(
        to_fen(row["应发金额(元)"])
        for _, return_file in answered.bank_files
        for row in sheet(return_file)
        if row["处理标志"] == "成功"
    )
    settled = stage.number(
        "funding",
        """SELECT coalesce(sum(t.fen), 0) FROM transfer t JOIN batch b ON b.id = t.batch_id
           WHERE t.step = 'settled' AND b.kind = 'monthly'""",
    )
    if credited != settled:
        wrong.append(f"the bank credited {credited} fen, the ledger has {settled} settled")
    return wrong


_FIVE_SUMS = """
SELECT b.serial,
       b.approved_fen - coalesce(sum(p.fen) FILTER (WHERE p.state IN ('withdrawn', 'voided')), 0),
       (SELECT coalesce(sum(t.fen) FILTER (WHERE t.step IN ('locked', 'relocked')), 0)
             - coalesce(sum(t.fen) FILTER (WHERE t.step IN ('withdrawn', 'voided')), 0)
        FROM transfer t WHERE t.batch_id = b.id),
       b.file_fen,
       coalesce(sum(p.fen) FILTER (WHERE p.state IN ('settled', 'failed', 'returned', 'sent')), 0)
FROM batch b JOIN payment p ON p.batch_id = b.id
WHERE b.kind = 'monthly' AND b.state IN ('sent', 'settled')
GROUP BY b.id
"""


def i2_nothing_paid_twice(stage: Stage, answered: Answered, _: Witness) -> list[str]:
    """I2: at most one live attempt at a due, never more than it; the bank credits a line once."""
    wrong = [
        f"due {due}: {attempts} live attempts of {fen} fen together, owed {owed}"
        for due, attempts, fen, owed in stage.rows(
            "funding",
            """SELECT d.id, count(*), sum(p.fen), d.fen FROM due d
               JOIN payment_due p ON p.due_id = d.id AND p.live
               GROUP BY d.id HAVING count(*) > 1 OR sum(p.fen) > d.fen""",
        )
    ]
    wrong += [
        f"due {due}: {fen} fen settled, owed {owed}"
        for due, fen, owed in stage.rows(
            "funding",
            """SELECT d.id, sum(CASE step WHEN 'returned' THEN -t.fen ELSE t.fen END), d.fen
               FROM transfer t JOIN due d ON d.id = t.due_id
               WHERE step IN ('settled', 'paid_from_reserve', 'returned')
               GROUP BY d.id
               HAVING sum(CASE step WHEN 'returned' THEN -t.fen ELSE t.fen END) > d.fen""",
        )
    ]
    wrong += [
        f"{person} {benefit} {month}: regular dues {fen} twice"
        for person, benefit, month, fen in stage.rows(
            "funding",
            """SELECT person_id, benefit, month, array_agg(fen) FROM due
               WHERE part = 'regular' GROUP BY 1, 2, 3 HAVING count(*) > 1""",
        )
    ]
    return wrong


def i3_each_event_once(stage: Stage, answered: Answered, witness: Witness) -> list[str]:
    """I3: each event said is in the archive under its number; each subscription has it once;
    copies equal their source; what was answered stands once.

    Timers go on saying things while this is read: what seems lost is looked for again when nothing
    is on its way any more. What is lost does not come by waiting.
    """
    wrong = _not_each_once(stage, answered, witness)
    if wrong:
        until_quiet(stage)
        wrong = _not_each_once(stage, answered, witness)
    return wrong


def _not_each_once(stage: Stage, answered: Answered, witness: Witness) -> list[str]:
    wrong = []
    counted = [
        series
        for service in SERVICES
        for series in stage.rows(service, "SELECT exchange, type, county, last FROM event_sequence")
    ]
    witness.read()
    numbers: dict[tuple[str, str, str], set[int]] = defaultdict(set)
    for said in witness.said.values():
        numbers[said.exchange, said.type, said.county].add(said.number)
    for exchange, type_name, county, last in counted:
        missing = set(range(1, last + 1)) - numbers[exchange, type_name, county]
        if missing:
            wrong.append(f"{type_name} {county}: {len(missing)} of {last} never published")
    return wrong + _effects(stage, witness) + _copies(stage) + _answered(stage, answered)


def _effects(stage: Stage, witness: Witness) -> list[str]:
    """Each subscription has claimed each event it is bound to, or it lies among the dead."""
    wrong = []
    laid_aside = dead_letters(stage)
    expected: dict[str, set[str]] = defaultdict(set)
    for said in witness.said.values():
        for queue in bound_to(said):
            expected[queue].add(said.event_id)
    for service in SERVICES:
        taken: dict[str, set[str]] = defaultdict(set)
        for queue, event_id in stage.rows(
            service, "SELECT subscription, event_id::text FROM inbox"
        ):
            taken[queue].add(event_id)
        for queue in sorted(q for q in expected if q.startswith(f"{service}.")):
            lost = expected[queue] - taken[queue]
            if len(lost) > laid_aside.get(f"{queue}.dead", 0):
                kinds = Counter(witness.said[e].type for e in lost)
                wrong.append(f"{queue}: {len(lost)} events without effect: {dict(kinds)}")
    return wrong


def _copies(stage: Stage) -> list[str]:
    """Each copy of a person, household or account has the version of its source."""
    wrong = []
    sources = {
        ("person", "version"): "SELECT id::text, version FROM person",
        ("household", "version"): "SELECT id::text, version FROM household",
        ("person", "account_version"): (
            "SELECT id::text, account_version FROM person WHERE account_version > 0"
        ),
    }
    copies = {
        ("person", "version"): ("cases", "funding", "notify"),
        ("household", "version"): ("cases", "funding"),
        ("person", "account_version"): ("funding",),
    }
    for (table, column), statement in sources.items():
        truth = dict(stage.rows("registry", statement))
        for service in copies[table, column]:
            copied = dict(
                stage.rows(
                    service,
                    f"SELECT {table}_id::text, {column} FROM {table} WHERE {column} IS NOT NULL",
                )
            )
            stale = [key for key, version in truth.items() if copied.get(key) != version]
            if stale:
                wrong.append(f"{service}'s copy of {table}.{column} differs for {len(stale)}")
    return wrong


def _answered(stage: Stage, answered: Answered) -> list[str]:
    """What somebody was told yes to stands in the databases, once."""
    wrong = [f"refused: {words}" for words in answered.refused]
    made = {row[0] for row in stage.rows("registry", "SELECT id::text FROM household")}
    lost = [h for h in answered.households.values() if str(h) not in made]
    if lost:
        wrong.append(f"{len(lost)} households that were answered are not on record")
    window = "SELECT count(*) FROM household WHERE import_id IS NULL"
    if stage.number("registry", window) > answered.asked:
        wrong.append("more households on record than were ever asked for")
    paid = Counter(
        row[0]
        for row in stage.rows(
            "funding",
            """SELECT e.case_id::text FROM entitlement e
               JOIN due d ON d.entitlement_id = e.id JOIN payment_due p ON p.due_id = d.id
               WHERE e.benefit = 'temporary_aid' AND p.live""",
        )
    )
    owed = {row[0] for row in stage.rows("funding", "SELECT case_id::text FROM entitlement")}
    wrong += [
        f"aid {case} has no entitlement" for case in map(str, answered.aids) if case not in owed
    ]
    wrong += [f"aid {case} paid {n} times" for case, n in paid.items() if n > 1]
    for certificate, person in answered.deaths.items():
        if not stage.number(
            "registry",
            "SELECT count(*) FROM person WHERE id = %s AND deceased_on IS NOT NULL",
            person,
        ):
            wrong.append(f"death {certificate} is not on record")
        if not stage.number("funding", "SELECT count(*) FROM stop WHERE person_id = %s", person):
            wrong.append(f"death {certificate} does not stop the payments")
    return wrong


def i4_every_line_answered(stage: Stage, _: Answered, __: Witness) -> list[str]:
    """I4: lines in the bank file = settled + failed + returned + still asked after."""
    return [
        f"batch {serial}: {lines} lines sent, {counted} accounted for"
        for serial, lines, counted in stage.rows(
            "funding",
            """SELECT b.serial, b.file_lines, count(p.id) FILTER (WHERE p.line_no IS NOT NULL
                      AND p.state IN ('settled', 'failed', 'returned', 'sent'))
               FROM batch b JOIN payment p ON p.batch_id = b.id
               WHERE b.kind = 'monthly' AND b.file_lines IS NOT NULL GROUP BY b.id""",
        )
        if lines != counted
    ]


def i5_audit_stands(stage: Stage, _: Answered, __: Witness) -> list[str]:
    """I5: the audit chain verifies to its end, and the log refuses change."""
    wrong = []
    for service in SERVICES:
        with stage.foundation(service).begin(system_actor(service)) as uow:
            report = audit_chain.verify(uow, VerifyAudit())
        wrong += [f"{service}: {each.kind} {each.detail}" for each in report.findings[:3]]
        if report.unsealed:
            wrong.append(f"{service}: {report.unsealed} audit rows unsealed at rest")
        with (
            contextlib.closing(psycopg2.connect(stage.stack.database_urls[service])) as connection,
            connection.cursor() as cursor,
        ):
            for statement in ("UPDATE audit SET action = 'x'", "DELETE FROM audit"):
                try:
                    cursor.execute(statement)
                    wrong.append(f"{service}: the audit log let itself be changed: {statement}")
                except psycopg2.Error:
                    connection.rollback()
    return wrong


def i6_bureaus_see_their_own(_: Stage, answered: Answered, witness: Witness) -> list[str]:
    """I6: a bureau has been told all it may see, and nothing else."""
    bureau = witness.bureau
    bureau.listen()
    wrong = [f"the bureau was told {key} by {exchange}" for exchange, key in bureau.strangers()]
    numbers = set(answered.households) & bureau.long_numbers
    if numbers:
        wrong.append(f"the bureau was told {len(numbers)} identity numbers")
    due = {
        said.event_id
        for said in witness.said.values()
        if bureau.may_see(said.exchange, said.routing_key)
    }
    if lost := due - bureau.heard.keys():
        kinds = Counter(witness.said[e].type for e in lost)
        wrong.append(f"{len(lost)} events never reached the bureau: {dict(kinds)}")
    return wrong


def i7_budget_holds(stage: Stage, _: Answered, __: Witness) -> list[str]:
    """I7: no budget line or account below zero; used is what the ledger locked."""
    wrong = [
        f"{row[0]} {row[1]}: {row[2]} of {row[3]} used"
        for row in stage.rows(
            "funding",
            """SELECT year, benefit, used_fen, allotted_fen FROM budget_line
               WHERE used_fen < 0 OR used_fen > allotted_fen""",
        )
    ]
    used = dict(stage.rows("funding", "SELECT benefit, sum(used_fen) FROM budget_line GROUP BY 1"))
    locked = dict(
        stage.rows(
            "funding",
            """SELECT d.benefit, sum(CASE t.step WHEN 'locked' THEN t.fen
                                     WHEN 'withdrawn' THEN -t.fen WHEN 'voided' THEN -t.fen END)
               FROM transfer t JOIN due d ON d.id = t.due_id
               WHERE t.step IN ('locked', 'withdrawn', 'voided') GROUP BY 1""",
        )
    )
    for benefit, fen in used.items():
        if int(fen) != int(locked.get(benefit) or 0):
            wrong.append(f"{benefit}: budget says {fen}, the ledger {locked.get(benefit)}")
    if stage.number("funding", "SELECT count(*) FROM fund_account WHERE balance_fen < 0"):
        wrong.append("an account is overdrawn")
    return wrong


INVARIANTS: Sequence[Callable[[Stage, Answered, Witness], list[str]]] = (
    i1_books_balance,
    i2_nothing_paid_twice,
    i3_each_event_once,
    i4_every_line_answered,
    i5_audit_stands,
    i6_bureaus_see_their_own,
    i7_budget_holds,
)


def contradictions(stage: Stage, answered: Answered, witness: Witness) -> list[str]:
    """Everything that is not as promised."""
    return [
        f"{each.__name__[:2].upper()} {words}"
        for each in INVARIANTS
        for words in each(stage, answered, witness)
    ]


# -- the state as a whole -----------------------------------------------------------------------

OPERATIONAL = ("inbox", "outbox", "arrival", "subscription", "alembic_version")
"""Tables that say how events travel, not what they did."""


def fingerprint(stage: Stage) -> dict[str, str]:
    """A digest of every table that tells what happened, by service and table."""
    found = {}
    for service in SERVICES:
        tables = stage.rows(
            service,
            """SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> ALL(%s)
               ORDER BY 1""",
            list(OPERATIONAL),
        )
        for (table,) in tables:
            digest = hashlib.sha256()
            for (row,) in stage.rows(service, f'SELECT t::text FROM "{table}" AS t ORDER BY 1'):
                digest.update(row.encode())
            found[f"{service}.{table}"] = digest.hexdigest()
    return found
