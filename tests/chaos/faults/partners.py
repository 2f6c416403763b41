"""Rows 9 to 11: what is asked of consumers and partners."""

from __future__ import annotations

import time

import amqp

from services.chassis import amqp_io
from services.cli.demo import money
from services.contracts.commands import funding
from services.contracts.commands.common import RedriveDeadLetters
from tests.chaos import invariants
from tests.chaos.faults.scene import Scene, resident_pages
from tests.chaos.wire import Mood

POISON = (
    (b"{", "person.recorded.v1"),
    (b"{}", "person.recorded.v1"),
    (b'{"a": 1}', "person.dreamt.v7"),
    (b"\xff\xfe", "person.died.v1"),
)


def poison(scene: Scene) -> None:
    """Bad bodies, unknown types, and a handler that fails: the others are not held up."""
    stage = scene.stage
    connection = amqp_io.connect(stage.servers.amqp_uri)
    try:
        publisher = amqp_io.ConfirmedPublisher(connection)
        for number, (body, kind) in enumerate(POISON):
            for queue in ("funding.copies", "cases.copies"):
                event_id = f"00000000-0000-7000-8000-{number:012d}"
                bad = amqp.Message(
                    body,
                    delivery_mode=2,
                    message_id=event_id,
                    application_headers={"cloudEvents:id": event_id, "cloudEvents:type": kind},
                )
                publisher.publish_one(bad, "", queue)
    finally:
        amqp_io.drop(connection)
    order = stage.order("funding", "refuse", "funding.on_case_decided")
    dead = "funding.on_case_decided.dead"
    scene.eventually(lambda: invariants.dead_letters(stage).get(dead, 0), "a dead letter", 90)
    began = time.monotonic()
    person = scene.load.register()
    scene.eventually(
        lambda: stage.number(
            "funding", "SELECT count(*) FROM person WHERE person_id = %s", str(person)
        ),
        "others are not held up",
        10,
    )
    scene.seen["others' delay s"] = round(time.monotonic() - began, 2)
    order.unlink()
    scene.expect(stage.metric("funding", "zhida_dead_letters_total") >= 5, "the metric is silent")


def redrive(scene: Scene) -> None:
    """The cause is mended: what was laid aside takes effect; what is rubbish is looked at."""
    stage, token = scene.stage, scene.town["admin"].signed_in.token
    queue = "funding.on_case_decided"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        count = scene.town.client.call(
            RedriveDeadLetters(queue=queue), token=token, service="funding"
        )
        scene.seen["redriven"] = float(scene.seen.get("redriven", 0)) + count
        if not invariants.waiting(stage) and not invariants.dead_letters(stage).get(
            f"{queue}.dead"
        ):
            break
        time.sleep(0.5)
    letters = invariants.dead_letters(stage)
    expected = {f"{name}.copies.dead": len(POISON) for name in ("funding", "cases")}
    scene.expect(letters == expected, f"dead letters are {letters}, should be {expected}")
    connection = amqp_io.connect(stage.servers.amqp_uri)
    try:
        channel = connection.channel()
        for name in letters:
            while (letter := channel.basic_get(name, no_ack=True)) is not None:
                reason = (letter.headers or {}).get("x-death-reason")
                scene.expect(reason, f"a letter in {name} without a reason")
    finally:
        amqp_io.drop(connection)


def dawdle(scene: Scene) -> None:
    """Notify takes half a second more for each batch."""
    stage = scene.stage
    pid = stage.keeper.pid("notify")
    before, interrupted = resident_pages(pid), stage.log("notify").count("consumer_interrupted")
    order = stage.order("notify", "dawdle", 0.5)
    behind = 0
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        behind = max(behind, stage.lying_in("notify.copies"))
        time.sleep(1)
    order.unlink()
    ratio = resident_pages(pid) / before
    scene.seen |= {"memory ×": round(ratio, 2), "behind": behind}
    scene.expect(ratio <= 1.5, f"memory grew {ratio:.1f} times")
    now = stage.log("notify").count("consumer_interrupted")
    scene.expect(now == interrupted, "the slow consumer lost its connection")


def gateway_trouble(scene: Scene) -> None:
    """The SMS gateway takes and does not answer; then refuses; the bank leaves lines out."""
    wire = scene.stage.mail_wire
    for _ in range(3):
        wire.set(Mood.SWALLOW)
        scene.work_on(1, 2)
        wire.cut()
        wire.set(Mood.CARRY)
        scene.work_on(0.5, 1)
    wire.set(Mood.REFUSE)
    scene.work_on(3, 5)
    wire.set(Mood.CARRY)


def unanswered_lines(scene: Scene) -> None:
    """The bank left lines out: they stay asked after, are answered later, and count once."""
    stage, clerk = scene.stage, scene.town["funding_clerk"]
    ((batch, lines),) = stage.rows(
        "funding",
        """SELECT id::text, file_lines FROM batch WHERE kind = 'monthly'
           ORDER BY serial DESC LIMIT 1""",
    )
    open_lines = "SELECT count(*) FROM payment WHERE batch_id = %s AND state = 'sent'"
    scene.seen["left out by the bank"] = left = stage.number("funding", open_lines, batch)
    scene.expect(
        0 < left < lines, f"{left} of {lines} lines are open after a return file with gaps"
    )
    bank_file, return_file = scene.answered.bank_files[-1]
    full = return_file.with_name(f"full-{return_file.name}")
    money.bank(bank_file, full, scene.town.seed, money.FAIL_ONE_IN)
    moved = []
    for _ in range(2):
        clerk.ask(funding.SettleBatch(batch=batch, file_id=clerk.upload("funding", full)))
        moved.append(stage.number("funding", "SELECT count(*) FROM transfer"))
    scene.answered.bank_files[-1] = (bank_file, full)
    scene.expect(moved[0] == moved[1], "the same return file again moved money")
    scene.expect(stage.number("funding", open_lines, batch) == 0, "lines are still open")


def messages_arrived(scene: Scene) -> None:
    """Every message that counts as sent is at the gateway."""
    from deploy.local import mailbox

    unanswered_lines(scene)
    invariants.until_quiet(scene.stage)
    there = [mail.message_id for mail in mailbox.read(scene.stage.mail)]
    sent = scene.stage.rows(
        "notify",
        "SELECT id::text FROM message WHERE channel IN ('sms', 'mail')"
        " AND status IN ('sent', 'delivered')",
    )
    known = {message_id.strip("<>").partition("@")[0] for message_id in there}
    lost = [row[0] for row in sent if row[0] not in known]
    scene.expect(not lost, f"{len(lost)} of {len(sent)} messages sent are not at the gateway")
    scene.seen["sent twice, same id"] = len(there) - len(set(there))
