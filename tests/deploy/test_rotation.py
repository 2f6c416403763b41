"""Rotating the keys of a city: step by step, in the folder its secrets were made in."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from joserfc.jwk import KeySet, OKPKey

from deploy import rotation, secrets
from services.chassis.discovery import NAMES
from services.chassis.settings import parse_keys
from services.contracts.errors import Conflict, Invalid

PROCESSES = (*NAMES, "portal")
ROTATED = [
    ("fields", NAMES),
    ("audit", NAMES),
    ("transit", NAMES),
    ("actor", NAMES),
    ("index", ("cases",)),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A city's secrets, as `python -m deploy.secrets --kubernetes` makes them."""
    made = tmp_path / "secrets"
    monkeypatch.setattr("sys.argv", ["secrets", "--folder", str(made), "--kubernetes"])
    assert secrets.main() == 0
    return made


def held(folder: Path, process: str) -> dict[str, str]:
    """What a process is given."""
    lines = (folder / f"{process}.env").read_text(encoding="utf-8").splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file, to the byte."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def keys_of(ring: str) -> set[int]:
    """The numbers in a ring, waiting ones too."""
    return {int(part.removeprefix("~").partition(":")[0]) for part in ring.split(",")}


def test_a_field_key_is_added_used_and_retired_and_nobody_else_is_touched(folder: Path) -> None:
    """Old keys open until they are retired, and are kept then: a backup is read with them."""
    first = held(folder, "cases")["CASES_FIELD_KEYS"]
    others = {name: value for name, value in contents(folder).items() if "registry" in name}
    assert rotation.take(folder, "fields", ("cases",), "add") == ("cases",)
    added = held(folder, "cases")["CASES_FIELD_KEYS"]
    assert added.startswith(f"{first},~2:")
    rotation.take(folder, "fields", ("cases",), "activate")
    assert parse_keys(held(folder, "cases")["CASES_FIELD_KEYS"]) == parse_keys(
        added.replace("~", "")
    )
    rotation.take(folder, "fields", ("cases",), "retire")
    assert held(folder, "cases")["CASES_FIELD_KEYS"] == added.partition("~")[2]
    assert f"CASES_FIELD_KEYS={first}" in (folder / rotation.RETIRED).read_text().splitlines()
    assert {name: value for name, value in contents(folder).items() if "registry" in name} == others
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.glob("*.env"))


@pytest.mark.parametrize(("kind", "services"), ROTATED)
def test_the_manifests_hold_what_the_files_hold(
    folder: Path, kind: str, services: tuple[str, ...]
) -> None:
    """After every step; what waits and what was retired is in no process's Secret."""
    for step in ("add", "activate"):
        rotation.take(folder, kind, services, step)
        assert secrets_of(folder) == {name: held(folder, name) for name in PROCESSES}
        assert b"SIGNING_KEY_NEXT" not in (folder / "kubernetes.yaml").read_bytes()


def secrets_of(folder: Path) -> dict[str, dict[str, str]]:
    """What the Secrets of the processes hold."""
    items = json.loads((folder / "kubernetes.yaml").read_text(encoding="utf-8"))["items"]
    shown = {item["metadata"]["name"]: item["stringData"] for item in items}
    return {name: shown[name] for name in PROCESSES}


def test_both_ends_of_a_pair_know_the_same_keys(folder: Path) -> None:
    """At every step, and nobody learns of a pair that is not its own."""
    for step in ("add", "activate", "retire"):
        holders = rotation.take(folder, "transit", NAMES, step)
        pairs: dict[str, set[str]] = {}
        for name in NAMES:
            for part in filter(None, held(folder, name)["TRANSIT_KEYS"].split(";")):
                pair, _, ring = part.partition("=")
                assert name in pair.split(">")
                pairs.setdefault(pair, set()).add(ring)
        assert pairs
        assert all(len(rings) == 1 for rings in pairs.values())
        assert holders == tuple(name for name in NAMES if any(name in p.split(">") for p in pairs))


def test_a_signing_key_is_known_to_all_before_registry_signs_with_it(folder: Path) -> None:
    """Between the two steps no process holds it but as a public key; the old one verifies on."""
    old = OKPKey.import_key(json.loads(held(folder, "registry")["ACTOR_SIGNING_KEY"])).kid
    assert rotation.take(folder, "actor", NAMES, "add") == NAMES
    known = {kid for kid in public(folder, "cases") if kid != old}
    assert known
    assert rotation.take(folder, "actor", NAMES, "activate") == ("registry",)
    signing = OKPKey.import_key(json.loads(held(folder, "registry")["ACTOR_SIGNING_KEY"])).kid
    assert {signing} == known
    assert all(public(folder, name) == {old, signing} for name in NAMES)
    rotation.take(folder, "actor", NAMES, "retire")
    assert all(public(folder, name) == {signing} for name in NAMES)


def public(folder: Path, process: str) -> set[str | None]:
    """The signers a process believes."""
    ring = KeySet.import_key_set(json.loads(held(folder, process)["ACTOR_PUBLIC_KEYS"]))
    return {key.kid for key in ring.keys}


def test_an_index_key_stands_beside_the_old_one_until_it_is_taken_or_given_up(folder: Path) -> None:
    """One service at a time. Given up or replaced, it is kept: the indexes may have been made
    with it."""
    first = held(folder, "notify")["NOTIFY_INDEX_KEY"]
    rotation.take(folder, "index", ("notify",), "add")
    given_up = held(folder, "notify")["NOTIFY_INDEX_KEY_NEXT"]
    rotation.take(folder, "index", ("notify",), "retire")
    assert held(folder, "notify")["NOTIFY_INDEX_KEY"] == first
    rotation.take(folder, "index", ("notify",), "add")
    second = held(folder, "notify")["NOTIFY_INDEX_KEY_NEXT"]
    rotation.take(folder, "index", ("notify",), "activate")
    assert held(folder, "notify")["NOTIFY_INDEX_KEY"] == second
    assert "NOTIFY_INDEX_KEY_NEXT" not in held(folder, "notify")
    kept = (folder / rotation.RETIRED).read_text(encoding="utf-8").splitlines()
    assert {f"NOTIFY_INDEX_KEY={first}", f"NOTIFY_INDEX_KEY_NEXT={given_up}"} <= set(kept)


@pytest.mark.parametrize(("kind", "services"), ROTATED)
def test_a_step_that_was_cut_short_is_ended_by_taking_it_again(
    folder: Path, kind: str, services: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After whichever file the disk was full: nothing that was in use is lost, and the step taken
    again leaves all files in agreement."""
    write: Callable[[Path, str], None] = rotation._replace
    steps = ("add", "activate") if kind in ("audit", "index") else ("add", "activate", "retire")
    for step in steps:
        for limit in count():
            left = limit

            def until(path: Path, text: str) -> None:
                nonlocal left
                if left == 0:
                    raise OSError("no space left on device")
                left -= 1
                write(path, text)

            monkeypatch.setattr(rotation, "_replace", until)
            try:
                rotation.take(folder, kind, services, step)
                break
            except OSError:
                assert everywhere(folder)  # still readable, still whole
        monkeypatch.setattr(rotation, "_replace", write)
        rings = everywhere(folder)
        if kind != "index":
            waits = any("~" in value for values in rings.values() for value in values)
            assert waits == (step == "add" and kind != "actor")
        assert all(len(values) == 1 for values in rings.values()), step
        assert secrets_of(folder) == {name: held(folder, name) for name in PROCESSES}


def everywhere(folder: Path) -> dict[str, set[str]]:
    """Each key, or ring of keys, with all the ways in which processes know it."""
    known: dict[str, set[str]] = {}
    for process in NAMES:
        for name, value in held(folder, process).items():
            if name == "TRANSIT_KEYS":
                for part in filter(None, value.split(";")):
                    known.setdefault(part.partition("=")[0], set()).add(part.partition("=")[2])
            elif name.endswith(("_KEYS", "_KEY", "_NEXT")):
                known.setdefault(name, set()).add(value)
    return known


@pytest.mark.parametrize(
    ("kind", "services", "step"),
    [
        ("audit", NAMES, "retire"),
        ("fields", NAMES, "activate"),
        ("actor", NAMES, "activate"),
        ("index", ("cases",), "activate"),
        ("index", NAMES, "add"),
        ("fields", ("portal",), "add"),
    ],
)
def test_what_must_not_be_done_or_has_nothing_to_do_changes_nothing(
    folder: Path, kind: str, services: tuple[str, ...], step: str
) -> None:
    """Audit keys never go; nothing is activated that was not added; one index at a time."""
    before = contents(folder)
    with pytest.raises((Conflict, Invalid)):
        rotation.take(folder, kind, services, step)
    assert contents(folder) == before


def test_a_folder_that_is_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In Chinese, with what to point at; exit code 2."""
    given = ["rotation", "--folder", str(tmp_path), "fields", "--step", "add"]
    monkeypatch.setattr("sys.argv", given)
    assert rotation.main() == 2
    assert "registry.env" in (said := capsys.readouterr().err)
    assert "deploy.secrets" in said
