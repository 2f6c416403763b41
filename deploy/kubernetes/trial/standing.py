"""What stands on the cluster's broker: ``python -m deploy.kubernetes.trial.standing``.

Prints the definitions of our vhost as the broker has them, for the director to compare with what
the code declares.
"""

from __future__ import annotations

import json
import sys

from deploy.kubernetes.trial.stage import Given


def main() -> int:
    """The command line."""
    broker = Given.read().broker()
    sys.stdout.write(json.dumps(broker.management(broker.vhost).standing()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
