"""Renders our Kustomize folders: as much of Kustomize as they use, and an error for anything else.

Debian's own kubectl is too old to render them, and a newer one is not on every machine; where one
is there, a test compares its output with this.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

KNOWN = {
    "apiVersion", "kind", "namespace", "resources", "components", "labels", "images", "patches",
}  # fmt: skip
CLUSTER_WIDE = {"Namespace"}


def render(folder: Path) -> list[Manifest]:
    """All objects of a folder. Raises ``ValueError`` for a field this does not know."""
    return _accumulate(folder, [])


def load(path: Path) -> list[Manifest]:
    """The objects of one file."""
    return [each for each in yaml.load_all(path.read_text(encoding="utf-8"), LOADER) if each]


def _accumulate(folder: Path, given: list[Manifest]) -> list[Manifest]:
    """``given`` and what the folder adds, as the folder changes them."""
    plan = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    if unknown := set(plan) - KNOWN:
        raise ValueError(f"{folder}: {sorted(unknown)} is not rendered here")
    manifests = list(given)
    for name in plan.get("resources", ()):
        path = folder / name
        manifests += render(path) if path.is_dir() else load(path)
    for name in plan.get("components", ()):
        manifests = _accumulate(folder / name, manifests)
    for patch in plan.get("patches", ()):
        _patch(manifests, patch, folder)
    for manifest in manifests:
        for labels in plan.get("labels", ()):
            if labels.get("includeSelectors") or labels.get("includeTemplates"):
                raise ValueError(f"{folder}: labels in selectors are not rendered here")
            manifest["metadata"].setdefault("labels", {}).update(labels["pairs"])
        if "namespace" in plan and manifest["kind"] not in CLUSTER_WIDE:
            manifest["metadata"]["namespace"] = plan["namespace"]
        for image in plan.get("images", ()):
            _rename(manifest, image)
    return manifests


def _patch(manifests: list[Manifest], patch: Manifest, folder: Path) -> None:
    """A JSON patch on every object of a kind and name."""
    target, steps = patch["target"], yaml.safe_load(patch["patch"])
    if set(target) != {"kind", "name"} or not isinstance(steps, list):
        raise ValueError(f"{folder}: only JSON patches by kind and name are rendered here")
    hit = [
        manifest
        for manifest in manifests
        if manifest["kind"] == target["kind"]
        and re.fullmatch(target["name"], manifest["metadata"]["name"])
    ]
    if not hit:
        raise ValueError(f"{folder}: nothing is {target}")
    for manifest in hit:
        for step in steps:
            *way, last = step["path"].strip("/").split("/")
            place: Any = manifest
            for part in way:
                place = place[int(part) if isinstance(place, list) else part]
            if step["op"] in ("replace", "remove") and last not in place:
                raise ValueError(f"{folder}: {target} has no {step['path']}")
            if step["op"] == "remove":
                del place[last]
            else:
                place[last] = copy.deepcopy(step["value"])


def _rename(value: Any, image: Manifest) -> None:
    """Replace an image wherever a container names it."""
    if isinstance(value, list):
        for each in value:
            _rename(each, image)
    elif isinstance(value, dict):
        for key in ("containers", "initContainers"):
            for container in value.get(key) or ():
                if container.get("image", "").partition(":")[0] == image["name"]:
                    ending = f"@{image['digest']}" if "digest" in image else f":{image['newTag']}"
                    container["image"] = image["newName"] + ending
        for each in value.values():
            _rename(each, image)
