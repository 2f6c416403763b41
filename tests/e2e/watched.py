"""What a Prometheus from Debian's package sees of a stack on which the main job has been played."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deploy.grafana.boards import BOARDS
from deploy.local.monitoring import Prometheus, watching
from deploy.local.stack import Stack

SAID = ("seconds", "computing", "doing")
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-|\d{11,}")
"""What no label may hold: an id of ours, a long number."""


def look(stack: Stack, folder: Path) -> dict[str, Any]:
    """Scrape the stack a few times and say what was found."""
    with watching(stack, folder) as prometheus:
        _until(lambda: set(prometheus.targets().values()) == {"up"})
        _until(lambda: _evaluated(prometheus) and "slo:sli_error:ratio" in prometheus.names())
        # measured each half minute, of the bureau that joined last of all
        _until(lambda: "zhida_bureau_queue_limit" in prometheus.names())
        # a rate wants two looks at every target; a third, for one that came late
        _until(lambda: prometheus.query("min(count_over_time(up[10m])) >= 3"))
        series = prometheus.ask('series?match[]={job="zhida"}')
        return {
            "targets": prometheus.targets(),
            "rules": [
                {"name": rule["name"], "health": rule["health"], "error": rule.get("lastError")}
                for rule in prometheus.rules()
            ],
            "names": sorted(prometheus.names()),
            "series": Counter(each["instance"] for each in series),
            "suspicious": sorted(
                {
                    f"{each['__name__']}{{{name}={value}}}"
                    for each in series
                    for name, value in each.items()
                    if name != "instance" and ID.search(value)
                }
            ),
            "drawn": {
                query.expr: len(prometheus.query(query.expr))
                for board in BOARDS
                for row in board.rows
                for panel in row.panels
                for query in panel.queries
            },
            "firing": sorted(
                each["metric"]["alertname"]
                for each in prometheus.query('ALERTS{alertstate=~"firing|pending"}')
            ),
            "held": _by_service(prometheus, "zhida_hub_held_total"),
            "lag": _by_service(prometheus, "zhida_hub_lag_seconds_count"),
            "lag_within_100_ms": _by_service(prometheus, 'zhida_hub_lag_seconds_bucket{le="0.1"}'),
            "delay": [
                [each["metric"].get("service"), each["metric"].get("le"), each["value"][1]]
                for each in prometheus.query(
                    'zhida_event_delay_seconds_bucket{lane="interactive", le=~"1.0|10.0|[+]Inf"}'
                )
            ],
        }


def _by_service(prometheus: Prometheus, expression: str) -> dict[str, float]:
    return {
        each["metric"]["service"]: float(each["value"][1]) for each in prometheus.query(expression)
    }


def _evaluated(prometheus: Prometheus) -> bool:
    return all(not rule["lastEvaluation"].startswith("0001") for rule in prometheus.rules())


def _until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def held(logs: Path) -> list[dict[str, Any]]:
    """Every ``hub_held`` in the services' logs, the longest first."""
    found = []
    for file in logs.glob("*.log"):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            if '"hub_held"' in line:
                entry = json.loads(line)
                found.append({"service": file.stem} | {name: entry[name] for name in SAID})
    return sorted(found, key=lambda entry: -entry["seconds"])
