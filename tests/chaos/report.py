"""What came of it: a line a row while it runs, a table at the end, and ``.zhida/chaos.json``."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import msgspec


class Outcome(msgspec.Struct, kw_only=True):
    """What a row found."""

    row: str
    title: str
    seed: int
    verdict: str
    """held, broken or not run."""
    recovery_s: float | None = None
    """From the end of the fault until a fact said after it has reached every service."""
    allowed_s: float | None = None
    fault_s: float = 0.0
    answers: int = 0
    slowest_answer_s: float = 0.0
    events: int = 0
    duplicates: int = 0
    restarts: int = 0
    alert: str = ""
    named: str = ""
    """What the system does, in words."""
    seen: dict[str, float | str] = {}
    """What was measured besides."""
    contradictions: list[str] = []


def line(outcome: Outcome) -> str:
    """One line for the terminal."""
    recovery = "" if outcome.recovery_s is None else f"{outcome.recovery_s:6.1f} s"
    return (
        f"{outcome.row:>6}  {outcome.title:<46.46}  {outcome.verdict:<8} {recovery:>9}"
        f"  {outcome.answers:5} answers  {outcome.events:6} events"
    )


def table(outcomes: list[Outcome]) -> str:
    """All rows, and what contradicted the promises."""
    lines = ["", "   row  what was hurt                                   verdict  recovery"]
    for outcome in outcomes:
        lines.append(line(outcome))
        lines += [f"          ✗ {words}" for words in outcome.contradictions[:12]]
        if outcome.verdict == "not run":
            lines.append(f"          {outcome.named}")
    broken = sum(outcome.verdict == "broken" for outcome in outcomes)
    held = sum(outcome.verdict == "held" for outcome in outcomes)
    lines.append(f"\n{held} held, {broken} broken, {len(outcomes) - held - broken} not run")
    return "\n".join(lines)


def save(path: Path, outcomes: list[Outcome], *, people: int, seconds: float) -> None:
    """Everything, for programs."""
    document = {
        "machine": {"python": platform.python_version(), "kernel": platform.release()},
        "people": people,
        "seconds": round(seconds, 1),
        "rows": [msgspec.to_builtins(outcome) for outcome in outcomes],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", "utf-8")
