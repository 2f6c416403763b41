"""The image and the compose file: one image, any base, and settings that start."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from deploy import secrets
from deploy.local.accounts import PROJECT
from services.chassis.discovery import NAMES
from services.chassis.settings import Settings
from services.notify.settings import GatewaySettings
from services.portal.settings import PortalSettings

CONTAINERFILE = (PROJECT / "deploy" / "Containerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(
    (PROJECT / "deploy" / "compose.yaml").read_text(encoding="utf-8")
)
PROCESSES = (*NAMES, "portal")
MADE = secrets.generate("broker:5672/zhida", dict.fromkeys(NAMES, "databases:5432"))


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Containerfile, continuation lines joined."""
    joined = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n", "", CONTAINERFILE))
    return [
        (word, " ".join(rest.split()))
        for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())
    ]


def test_every_stage_stands_on_the_base_of_ones_choice() -> None:
    """A closed network builds from its own base."""
    assert instructions()[0] == ("ARG", "BASE=docker.io/library/debian:bookworm-slim")
    stages = [rest for word, rest in instructions() if word == "FROM"]
    assert stages == ["${BASE} AS build", "${BASE}"]


def test_the_image_runs_unprivileged_and_from_locked_packages() -> None:
    """A user beyond 10000, what stands in uv.lock and no more, signals passed on."""
    last = dict(instructions())
    assert last["USER"] == "10001:10001"
    assert last["ENTRYPOINT"] == '["/usr/bin/tini", "--"]'
    syncs = [rest for word, rest in instructions() if word == "RUN" and "uv sync" in rest]
    assert len(syncs) == 1
    assert all("--locked" in sync and "--no-dev" in sync for sync in syncs)


def test_nothing_comes_into_the_image_without_a_hash() -> None:
    """uv by its own requirements, the rest by uv.lock; our code is copied, not built."""
    runs = [rest for word, rest in instructions() if word == "RUN"]
    pips = [run for run in runs if "pip install" in run]
    assert all("--require-hashes" in run for run in pips)
    assert all("--no-install-project" in run for run in runs if "uv sync" in run)
    pinned = (PROJECT / "deploy" / "uv.requirements.txt").read_text(encoding="utf-8")
    assert re.search(r"^uv==\S+ \\\n    --hash=sha256:", pinned, re.MULTILINE)


def test_in_a_cluster_the_broker_is_named_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KEDA asks it from another namespace: a short name is nobody there, and nothing scales."""
    folder = tmp_path / "secrets"
    monkeypatch.setattr(sys, "argv", ["secrets", "--folder", str(folder), "--kubernetes"])
    assert secrets.main() == 0
    listed = json.loads((folder / "kubernetes.yaml").read_text(encoding="utf-8"))["items"]
    uris = [e["stringData"]["AMQP_URI"] for e in listed if "AMQP_URI" in e["stringData"]]
    assert len(uris) >= 5
    assert {urlsplit(uri).hostname for uri in uris} == {"broker.zhida.svc"}


def test_the_context_holds_what_is_copied_and_no_secrets() -> None:
    """Everything is left out but what the build copies; the compose file's secrets stay out."""
    lines = (PROJECT / ".containerignore").read_text(encoding="utf-8").split()
    assert lines[0] == "*"
    let_in = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {
        part.rstrip("/")
        for word, rest in instructions()
        if word == "COPY" and "--from" not in rest
        for part in rest.split()[:-1]
    }
    assert all((PROJECT / path).exists() for path in copied)
    assert {path for path in copied if path not in let_in} == {"deploy/uv.requirements.txt"}
    assert let_in <= copied
    assert "deploy/compose" in lines[lines.index("!deploy") :]


def test_every_role_starts_with_what_the_image_holds() -> None:
    """The project is copied there, not installed: no metadata of its own, no tests beside it."""
    roles = [f"services.{name}.service" for name in NAMES]
    roles += ["services.chassis.runner", "services.chassis.migrate", "services.cli"]
    roles += ["services.portal.app"]
    code = """
import importlib, importlib.metadata as metadata, sys
found = metadata.Distribution.from_name
def from_name(name):
    if name == "zhida":
        raise metadata.PackageNotFoundError(name)
    return found(name)
metadata.Distribution.from_name = from_name
sys.modules["tests"] = None
for role in sys.argv[1:]:
    importlib.import_module(role)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *roles],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_compose_runs_every_process_and_no_other_image_of_ours() -> None:
    """Four services, four migrations, the portal and the mailbox, from one hardened image."""
    ours = {n: s for n, s in COMPOSE["services"].items() if n not in ("broker", "databases")}
    assert ours.keys() == {*PROCESSES, *(f"{name}-migrate" for name in NAMES), "mailbox"}
    for service in ours.values():
        assert service["image"] == "localhost/zhida:dev"
        assert service["build"]["dockerfile"] == "deploy/Containerfile"
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["user"] == "10001:10001"


def test_each_service_waits_for_its_own_schema() -> None:
    """It starts after its migration ended well and the broker answers."""
    for name in NAMES:
        waits = COMPOSE["services"][name]["depends_on"]
        assert waits[f"{name}-migrate"] == {"condition": "service_completed_successfully"}
        assert waits["broker"] == {"condition": "service_healthy"}


def resolved(value: str | None) -> str:
    """A compose value with the defaults of its variables."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value or "")


@pytest.mark.parametrize("name", PROCESSES)
def test_what_compose_gives_starts_the_process(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its secrets file and its variables are all the settings it needs."""
    service = COMPOSE["services"][name]
    assert service["env_file"] == f"compose/secrets/{name}.env"
    for variable, value in MADE[name].items():
        monkeypatch.setenv(variable, value)
    for variable, value in service["environment"].items():
        monkeypatch.setenv(variable, resolved(value))
    if name == "portal":
        assert PortalSettings.from_env().host == "0.0.0.0"
        return
    settings = Settings.from_env(name)
    assert settings.health_address == "0.0.0.0:8080"
    if name == "notify":
        assert GatewaySettings.from_env(settings.mode).host == "mailbox"


def test_the_servers_know_the_passwords_the_services_use() -> None:
    """Broker user and database roles are those of the addresses in the services' files."""
    for name in NAMES:
        url = MADE[name][f"{name.upper()}_DATABASE_URL"]
        assert (
            f"{name}:{MADE['databases'][f'{name.upper()}_PASSWORD']}@databases:5432/{name}" in url
        )
        owner = MADE[f"{name}-owner"][f"{name.upper()}_OWNER_DATABASE_URL"]
        owner_password = MADE["databases"][f"{name.upper()}_OWNER_PASSWORD"]
        assert f"{name}_owner:{owner_password}@databases:5432/{name}" in owner
        assert owner_password not in str(MADE[name])  # the service never holds it
        migration = COMPOSE["services"][f"{name}-migrate"]
        assert migration["env_file"] == f"compose/secrets/{name}-owner.env"
    stands = json.loads(secrets.definitions(MADE))
    known = {user["name"]: user["password"] for user in stands["users"] if not user["tags"]}
    assert known.keys() == {*PROCESSES, "shell"}
    for name in PROCESSES:
        assert MADE[name]["AMQP_URI"] == f"amqp://{name}:{known[name]}@broker:5672/zhida"
    assert {each["user"] for each in stands["permissions"]} == {*known, "admin"}
    script = (PROJECT / "deploy" / "compose" / "databases.sh").read_text(encoding="utf-8")
    assert f"for service in {' '.join(NAMES)}; do" in script
