"""Writes a migration: ``python -m deploy.local.migration registry "what changes"``.

On a scratch database brought to the newest revision, the difference of models and tables becomes
the next revision in ``services/<service>/migrations``, to be read before it is committed.
"""

import sys

from deploy.local.servers import SERVICES
from deploy.local.shared import shared_servers
from services.chassis import migrate


def main(service: str, message: str) -> int:
    """0 done, 2 for a service there is not or a change without words."""
    if service not in SERVICES or not message.strip():
        sys.stderr.write('make migration SERVICE=<registry|cases|funding|notify> MESSAGE="…"\n')
        return 2
    with shared_servers() as servers, servers.cluster.scratch_database(service) as url:
        migrate.upgrade(service, url)
        migrate.revise(service, url, message)
    return 0


if __name__ == "__main__":
    sys.exit(main(*[*sys.argv[1:], "", ""][:2]))
