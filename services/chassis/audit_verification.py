"""Reads a service's audit log anew: ``python -m services.chassis.audit_verification registry``.

Where the service's environment is, every night (``deploy/kubernetes/base/*/audit.yaml``). What the
other services bear witness to stands in their databases, out of reach from here: whether the end
was cut off is for ``zhida audit verify``, which an auditor runs.
"""

from __future__ import annotations

import sys

import msgspec

from services.chassis import audit_chain, logs
from services.chassis.settings import Settings
from services.chassis.uow import Foundation
from services.contracts.actors import system_actor
from services.contracts.commands.common import AuditReport, VerifyAudit


def run(foundation: Foundation) -> AuditReport:
    """Verify the chain and every row; that it was done goes into the log itself."""
    service = foundation.settings.service
    with foundation.begin(system_actor(service)) as uow:
        report = audit_chain.verify(uow, VerifyAudit())
        uow.audit("audit.verified", "audit", service, rows=report.rows, found=report.found)
    return report


def main(service: str) -> int:
    """The command line: the report as JSON; 1 when anything is not as it was sealed."""
    logs.configure(service)
    report = run(Foundation.build(Settings.from_env(service)))
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    return 1 if report.found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
