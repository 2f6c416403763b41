"""Runs rows of the matrix: ``python -m tests.chaos --help``.

Exit code 1 when a promise broke; with ``--uncured`` the other way round: it must.
"""

from __future__ import annotations

import argparse
import random
import secrets
import signal
import sys
import time
from collections.abc import Sequence

from deploy.local.accounts import RESULTS
from deploy.local.servers import SERVICES
from tests.chaos import invariants, report
from tests.chaos.faults.matrix import MATRIX, NOT_HERE, SHORT
from tests.chaos.faults.scene import Row, Scene
from tests.chaos.invariants import Witness
from tests.chaos.load import Answered, Load, Town, settle_in
from tests.chaos.report import Outcome
from tests.chaos.stage import Stage

ROWS_A_CITY = 12
"""Months that a city lives through before a new one begins: the calendar ends somewhere."""


def recovered(scene: Scene, since: float, patience_s: float = 240) -> float | None:
    """Seconds from the fault's end until a fact said after it has reached every service."""
    stage, person = scene.stage, str(scene.load.register())
    copied = "SELECT count(*) FROM person WHERE person_id = %s"
    while time.monotonic() < since + patience_s:
        if all(stage.number(name, copied, person) for name in ("cases", "funding", "notify")):
            return time.monotonic() - since
        time.sleep(0.05)
    return None


def play(
    stage: Stage, town: Town, answered: Answered, witness: Witness, row: Row, **dice: int
) -> Outcome:
    """One row: people work, something breaks and is mended, all comes to rest and is read."""
    rng = random.Random(f"{dice['seed']}/{row.number}")
    load = Load(stage, town, answered, rng)
    scene = Scene(stage, town, load, answered, witness, rng, bool(dice["short"]))
    duplicates, starts = _duplicates(stage), _starts(stage)
    outcome = Outcome(
        row=row.number,
        title=row.title,
        seed=dice["seed"],
        verdict="broken",
        allowed_s=row.allowed_s,
        alert=row.alert,
        named=row.named,
        seen=scene.seen,
        contradictions=scene.wrong,
    )
    said = len(witness.said)
    try:
        load.start(
            month=dice["month"] if row.month else None,
            leave_out=row.leave_out,
            month_waits=row.begins_month and not dice["short"],
        )
        scene.eventually(lambda: load.answers >= 5, "people at work", 120)
        scene.work_on(0.5, 2.5)
        began = time.monotonic()
        row.hurt(scene)
        ended = time.monotonic()
        outcome.fault_s = round(ended - began, 1)
        took = recovered(scene, ended)
        outcome.recovery_s = None if took is None else round(took, 1)
        scene.expect(took is not None and took <= row.allowed_s, f"recovery took {took} s")
        load.stop()
        if row.afterwards is not None:
            row.afterwards(scene)
        invariants.until_quiet(stage)
        scene.wrong += invariants.contradictions(stage, answered, witness)
        ended = _starts(stage) - starts
        scene.expect(row.kills or not ended, f"{ended} processes ended")
        # the broker counts late: what was taken out of a queue may show for some seconds
        none = scene.eventually(lambda: not invariants.dead_letters(stage), "no dead letters", 15)
        scene.expect(none, f"dead letters: {invariants.dead_letters(stage)}")
    except Exception as error:  # noqa: BLE001 - a row that breaks off is a broken row
        scene.wrong.append(f"{type(error).__name__}: {error}")
    outcome.answers = load.answers
    outcome.slowest_answer_s = round(load.slowest_s, 1)
    outcome.events = len(witness.said) - said
    outcome.duplicates = max(0, _duplicates(stage) - duplicates)
    outcome.restarts = _starts(stage) - starts
    outcome.verdict = "broken" if scene.wrong else "held"
    return outcome


def _duplicates(stage: Stage) -> int:
    try:
        return int(sum(stage.metric(name, "zhida_inbox_duplicates_total") for name in SERVICES))
    except (OSError, ValueError):
        return 0


def _starts(stage: Stage) -> int:
    return sum(stage.keeper.starts(name) for name in SERVICES)


def run(
    rows: Sequence[Row], *, seed: int, people: int, short: bool, uncured: str = ""
) -> list[Outcome]:
    """Play rows one after the other, a new city after some of them."""
    outcomes: list[Outcome] = []
    for first in range(0, len(rows), ROWS_A_CITY):
        with Stage(uncured) as stage:
            answered, witness = Answered(), Witness(stage)
            stage.begin()
            town = settle_in(stage, people, seed)
            invariants.until_quiet(stage)
            for month, row in enumerate(rows[first : first + ROWS_A_CITY]):
                outcome = play(
                    stage, town, answered, witness, row, seed=seed, month=month, short=int(short)
                )
                outcomes.append(outcome)
                print(report.line(outcome), flush=True)
                for words in outcome.contradictions:
                    print(f"          ✗ {words}", flush=True)
            town.client.close()
    return outcomes


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.chaos")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds, from --seed on")
    parser.add_argument("--rows", default="", help="some rows only, as 2,3,Q")
    parser.add_argument("--people", type=int, default=2000)
    parser.add_argument("--uncured", default="", help="a cure of tests.faults.uncured to take out")
    parser.add_argument("--short", action="store_true", help="the rows of make test, a small city")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything started is ended
    wanted = given.rows.split(",") if given.rows else SHORT if given.short else None
    rows = [row for row in MATRIX if wanted is None or row.number in wanted]
    people = min(given.people, 300) if given.short else given.people
    began = time.monotonic()
    outcomes: list[Outcome] = []
    for seed in range(given.seed, given.seed + given.seeds):
        print(
            f"seed {seed}, {people} people, rows {','.join(row.number for row in rows)}", flush=True
        )
        outcomes += run(rows, seed=seed, people=people, short=given.short, uncured=given.uncured)
    if wanted is None:
        outcomes += [
            Outcome(row=row, title="not run here", seed=0, verdict="not run", named=why)
            for row, why in NOT_HERE.items()
        ]
    print(report.table(outcomes))
    seconds = time.monotonic() - began
    name = "chaos-short.json" if given.short else "chaos.json"
    if not given.uncured:
        report.save(RESULTS / name, outcomes, people=people, seconds=seconds)
    print(f"{seconds:.0f} s; python -m tests.chaos --seed {given.seed} throws the same dice")
    broken = any(outcome.verdict == "broken" for outcome in outcomes)
    if given.uncured:
        print(
            f"without {given.uncured} a promise {'broke, as it must' if broken else 'held: why?'}"
        )
        return int(not broken)
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
