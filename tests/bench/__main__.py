"""``python -m tests.bench [NAME…]``: runs the benches, prints a table, keeps the figures.

Every module of this package with a function ``measure() -> {figure: {"value": …, …}}`` is a bench;
without names all run. Figures go into ``.zhida/bench.json`` (those of benches not run stay) and,
with machine and date, into ``docs/benchmarks.md``; what stands there under "Remarks" is kept.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / ".zhida" / "bench.json"
PAGE = ROOT / "docs" / "benchmarks.md"
REMARKS = "\n## Remarks\n"
BENCHES = (
    "events",
    "roster",
    "money",
    "growth",
    "consumers",
    "fanout",
    "replay",
    "submissions",
    "deaths",
)

LIMITS: dict[str, tuple[str, float, str]] = {
    "events_vs_nameko": ("≥", 4, "times plain nameko 2.14.1, end to end"),
    "events_vs_faststream": ("≥", 2.5, "times FastStream, end to end"),
    "events_vs_amqp": ("≥", 0.25, "of bare py-amqp publishing alone"),
    "import_110k_s": ("≤", 60, "s: 110,000 rows checked and stored with their events"),
    "import_110k_mb": ("≤", 500, "MB in any process of the import"),
    "cycle_110k_s": ("≤", 20, "s: a month computed and checked"),
    "bank_file_110k_s": ("≤", 10, "s: the bank file"),
    "settle_110k_s": ("≤", 20, "s: the return file settled"),
    "growth": ("≤", 1.2, "times the time per person at ten times the people"),
    "consumers_grow": ("≥", 1, "times one consumer, the best of 1 to 4 on one queue"),
    "fan_out_18_per_s": ("≥", 100, "events/s, each to 18 bureaus' queues"),
    "replay_per_s": ("≥", 5_000, "events/s from a stream into a projection"),
    "submission_p99_ms": ("≤", 100, "ms at 100 submissions/s"),
    "few_deaths_in_cycle_p99_ms": ("≤", 1_000, "ms to the stop, 2/s, while a month is computed"),
    "few_deaths_in_import_p99_ms": ("≤", 1_000, "ms to the stop, 2/s, while a roster is imported"),
    "death_in_cycle_p99_ms": ("≤", 1_000, "ms to the stop, 10/s, while a month is computed"),
    "death_in_import_p99_ms": ("≤", 1_000, "ms to the stop, 10/s, while a roster is imported"),
}


def machine() -> str:
    """What it was measured on."""
    name = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} × {name}, {memory:.0f} GB, Python {platform.python_version()}"


def holds(name: str, value: float) -> bool:
    """Whether a figure keeps its limit."""
    relation, limit, _ = LIMITS[name]
    return value >= limit if relation == "≥" else value <= limit


def table(figures: dict[str, dict[str, Any]]) -> list[str]:
    """The figures as a Markdown table."""
    lines = ["| figure | value | required | | more |", "| --- | --- | --- | --- | --- |"]
    for name, (relation, limit, meaning) in LIMITS.items():
        if name in figures:
            figure = dict(figures[name])
            value = figure.pop("value")
            verdict = "✓" if holds(name, value) else "✗"
            measured = figure.pop("measured", "")
            more = ", ".join(f"{key} {given}" for key, given in figure.items())
            lines.append(
                f"| `{name}` | **{value}** | {relation} {limit} {meaning} | {verdict} "
                f"| {more} ({measured}) |"
            )
    return lines


def keep(fresh: dict[str, dict[str, Any]]) -> list[str]:
    """Add figures to those kept, and write the page; its table."""
    known: dict[str, dict[str, Any]] = (
        json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    )
    figures = {**known, **fresh}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(figures, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    lines = table(figures)
    page = [
        "# Benchmarks",
        "",
        "Written by `make bench`; what each figure means stands in `tests/bench/`. `pace`: seconds",
        "for ten million additions before and after, since cores of a virtual machine vary.",
        "",
        f"Machine: {machine()}.",
        "",
        *lines,
    ]
    remarks = PAGE.read_text(encoding="utf-8").partition(REMARKS)[2] if PAGE.exists() else ""
    written = "\n".join(page) + "\n" + (REMARKS + remarks if remarks else "")
    PAGE.write_text(written, encoding="utf-8")
    return lines


def measured(name: str) -> dict[str, dict[str, Any]]:
    """The figures of one bench, each with commit, moment, the load it began under and the
    machine's pace before and after.
    """
    stamp = {"commit": commit(), "load": round(os.getloadavg()[0], 1)}
    before = pace()
    found = importlib.import_module(f"tests.bench.{name}").measure()
    stamp["pace"] = f"{before:.2f}–{pace():.2f} s"
    moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return {key: {**figure, **stamp, "measured": moment} for key, figure in found.items()}


def pace() -> float:
    """Seconds this machine takes over ten million additions.

    A virtual machine's cores have neighbours and run at half their pace at times: times and rates
    compare between two runs only where this is alike.
    """
    began, total = time.perf_counter(), 0
    for number in range(10_000_000):
        total += number
    return time.perf_counter() - began


def commit() -> str:
    """The commit that is measured."""
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()


def main(names: list[str]) -> int:
    """Run, print, and keep the figures of each bench as it ends; 1 when one misses its limit."""
    fresh: dict[str, dict[str, Any]] = {}
    for name in names or BENCHES:
        found = measured(name)
        fresh |= found
        keep(found)
        print("\n".join(table(found)), flush=True)
    return 0 if all(holds(key, fresh[key]["value"]) for key in fresh) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
