"""Alerts, service levels and dashboards: complete, tested, in the operators' language.

That each series asked for exists is asked of a real Prometheus over a real stack: tests/e2e.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana.__main__ import written
from deploy.grafana.boards import BOARDS
from deploy.kubernetes import topology
from deploy.local.accounts import PROJECT
from tests.deploy.test_containers import COMPOSE

PROMETHEUS = PROJECT / "deploy" / "prometheus"
RULES = PROMETHEUS / "rules.yaml"
SCRAPES = PROMETHEUS / "prometheus.yaml"
TESTS = sorted((PROMETHEUS / "tests").glob("*.yaml"))
GRAFANA = PROJECT / "deploy" / "grafana"
TESTED = re.compile(r'ALERTS\{alertname="(\w+)", alertstate="firing"(?:, slo="(\w+)")?\}')
CHINESE = re.compile(r"[一-鿿]")
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


def rules() -> list[dict[str, Any]]:
    """All rules, recording and alerting."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
LEVELS = {
    rule["labels"]["slo"] for rule in rules() if rule.get("record") == "slo:error_budget:ratio"
}


def promtool(*arguments: str | Path) -> str:
    """What Prometheus' own checker says; fails with it."""
    done = subprocess.run(
        ["promtool", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_says_what_how_bad_and_where_to_read_on(name: str) -> None:
    """In Chinese, with a severity and a page that says what to look at and what to do."""
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in {"warning", "critical"}
    for said in ("summary", "description"):
        assert CHINESE.search(alert["annotations"][said])
    page = PROJECT / alert["annotations"]["runbook_url"]
    text = page.read_text(encoding="utf-8")
    assert page.stem == name
    assert text.startswith(f"# {name}\n")
    for heading in ("## 意味着什么", "## 先看", "## 处理"):
        assert heading in text


def test_every_page_has_its_alert() -> None:
    """No page outlives its alert; all stand in the list of pages."""
    pages = {page.stem for page in (PROJECT / "docs" / "runbooks").glob("*.md")} - {"README"}
    assert pages == set(ALERTS)
    listed = (PROJECT / "docs" / "runbooks" / "README.md").read_text(encoding="utf-8")
    assert [name for name in ALERTS if f"({name}.md)" not in listed] == []


def test_every_alert_is_seen_to_fire_and_to_stay_silent() -> None:
    """One test of each kind for every alert; for burn rates one of each kind a service level."""
    seen: dict[tuple[str, str], set[bool]] = defaultdict(set)
    for file in TESTS:
        for test in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]:
            for expected in test["promql_expr_test"]:
                found = TESTED.search(expected["expr"])
                assert found is not None, test["name"]
                seen[found[1], found[2] or ""].add(bool(expected["exp_samples"]))
    burning = {name for name in ALERTS if name.startswith("ServiceLevel")}
    wanted = {(name, "") for name in ALERTS if name not in burning}
    wanted |= {(name, level) for name in burning for level in LEVELS}
    assert len(LEVELS) == 5
    assert dict(seen) == {key: {True, False} for key in wanted}


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_alerts_do_as_their_tests_say(file: Path) -> None:
    """Run by Prometheus' own test tool."""
    promtool("test", "rules", file)


def test_every_service_level_is_measured_over_every_window() -> None:
    """A window that is missing would make a burn rate silent for ever."""
    for window in WINDOWS:
        recorded = [r for r in rules() if r.get("record") == f"slo:sli_error:ratio_rate{window}"]
        direct = {rule["labels"]["slo"] for rule in recorded if "labels" in rule}
        states = {
            rule["labels"]["slo"] for rule in rules() if rule.get("record") == "slo:sli_error:ratio"
        }
        assert any("avg_over_time" in rule["expr"] for rule in recorded)
        assert direct | states == LEVELS


def test_every_bounded_queue_of_other_bureaus_is_watched() -> None:
    """What refuses at 20,000 is told of before: no kind of event that bureaus send is left out."""
    (pattern,) = re.findall(r'queue=~"([^"]+)"', ALERTS["InboundNearLimit"]["expr"])
    bounded = {
        queue: given["x-max-length"]
        for queue, given in topology.layout().queues.items()
        if "x-max-length" in given and not queue.startswith("bureau.")
    }
    assert {q for q in topology.layout().queues if re.fullmatch(pattern, q)} == set(bounded)
    assert set(bounded.values()) == {20_000}


def test_configuration_and_rules_are_accepted() -> None:
    """By Prometheus' own checker."""
    promtool("check", "config", SCRAPES)
    promtool("check", "rules", RULES)


def test_every_process_of_the_compose_file_is_scraped() -> None:
    """At the port its health is on; the broker as a whole and by queue."""
    jobs = {
        job["job_name"]: set(job["static_configs"][0]["targets"])
        for job in yaml.safe_load(SCRAPES.read_text(encoding="utf-8"))["scrape_configs"]
    }
    waiting = {"broker", "databases", "mailbox"}
    processes = {
        name for name in COMPOSE["services"] if name not in waiting and not name.endswith("migrate")
    }
    assert jobs["zhida"] == {f"{name}:8080" for name in processes}
    assert jobs["rabbitmq"] == jobs["rabbitmq-queues"] == {"broker:15692"}


def test_dashboards_are_written_from_their_module() -> None:
    """The files Grafana reads are what ``python -m deploy.grafana`` writes."""
    assert {file.stem for file in GRAFANA.glob("*.json")} == {board.uid for board in BOARDS}
    for board in BOARDS:
        assert (GRAFANA / f"{board.uid}.json").read_text(encoding="utf-8") == written(board)


def test_dashboards_are_whole() -> None:
    """Panels have ids of their own, do not overlap, stay in the grid, and name their source."""
    for board in BOARDS:
        panels = json.loads(written(board))["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        taken: set[tuple[int, int]] = set()
        for panel in panels:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken, panel["title"]
            assert place["x"] + place["w"] <= 24
            taken |= cells
            if panel["type"] != "row":
                assert panel["datasource"]["uid"] == "${source}"
                assert panel["targets"]
                assert CHINESE.search(panel["title"])


def test_every_query_of_a_dashboard_parses(tmp_path: Path) -> None:
    """As a rule of its own each is accepted by Prometheus' own checker."""
    queries = [
        query.expr
        for board in BOARDS
        for row in board.rows
        for panel in row.panels
        for query in panel.queries
    ]
    drawn = [{"record": f"drawn:{n}", "expr": query} for n, query in enumerate(queries)]
    file = tmp_path / "drawn.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "drawn", "rules": drawn}]}))
    assert f"{len(queries)} rules found" in promtool("check", "rules", file)
