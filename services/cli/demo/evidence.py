"""The checks: each recomputed from the four databases, the files and the mailbox.

No check asks a service. Two numbers that come from different places stand beside one another; the
check holds when they are the same.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psycopg2
from python_calamine import CalamineWorkbook

from deploy.local import mailbox
from deploy.local.broker import Broker

MONTHLY_HOUSEHOLD = ("城市低保", "农村低保")
_LONG_NUMBER = re.compile(r"\d{11,19}[Xx]?")


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """Two numbers from two places, and whether they are the same."""

    name: str
    title: str
    left_from: str
    left: int
    right_from: str
    right: int
    ok: bool


class Batch(NamedTuple):
    """A batch that went through the bank."""

    batch_id: str
    bank_file: Path
    return_file: Path


@dataclass
class Evidence:
    """Where to look. Reads are made afresh for each instance."""

    database_urls: dict[str, str]
    broker: Broker
    vhost: str
    roster: Path
    mail: Path
    logs: Path
    cycle: Batch
    repayment: Batch | None
    next_batch_id: str
    dead_person_id: str
    first_month: str

    def number(self, service: str, statement: str, *values: object) -> int:
        """One whole number from a service's database."""
        (row,) = self.rows(service, statement, *values)
        return int(row[0] or 0)

    def rows(self, service: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows from a service's database."""
        url = self.database_urls[service]
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())

    @cached_property
    def roster_rows(self) -> list[dict[str, Any]]:
        """The roster's rows by column title."""
        return sheet(self.roster)

    @cached_property
    def granted_rows(self) -> list[dict[str, Any]]:
        """The rows that carry a benefit."""
        return [row for row in self.roster_rows if row["待遇项目"]]

    def roster_month_fen(self) -> int:
        """A month's 核定金额 as the roster has it: a household's 低保 counted once."""
        households: dict[tuple[str, str], int] = {}
        others = 0
        for row in self.granted_rows:
            fen = to_fen(row["核定金额(元/月)"])
            if row["待遇项目"] in MONTHLY_HOUSEHOLD:
                key = (str(row["户编号"]), str(row["待遇项目"]))
                households[key] = max(households.get(key, 0), fen)
            else:
                others += fen
        return sum(households.values()) + others

    def queues(self) -> dict[str, int]:
        """Messages lying in each queue (archives, the relays' counts and what bureaus have not
        taken yet left out)."""
        return {
            queue["name"]: int(queue.get("messages", 0))
            for queue in self.broker.queues(self.vhost)
            if not queue["name"].endswith((".archive", ".published"))
            and not queue["name"].startswith("bureau.")
        }


def sheet(path: Path) -> list[dict[str, Any]]:
    """The first sheet as rows by column title."""
    titles, *rows = CalamineWorkbook.from_path(path).get_sheet_by_index(0).to_python()
    return [dict(zip(map(str, titles), row, strict=False)) for row in rows]


def to_fen(cell: object) -> int:
    """A cell in yuan as fen; an empty one is 0."""
    return int(Decimal(str(cell)) * 100) if str(cell).strip() else 0


def amount(path: Path, result: str | None = None) -> int:
    """The sum of a bank or return file in fen; with ``result`` of the lines so answered."""
    return sum(
        to_fen(row["应发金额(元)"])
        for row in sheet(path)
        if result is None or (row["处理标志"] == "成功") == (result == "成功")
    )


Numbers = tuple[str, int, str, int]


def roster_people(e: Evidence) -> Numbers:
    """Everybody on the roster is on record."""
    numbers = {str(row["身份证号"]).upper() for row in e.roster_rows}
    kept = "SELECT count(*) FROM person WHERE import_id IS NOT NULL AND NOT removed"
    return "花名册文件", len(numbers), "登记库", e.number("registry", kept)


def roster_households(e: Evidence) -> Numbers:
    """Every household on the roster is on record."""
    numbers = {str(row["户编号"]) for row in e.roster_rows}
    kept = "SELECT count(*) FROM household WHERE import_id IS NOT NULL AND NOT removed"
    return "花名册文件", len(numbers), "登记库", e.number("registry", kept)


def carried_cases(e: Evidence) -> Numbers:
    """Each benefit carried over has its closed case."""
    grants = e.number("registry", "SELECT count(DISTINCT grant_id) FROM carried_benefit")
    kept = "SELECT count(*) FROM case_file WHERE item = 'carried_over' AND state = 'closed'"
    return "登记库", grants, "案件库", e.number("cases", kept)


def carried_entitlements(e: Evidence) -> Numbers:
    """Each such case has its entitlement."""
    kept = "SELECT count(*) FROM case_file WHERE item = 'carried_over' AND outcome = 'granted'"
    made = "SELECT count(*) FROM entitlement WHERE basis = 'carried_over'"
    return "案件库", e.number("cases", kept), "资金库", e.number("funding", made)


def month_as_on_roster(e: Evidence) -> Numbers:
    """The month's dues of those carried over are the roster's amounts, to the fen."""
    dues = """SELECT sum(d.fen) FROM due d JOIN entitlement n ON n.id = d.entitlement_id
              WHERE n.basis = 'carried_over' AND d.month = %s AND d.part = 'regular'"""
    return (
        "花名册文件",
        e.roster_month_fen(),
        "资金库应发",
        e.number("funding", dues, e.first_month),
    )


def computed_is_payments(e: Evidence) -> Numbers:
    """The batch's total is the sum of its payments."""
    total = "SELECT approved_fen FROM batch WHERE id = %s"
    payments = "SELECT sum(fen) FROM payment WHERE batch_id = %s AND line_no IS NOT NULL"
    gone = "SELECT sum(fen) FROM payment WHERE batch_id = %s AND state = 'withdrawn'"
    approved = e.number("funding", total, e.cycle.batch_id)
    withdrawn = e.number("funding", gone, e.cycle.batch_id)
    return (
        "审批总额减撤回",
        approved - withdrawn,
        "逐笔付款",
        e.number("funding", payments, e.cycle.batch_id),
    )


def ledger_fen(e: Evidence, batch: Batch) -> int:
    """Lock transfers less withdrawals of a batch."""
    return e.number(
        "funding",
        """SELECT coalesce(sum(fen) FILTER (WHERE step = 'locked'), 0)
                - coalesce(sum(fen) FILTER (WHERE step IN ('withdrawn', 'voided')), 0)
           FROM transfer WHERE batch_id = %s""",
        batch.batch_id,
    )


def ledger_is_bank_file(e: Evidence) -> Numbers:
    """What the ledger took is what the bank file asks for."""
    return "账务（锁定减撤回）", ledger_fen(e, e.cycle), "银行文件", amount(e.cycle.bank_file)


def bank_file_is_answered(e: Evidence) -> Numbers:
    """Every yuan of the bank file is answered."""
    settled = amount(e.cycle.return_file, "成功")
    failed = amount(e.cycle.return_file, "失败")
    return "银行文件", amount(e.cycle.bank_file), "回盘成功加失败", settled + failed


def settled_is_in_ledger(e: Evidence) -> Numbers:
    """What the bank says it paid, the ledger has as settled."""
    posted = "SELECT sum(fen) FROM transfer WHERE batch_id = %s AND step = 'settled'"
    return (
        "回盘成功",
        amount(e.cycle.return_file, "成功"),
        "账务到账",
        e.number("funding", posted, e.cycle.batch_id),
    )


def failed_is_repaid(e: Evidence) -> Numbers:
    """What failed was paid by the second batch."""
    failed = amount(e.cycle.return_file, "失败")
    paid = amount(e.repayment.return_file, "成功") if e.repayment else 0
    return "首次回盘失败", failed, "补发回盘成功", paid


def nothing_paid_twice(e: Evidence) -> Numbers:
    """No due has two live payments; none is paid more than it is."""
    twice = """SELECT count(*) FROM (SELECT due_id FROM payment_due WHERE live
               GROUP BY due_id HAVING count(*) > 1) AS t"""
    over = """SELECT count(*) FROM (SELECT d.id FROM due d JOIN payment_due p ON p.due_id = d.id
              AND p.live GROUP BY d.id, d.fen HAVING sum(p.fen) > d.fen) AS t"""
    return "重复或超额付款", e.number("funding", twice) + e.number("funding", over), "应为", 0


def accounts_are_known(e: Evidence) -> Numbers:
    """An account that is not on the roster belongs to somebody registered at the window."""
    given = {str(row["银行账号"]).replace(" ", "") for row in e.roster_rows if row["银行账号"]}
    strangers = {str(row["账号"]) for row in sheet(e.cycle.bank_file)} - given
    newcomers = e.rows("registry", "SELECT id::text FROM person WHERE import_id IS NULL")
    paid = """SELECT count(DISTINCT payee_person_id) FROM payment
              WHERE batch_id = %s AND line_no IS NOT NULL AND payee_person_id::text = ANY(%s)"""
    people = [row[0] for row in newcomers]
    return (
        "银行文件中花名册以外的账号",
        len(strangers),
        "窗口新登记的领款人",
        e.number("funding", paid, e.cycle.batch_id, people),
    )


def two_signatures(e: Evidence) -> Numbers:
    """Each batch beyond its lock was signed by two people, neither its maker."""
    beyond = """SELECT count(*) FROM batch b
        WHERE b.state IN ('locked', 'sent', 'settled') AND b.kind <> 'urgent'"""
    signed = """SELECT count(*) FROM batch b
        WHERE b.state IN ('locked', 'sent', 'settled') AND b.kind <> 'urgent'
        AND (SELECT count(DISTINCT s.actor_id) FROM signature s WHERE s.batch_id = b.id
             AND NOT s.withdrawn AND s.seat IN ('review', 'release')
             AND s.actor_id <> b.maker_id) = 2"""
    return "已锁定批次", e.number("funding", beyond), "两人签字的", e.number("funding", signed)


def the_dead_get_nothing(e: Evidence) -> Numbers:
    """Nothing for the dead person's account stands in the next month's batch."""
    live = """SELECT count(*) FROM payment WHERE batch_id = %s AND payee_person_id = %s
              AND state NOT IN ('withdrawn', 'voided', 'held', 'cancelled')"""
    return (
        "下月批次中付给死者的",
        e.number("funding", live, e.next_batch_id, e.dead_person_id),
        "应为",
        0,
    )


def stopped_everywhere(e: Evidence) -> Numbers:
    """The death stands in registry, in the stop list, and as a review."""
    dead = "SELECT count(*) FROM person WHERE id = %s AND deceased_on IS NOT NULL"
    stop = "SELECT count(*) FROM stop WHERE person_id = %s AND revoked_by IS NULL"
    return (
        "登记库死亡",
        e.number("registry", dead, e.dead_person_id),
        "资金库停发",
        e.number("funding", stop, e.dead_person_id),
    )


def published(e: Evidence) -> int:
    """Events given a number, in all four databases."""
    total = "SELECT sum(last) FROM event_sequence"
    return sum(e.number(service, total) for service in e.database_urls)


def applied(e: Evidence) -> int:
    """Effects of events, in all four databases."""
    return sum(e.number(service, "SELECT count(*) FROM inbox") for service in e.database_urls)


def each_event_once(e: Evidence) -> Numbers:
    """Every event took effect once in each subscription that is bound to it."""
    counts: Counter[tuple[str, str]] = Counter()
    for service in e.database_urls:
        for exchange, name, last in e.rows(
            service, "SELECT exchange, type, sum(last) FROM event_sequence GROUP BY 1, 2"
        ):
            counts[exchange, name] += int(last)
    expected = sum(
        counts[binding["source"], binding["routing_key"].removesuffix(".#")]
        for binding in e.broker.bindings(e.vhost)
        if not binding["destination"].endswith(".archive")
    )
    own = "SELECT count(*) FROM inbox"
    foreign = e.number("registry", "SELECT count(*) FROM bureau_notice")
    return (
        "应生效次数",
        expected,
        "收件箱",
        sum(e.number(service, own) for service in e.database_urls) - foreign,
    )


def nothing_left_over(e: Evidence) -> Numbers:
    """No event waits in an outbox, a queue, a retry step or among the dead letters."""
    waiting = sum(e.number(s, "SELECT count(*) FROM outbox") for s in e.database_urls)
    return "发件箱与队列中滞留", waiting + sum(e.queues().values()), "应为", 0


def messages_read_back(e: Evidence) -> Numbers:
    """What notify sent is what the mail server has."""
    sent = """SELECT count(*) FROM message WHERE channel IN ('sms', 'mail')
              AND status IN ('sent', 'delivered')"""
    kept = {mail.message_id for mail in mailbox.read(e.mail)}
    return "告知库已发", e.number("notify", sent), "邮件服务器", len(kept)


def no_number_leaks(e: Evidence) -> Numbers:
    """No identity or account number of the roster stands in a log or a message."""
    secret = {str(row["身份证号"]) for row in e.roster_rows}
    secret |= {str(row["银行账号"]) for row in e.roster_rows if row["银行账号"]}
    texts = [path.read_text("utf-8", "replace") for path in sorted(e.logs.glob("*.log*"))]
    texts += [mail.text for mail in mailbox.read(e.mail)]
    words = set().union(*(_words(text) for text in texts))
    return "日志与消息中的证件号、账号", len(words & secret), "应为", 0


def _words(text: str) -> set[str]:
    return set(_LONG_NUMBER.findall(text))


CHECKS: Mapping[Callable[[Evidence], Numbers], str] = {
    roster_people: "花名册上的人都已登记",
    roster_households: "花名册上的户都已登记",
    carried_cases: "每项结转待遇都有已办结的案件",
    carried_entitlements: "每件结转案件都有一项待遇",
    month_as_on_roster: "结转待遇的当月应发与花名册一致，分毫不差",
    computed_is_payments: "批次总额等于各笔付款之和",
    ledger_is_bank_file: "账上支出等于银行文件金额",
    bank_file_is_answered: "银行文件的每一元都有回盘",
    settled_is_in_ledger: "银行称已付的，账上都已记到账",
    failed_is_repaid: "失败的都由补发批次付出",
    nothing_paid_twice: "没有一笔应发重复付款或多付",
    accounts_are_known: "花名册以外的账号都属于窗口登记的人",
    two_signatures: "锁定后的批次都有两人签署，且都不是经办人",
    the_dead_get_nothing: "死者账户不在次月批次中",
    stopped_everywhere: "死亡已登记、已停发、已生成复核",
    each_event_once: "每个事件在每处订阅恰好生效一次",
    nothing_left_over: "发件箱、队列、重试、死信中都没有滞留",
    messages_read_back: "发出的消息邮件服务器都收到",
    no_number_leaks: "日志和消息中没有证件号、账号",
}
"""Each check with the sentence that holds."""


def check(evidence: Evidence, one: Callable[[Evidence], Numbers]) -> Check:
    """Make one check."""
    left_from, left, right_from, right = one(evidence)
    return Check(
        name=one.__name__,
        title=CHECKS[one],
        left_from=left_from,
        left=left,
        right_from=right_from,
        right=right,
        ok=left == right,
    )


def check_all(evidence: Evidence) -> list[Check]:
    """Make all checks."""
    return [check(evidence, one) for one in CHECKS]
