"""Writes the manifests that follow from the code: ``python -m deploy.kubernetes.generate``.

They are committed, so that an overlay needs Kustomize alone; a test compares them with the code.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml

from deploy.kubernetes import alerts, dashboards, scaling, topology

COMPONENTS = Path(__file__).parent / "components"
FILES: dict[Path, Callable[[], Iterable[dict[str, Any]]]] = {
    COMPONENTS / "rabbitmq" / "topology.yaml": topology.manifests,
    COMPONENTS / "rabbitmq" / "users.yaml": topology.user_manifests,
    COMPONENTS / "keda" / "scaling.yaml": scaling.manifests,
    COMPONENTS / "monitoring" / "rules.yaml": alerts.manifests,
    COMPONENTS / "monitoring" / "dashboards.yaml": dashboards.manifests,
}
HEAD = "# Written by `python -m deploy.kubernetes.generate`. Do not edit.\n"


class _Dumper(yaml.CSafeDumper):
    """Texts of several lines as blocks."""


def _block(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _block)


def text(path: Path) -> str:
    """What stands in one of ``FILES``."""
    made = yaml.dump_all(
        FILES[path](),
        Dumper=_Dumper,
        sort_keys=False,
        explicit_start=True,
        allow_unicode=True,
        width=100,
    )
    return HEAD + made


def main() -> int:
    """Write them all."""
    for path in FILES:
        path.write_text(text(path), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
