"""The Kubernetes base: valid, hardened, and what it gives the processes starts them."""

from __future__ import annotations

import re
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import kubernetes_validate
import pytest
import yaml

from deploy import secrets
from deploy.local.accounts import PROJECT
from services.chassis import amqp_io, audit_verification
from services.chassis.discovery import NAMES
from services.chassis.settings import Settings, SettingsError
from services.notify.settings import GatewaySettings
from services.portal.settings import PortalSettings
from services.registry.settings import RegistrySettings
from tests.deploy.kustomize import LOADER, Manifest, render

KUBERNETES = PROJECT / "deploy" / "kubernetes"
PLACES = {
    "base": KUBERNETES / "base",
    "dev": KUBERNETES / "overlays" / "dev",
    "city": KUBERNETES / "overlays" / "city",
}
RENDERED = {place: render(folder) for place, folder in PLACES.items()}
BUILT_IN = {"v1", "apps/v1", "batch/v1", "policy/v1", "networking.k8s.io/v1"}
PROCESSES = (*NAMES, "portal")
CITY = {
    "NOTIFY_SMTP_URL": "smtp://mail.honghu.example",
    "NOTIFY_SMS_MAIL_FORM": "{number}@sms.honghu.example",
    "NOTIFY_MAIL_FROM": "zhida@honghu.example",
}
"""What base/notify/settings.yaml leaves to the city."""


def newest_minors(count: int = 3) -> list[str]:
    """The newest Kubernetes minors that the validator knows."""
    folder = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
    found = {
        (int(match[1]), int(match[2]))
        for path in folder.iterdir()
        if (match := re.match(r"v(\d+)\.(\d+)\.\d+-local-strict$", path.name))
    }
    return [f"{major}.{minor}" for major, minor in sorted(found)[-count:]]


MANIFESTS = RENDERED["base"]


def is_built_in(manifest: Manifest) -> bool:
    """Whether every cluster knows it, without an operator."""
    return manifest["apiVersion"] in BUILT_IN


def of_kind(*kinds: str) -> list[Manifest]:
    """The rendered objects of some kinds."""
    return [manifest for manifest in MANIFESTS if manifest["kind"] in kinds]


def name_of(manifest: Manifest) -> str:
    """kind/name, for the test's own name."""
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def one(kind: str, name: str) -> Manifest:
    """The rendered object of that kind and name."""
    (found,) = [m for m in of_kind(kind) if m["metadata"]["name"] == name]
    return found


def strings(value: Any) -> Iterator[str]:
    """Every string within a manifest."""
    if isinstance(value, dict):
        for each in value.values():
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)
    elif isinstance(value, str):
        yield value


PODS = of_kind("Deployment", "Job", "CronJob")


WORKLOADS = ("Deployment", "StatefulSet", "Job", "CronJob")
EVERY_POD = [
    pytest.param(manifest, id=f"{place}/{name_of(manifest)}")
    for place, manifests in RENDERED.items()
    for manifest in manifests
    if manifest["kind"] in WORKLOADS
]
VOLUMES = {"emptyDir", "secret", "configMap", "projected"}


def template(workload: Manifest) -> Manifest:
    """The pods of a workload: their labels and their specification."""
    spec = workload["spec"]
    found: Manifest = spec.get("jobTemplate", {"spec": spec})["spec"]["template"]
    return found


def pod(workload: Manifest) -> dict[str, Any]:
    """The pod specification of a workload."""
    spec: dict[str, Any] = template(workload)["spec"]
    return spec


@pytest.mark.parametrize("version", newest_minors())
@pytest.mark.parametrize("place", PLACES)
def test_every_object_is_valid_for_the_newest_minors(
    place: str, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strictly: an unknown field is an error. (Custom resources: test_custom_resources.py.)"""
    core = [each for each in RENDERED[place] if is_built_in(each)]
    assert len(core) >= 30
    read_once = cache(kubernetes_validate.utils.schema_contents)  # it would for every object
    monkeypatch.setattr(kubernetes_validate.utils, "schema_contents", read_once)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for manifest in core:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_the_validator_refuses_a_misspelt_field() -> None:
    """The check above can fail."""
    wrong = {**one("Deployment", "cases"), "spec": {**one("Deployment", "cases")["spec"], "x": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, newest_minors()[-1], strict=True)


@pytest.mark.parametrize("place", PLACES)
def test_kubectl_renders_the_same(place: str) -> None:
    """Where a kubectl with today's Kustomize stands, it agrees with our own reading."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl on this machine")
    done = subprocess.run(
        [kubectl, "kustomize", str(PLACES[place])], capture_output=True, text=True, check=False
    )
    if "labels" in done.stderr or "components" in done.stderr:
        pytest.skip("this kubectl's Kustomize is too old for `labels` and `components`")
    assert done.returncode == 0, done.stderr
    theirs = {name_of(m): m for m in yaml.load_all(done.stdout, LOADER)}
    assert theirs == {name_of(m): m for m in RENDERED[place]}


def test_no_file_is_left_out() -> None:
    """Every manifest below base, components and overlays is named by a kustomization, and every
    component by an overlay."""
    named: set[Path] = set()
    for plan in KUBERNETES.rglob("kustomization.yaml"):
        content = yaml.safe_load(plan.read_text())
        parts = (*content.get("resources", ()), *content.get("components", ()))
        named |= {plan, *((plan.parent / part).resolve() for part in parts)}
    folders = [KUBERNETES / each for each in ("base", "components", "overlays")]
    assert {path for folder in folders for path in folder.rglob("*.yaml")} <= named
    assert set((KUBERNETES / "components").iterdir()) <= named


@pytest.mark.parametrize("workload", EVERY_POD)
def test_every_pod_meets_the_restricted_standard(workload: Manifest) -> None:
    """The namespace enforces it; here it is seen before anything is applied."""
    spec = pod(workload)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] >= 10_000
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}
    assert all(volume.keys() <= {"name", *VOLUMES} for volume in spec["volumes"])
    for container in spec["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert container["resources"]["limits"].keys() == {"memory"}
    labels = one("Namespace", "zhida")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_each_service_runs_under_an_account_of_its_own() -> None:
    """No workload uses the default account or another's."""
    accounts = {account["metadata"]["name"] for account in of_kind("ServiceAccount")}
    assert accounts == set(PROCESSES)
    for workload in PODS:
        owner = workload["metadata"]["labels"]["app.kubernetes.io/name"]
        assert pod(workload)["serviceAccountName"] == owner
    assert all(a["automountServiceAccountToken"] is False for a in of_kind("ServiceAccount"))


@pytest.mark.parametrize("name", PROCESSES)
def test_every_service_is_deployed_the_same_way(name: str) -> None:
    """Two replicas, a budget, probes on their own paths, and all selectors meet."""
    deployment = one("Deployment", name)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selector = deployment["spec"]["selector"]["matchLabels"]
    assert selector.items() <= labels.items()
    assert one("Service", name)["spec"]["selector"] == selector
    assert one("PodDisruptionBudget", name)["spec"]["selector"]["matchLabels"] == selector
    assert deployment["spec"]["replicas"] >= 2
    spread = pod(deployment)["topologySpreadConstraints"]
    assert [each["labelSelector"]["matchLabels"] for each in spread] == [selector] * 2
    (container,) = pod(deployment)["containers"]
    paths = [
        container[f"{p}Probe"]["httpGet"]["path"] for p in ("startup", "liveness", "readiness")
    ]
    assert paths == ["/livez", "/livez", "/readyz"]
    (port,) = (port for port in container["ports"] if port["name"] != "metrics")
    assert one("Service", name)["spec"]["ports"][0]["targetPort"] == port["name"]
    assert pod(deployment)["terminationGracePeriodSeconds"] > 60


def test_a_migration_job_stands_beside_each_service_and_carries_no_services_labels() -> None:
    """Its pods must not be taken for the service's: requests would be sent to them."""
    jobs = of_kind("Job")
    assert {job["metadata"]["name"] for job in jobs} == {f"{name}-migrate" for name in NAMES}
    for job in jobs:
        labels = job["spec"]["template"]["metadata"]["labels"]
        service = one("Service", labels["app.kubernetes.io/name"])
        assert not service["spec"]["selector"].items() <= labels.items()


def test_every_services_audit_log_is_read_every_night() -> None:
    """With what the service itself is given, under labels of its own, in the city's time, once."""
    jobs = {job["metadata"]["name"]: job for job in of_kind("CronJob")}
    assert jobs.keys() == {f"{name}-audit" for name in NAMES}
    for name in NAMES:
        job = jobs[f"{name}-audit"]
        assert (job["spec"]["timeZone"], job["spec"]["concurrencyPolicy"]) == (
            "Asia/Shanghai",
            "Forbid",
        )
        labels = template(job)["metadata"]["labels"]
        assert not one("Service", name)["spec"]["selector"].items() <= labels.items()
        (container,) = pod(job)["containers"]
        (served,) = pod(one("Deployment", name))["containers"]
        assert container["envFrom"] == served["envFrom"]
        assert container["args"][1:] == ["-m", audit_verification.__name__, name]


SECRETS: dict[str, dict[str, str]] = {
    each["metadata"]["name"]: each["stringData"]
    for each in secrets.manifests(
        secrets.generate("broker:5672/zhida", {name: f"{name}-db-rw:5432" for name in NAMES})
    )
}


def user_of(address: str) -> str:
    """Whose name an address carries."""
    return str(urlsplit(address).username)


@pytest.mark.parametrize("name", NAMES)
def test_migrations_own_the_tables_and_services_do_not(name: str) -> None:
    """The Job alone is given the owner's address; the cluster makes owner and role as they are
    named in the Secrets, each with its own password.
    """
    (job,) = pod(one("Job", f"{name}-migrate"))["containers"]
    given = {
        each["name"]: SECRETS[each["valueFrom"]["secretKeyRef"]["name"]][each["name"]]
        for each in job["env"]
    }
    assert "envFrom" not in job
    role, owner = f"{name.upper()}_DATABASE_URL", f"{name.upper()}_OWNER_DATABASE_URL"
    assert {key: user_of(url) for key, url in given.items()} == {role: name, owner: f"{name}_owner"}
    (container,) = pod(one("Deployment", name))["containers"]
    (held,) = (each["secretRef"]["name"] for each in container["envFrom"] if "secretRef" in each)
    assert user_of(SECRETS[held][role]) == name
    assert not [key for key in SECRETS[held] if "OWNER" in key]
    (cluster,) = (
        each["spec"]
        for each in RENDERED["city"]
        if (each["kind"], each["metadata"]["name"]) == ("Cluster", f"{name}-db")
    )
    first, (managed,) = cluster["bootstrap"]["initdb"], cluster["managed"]["roles"]
    assert SECRETS[first["secret"]["name"]]["username"] == first["owner"] == f"{name}_owner"
    assert SECRETS[managed["passwordSecret"]["name"]]["username"] == managed["name"] == name
    for secret, url in ((f"{name}-db-owner", given[owner]), (f"{name}-db-role", given[role])):
        assert SECRETS[secret]["password"] == unquote(urlsplit(url).password or "")


def test_every_secret_of_the_manifests_comes_from_the_citys_store() -> None:
    """What `deploy.secrets` makes for a city, each has its ExternalSecret (but the trial's)."""
    fetched = {
        each["metadata"]["name"] for each in RENDERED["city"] if each["kind"] == "ExternalSecret"
    }
    trial = {"broker-definitions", "broker-admin"}
    assert {name for name in SECRETS if name not in trial} - fetched == set()


@pytest.mark.parametrize("name", NAMES)
def test_bureaus_and_authorities_are_mounted_where_processes_look(name: str) -> None:
    """Both may be absent: no bureau has joined, no address asks for TLS."""
    spec = pod(one("Deployment", name))
    (container,) = spec["containers"]
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    volumes = {each["name"]: each for each in spec["volumes"]}
    looked_at = one("ConfigMap", name)["data"]["ZHIDA_BUREAUS"]
    assert Path(looked_at).parent == Path(mounts["bureaus"])
    assert volumes["bureaus"]["configMap"] == {"name": "bureaus", "optional": True}
    sources = [each["secret"] for each in volumes["authorities"]["projected"]["sources"]]
    assert all(each["optional"] for each in sources)
    files = {item["path"] for each in sources for item in each["items"]}
    (job,) = pod(one("Job", f"{name}-migrate"))["containers"]
    assert mounts["authorities"] in {each["mountPath"] for each in job["volumeMounts"]}
    folder = mounts["authorities"]
    over_tls = secrets.generate(
        "broker:5671/zhida",
        {name: f"{name}-db-rw:5432"},
        broker_authority=f"{folder}/broker.pem",
        database_authority=f"{folder}/database.pem",
    )
    address, tls = amqp_io.verified(over_tls[name]["AMQP_URI"])
    assert address.startswith("amqps://")
    assert tls is not None
    assert Path(tls["ca_certs"]).name in files
    for url in (over_tls[name][f"{name.upper()}_DATABASE_URL"],
                over_tls[f"{name}-owner"][f"{name.upper()}_OWNER_DATABASE_URL"]):  # fmt: skip
        asked = dict(parse_qsl(urlsplit(url).query))
        assert asked["sslmode"] == "verify-full"
        assert Path(asked["sslrootcert"]).name in files


UNUSED = {"BUREAU_PUBLIC_KEY"}
"""Kept beside its private half for the connection sheets; no process needs it to run."""


def read_settings(name: str) -> None:
    """What a process reads before it starts."""
    if name == "portal":
        PortalSettings.from_env()
        return
    settings = Settings.from_env(name)
    if name == "registry":
        RegistrySettings.from_env()
    if name == "notify":
        GatewaySettings.from_env(settings.mode)


def environment(name: str) -> dict[str, str]:
    """What the pod of a process gets: its ConfigMap and its Secret of `deploy.secrets`."""
    (container,) = pod(one("Deployment", name))["containers"]
    given: dict[str, str] = {}
    made = secrets.generate("broker:5672/zhida", dict.fromkeys(NAMES, "databases:5432"))
    for source in container["envFrom"]:
        if "configMapRef" in source:
            given |= one("ConfigMap", source["configMapRef"]["name"])["data"]
        else:
            given |= made[source["secretRef"]["name"]]
    return given


@pytest.mark.parametrize("name", PROCESSES)
def test_what_a_pod_is_given_starts_its_process(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In production mode, reachable from outside the pod, with the port the probes ask."""
    for variable, value in {**environment(name), **(CITY if name == "notify" else {})}.items():
        monkeypatch.setenv(variable, value)
    (container,) = pod(one("Deployment", name))["containers"]
    port = container["ports"][0]["containerPort"]
    if name == "portal":
        portal = PortalSettings.from_env()
        assert (portal.host, portal.port, portal.secure_cookies) == ("0.0.0.0", port, True)
        apart = container["ports"][1]["containerPort"]
        assert portal.metrics_address == f"0.0.0.0:{apart}"
        assert apart not in {each["port"] for each in one("Service", name)["spec"]["ports"]}
        return
    settings = Settings.from_env(name)
    assert settings.mode == "production"
    assert settings.health_address == f"0.0.0.0:{port}"
    assert container["args"] == ["python", "-m", "services.chassis.runner", name]
    if name == "notify":
        assert GatewaySettings.from_env(settings.mode).quiet_hours


def test_secrets_come_by_reference_only() -> None:
    """No Secret in the base, no secret variable in a ConfigMap, no password in any string."""
    assert not of_kind("Secret")
    made = secrets.generate("broker:5672/zhida", dict.fromkeys(NAMES, "databases:5432"))
    secret_names = {variable for name in PROCESSES for variable in made[name]}
    for config in of_kind("ConfigMap"):
        assert not config["data"].keys() & secret_names
    for manifest in MANIFESTS:
        for text in strings(manifest):
            assert not re.search(r"://[^/\s]+:[^/\s]+@|BEGIN [A-Z ]*PRIVATE KEY", text)
    for workload in PODS:
        for container in pod(workload)["containers"]:
            assert all("value" not in each for each in container.get("env", ()))


def test_each_process_gets_its_own_keys_only() -> None:
    """No service holds another's field keys; registry alone signs; the portal opens nothing."""
    made = secrets.generate("broker:5672/zhida", dict.fromkeys(NAMES, "databases:5432"))
    for name in PROCESSES:
        others = {other.upper() for other in NAMES if other != name}
        assert not [key for key in made[name] for other in others if key.startswith(f"{other}_")]
        assert ("ACTOR_SIGNING_KEY" in made[name]) == (name == "registry")
    assert made["portal"].keys() == {"AMQP_URI", "PORTAL_SESSION_SECRET"}


def test_a_secret_that_is_missing_is_named() -> None:
    """Whatever variable of its Secret a process lacks: it does not start, and says which."""
    for name in PROCESSES:
        given = {**environment(name), **(CITY if name == "notify" else {})}
        needed = secrets.generate("broker:5672/zhida", dict.fromkeys(NAMES, "databases:5432"))[name]
        for missing in needed.keys() - UNUSED:
            with pytest.MonkeyPatch.context() as patch:
                for variable, value in given.items():
                    patch.setenv(variable, value)
                patch.delenv(missing)
                with pytest.raises(SettingsError, match=missing):
                    read_settings(name)


def test_secrets_are_never_written_over(tmp_path: Path) -> None:
    """A second run would lose the keys of a living installation: it is refused."""
    made = secrets.generate("broker:5672/zhida", {})
    secrets.write(tmp_path / "kept", made)
    before = {path.name: path.read_bytes() for path in (tmp_path / "kept").iterdir()}
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "kept").iterdir())
    with pytest.raises(FileExistsError, match="没有改动"):
        secrets.write(tmp_path / "kept", secrets.generate("broker:5672/zhida", {}))
    assert {path.name: path.read_bytes() for path in (tmp_path / "kept").iterdir()} == before
