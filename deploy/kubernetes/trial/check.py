"""What the databases say afterwards: ``python -m deploy.kubernetes.trial.check < person_ids``.

The demo's checks, and that each person put on record under load stands once in every service that
keeps a copy. Standard input is a JSON list of the ids that were answered for.
"""

from __future__ import annotations

import sys

import msgspec

from deploy.kubernetes.trial.play import Told
from deploy.kubernetes.trial.stage import TOLD, Given
from services.cli.demo import evidence, story
from services.cli.demo.evidence import Check, Evidence
from services.cli.demo.world import eventually

KEYS = {"registry": "id", "cases": "person_id", "funding": "person_id", "notify": "person_id"}
"""The key of each service's table of people."""


def registered(found: Evidence, ids: list[str]) -> list[Check]:
    """Of those answered for, how many each service holds."""
    checks = []
    for service, key in KEYS.items():
        count = f"SELECT count(*) FROM person WHERE {key}::text = ANY(%s)"  # noqa: S608
        held = found.number(service, count, ids)
        checks.append(
            Check(
                name=f"registered_{service}",
                title=f"Everybody put on record under load stands in {service}",
                left_from="答复的登记",
                left=len(set(ids)),
                right_from=service,
                right=held,
                ok=held == len(set(ids)) == len(ids),
            )
        )
    return checks


def main() -> int:
    """The command line; 1 when a check does not hold."""
    ids = msgspec.json.decode(sys.stdin.buffer.read() or b"[]", type=list[str])
    given = Given.read()
    told = msgspec.json.decode(TOLD.read_bytes(), type=Told)
    eventually("事件全部处理完", story._Quiet(given.stack()).holds)  # noqa: SLF001
    found = told.evidence(given)
    checks = [*evidence.check_all(found), *(registered(found, ids) if ids else [])]
    sys.stdout.buffer.write(msgspec.json.encode(checks) + b"\n")
    return 0 if all(one.ok for one in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
