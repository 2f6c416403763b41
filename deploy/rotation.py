"""Rotates the keys in a folder of ``deploy.secrets``, a step at a time.

``python -m deploy.rotation --folder FOLDER fields --service cases --step add``, then what the
folder holds into the city's secret store, then the processes it names are started anew;
``activate`` and ``retire`` in the same way. Of an index key ``activate`` follows the computing
anew, ``retire`` gives up what was added. (On the machine of a local stack ``zhida keys rotate``
does all of it.)

A key that waits for its use and no process may hold yet stands in ``waiting.env``; one that was
retired stays in ``retired.env``: a backup of that time is read with it. Cut short, the same step
again ends it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from deploy.secrets import PROCESSES
from services.chassis import key_rings, keys
from services.chassis.discovery import NAMES
from services.chassis.settings import NEXT_INDEX_KEY
from services.contracts.errors import Conflict, Invalid, ZhidaError

KINDS = ("fields", "index", "audit", "transit", "actor")
STEPS = ("add", "activate", "retire")
WAITING = "waiting.env"
RETIRED = "retired.env"
MANIFESTS = "kubernetes.yaml"

Variables = dict[str, str]
_SIGNERS = (key_rings.SIGNING, key_rings.NEXT_SIGNING)
_OF_SIGNER = (key_rings.NEXT_SIGNING, key_rings.PUBLIC)
"""What waits: the next signer, and by whom it is to be believed when the telling was cut short."""


def take(folder: Path, kind: str, services: Sequence[str], step: str) -> tuple[str, ...]:
    """Take the step in the folder; the processes whose keys it changed, to be started anew.

    Raises ``Invalid`` when the folder or the step is not what it must be, ``Conflict`` when the
    step has nothing to do or must not be taken; nothing is changed then.
    """
    _check(kind, services, step)
    files = {name: _read(folder / f"{name}.env") for name in PROCESSES}
    before = _together([*files.values(), _read(folder / WAITING, may_lack=True)])
    after = _step(kind, services, step, before)
    changed = {
        name: _with(variables, keys.visible_to(name, before), keys.visible_to(name, after))
        for name, variables in files.items()
    }
    manifests = _manifests(folder / MANIFESTS)
    holders = tuple(
        name
        for name in PROCESSES
        if changed[name] != files[name] or manifests.get(name, changed[name]) != changed[name]
    )
    waiting = {name: after[name] for name in _OF_SIGNER if key_rings.NEXT_SIGNING in after}
    if not holders and after == before:
        raise Conflict("没有要改的密钥", advice="这一步已经做过，或还没有新密钥在等启用")
    if gone := _gone(before, after):
        _append(folder / RETIRED, gone)
    if step == "add":
        _write(folder / WAITING, waiting)
    for name in holders:
        _write(folder / f"{name}.env", changed[name])
    if step != "add":
        _write(folder / WAITING, waiting)  # last: until then the step can be taken again
    if manifests:
        _rewrite_manifests(folder / MANIFESTS, changed)
    return holders


def _check(kind: str, services: Sequence[str], step: str) -> None:
    if kind == "audit" and step == "retire":
        raise Conflict("审计密钥不撤：旧封印要用旧密钥核对")
    if kind == "index" and len(services) != 1:
        raise Invalid("检索密钥一次只换一个服务", field="service", advice="加 --service 服务名")
    if unknown := [name for name in services if name not in NAMES]:
        raise Invalid(f"没有服务 {unknown[0]}", field="service", advice=f"可选：{'、'.join(NAMES)}")


def _step(kind: str, services: Sequence[str], step: str, known: Variables) -> Variables:
    if kind != "index":
        return key_rings.step(kind, services, step, known)
    (service,) = services
    if step == "add":
        return key_rings.begin_index(service, known)
    if NEXT_INDEX_KEY.format(service.upper()) not in known:
        return known
    return key_rings.end_index(service, known, taken=step == "activate")


def _together(parts: Sequence[Mapping[str, str]]) -> Variables:
    """All keys of the installation. Where a step was cut short the copies of a key differ: the one
    that knows most counts, and the step comes to the same from there."""
    found: Variables = {}
    for part in parts:
        for name, value in part.items():
            if name == key_rings.TRANSIT:
                found[name] = _pairs(found.get(name, ""), value)
            else:
                found[name] = max(found.get(name, ""), value, key=len)
    return found


def _pairs(known: str, more: str) -> str:
    pairs: Variables = {}
    for part in filter(None, f"{known};{more}".split(";")):
        pair, _, ring = part.partition("=")
        pairs[pair] = max(pairs.get(pair, ""), ring, key=len)
    return ";".join(f"{pair}={ring}" for pair, ring in sorted(pairs.items()))


def _with(variables: Variables, before: Variables, after: Variables) -> Variables:
    """A process's variables with the keys it may now hold, and without one it no longer may."""
    kept = {name: value for name, value in variables.items() if name in after or name not in before}
    return kept | after


def _gone(before: Variables, after: Variables) -> list[str]:
    """What opened or signed something and stands nowhere any more, each as it was written."""
    left = {material for _, material in _materials(after)}
    return [f"{name}={material}" for name, material in _materials(before) if material not in left]


def _materials(known: Variables) -> Iterator[tuple[str, str]]:
    """Every secret key by the variable (and pair) it stands in, waiting or in use alike."""
    for name, value in known.items():
        if name == key_rings.TRANSIT:
            for part in filter(None, value.split(";")):
                pair, _, ring = part.partition("=")
                yield from ((f"{name} {pair}", key) for key in _keys(ring))
        elif name.endswith(("_FIELD_KEYS", "_AUDIT_KEYS")):
            yield from ((name, key) for key in _keys(value))
        elif name.endswith(("_INDEX_KEY", "_INDEX_KEY_NEXT")) or name in _SIGNERS:
            yield name, value


def _keys(ring: str) -> list[str]:
    return [key.removeprefix(key_rings.WAITING) for key in ring.split(",")]


def _read(path: Path, *, may_lack: bool = False) -> Variables:
    if not path.exists():
        if may_lack:
            return {}
        raise Invalid(f"没有 {path}", field="folder", advice="指向 deploy.secrets 所建的文件夹")
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def _write(path: Path, variables: Mapping[str, str]) -> None:
    _replace(path, "".join(f"{name}={value}\n" for name, value in variables.items()))


def _append(path: Path, lines: Sequence[str]) -> None:
    known = path.read_text(encoding="utf-8") if path.exists() else ""
    fresh = [line for line in lines if line not in known.splitlines()]
    at = f"# {datetime.now(UTC):%Y-%m-%d %H:%M} UTC\n"
    _replace(path, known + at + "".join(f"{line}\n" for line in fresh))


def _manifests(path: Path) -> dict[str, Variables]:
    """What each Secret holds, where the secrets were made for Kubernetes."""
    if not path.exists():
        return {}
    items = json.loads(path.read_text(encoding="utf-8"))["items"]
    return {item["metadata"]["name"]: item["stringData"] for item in items}


def _rewrite_manifests(path: Path, changed: Mapping[str, Variables]) -> None:
    listed = json.loads(path.read_text(encoding="utf-8"))
    for item in listed["items"]:
        item["stringData"] = changed.get(item["metadata"]["name"], item["stringData"])
    _replace(path, json.dumps(listed, indent=1) + "\n")


def _replace(path: Path, text: str) -> None:
    draft = path.with_suffix(".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        stream.write(text)
    draft.replace(path)


def main() -> int:
    """The command line: the processes to be started anew, a line each; 2 when it was refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--step", choices=STEPS, required=True)
    parser.add_argument("--service", action="append", help="one of them; all four if not said")
    given = parser.parse_args()
    try:
        holders = take(given.folder, given.kind, tuple(given.service or NAMES), given.step)
    except ZhidaError as refused:
        sys.stderr.write(f"{refused.message}：{refused.advice or '没有改动'}\n")
        return 2
    sys.stdout.writelines(f"{name}\n" for name in holders)
    return 0


if __name__ == "__main__":
    sys.exit(main())
