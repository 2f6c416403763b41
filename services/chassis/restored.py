"""After a service's database was put back from a backup, before the service starts.

``python -m services.chassis.restored SERVICE`` with the service's own environment. The queues are
filled again from the archives (the restored inbox takes what it had missed), and numbers that
were given since are not given again. Whoever restores raises ``<SERVICE>_EPOCH`` as well.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing

import psycopg2

from services.chassis import amqp_io
from services.chassis.arrivals import published_by
from services.contracts.events import event_types

_NOT_FILLED = "UPDATE subscription SET filled_at = NULL"
_GO_ON_AFTER = """
INSERT INTO event_sequence AS s (exchange, type, county, last) VALUES (%s, %s, %s, %s)
ON CONFLICT (exchange, type, county) DO UPDATE SET last = greatest(s.last, excluded.last)
"""


def make_ready(service: str, database_url: str, amqp_uri: str) -> int:
    """Let a restored database go on where the world is; how many series were moved on.

    A broker that was lost as well tells of no numbers: then there is nothing to go on after.
    """
    connection = amqp_io.connect(amqp_uri)
    try:
        told = published_by(connection, [service]) if _speaks(service) else {}
    finally:
        amqp_io.drop(connection)
    with closing(psycopg2.connect(database_url)) as database, database, database.cursor() as cursor:
        cursor.execute(_NOT_FILLED)
        for series, last in told.items():
            cursor.execute(_GO_ON_AFTER, (*series, last))
    return len(told)


def _speaks(service: str) -> bool:
    return any(declared.producer == service for declared in event_types())


def main(service: str) -> None:
    """The command line."""
    url = os.environ[f"{service.upper()}_DATABASE_URL"]
    moved = make_ready(service, url, os.environ["AMQP_URI"])
    sys.stdout.write(f"{service}: queues will be refilled, {moved} series go on\n")


if __name__ == "__main__":
    main(sys.argv[1])
