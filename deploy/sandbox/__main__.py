"""``python -m deploy.sandbox``: Zhida's side, until SIGINT or SIGTERM.

Told by the environment: ``AMQP_URI`` (the sandbox's vhost, as its own user), ``BUREAU_PRIVATE_KEY``
(the test key), ``ZHIDA_BUREAUS`` (the entries of those who try), ``ZHIDA_COUNTY``.
"""

import argparse
import os
import signal
import threading
from pathlib import Path

from deploy.sandbox.door import Door
from services.chassis import logs
from services.contracts.divisions import county


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--every", type=float, default=30.0)
    given = parser.parse_args()
    logs.configure("sandbox")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    Door(
        os.environ["AMQP_URI"],
        private_key=os.environ["BUREAU_PRIVATE_KEY"],
        bureaus_file=Path(os.environ["ZHIDA_BUREAUS"]),
        county=county(os.environ.get("ZHIDA_COUNTY", "421083")),
        people_at_first=given.people,
        seconds_a_person=given.every,
    ).serve(stop)


if __name__ == "__main__":
    main()
