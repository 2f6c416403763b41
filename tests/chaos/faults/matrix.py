"""The fault matrix: its rows, which of them are short, which are not run here."""

from __future__ import annotations

from tests.chaos.faults.broker import (
    cut_off_broker,
    cut_off_database,
    disk_alarm,
    fill_a_queue,
    freeze_broker,
    kill_broker,
)
from tests.chaos.faults.databases import stop_database, stuck_database
from tests.chaos.faults.partners import dawdle, gateway_trouble, messages_arrived, poison, redrive
from tests.chaos.faults.processes import kill_at_every_step
from tests.chaos.faults.resources import a_day_ahead, revoke_the_user, starve, wrong_clocks
from tests.chaos.faults.scene import Row
from tests.chaos.faults.wire import (
    delete_queues,
    repeat_at_rest,
    repeat_under_load,
    swallow_answers,
)

MATRIX: tuple[Row, ...] = (
    Row(
        "1",
        "each service killed at each step",
        kill_at_every_step,
        "started again; what was not committed is done again, what was is known by the inbox, "
        "the outbox and the idempotency key",
        "ProcessDown",
        allowed_s=30,
        begins_month=True,
        kills=True,
    ),
    Row(
        "2",
        "broker killed and started again",
        kill_broker,
        "consumers and relays connect again; the outbox keeps; requests are asked again",
        "BrokerDown",
        allowed_s=30,
    ),
    Row(
        "3",
        "broker frozen",
        freeze_broker,
        "the relay gives up waiting for confirms in 8 s and sends again afterwards",
        "BrokerDown",
    ),
    Row(
        "4",
        "services cut off from the broker, in silence",
        cut_off_broker,
        "as a frozen broker: timeouts, never a thread that hangs",
        "ConsumerAway",
    ),
    Row(
        "4d",
        "services cut off from the databases, in silence",
        cut_off_database,
        "requests end in 'unavailable'; a batch of events waits and is no attempt",
        "RequestsFail",
    ),
    Row(
        "5",
        "disk alarm of the broker",
        disk_alarm,
        "readiness stays; the outbox grows; requests, which go through the broker, time out",
        "BrokerAlarm",
    ),
    Row(
        "6",
        "a queue is full",
        fill_a_queue,
        "the broker refuses, the relay keeps the events and tries again with growing pauses",
        "OutboxStuck",
        kills=True,
    ),
    Row(
        "7",
        "answers swallowed, then the connection reset",
        swallow_answers,
        "published again, claimed once; a request asked again with its key gets the first answer",
        "",
    ),
    Row(
        "8",
        "deliveries five times and in any order",
        repeat_under_load,
        "no table changes",
        "",
        afterwards=repeat_at_rest,
    ),
    Row(
        "9",
        "poison: bad bodies, unknown types, a failing handler",
        poison,
        "laid aside with the reason; the others are not held up; redrive brings them back",
        "DeadLetters",
        afterwards=redrive,
        month=False,
    ),
    Row(
        "10",
        "slow consumer",
        dawdle,
        "never more than 600 in hand, memory bounded, heartbeats kept",
        "QueueGrows",
    ),
    Row(
        "11",
        "SMS gateway that does not answer; bank that leaves lines out",
        gateway_trouble,
        "sent again under the same message id; open lines are asked after, never paid anew",
        "MailServerAway",
        leave_out=5,
        afterwards=messages_arrived,
    ),
    Row(
        "12",
        "database stopped at once and started again",
        stop_database,
        "no commit lost; consumers keep their batch and wait; requests end in 'unavailable'",
        "RequestsFail",
        allowed_s=15,
    ),
    Row(
        "14",
        "database frozen, a lock held, no connection left",
        stuck_database,
        "lock and statement limits fire; an answer in time, never a hang",
        "RequestsFail",
    ),
    Row(
        "16",
        "clocks an hour and a day off",
        wrong_clocks,
        "no month is paid twice; events and timers go on; tokens of another day are refused",
        "ClockSkewed",
        afterwards=a_day_ahead,
        kills=True,
    ),
    Row(
        "17",
        "broker user revoked",
        revoke_the_user,
        "refused access is said in the log, readiness falls; all goes on when the right is back",
        "ConsumerAway",
    ),
    Row(
        "18",
        "killed for want of memory; starved of processor",
        starve,
        "as a kill; slow, but nothing is lost",
        "ProcessDown",
        kills=True,
    ),
    Row(
        "Q",
        "queues and a binding deleted by hand",
        delete_queues,
        "made again at the next look and refilled from the archives",
        "QueueLost",
    ),
)

SHORT = ("1", "2", "3", "7", "8", "9", "12")
"""The rows that stand in ``make test``."""

NOT_HERE: dict[str, str] = {
    "13": "failover of PostgreSQL is the operator's (CloudNativePG); no second server stands here",
    "15": "disks that fill need a file system of their own; not tried",
    "19": "a rolling upgrade is tried by make k8s",
    "20": "backup and restore are tried by the tests of zhida backup and zhida reconcile",
}
"""Rows of the matrix that are not run here, and why."""
