"""bandit (medium and high), the rules of ``semgrep.yaml``, detect-secrets: what they find.

Each finding has a mark: eight letters of a hash of its line. ``accepted.toml`` names path and mark
of every finding that stays, with a reason; when the line changes somebody looks again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]
RULES = Path(__file__).with_name("semgrep.yaml")
ACCEPTED = Path(__file__).with_name("accepted.toml")

CODE = ("services", "deploy")
#: Whatever people write: a secret may stand in a page or a test as well.
TEXT = (*CODE, "tests", "docs", "README.md", "README.zh-CN.md", "CONTRIBUTING.md", "CHANGELOG.md",
        "Makefile", "pyproject.toml", ".ci")  # fmt: skip
#: Made from what is scanned (catalogue, lock file), others' code, or never part of the project.
NOT_WRITTEN_HERE = (
    r"(^|/)(__pycache__|node_modules|docs/events|compose/secrets|vendor|axe)/|uv\.lock$"
)


@dataclass(frozen=True)
class Finding:
    """One thing found, at one line."""

    rule: str
    path: str
    line: int
    says: str
    mark: str

    @property
    def place(self) -> str:
        """As ``accepted.toml`` names it."""
        return f"{self.path}@{self.mark}"

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.says} [{self.place}]"


class LintFailed(Exception):
    """A tool did not run to its end; what it says."""


def found(
    root: Path = PROJECT, code: Sequence[str] = CODE, text: Sequence[str] = TEXT
) -> list[Finding]:
    """Everything the three tools find under ``root``."""
    with ThreadPoolExecutor(2) as pool:
        parts = [
            pool.submit(_semgrep, root, code),
            pool.submit(_bandit, root, code),
            pool.submit(_secrets, root, text),
        ]
        return sorted(
            (each for part in parts for each in part.result()),
            key=lambda each: (each.path, each.line, each.rule),
        )


def judge(findings: Sequence[Finding], accepted: dict[str, set[str]]) -> list[str]:
    """What is wrong: findings nobody accepted, and acceptances of what is no longer found."""
    seen: dict[str, set[str]] = {}
    wrong = []
    for each in findings:
        seen.setdefault(each.rule, set()).add(each.place)
        if each.place not in accepted.get(each.rule, ()):
            wrong.append(str(each))
    wrong += [
        f"{place}: {rule} is accepted there but no longer found; take it out of {ACCEPTED.name}"
        for rule, places in sorted(accepted.items())
        for place in sorted(places - seen.get(rule, set()))
    ]
    return wrong


def accepted(file: Path = ACCEPTED) -> dict[str, set[str]]:
    """Rule to places. Raises ``ValueError`` for an entry without a reason worth the name."""
    by_rule: dict[str, set[str]] = {}
    for entry in tomllib.loads(file.read_text(encoding="utf-8"))["accepted"]:
        if len(entry["reason"]) < 20:
            raise ValueError(f"{file.name}: {entry['rule']}: give a reason that says why it stays")
        by_rule.setdefault(entry["rule"], set()).update(entry["found"])
    return by_rule


def _semgrep(root: Path, code: Sequence[str]) -> Iterator[Finding]:
    uv = shutil.which("uv") or str(PROJECT / ".zhida" / "tools" / "bin" / "uv")
    report = _run(
        root, uv, "run", "--quiet", "--project", str(PROJECT / "deploy" / "checks"),
        "--group", "lint", "--isolated", "--frozen", "semgrep", "scan", "--metrics", "off",
        "--disable-version-check", "--quiet", "--no-git-ignore", "--json",
        "--exclude", "node_modules", "--config", str(RULES), *code,
    )  # fmt: skip
    if report["errors"]:
        raise LintFailed(json.dumps(report["errors"])[:2000])
    for each in report["results"]:
        rule = each["check_id"].rpartition(".")[2]
        yield _finding(root, rule, each["path"], each["start"]["line"], each["extra"]["message"])


def _bandit(root: Path, code: Sequence[str]) -> Iterator[Finding]:
    report = _run(
        root, sys.executable, "-W", "ignore", "-m", "bandit", "--quiet", "-ll", "--exit-zero",
        "--format", "json", "--recursive", *code,
    )  # fmt: skip
    if report["errors"]:
        raise LintFailed(json.dumps(report["errors"])[:2000])
    for each in report["results"]:
        yield _finding(
            root, each["test_id"], each["filename"], each["line_number"], each["issue_text"]
        )


def _secrets(root: Path, text: Sequence[str]) -> Iterator[Finding]:
    report = _run(
        root, sys.executable, "-W", "ignore", "-m", "detect_secrets", "scan", "--all-files",
        "--no-verify", "--exclude-files", NOT_WRITTEN_HERE, *text,
    )  # fmt: skip
    for path, secrets in report["results"].items():
        for each in secrets:
            yield _finding(root, each["type"], path, each["line_number"], "a secret, by its looks")


def _run(root: Path, *command: str) -> Any:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if not done.stdout.lstrip().startswith("{"):
        raise LintFailed(f"{' '.join(command[:12])} …: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def _finding(root: Path, rule: str, path: str, line: int, says: str) -> Finding:
    standing = (root / path).read_text(encoding="utf-8").splitlines()[line - 1].strip()
    mark = hashlib.sha256(standing.encode()).hexdigest()[:8]
    return Finding(rule, path.removeprefix("./"), line, " ".join(says.split()), mark)
