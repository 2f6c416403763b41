"""The cluster a trial runs on: the one of KUBECONFIG, or the lab beside the project.

The lab is a true Kubernetes 1.20 of one node. What of today's manifests it cannot take is rewritten
by its own script, and listed: that part is not tried.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.accounts import PROJECT

LAB = PROJECT.parent / "shared" / "k8s-lab" / "k8s-lab"
IMAGE = "localhost/zhida:dev"
SERVERS = "localhost/zhida-servers:dev"
BASE = "localhost/k8s-lab/base:bookworm"
SERVERS_FOLDER = PROJECT / "deploy" / "kubernetes" / "servers"


class NoCluster(Exception):
    """There is nothing to try it on; the words say what to do."""


def run(command: Sequence[str], *, given: str | None = None, good: bool = True) -> str:
    """Run a program; its output. Raises ``RuntimeError`` with its last words when it fails."""
    done = subprocess.run(
        command,
        input=given,
        stdin=subprocess.DEVNULL if given is None else None,
        capture_output=True,
        text=True,
        check=False,
    )
    if good and done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-3000:]
        raise RuntimeError(f"{' '.join(command[:6])} … : {said}")
    return done.stdout if good else done.stdout + done.stderr


@dataclass(frozen=True)
class Cluster:
    """A cluster somebody gave us by KUBECONFIG. ``images`` is where its nodes find the images."""

    kubectl: tuple[str, ...] = ("kubectl",)
    images: str = ""
    is_lab: bool = False

    def prepare(self) -> None:
        """Build the images and bring them to where the nodes find them."""
        podman = os.environ.get("PODMAN", "podman").split()
        base = os.environ.get("BASE")
        arguments = ["--build-arg", f"BASE={base}"] if base else []
        for tag, folder, file in (
            (IMAGE, PROJECT, PROJECT / "deploy" / "Containerfile"),
            (SERVERS, SERVERS_FOLDER, SERVERS_FOLDER / "Containerfile"),
        ):
            there = self.name_of(tag)
            run([*podman, "build", "--file", str(file), *arguments, "--tag", there, str(folder)])
            run([*podman, "push", there])

    def name_of(self, tag: str) -> str:
        """An image's name on this cluster."""
        return f"{self.images}/{tag.rpartition('/')[2]}"

    def fit(self, manifests: str) -> tuple[str, list[str]]:
        """The manifests as this cluster takes them, and what had to be changed."""
        for tag in (IMAGE, SERVERS):
            manifests = manifests.replace(f"image: {tag}", f"image: {self.name_of(tag)}")
        return manifests, []

    def down(self) -> None:
        """Leave the cluster; it is not ours to end."""


@dataclass(frozen=True)
class Lab(Cluster):
    """The lab: its images are built and loaded on the spot."""

    kubectl: tuple[str, ...] = (str(LAB), "kubectl")
    is_lab: bool = True

    def prepare(self) -> None:
        """Build the lab where it is not built yet, the images, and start with an empty cluster."""
        lab = str(LAB)
        run([lab, "install"])
        if run([lab, "podman", "images", "--quiet", BASE]).strip() == "":
            run([lab, "base-image"])
        run([lab, "build"])
        base = ["--build-arg", f"BASE={BASE}"]
        containerfile = str(PROJECT / "deploy" / "Containerfile")
        run([lab, "image", str(PROJECT), IMAGE, "--file", containerfile, *base])
        # Not `lab image`: the certificates it lays over the image's own are read-only, and a
        # package of this image (ssl-cert) writes one.
        building = [lab, "podman", "build", "--network", "host", "--tag", SERVERS, *base]
        run([*building, str(SERVERS_FOLDER)])
        run([lab, "down"])
        run([lab, "up"])
        run([lab, "load", IMAGE, SERVERS])

    def name_of(self, tag: str) -> str:
        """As it was built."""
        return tag

    def fit(self, manifests: str) -> tuple[str, list[str]]:
        """Through the lab's own script."""
        script = str(LAB.with_name("to-1.20.py"))
        done = subprocess.run(
            [script, "--lab"], input=manifests, capture_output=True, text=True, check=True
        )
        return done.stdout, done.stderr.splitlines()

    def down(self) -> None:
        """Stop it; images and binaries stay for the next time."""
        run([str(LAB), "down"])


def find() -> Cluster:
    """The cluster of KUBECONFIG when one is given, else the lab. Raises ``NoCluster``."""
    if os.environ.get("KUBECONFIG"):
        images = os.environ.get("IMAGES", "")
        if not images:
            raise NoCluster(
                "KUBECONFIG is given, but not where its nodes find the images: "
                "IMAGES=registry.example/zhida make k8s (they are built and pushed there)"
            )
        return Cluster(images=images)
    if LAB.exists():
        return Lab()
    raise NoCluster(
        f"no cluster: set KUBECONFIG (and IMAGES=registry/path), or put the lab at {_shown(LAB)}"
    )


def _shown(path: Path) -> str:
    return os.path.relpath(path, PROJECT)
