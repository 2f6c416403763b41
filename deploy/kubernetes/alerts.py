"""The alert and recording rules of ``deploy/prometheus`` as the Prometheus Operator takes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

RULES = Path(__file__).parents[1] / "prometheus"

Manifest = dict[str, Any]


def manifests() -> Iterator[Manifest]:
    """One resource for each file of rules."""
    for path in sorted(RULES.glob("*.yaml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if "groups" in content:
            yield {
                "apiVersion": "monitoring.coreos.com/v1",
                "kind": "PrometheusRule",
                "metadata": {"name": f"zhida-{path.stem}"},
                "spec": {"groups": content["groups"]},
            }
