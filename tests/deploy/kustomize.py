"""Renders our Kustomize folders: as much of Kustomize as they use, and an error for anything else.

Debian's own kubectl is too old to render them, and a newer one is not on every machine; where one
is there, a test compares its output with this.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]

KNOWN = {"apiVersion", "kind", "namespace", "resources", "labels"}
CLUSTER_WIDE = {"Namespace"}


def render(folder: Path) -> list[Manifest]:
    """All objects of a folder. Raises ``ValueError`` for a field this does not know."""
    plan = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    if unknown := set(plan) - KNOWN:
        raise ValueError(f"{folder}: {sorted(unknown)} is not rendered here")
    manifests: list[Manifest] = []
    for name in plan["resources"]:
        path = folder / name
        if path.is_dir():
            manifests += render(path)
        else:
            manifests += [m for m in yaml.safe_load_all(path.read_text(encoding="utf-8")) if m]
    for manifest in manifests:
        for labels in plan.get("labels", ()):
            if labels.get("includeSelectors") or labels.get("includeTemplates"):
                raise ValueError(f"{folder}: labels in selectors are not rendered here")
            manifest["metadata"].setdefault("labels", {}).update(labels["pairs"])
        if "namespace" in plan and manifest["kind"] not in CLUSTER_WIDE:
            manifest["metadata"]["namespace"] = plan["namespace"]
    return manifests
