"""The dashboards of ``deploy/grafana`` as Grafana's sidecar finds them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

DASHBOARDS = Path(__file__).parents[1] / "grafana"

Manifest = dict[str, Any]


def manifests() -> Iterator[Manifest]:
    """One ConfigMap for each dashboard."""
    for path in sorted(DASHBOARDS.glob("*.json")):
        yield {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": f"dashboard-{path.stem}",
                "labels": {"grafana_dashboard": "1"},
            },
            "data": {path.name: path.read_text(encoding="utf-8")},
        }
