"""``make k8s``: the whole of Zhida on a true cluster, worked with, rolled, drained, and counted.

Images built, ``overlays/dev`` applied, migrations run, the main job driven through the cluster;
each service rolled, a secret taken away, keys rotated and the node drained while people work; at
last the databases and the audit logs say whether anything was lost, doubled or touched. The exit
codes: 0 all held, 1 something did not, 3 there is no cluster. Figures go to ``.zhida/k8s.json``.
"""

from __future__ import annotations

import argparse
import json
import secrets as random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from deploy import rotation
from deploy.kubernetes import topology
from deploy.kubernetes.trial.cluster import Cluster, NoCluster, find, run
from deploy.local.accounts import PROJECT, RESULTS
from deploy.secrets import PROCESSES
from services.chassis.discovery import NAMES

NAMESPACE = "zhida"
OVERLAY = PROJECT / "deploy" / "kubernetes" / "overlays" / "dev"
NO_CLUSTER = 3
PATIENCE = "900s"
TRIAL = "deploy.kubernetes.trial"


@dataclass
class Trial:
    """One run: what was done, how long it took, what did not hold."""

    cluster: Cluster
    people: int
    seed: int
    kept: Path
    """The folder of the secrets, as an operator keeps it."""
    began: float = field(default_factory=time.monotonic)
    seconds: dict[str, float] = field(default_factory=dict)
    found: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    # -- words -----------------------------------------------------------------------------------

    def say(self, words: str) -> None:
        """A line for whoever watches."""
        sys.stderr.write(f"{time.monotonic() - self.began:7.1f} s  {words}\n")

    def hold(self, promise: str, holds: object) -> None:
        """Note whether a promise holds."""
        self.say(f"{'held ' if holds else 'BROKEN'} {promise}")
        if not holds:
            self.broken.append(promise)

    @contextmanager
    def step(self, name: str, words: str) -> Iterator[None]:
        """A step and how long it took."""
        self.say(words)
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 1)

    # -- the cluster -----------------------------------------------------------------------------

    def kubectl(self, *arguments: str, given: str | None = None, good: bool = True) -> str:
        """kubectl in our namespace."""
        return run(
            [*self.cluster.kubectl, "--namespace", NAMESPACE, *arguments], given=given, good=good
        )

    def outside(self, module: str, given: str | None = None) -> str:
        """Run a module of the trial in the pod outside."""
        return self.kubectl(
            "exec", "-i", "deployment/outside", "--", "python", "-W", "ignore", "-m",
            f"{TRIAL}.{module}", given=given,
        )  # fmt: skip

    def rolled_out(self, *workloads: str) -> None:
        """Wait until they are."""
        for workload in workloads:
            self.kubectl("rollout", "status", workload, f"--timeout={PATIENCE}")

    def ready(self, name: str) -> int:
        """How many replicas of a service are ready."""
        shown = self.kubectl("get", f"deployment/{name}", "-o", "jsonpath={.status.readyReplicas}")
        return int(shown or 0)

    # -- the run ---------------------------------------------------------------------------------

    def install(self) -> dict[str, dict[str, str]]:
        """Secrets, then the overlay as the cluster takes it; the secrets' values by name."""
        rendered = run(["kubectl", "kustomize", str(OVERLAY)])
        fitted, changed = self.cluster.fit(rendered)
        self.found["rewritten"] = changed
        for line in changed:
            self.say(f"  {line}")
        secrets = self._secrets()
        with self.step("apply", "applying the dev overlay"):
            namespace = next(m for m in yaml.safe_load_all(fitted) if m["kind"] == "Namespace")
            self.kubectl("apply", "--filename", "-", given=yaml.safe_dump(namespace))
            self.kubectl("apply", "--filename", "-", given=json.dumps(secrets))
            self.kubectl("apply", "--filename", "-", given=fitted)
        with self.step("migrations", "waiting for the migrations"):
            self.kubectl(  # as docs/deploying.md says it
                "wait", "job", "--selector", "app.kubernetes.io/component=migration",
                "--for=condition=complete", f"--timeout={PATIENCE}",
            )  # fmt: skip
        with self.step("ready", "waiting for the services"):
            self.rolled_out(*(f"deployment/{name}" for name in (*PROCESSES, "outside")))
        self.found["refused_before_migration"] = self._refusals()
        return {each["metadata"]["name"]: each["stringData"] for each in secrets["items"]}

    def _secrets(self) -> dict[str, Any]:
        run([sys.executable, "-m", "deploy.secrets", "--folder", str(self.kept), "--kubernetes"])
        made: dict[str, Any] = json.loads((self.kept / "kubernetes.yaml").read_text("utf-8"))
        return made

    def _refusals(self) -> int:
        """How often a service was started before its schema was there, and refused."""
        pods = json.loads(self.kubectl("get", "pods", "-o", "json"))["items"]
        return sum(
            status["restartCount"]
            for pod in pods
            for status in pod["status"].get("containerStatuses", ())
        )

    def main_job(self, secrets: dict[str, dict[str, str]]) -> None:
        """From the roster to the last message, and the checks of it."""
        password = random.token_urlsafe(12)
        self.kubectl(
            "exec", "-i", "deployment/registry", "--", "python", "-W", "ignore", "-m",
            "services.registry.first_admin", "--keep-password", given=password + "\n",
        )  # fmt: skip
        given = {
            "amqp_uri": secrets["portal"]["AMQP_URI"],
            "broker_admin_password": secrets["broker-admin"]["password"],
            "database_urls": {n: secrets[n][f"{n.upper()}_DATABASE_URL"] for n in NAMES},
            "bureau_public_key": secrets["registry"]["BUREAU_PUBLIC_KEY"],
            "admin_password": password,
            "people": self.people,
            "seed": self.seed,
        }
        with self.step("main_job", f"the main job with {self.people} people"):
            self.found["main_job"] = json.loads(self.outside("play", json.dumps(given)))
        self.say(f"  {self.found['main_job']}")
        self._compare_topology()
        self._at_the_shell(password)

    def _at_the_shell(self, password: str) -> None:
        """An operator's commands, where docs/operations.md says they are given."""
        said = self.kubectl(
            "exec", "-i", "deployment/portal", "--",
            "env", "ZHIDA_SESSION=/tmp/session", "sh", "-c",
            "zhida login admin --password-stdin && zhida reconcile --wait 120 && echo AGREED",
            given=password + "\n", good=False,
        )  # fmt: skip
        self.hold("zhida reconcile in a pod of the portal: everything agrees", "AGREED" in said)
        if "AGREED" not in said:
            self.say(said[-2000:])

    def _compare_topology(self) -> None:
        """What stands on the broker is what the resources of components/rabbitmq say."""
        standing = json.loads(self.outside("standing"))
        declared = topology.layout()

        def ours(name: str) -> bool:
            return not name.startswith(("rpc-", "rpc.", "nameko-rpc", "amq.", "bureau."))

        queues = {q["name"]: q["arguments"] for q in standing["queues"] if ours(q["name"])}
        self.hold(
            f"the broker's {len(queues)} queues and their arguments are the declared ones",
            queues == declared.queues,
        )
        bindings = {
            (each["destination"], each["source"], each["routing_key"])
            for each in standing["bindings"]
            if ours(each["source"]) and ours(each["destination"])
        }
        self.hold(
            f"its {len(bindings)} bindings are the declared ones",
            bindings == set(declared.bindings),
        )

    def check(self, registered: list[str], when: str) -> None:
        """Ask the databases, after the pods' logs were brought to where the checks look."""
        self._bring_logs()
        shown = self.kubectl(
            "exec", "-i", "deployment/outside", "--", "python", "-W", "ignore", "-m",
            f"{TRIAL}.check", given=json.dumps(registered), good=False,
        )  # fmt: skip
        lines = [line for line in shown.splitlines() if line.startswith("[")]
        if not lines:
            raise RuntimeError(f"the checks did not run: {shown[-2000:]}")
        checks = json.loads(lines[-1])
        self.found[f"checks_{when}"] = checks
        for one in checks:
            if not one["ok"]:
                self.say(f"  {one}")
        self.hold(f"all {len(checks)} checks {when}", all(one["ok"] for one in checks))

    def _bring_logs(self) -> None:
        pods = self.kubectl(
            "get", "pods", "-l", "app.kubernetes.io/component=service",
            "-o", "jsonpath={.items[*].metadata.name}",
        ).split()  # fmt: skip
        logs = "".join(self.kubectl("logs", pod, good=False) for pod in pods)
        self.kubectl(
            "exec", "-i", "deployment/outside", "--", "sh", "-c",
            "mkdir -p /tmp/trial/logs && cat >> /tmp/trial/logs/pods.log", given=logs,
        )  # fmt: skip

    @contextmanager
    def people_at_work(self) -> Iterator[None]:
        """Load while the block runs; afterwards what came of it."""
        command = [
            *self.cluster.kubectl, "--namespace", NAMESPACE, "exec", "-i", "deployment/outside",
            "--", "python", "-W", "ignore", "-m", f"{TRIAL}.load",
        ]  # fmt: skip
        working = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            yield
        finally:
            out, _ = working.communicate("", timeout=300)
        self.found["load"] = json.loads(out)

    def roll(self) -> None:
        """Every service in turn, one pod at a time."""
        for name in PROCESSES:
            with self.step(f"roll_{name}", f"rolling {name} under load"):
                self.kubectl("rollout", "restart", f"deployment/{name}")
                self.rolled_out(f"deployment/{name}")

    def without_a_secret(self, secrets: dict[str, dict[str, str]]) -> None:
        """A rollout whose Secret is gone stands still and says why; the old pods go on."""
        name = "cases"
        with self.step("missing_secret", f"rolling {name} without its Secret"):
            self.kubectl("delete", "secret", name)
            self.kubectl("rollout", "restart", f"deployment/{name}")
            said = self._waits_for(name)
            self.hold(
                f"a missing Secret is named by the pod: {said}", f'"{name}" not found' in said
            )
            self.hold(f"meanwhile the old pods of {name} serve", self.ready(name) == 2)
            again = {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name},
                "stringData": secrets[name],
            }
            self.kubectl("apply", "--filename", "-", given=json.dumps(again))
            self.rolled_out(f"deployment/{name}")

    def rotate_keys(self) -> None:
        """A field key comes into use and the old one goes, as docs/deploying.md says it."""
        name = "cases"
        with self.step("rotate_keys", f"rotating the field keys of {name} under load"):
            for step in ("add", "activate"):
                self._hand_out(name, step)
            said = self.kubectl(
                "exec", f"deployment/{name}", "--",
                "python", "-W", "ignore", "-m", "services.chassis.reencryption", name,
            )  # fmt: skip
            report = json.loads(said.splitlines()[-1])
            rows = sum(report["rows"].values())
            self.hold(f"{rows} rows were brought under the new key, none is left", rows > 0)
            self._hand_out(name, "retire")

    def _hand_out(self, name: str, step: str) -> None:
        rotation.take(self.kept, "fields", (name,), step)
        made = (self.kept / rotation.MANIFESTS).read_text(encoding="utf-8")
        self.kubectl("apply", "--filename", "-", given=made)
        self.kubectl("rollout", "restart", f"deployment/{name}")
        self.rolled_out(f"deployment/{name}")

    def read_the_audit_logs(self) -> None:
        """What the CronJobs do every night, now: each service's log is whole."""
        with self.step("audit", "reading the audit logs anew"):
            for name in NAMES:
                self._now(f"{name}-audit")
            found = [self._read_of(f"{name}-audit-now") for name in NAMES]
            rows = sum(report["rows"] for report in found)
            self.hold(
                f"{rows} rows of the four audit logs are as they were sealed",
                rows > 0 and not any(report["found"] for report in found),
            )

    def _now(self, cron_job: str) -> None:
        """``kubectl create job --from``, which that of 1.20 does not know for its own CronJobs."""
        planned = json.loads(self.kubectl("get", f"cronjob/{cron_job}", "-o", "json"))
        job = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": f"{cron_job}-now"},
            "spec": planned["spec"]["jobTemplate"]["spec"],
        }
        self.kubectl("apply", "--filename", "-", given=json.dumps(job))

    def _read_of(self, job: str) -> dict[str, Any]:
        self.kubectl("wait", f"job/{job}", "--for=condition=complete", "--timeout=300s")
        report: dict[str, Any] = json.loads(self.kubectl("logs", f"job/{job}").splitlines()[-1])
        return report

    def _waits_for(self, name: str) -> str:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            shown = self.kubectl(
                "get", "pods", "-l", f"app.kubernetes.io/name={name}", "-o",
                "jsonpath={.items[*].status.containerStatuses[*].state.waiting.message}",
            )  # fmt: skip
            if "not found" in shown:
                return shown.strip()
            time.sleep(1)
        return "nothing was said"

    def drain(self) -> None:
        """The node is to be emptied: the budgets let one of two go, and nothing that is alone."""
        node = self.kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
        with self.step("drain", f"draining {node} under load"):
            said = self.kubectl(
                "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=40s",
                "--pod-selector=app.kubernetes.io/part-of=zhida,app.kubernetes.io/name!=outside",
                good=False,
            )  # fmt: skip
            self.hold("drain is held back by the budgets", "disruption budget" in said)
            left = {name: self.ready(name) for name in PROCESSES}
            self.hold(f"one replica of each goes on serving: {left}", set(left.values()) == {1})
            self.kubectl("uncordon", node)
            self.rolled_out(*(f"deployment/{name}" for name in PROCESSES))

    def under_load(self, secrets: dict[str, dict[str, str]]) -> None:
        """All that is done to the cluster while people work, and what they met."""
        with self.people_at_work():
            time.sleep(5)
            self.roll()
            self.without_a_secret(secrets)
            self.rotate_keys()
            if self.cluster.is_lab:
                self.drain()
            else:
                self.say("not drained: the nodes are not ours")
            time.sleep(5)
        load = self.found["load"]
        asked = sum(load["requests"].values())
        for line in load["failed"][:20]:
            self.say(f"  {line}")
        self.hold(
            f"of {asked} requests in {load['seconds']} s {len(load['failed'])} failed",
            not load["failed"] and asked > 0,
        )
        self.check(load["registered"], "after it was rolled and drained")
        self.read_the_audit_logs()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--people", type=int, default=300)
    parser.add_argument("--seed", type=int, default=20260928)
    parser.add_argument("--keep", action="store_true", help="leave the lab running")
    given = parser.parse_args()
    try:
        cluster = find()
    except NoCluster as reason:
        sys.stderr.write(f"make k8s: {reason}\n")
        return NO_CLUSTER
    kept = tempfile.TemporaryDirectory()
    trial = Trial(cluster, given.people, given.seed, Path(kept.name, "secrets"))
    try:
        with trial.step("prepare", "building images, starting the cluster"):
            cluster.prepare()
        secrets = trial.install()
        trial.main_job(secrets)
        trial.check([], "after the main job")
        trial.under_load(secrets)
    finally:
        kept.cleanup()
        report = {"seconds": trial.seconds, "broken": trial.broken, **trial.found}
        RESULTS.mkdir(mode=0o700, parents=True, exist_ok=True)
        shown = json.dumps(report, ensure_ascii=False, indent=2)
        (RESULTS / "k8s.json").write_text(shown + "\n", encoding="utf-8")
        if not given.keep:
            cluster.down()
    trial.say(f"seconds: {trial.seconds}")
    trial.say("all held" if not trial.broken else f"BROKEN: {trial.broken}")
    return 1 if trial.broken else 0


if __name__ == "__main__":
    sys.exit(main())
