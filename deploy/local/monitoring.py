"""A Prometheus from Debian's package over the local stack, as `deploy/prometheus` configures it."""

import http.client
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from deploy.local.accounts import PROJECT
from deploy.local.ports import free_ports
from deploy.local.stack import Stack

CONFIGURATION = PROJECT / "deploy" / "prometheus"
BROKER = "broker"


class Prometheus:
    """A running Prometheus, asked over its HTTP interface."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, path: str) -> Any:
        """The data of an answer of `/api/v1`. Raises `RuntimeError` when it refuses."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", f"/api/v1/{path}")
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if answer["status"] != "success":
            raise RuntimeError(f"{path}: {answer.get('error')}")
        return answer["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What a query finds now, a series an entry."""
        found: list[dict[str, Any]] = self.ask(f"query?query={quote(expression)}")["result"]
        return found

    def names(self) -> set[str]:
        """The name of every series it has."""
        return set(self.ask("label/__name__/values"))

    def targets(self) -> dict[str, str]:
        """How each target stands: `up`, `down` or `unknown`, by job and address."""
        found = self.ask("targets?state=active")["activeTargets"]
        return {f"{each['scrapePool']} {each['scrapeUrl']}": each["health"] for each in found}

    def rules(self) -> list[dict[str, Any]]:
        """Every rule with its health, the last error and when it was evaluated."""
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]


@contextmanager
def watching(stack: Stack, folder: Path, *, every_s: int = 2) -> Iterator[Prometheus]:
    """Scrape and evaluate each `every_s`; ends with the block."""
    (port,) = free_ports(1)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "prometheus.yaml"
    file.write_text(yaml.safe_dump(configuration(stack, every_s)), encoding="utf-8")
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={file}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        prometheus = Prometheus(port)
        _until(lambda: _answers(prometheus), process)
        yield prometheus
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def configuration(stack: Stack, every_s: int) -> dict[str, Any]:
    """The configuration of `deploy/prometheus` with this machine's addresses and pace, for those
    processes that the stack has."""
    found: dict[str, Any] = yaml.safe_load(
        (CONFIGURATION / "prometheus.yaml").read_text(encoding="utf-8")
    )
    pace = f"{every_s}s"
    found["global"] = {"scrape_interval": pace, "scrape_timeout": pace, "evaluation_interval": pace}
    found["rule_files"] = [str(CONFIGURATION / name) for name in found["rule_files"]]
    for job in found["scrape_configs"]:
        for group in job["static_configs"]:
            names = [target.partition(":")[0] for target in group["targets"]]
            group["targets"] = [
                f"127.0.0.1:{_port(stack, name)}"
                for name in names
                if name == BROKER or name in stack.ports
            ]
    return found


def _port(stack: Stack, name: str) -> int:
    if name == BROKER:
        assert stack.broker is not None, "a broker from outside is scraped from outside"
        return stack.broker.prometheus_port
    return stack.metrics_port(name)


def _answers(prometheus: Prometheus) -> bool:
    try:
        return prometheus.ask("query?query=1") is not None
    except (OSError, ValueError, http.client.HTTPException):
        return False


def _until(holds: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("Prometheus 没有起来，见它的日志")
        time.sleep(0.1)
