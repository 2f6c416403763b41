"""``python -m deploy.lint``: what the three tools find and nobody accepted; exit code 1 if any."""

from __future__ import annotations

import sys

from deploy.lint.findings import accepted, found, judge


def main() -> int:
    """Print what is wrong, a line each."""
    wrong = judge(found(), accepted())
    sys.stderr.writelines(f"{line}\n" for line in wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
