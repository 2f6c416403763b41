"""The dice: which worlds take which step, and what goes wrong in it."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.chassis.inbox import Delivery
from services.contracts.events import Event
from tests.simulation.pipes import Broker, Crash, Producer, dying

STEPS = 30
SAID_WITHIN = 14
"""Steps within which everything a world has to say is said."""

GROUPS = 5
"""Commands a step: the worlds of a group share one, and what happens to it."""

FATES = ((None, 0.62), ("before_commit", 0.2), ("after_commit", 0.18))
"""How a batch or a command ends: well, with the process dead before its commit or just after."""

REPEATED, LOST, OVERTAKEN, RELAY = "repeated", "queue lost", "overtaken", "relay died"
COMMAND = "command asked again"


@dataclass
class Histories:
    """Everything that happened to each world."""

    steps: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    faults: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    transactions: int = 0
    deliveries: int = 0

    def fault(self, world: int, kind: str) -> None:
        """One more fault in a world's history."""
        self.faults[world][kind] += 1
        self.steps[world].append(f"!{kind}")

    def distinct(self) -> int:
        """How many histories differ from all others."""
        return len({tuple(steps) for steps in self.steps.values()})

    def by_kind(self) -> Counter[str]:
        """All faults of all histories."""
        return sum(self.faults.values(), Counter())


@dataclass
class Dice:
    """Plays the histories of many worlds at once."""

    speaker: Producer
    answerer: Producer
    broker: Broker
    lives: Sequence[Sequence[Event]]
    rng: random.Random
    told: Histories = field(default_factory=Histories)

    def play(self) -> Histories:
        """Thirty steps of every world, and then everything that is still on its way."""
        for step in range(STEPS):
            if step < SAID_WITHIN:
                self._say(step)
            self._relay()
            self._deliver()
        self._come_to_rest()
        return self.told

    def _fate(self) -> str | None:
        kinds, weights = zip(*FATES, strict=True)
        return self.rng.choices(kinds, weights)[0]  # type: ignore[no-any-return]

    # -- saying ----------------------------------------------------------------------------------

    def _say(self, step: int) -> None:
        """A command a group of worlds, asked with its key until it is answered."""
        for group in range(GROUPS):
            worlds = range(group, len(self.lives), GROUPS)
            page: list[Event] = []
            for world in worlds:
                life = self.lives[world]
                first, last = (len(life) * s // SAID_WITHIN for s in (step, step + 1))
                page += life[first:last]
            self.speaker.pages.append(page)
            number = len(self.speaker.pages) - 1
            while (fate := self._fate()) is not None:
                with dying(fate):
                    try:
                        self.speaker.say(number, key=f"page {number}")
                    except Crash:
                        for world in worlds:
                            self.told.fault(world, COMMAND)
            self.speaker.say(number, key=f"page {number}")

    def _relay(self) -> None:
        for producer in (self.speaker, self.answerer):
            died = False

            def forgetful() -> bool:
                nonlocal died
                died = not died and self.rng.random() < 0.1
                return died

            for rows in producer.relay(forgetful=forgetful):
                worlds = self.broker.publish(rows)
                if died:
                    for world in worlds:
                        self.told.fault(world, RELAY)

    # -- delivering ------------------------------------------------------------------------------

    def _deliver(self) -> None:
        """One step of every world; equal ones are one transaction."""
        together: dict[tuple[str, str | None], list[tuple[int, Delivery]]] = defaultdict(list)
        for world in range(len(self.lives)):
            waiting = self.broker.waiting[world]
            busy = [name for name, letters in waiting.items() if letters]
            chance = self.rng.random()
            if chance < 0.08 or not busy:
                if self.broker.redeliver(world, self.rng):
                    self.told.fault(world, REPEATED)
                else:
                    self.told.steps[world].append("nothing")
                continue
            name = self.rng.choice(busy)
            if chance < 0.11:
                self.broker.lose_queue(world, name)
                self.told.fault(world, LOST)
                continue
            letters = waiting[name]
            at = self.rng.randrange(len(letters))
            if at:
                self.told.fault(world, OVERTAKEN)
            fate = self._fate()
            together[name, fate].append((world, letters[at]))
            self.told.steps[world].append(f"{name}:{letters[at].event_id.int % 997}")
            if fate is not None:
                self.told.fault(world, fate)
        for name, fate in sorted(together, key=str):
            self._take(name, fate, together[name, fate])

    def _take(self, name: str, fate: str | None, batch: list[tuple[int, Delivery]]) -> None:
        self.rng.shuffle(batch)
        self.told.transactions += 1
        self.told.deliveries += len(batch)
        with dying(fate):
            try:
                self.broker.queues[name].take([letter for _, letter in batch])
            except Crash:
                return  # not acknowledged: all of it comes again
        for world, letter in batch:
            self.broker.waiting[world][name].remove(letter)

    def _come_to_rest(self) -> None:
        """No more faults: everything that waits is delivered, and what follows from it."""
        while True:
            for producer in (self.speaker, self.answerer):
                for rows in producer.relay(forgetful=lambda: False):
                    self.broker.publish(rows)
            batches = {
                name: [
                    (world, letter)
                    for world in range(len(self.lives))
                    for letter in self.broker.waiting[world][name]
                ]
                for name in self.broker.queues
            }
            if not any(batches.values()):
                return
            for name, batch in batches.items():
                if batch:
                    self._take(name, None, batch)
