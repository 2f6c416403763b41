"""checkov's rules on what Kustomize makes: nothing fails but what we refuse with a reason."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from deploy.local.accounts import PROJECT
from tests.deploy.test_kubernetes import RENDERED
from tests.deploy.tools import uv

SKIPS = tomllib.loads((PROJECT / "deploy/checks/skips.toml").read_text(encoding="utf-8"))


@pytest.mark.timeout(300)  # the first run on a machine fetches the tool
def test_nothing_fails_but_what_is_skipped_with_a_reason(tmp_path: Path) -> None:
    """In both overlays; a reason that is no longer needed fails as well."""
    for place in ("dev", "city"):
        (tmp_path / f"{place}.yaml").write_text(yaml.safe_dump_all(RENDERED[place]), "utf-8")
    done = subprocess.run(
        [*uv(), "run", "--project", "deploy/checks", "--group", "manifests", "--isolated",
         "--frozen", "checkov", "--directory", str(tmp_path), "--framework", "kubernetes",
         "--skip-download", "--compact", "--quiet", "--output", "json"],
        capture_output=True, text=True, cwd=PROJECT, check=False,
    )  # fmt: skip
    assert done.stdout.startswith("{"), done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 1000
    failed = {
        (Path(each["file_path"]).stem, each["check_id"], each["check_name"])
        for each in report["results"]["failed_checks"]
    }
    refused = {
        (place, check, skip["asks"]) for check, skip in SKIPS.items() for place in skip["overlays"]
    }
    assert failed == refused
    assert all(len(skip["reason"]) > 40 for skip in SKIPS.values())
