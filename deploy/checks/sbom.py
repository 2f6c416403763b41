"""The bill of materials of an image in CycloneDX 1.6: ``make sbom``.

What came from PyPI is read from uv.lock, with its hashes; what came from Debian is asked of the
image itself. Run in the environment of deploy/checks (group bom).
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

PROJECT = Path(__file__).resolve().parents[2]
LISTING = r"${Package}\t${Version}\t${Architecture}\n"


def from_pypi() -> Bom:
    """Everything of uv.lock that the image installs."""
    exported = subprocess.run(
        [os.environ.get("UV", "uv"), "export",  # uv names itself to what it runs
         "--frozen", "--no-dev", "--no-emit-project", "--quiet"],
        cwd=PROJECT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    done = subprocess.run(
        ["cyclonedx-py", "requirements", "--spec-version", "1.6", "--output-format", "JSON", "-"],
        input=exported, capture_output=True, text=True, check=True,
    )  # fmt: skip
    bom: Bom = Bom.from_json(json.loads(done.stdout))
    return bom


def from_debian(image: str) -> Iterator[Component]:
    """The packages the image holds, as its own dpkg has them."""
    podman = os.environ.get("PODMAN", "podman").split()
    listed = subprocess.run(
        [*podman, "run", "--rm", "--network", "none", "--entrypoint", "/usr/bin/dpkg-query", image,
         "--show", f"--showformat={LISTING}"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for line in listed.splitlines():
        name, version, architecture = line.split("\t")
        qualifiers = {"arch": architecture, "distro": "bookworm"}
        yield Component(
            type=ComponentType.LIBRARY,
            name=name,
            version=version,
            bom_ref=f"deb:{name}:{architecture}",
            purl=PackageURL("deb", "debian", name, version, qualifiers),
        )


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image")
    parser.add_argument("to", type=Path)
    given = parser.parse_args()
    bom = from_pypi()
    pypi = len(bom.components)
    for component in from_debian(given.image):
        bom.components.add(component)
    version = runpy.run_path(str(PROJECT / "services" / "__init__.py"))["__version__"]
    bom.metadata.component = Component(
        type=ComponentType.CONTAINER, name=given.image, version=version, bom_ref="image"
    )
    bom.register_dependency(bom.metadata.component, bom.components)
    text = JsonV1Dot6(bom).output_as_string(indent=1)
    if wrong := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        sys.stderr.write(f"not CycloneDX: {wrong}\n")
        return 1
    given.to.parent.mkdir(parents=True, exist_ok=True)
    given.to.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(
        f"{given.to}: {pypi} packages of PyPI, {len(bom.components) - pypi} of Debian\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
