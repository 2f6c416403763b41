"""What is scraped, alerted on and drawn exists in the code under that name."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

import services
from deploy.local.accounts import PROJECT
from tests.deploy.test_containers import COMPOSE

RULES = PROJECT / "deploy" / "prometheus" / "rules.yaml"
SCRAPES = PROJECT / "deploy" / "prometheus" / "prometheus.yaml"
DASHBOARDS = sorted((PROJECT / "deploy" / "grafana").glob("*.json"))
NAME = re.compile(r"\bzhida_[a-z_]+\b")


def known() -> set[str]:
    """Every series name of the metrics that our modules declare."""
    for found in pkgutil.walk_packages(services.__path__, "services."):
        if found.name.rpartition(".")[2] in {"metrics", "measures", "observed"}:
            importlib.import_module(found.name)
    names: set[str] = set()
    for metric in REGISTRY.collect():
        kinds = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
        names |= {metric.name + ending for ending in kinds.get(metric.type, ("",))}
    return names


def alerts() -> list[dict[str, Any]]:
    """All alerts."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> list[str]:
    """Every expression of alerts and dashboards."""
    panels = [p for d in DASHBOARDS for p in json.loads(d.read_text(encoding="utf-8"))["panels"]]
    drawn = [target["expr"] for panel in panels for target in panel["targets"]]
    return [alert["expr"] for alert in alerts()] + drawn


def test_every_series_asked_for_exists() -> None:
    """A renamed metric fails here, not as an empty panel or an alert that never comes."""
    asked = {name for expression in expressions() for name in NAME.findall(expression)}
    assert asked
    assert asked <= known()


def test_every_alert_says_what_and_how_bad() -> None:
    """In Chinese, with a severity."""
    for alert in alerts():
        assert alert["labels"]["severity"] in {"warning", "critical"}
        for said in ("summary", "description"):
            assert re.search(r"[一-鿿]", alert["annotations"][said])


def test_every_process_of_the_compose_file_is_scraped() -> None:
    """At the port its health is on."""
    jobs = yaml.safe_load(SCRAPES.read_text(encoding="utf-8"))["scrape_configs"]
    (static,) = [job for job in jobs if "static_configs" in job]
    ports = {"portal": "8000"}
    waiting = {"broker", "databases", "mailbox"}
    processes = {
        name for name in COMPOSE["services"] if name not in waiting and not name.endswith("migrate")
    }
    assert set(static["static_configs"][0]["targets"]) == {
        f"{name}:{ports.get(name, '8080')}" for name in processes
    }


@pytest.mark.parametrize("what", ["config", "rules"])
def test_promtool_accepts_them(what: str) -> None:
    """Where Prometheus' own checker stands."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool on this machine")
    path = {"config": SCRAPES, "rules": RULES}[what]
    done = subprocess.run(
        [promtool, "check", what, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
