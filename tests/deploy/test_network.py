"""Network policies allow the arrows of the architecture and no other; the arrows are the code's."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import grimp
import pytest

from deploy.local.accounts import PROJECT
from services.chassis.discovery import NAMES
from tests.deploy.kustomize import Manifest
from tests.deploy.test_kubernetes import RENDERED, WORKLOADS, pod, template

Labels = dict[str, str]

CLIENTS = {"nameko": "broker", "kombu": "broker", "amqp": "broker", "psycopg2": "database",
           "smtplib": "mail"}  # fmt: skip
"""What a process that imports a library can speak to."""

STRANGERS = {"httpx", "requests", "aiohttp", "urllib3", "ftplib", "paramiko", "asyncpg", "pika",
             "redis", "smpplib", "apprise", "urllib.request", "http.client"}  # fmt: skip
"""Libraries that would be an arrow of their own; who brings one in draws it and allows it."""

PORTS = {"broker": 5672, "database": 5432}
OUTSIDE = "outside"
"""The trial's stand-in for the world: it may speak to all."""


class Arrow(NamedTuple):
    """Who may open a connection to whom, on which port."""

    source: str
    target: str
    port: int


@cache
def imports() -> dict[str, set[str]]:
    """For each process every module it can come to import, libraries by their first name."""
    graph = grimp.build_graph("services", include_external_packages=True, cache_dir=None)
    reached = {}
    for process in (*NAMES, "portal"):
        roots = {m for m in graph.modules if f"{m}.".startswith(f"services.{process}.")}
        if process in NAMES:
            roots |= {"services.chassis.runner", "services.chassis.migrate"}
        reached[process] = roots.union(*(graph.find_upstream_modules(root) for root in roots))
    return reached


def drawn() -> set[Arrow]:
    """The arrows that follow from the code: who imports the client of what."""
    arrows = set()
    for process, modules in imports().items():
        for target in {CLIENTS[library] for library in modules & CLIENTS.keys()}:
            if target == "broker":
                arrows.add(Arrow(process, "broker", PORTS["broker"]))
            if target == "database":
                arrows.add(Arrow(process, f"{process}-db", PORTS["database"]))
                arrows |= {
                    Arrow(f"{process}-{job}", f"{process}-db", PORTS["database"])
                    for job in ("migrate", "audit")
                }
    return arrows


def mailers() -> set[str]:
    """The processes that speak to a mail server."""
    return {process for process, modules in imports().items() if "smtplib" in modules}


def pods(place: str) -> dict[str, Labels]:
    """The labels of every pod by workload; a city's operators make broker and databases."""
    found = {
        each["metadata"]["name"]: template(each)["metadata"]["labels"]
        for each in RENDERED[place]
        if each["kind"] in WORKLOADS
    }
    if place == "city":
        found["broker"] = {
            "app.kubernetes.io/name": "broker",
            "app.kubernetes.io/component": "rabbitmq",
            "app.kubernetes.io/part-of": "rabbitmq",
        }
        found |= {f"{name}-db": {"cnpg.io/cluster": f"{name}-db"} for name in NAMES}
    return found


def selects(selector: Manifest, labels: Labels) -> bool:
    """Whether a label selector takes these labels. Only ``matchLabels`` is read here."""
    assert selector.keys() <= {"matchLabels"}
    return bool(selector.get("matchLabels", {}).items() <= labels.items())


def rules(place: str, direction: str, labels: Labels) -> Iterator[Manifest]:
    """The rules of one direction that hold for a pod."""
    for policy in RENDERED[place]:
        if policy["kind"] == "NetworkPolicy" and selects(policy["spec"]["podSelector"], labels):
            yield from policy["spec"].get(direction, ())


def allows(found: Iterable[Manifest], end: str, labels: Labels, port: int) -> bool:
    """Whether a rule names a pod of ours with these labels, and the port."""
    return any(
        any("podSelector" in p and "namespaceSelector" not in p
            and selects(p["podSelector"], labels) for p in rule.get(end, ()))
        and ("ports" not in rule or port in [each["port"] for each in rule["ports"]])
        for rule in found
    )  # fmt: skip


def allowed(place: str) -> set[Arrow]:
    """Every connection between two workloads that both ends' policies let through."""
    known = pods(place)
    ports = {each["port"] for policy in RENDERED[place] if policy["kind"] == "NetworkPolicy"
             for direction in ("ingress", "egress") for rule in policy["spec"].get(direction, ())
             for each in rule.get("ports", ())}  # fmt: skip
    return {
        Arrow(source, target, port)
        for source, target, port in product(known, known, ports)
        if source != target
        and OUTSIDE not in (source, target)
        and allows(rules(place, "egress", known[source]), "to", known[target], port)
        and allows(rules(place, "ingress", known[target]), "from", known[source], port)
    }


@pytest.mark.parametrize("place", ["dev", "city"])
def test_the_policies_allow_the_arrows_of_the_code_and_no_other(place: str) -> None:
    """Each service its own database and the broker; no service another; nobody else anything."""
    assert allowed(place) == drawn()


def test_the_nodes_of_the_broker_reach_one_another() -> None:
    """Names, distribution, and the ports on which streams are copied: without the last no archive
    confirms anything, and no event leaves an outbox."""
    labels = pods("city")["broker"]
    for direction, end in (("ingress", "from"), ("egress", "to")):
        found = [
            (each["port"], each.get("endPort", each["port"]))
            for rule in rules("city", direction, labels)
            if any(selects(p.get("podSelector", {"matchLabels": {"no": "pod"}}), labels)
                   for p in rule.get(end, ()))
            for each in rule["ports"]
        ]  # fmt: skip
        assert {(4369, 4369), (25672, 25672), (6000, 6500)} <= set(found), direction


@pytest.mark.parametrize("place", ["dev", "city"])
def test_what_no_policy_names_is_refused_both_ways(place: str) -> None:
    """Default deny for every pod of the namespace."""
    (deny,) = [m for m in RENDERED[place] if m["metadata"]["name"] == "deny-all"]
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def open_ends(place: str, labels: Labels, direction: str, end: str) -> list[Any]:
    """The rules of a pod that name no pod of ours: an address, a namespace, or nobody at all."""
    return [
        rule
        for rule in rules(place, direction, labels)
        if not all("podSelector" in peer for peer in rule.get(end, ())) or not rule.get(end)
    ]


@pytest.mark.parametrize("place", ["dev", "city"])
def test_only_notify_reaches_out_of_the_namespace(place: str) -> None:
    """To the mail server alone; broker and databases reach their operators' API."""
    known = pods(place)
    assert mailers() == {"notify"}
    for name, labels in known.items():
        out = open_ends(place, labels, "egress", "to")
        if name == "broker" or name.endswith("-db"):
            assert [[p["port"] for p in rule["ports"]] for rule in out] == [[443, 6443]]
        elif name == "notify" and place == "city":
            ((block,),) = [rule["to"] for rule in out]
            assert block["ipBlock"]["cidr"].endswith("/32")
        elif name != OUTSIDE:
            assert out == []
    if place == "dev":
        to_mail = rules(place, "egress", known["notify"])
        assert allows(to_mail, "to", known[OUTSIDE], 2525)


@pytest.mark.parametrize("place", ["dev", "city"])
def test_who_comes_in_from_other_namespaces(place: str) -> None:
    """Prometheus to the metrics, the ingress to the portal, operators to what they operate."""
    for name, labels in pods(place).items():
        comers: set[tuple[str, int]] = set()
        for rule in open_ends(place, labels, "ingress", "from"):
            for peer in rule["from"]:
                if space := peer.get("namespaceSelector", {}).get("matchLabels"):
                    comers |= {(*space.values(), port["port"]) for port in rule["ports"]}
        if name == "broker":
            expected = {("keda", 5672), ("rabbitmq-system", 15672), ("monitoring", 15692)}
        elif name.endswith("-db"):
            expected = {("cnpg-system", 5432), ("cnpg-system", 8000), ("monitoring", 9187)}
        elif name == "portal":
            expected = {("ingress", 8000), ("monitoring", 8080)}
        elif name in NAMES:
            expected = {("monitoring", 8080)}
        else:
            expected = set()
        assert comers == expected, name


def test_the_ports_of_the_policies_are_those_of_the_pods() -> None:
    """Prometheus is let in where the metrics are."""
    for deployment in RENDERED["dev"]:
        if deployment["kind"] == "Deployment" and deployment["metadata"]["name"] != OUTSIDE:
            ports = {each["containerPort"] for each in pod(deployment)["containers"][0]["ports"]}
            labels = deployment["spec"]["template"]["metadata"]["labels"]
            found = rules("dev", "ingress", labels)
            named = {p["port"] for rule in found for p in rule.get("ports", ())}
            assert named == ports


def test_no_process_brings_in_another_way_out() -> None:
    """A library that opens connections of its own kind is an arrow nobody drew."""
    ours = set().union(*imports().values())
    asked = {module for module in ours if module in STRANGERS}
    for module in ours:
        if module.startswith("services."):
            asked |= _named_in(module) & STRANGERS
    assert asked == set()


def _named_in(module: str) -> set[str]:
    """The dotted names a module imports."""
    path = PROJECT.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    found: set[str] = set()
    for node in ast.walk(ast.parse(Path(file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found
