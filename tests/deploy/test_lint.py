"""What `make lint` looks for beside types and style: every rule finds what was planted for it."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import yaml

from deploy.lint.findings import RULES, accepted, found, judge

BAD = {
    "raw-sql-from-values": [
        "session.execute(text(f\"SELECT id FROM person WHERE name = '{name}'\"))",
        "session.execute(text(\"SELECT id FROM person WHERE name = '%s'\" % name))",
        'session.execute(text("SELECT id FROM person WHERE name = {}".format(name)))',
        'session.execute(text("SELECT id FROM person WHERE name = " + name))',
        'cursor.execute(f"DELETE FROM {name}")',
    ],
    "personal-data-in-log": [
        'log.info("registered", who=person.identity_number)',
        'log.warning("no account", person.phone)',
        'logger.error(f"not registered: {identity_number}")',
        'log.info("changed", by=masked(account_number))',
    ],
    "personal-field-named-in-log": ['log.info("registered", phone="unknown")'],
    "other-serialisers-than-json": ["pickle.loads(body)", "yaml.load(body)", "marshal.loads(body)"],
    "boolean-compared-with-is": [
        "select(Person).where(Person.removed.is_(False))",
        "select(Case).where(Case.returned.is_(True))",
    ],
    "B602": ["subprocess.run(name, shell=True)"],
    "B324": ["hashlib.md5(body).hexdigest()"],
}
GOOD = """
session.execute(text("SELECT id FROM person WHERE name = :name"), {"name": name})
session.execute(text("SELECT id " "FROM person"))
cursor.execute("SELECT id FROM person WHERE name = %s", [name])
select(Person).where(~Person.removed, Person.officer_in_post.is_(True))
log.info("registered", person=person.id, division=person.division)
log.warning("not registered", code=error.code)
json.loads(body)
yaml.safe_load(body)
subprocess.run(["pg_dump", name])
hashlib.sha256(body).hexdigest()
password = settings.password
"""


@pytest.mark.timeout(300)  # the first run on a machine fetches the tool
def test_every_rule_finds_what_it_is_for_and_nothing_else(tmp_path: Path) -> None:
    """Each bad line by its own rule, the good file by none; nothing planted is accepted."""
    places: dict[tuple[str, int], str] = {}
    for rule, lines in BAD.items():
        name = f"{rule.replace('-', '_').lower()}.py"
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        places |= {(name, number): rule for number in range(1, len(lines) + 1)}
    (tmp_path / "good.py").write_text(GOOD, encoding="utf-8")
    # in parts: this page is looked through as well
    key = base64.b64encode(bytes(range(31, 63))).decode()
    parts = [
        'password = "{}"'.format("river-" + "lotus"),
        'url = "amqp://zhida:{}@broker"'.format("lo" + "tus"),
        f"FIELD_KEYS = '{key}'",
    ]
    (tmp_path / "secret.py").write_text("\n".join(parts) + "\n", encoding="utf-8")
    findings = found(tmp_path, code=["."], text=["."])
    told = {(each.path, each.line, each.rule) for each in findings}
    assert {(path, line, rule) for (path, line), rule in places.items()} <= told
    assert {line for path, line, _ in told if path == "secret.py"} == {1, 2, 3}
    assert "good.py" not in {path for path, _, _ in told}
    ours = {rule["id"] for rule in yaml.safe_load(RULES.read_text(encoding="utf-8"))["rules"]}
    assert ours <= BAD.keys()
    refused = judge(findings, accepted())
    assert all(any(str(each) == line for line in refused) for each in findings)


def test_an_acceptance_says_why_and_goes_when_its_line_goes(tmp_path: Path) -> None:
    """No entry without a reason; one whose finding is gone is told."""
    file = tmp_path / "accepted.toml"
    file.write_text('[[accepted]]\nrule = "B602"\nreason = "fine"\nfound = ["a.py@00000000"]\n')
    with pytest.raises(ValueError, match="B602"):
        accepted(file)
    file.write_text(file.read_text().replace("fine", "it runs in the test's own folder only"))
    assert judge([], accepted(file)) == [
        "a.py@00000000: B602 is accepted there but no longer found; take it out of accepted.toml"
    ]
