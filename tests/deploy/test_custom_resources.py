"""Custom resources: equal to what the code declares, and as their operators take them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from deploy.kubernetes import generate, topology
from deploy.local.accounts import PROJECT
from services.chassis import rights
from services.chassis.discovery import NAMES, service_class
from services.chassis.service import work_queues
from tests.deploy.kustomize import LOADER, Manifest
from tests.deploy.test_kubernetes import RENDERED, is_built_in
from tests.deploy.tools import uv

CRDS = Path(os.environ.get("ZHIDA_CRDS") or PROJECT.parent / "shared" / "crds")
"""Downloaded definitions; they belong to their projects and are not kept in ours."""

OURS_TO_CHECK = [each for each in RENDERED["city"] if not is_built_in(each)]
WITHOUT_CRD = {"keda.sh", "external-secrets.io"}
"""KEDA's are checked by the models of a package, below. For External Secrets nothing at hand has
the schema of today's version: its resources are read by hand only."""


def of(group: str, *kinds: str) -> list[Manifest]:
    """The city's resources of a group."""
    return [
        each
        for each in OURS_TO_CHECK
        if each["apiVersion"].partition("/")[0] == group and (not kinds or each["kind"] in kinds)
    ]


# -- equal to the code ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", generate.FILES, ids=lambda path: path.name)
def test_what_follows_from_the_code_is_up_to_date(path: Path) -> None:
    """Otherwise: `python -m deploy.kubernetes.generate`."""
    assert path.read_text(encoding="utf-8") == generate.text(path)


def test_the_topology_is_the_code_s() -> None:
    """Every queue with its arguments, every exchange, every binding; read back from the YAML."""
    declared = topology.layout()
    queues = {
        each["spec"]["name"]: {"x-queue-type": each["spec"]["type"]}
        | each["spec"].get("arguments", {})
        for each in of("rabbitmq.com", "Queue")
    }
    assert queues == declared.queues
    assert all(each["spec"]["durable"] for each in of("rabbitmq.com", "Queue", "Exchange"))
    assert all(q["spec"]["deletionPolicy"] == "retain" for q in of("rabbitmq.com", "Queue"))
    exchanges = {each["spec"]["name"] for each in of("rabbitmq.com", "Exchange")}
    assert exchanges == set(declared.exchanges)
    bindings = {
        (each["spec"]["destination"], each["spec"]["source"], each["spec"]["routingKey"])
        for each in of("rabbitmq.com", "Binding")
    }
    assert bindings == set(declared.bindings)


def test_the_users_are_those_of_the_rights() -> None:
    """One a process, with the permissions the code derives and a password by reference."""
    expected = {user.user: user.definitions("zhida") for user in rights.of_all()}
    users = {each["metadata"]["name"]: each["spec"] for each in of("rabbitmq.com", "User")}
    assert users.keys() == expected.keys() == {*NAMES, *rights.EDGES}
    given: dict[str, dict[str, list[Any]]] = {
        name: {"permissions": [], "topic_permissions": []} for name in users
    }
    for kind, key in (("Permission", "permissions"), ("TopicPermission", "topic_permissions")):
        for each in of("rabbitmq.com", kind):
            name, spec = each["spec"]["userReference"]["name"], each["spec"]
            where = {"user": name, "vhost": spec["vhost"]}
            given[name][key].append(where | spec["permissions"])
    assert given == expected
    for name, spec in users.items():
        assert spec["importCredentialsSecret"] == {"name": f"broker-{name}"}
        assert "tags" not in spec


def test_each_service_grows_with_its_own_queues() -> None:
    """All of them, between two and six replicas, asked with the service's own address."""
    scaled = {each["metadata"]["name"]: each["spec"] for each in of("keda.sh", "ScaledObject")}
    assert scaled.keys() == set(NAMES)
    for name, spec in scaled.items():
        asked = {trigger["metadata"]["queueName"] for trigger in spec["triggers"]}
        assert asked == {queue.name for queue in work_queues(service_class(name), ())}
        assert (spec["minReplicaCount"], spec["scaleTargetRef"]) == (2, {"name": name})
        (deployment,) = [
            each
            for each in RENDERED["city"]
            if each["kind"] == "Deployment" and each["metadata"]["name"] == name
        ]
        assert "replicas" not in deployment["spec"]


def test_every_service_has_a_cluster_and_a_nightly_backup() -> None:
    """Three instances, one of them synchronous; the backups kept thirty days."""
    clusters = {
        each["metadata"]["name"]: each["spec"] for each in of("postgresql.cnpg.io", "Cluster")
    }
    assert clusters.keys() == {f"{name}-db" for name in NAMES}
    for name in NAMES:
        spec = clusters[f"{name}-db"]
        assert spec["instances"] == 3
        assert spec["postgresql"]["synchronous"]["number"] == 1
        assert spec["bootstrap"]["initdb"]["database"] == name
        assert spec["backup"]["retentionPolicy"] == "30d"
        assert spec["backup"]["barmanObjectStore"]["destinationPath"].endswith(f"/{name}")
    backups = of("postgresql.cnpg.io", "ScheduledBackup")
    assert {each["spec"]["cluster"]["name"] for each in backups} == clusters.keys()
    assert len({each["spec"]["schedule"] for each in backups}) == len(NAMES)


def test_every_secret_that_is_used_comes_from_somewhere() -> None:
    """Each Secret that a pod, a cluster, a user or a backup names has its ExternalSecret."""
    text = json.dumps([m for m in RENDERED["city"] if m["kind"] != "ExternalSecret"])
    named = set(
        re.findall(
            r'"(?:secretRef|importCredentialsSecret|secret|s3Credentials|passwordSecret)": '
            r'\{"name": "([^"]+)"(?!, "optional": true)',  # authorities' are the operators'
            text,
        )
    )
    named |= set(re.findall(r'"secretKeyRef": \{"name": "([^"]+)"', text))
    named |= set(re.findall(r'"(?:accessKeyId|secretAccessKey)": \{"name": "([^"]+)"', text))
    named |= set(re.findall(r'"parameter": "host", "name": "([^"]+)"', text))
    kept = {each["spec"]["target"]["name"] for each in of("external-secrets.io", "ExternalSecret")}
    assert named == kept
    for each in of("external-secrets.io", "ExternalSecret"):
        assert each["spec"]["secretStoreRef"] == {"kind": "ClusterSecretStore", "name": "zhida"}


# -- as the operators take them -------------------------------------------------------------------


@cache
def definitions() -> dict[tuple[str, str], Any]:
    """A strict validator for each (apiVersion, kind) in the folder of definitions."""
    found = {}
    for path in sorted(CRDS.glob("*.yaml")):
        for crd in yaml.load_all(path.read_text(encoding="utf-8"), LOADER):
            if crd and crd.get("kind") == "CustomResourceDefinition":
                for version in crd["spec"]["versions"]:
                    schema = _closed(version["schema"]["openAPIV3Schema"])
                    schema["properties"]["metadata"] = {"type": "object"}
                    kind = (
                        f"{crd['spec']['group']}/{version['name']}",
                        crd["spec"]["names"]["kind"],
                    )
                    found[kind] = jsonschema.Draft4Validator(schema)
    return found


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, in which an unknown field is an error."""
    out = dict(schema)
    if out.pop("x-kubernetes-int-or-string", None):
        out.pop("type", None)
        out["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if "properties" in out:
        out["properties"] = {key: _closed(value) for key, value in out["properties"].items()}
        if not out.get("x-kubernetes-preserve-unknown-fields"):
            out.setdefault("additionalProperties", False)
    for key in ("items", "additionalProperties"):
        if isinstance(out.get(key), dict):
            out[key] = _closed(out[key])
    out.pop("pattern", None)  # Go's regular expressions
    return out


@pytest.fixture
def schemas() -> dict[tuple[str, str], Any]:
    """Skips, and says so, where the definitions are not beside the project."""
    if not CRDS.is_dir():
        pytest.skip(f"no custom resource definitions in {CRDS} (set ZHIDA_CRDS)")
    return definitions()


def test_custom_resources_fit_their_definitions(schemas: dict[tuple[str, str], Any]) -> None:
    """RabbitMQ, CloudNativePG and Prometheus resources, an unknown field being an error."""
    wrong, checked = [], 0
    for each in OURS_TO_CHECK:
        if each["apiVersion"].partition("/")[0] in WITHOUT_CRD:
            continue
        checked += 1
        errors = schemas[each["apiVersion"], each["kind"]].iter_errors(each)
        wrong += [
            f"{each['kind']}/{each['metadata']['name']}: {e.json_path} {e.message}" for e in errors
        ]
    assert wrong == []
    assert checked > 200


def test_a_misspelt_field_of_a_custom_resource_is_seen(schemas: dict[tuple[str, str], Any]) -> None:
    """The check above can fail."""
    queue = of("rabbitmq.com", "Queue")[0]
    wrong = {**queue, "spec": {**queue["spec"], "durrable": True}}
    assert not schemas[queue["apiVersion"], "Queue"].is_valid(wrong)


READ_BACK = """
import json, sys
from cloudcoil.models.keda import v1alpha1
good = []
for each in json.load(sys.stdin):
    model = getattr(v1alpha1, each["kind"]).model_validate(each)
    good.append(model.model_dump(mode="json", by_alias=True, exclude_unset=True) == each)
print(json.dumps(good))
"""


def test_keda_reads_back_what_we_wrote() -> None:
    """By the models of a package made from KEDA's own definitions: no field unknown or lost."""
    resources = of("keda.sh")
    misspelt = {**resources[1], "spec": {**resources[1]["spec"], "minReplicas": 2}}
    done = subprocess.run(
        [*uv(), "run", "--project", "deploy/checks", "--group", "schemas", "--isolated",
         "--frozen", "python", "-c", READ_BACK],
        input=json.dumps([*resources, misspelt]), capture_output=True, text=True, cwd=PROJECT,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [*[True] * len(resources), False]


def test_the_cluster_s_alerts_fire_and_stay_silent(tmp_path: Path) -> None:
    """By promtool; and the page each names is there."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool on this machine")
    (rule,) = [
        each
        for each in of("monitoring.coreos.com", "PrometheusRule")
        if each["metadata"]["name"] == "zhida-cluster"
    ]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]), encoding="utf-8")
    tests = Path(__file__).with_name("cluster_alerts.yaml").read_text(encoding="utf-8")
    (tmp_path / "tests.yaml").write_text(tests, encoding="utf-8")
    done = subprocess.run(
        [promtool, "test", "rules", str(tmp_path / "tests.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for alert in rule["spec"]["groups"][0]["rules"]:
        assert tests.count(f"alertname: {alert['alert']}") >= 3
        page, _, section = alert["annotations"]["runbook_url"].partition("#")
        text = (PROJECT / page).read_text(encoding="utf-8")
        assert f"# {section.replace('-', ' ')}" in text.lower()
