"""The main job through the cluster: ``python -m deploy.kubernetes.trial.play < given.json``.

The demo's own story: roster, applications, a month paid and returned, re-payment, a death. What is
needed to check it and to go on working lies afterwards in ``told.json``.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import msgspec

from deploy.kubernetes.trial.stage import FILES, TOLD, Given, keep
from services.chassis.client import Client
from services.cli.demo import story
from services.cli.demo.evidence import Batch, Evidence
from services.cli.demo.story import Say
from services.cli.demo.world import World


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What the story leaves behind."""

    seconds: dict[str, float]
    passwords: dict[str, str]
    village: str
    death_to_stop_ms: float
    roster: str
    mail: str
    logs: str
    cycle: tuple[str, str, str]
    repayment: tuple[str, str, str] | None
    next_batch_id: str
    dead_person_id: str
    first_month: str

    @classmethod
    def of(cls, told: story.Told) -> Told:
        """From the story's own words."""
        found = story.gather(told)
        again = found.repayment
        return cls(
            seconds=told.world.seconds,
            passwords=told.world.passwords,
            village=told.world.village,
            death_to_stop_ms=told.death_to_stop_ms,
            roster=str(found.roster),
            mail=str(found.mail),
            logs=str(found.logs),
            cycle=_files(found.cycle),
            repayment=_files(again) if again else None,
            next_batch_id=found.next_batch_id,
            dead_person_id=found.dead_person_id,
            first_month=found.first_month,
        )

    def evidence(self, given: Given) -> Evidence:
        """Where the checks look: afresh."""
        return Evidence(
            database_urls=given.database_urls,
            broker=given.broker(),
            vhost=story.vhost(given.stack()),
            roster=Path(self.roster),
            mail=Path(self.mail),
            logs=Path(self.logs),
            cycle=_batch(self.cycle),
            repayment=_batch(self.repayment) if self.repayment else None,
            next_batch_id=self.next_batch_id,
            dead_person_id=self.dead_person_id,
            first_month=self.first_month,
        )


def _files(batch: Batch) -> tuple[str, str, str]:
    return batch.batch_id, str(batch.bank_file), str(batch.return_file)


def _batch(files: tuple[str, str, str]) -> Batch:
    batch_id, bank_file, return_file = files
    return Batch(batch_id, Path(bank_file), Path(return_file))


def main() -> int:
    """The command line."""
    given = msgspec.json.decode(sys.stdin.buffer.read(), type=Given)
    given.keep()
    began = time.monotonic()

    def say(words: str) -> None:
        sys.stderr.write(f"{time.monotonic() - began:7.1f} 秒  {words}\n")

    def opened(people: int, seed: int, folder: Path, _say: Say) -> World:
        folder.mkdir(parents=True, exist_ok=True)
        stack = given.stack()
        world = World(stack, Client(stack.amqp_uri), folder, people, seed)
        world.sign_in("admin", "admin", given.admin_password)
        return world

    told = Told.of(story.play(given.people, given.seed, FILES, say, opened))
    keep(TOLD, msgspec.json.encode(told))
    shown = {"seconds": told.seconds, "death_to_stop_ms": told.death_to_stop_ms}
    sys.stdout.buffer.write(msgspec.json.encode(shown) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
