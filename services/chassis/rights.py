"""What each broker user may do, and what stands on the broker: derived, never written by hand.

Three kinds of user: our services, the edge (portal and command line), the bureaus. The local stack
makes them, the city's manifests are compared with them.

A service writes to the default exchange too (its own retry queues, the ends of archives, the
refill of its queues): the broker cannot narrow that to certain queues.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from services.chassis import topology
from services.chassis.bureaus import Bureau
from services.chassis.discovery import NAMES, service_class
from services.chassis.topology import WorkQueue
from services.contracts.divisions import path
from services.contracts.events import event_types

NOTHING = "^$"
RPC = "nameko-rpc"
DEFAULT = "amq.default"
REPLY_KEY = "^[0-9a-f-]{36}$"
MAX_CONNECTIONS, MAX_CHANNELS = 10, 40
"""Of a bureau."""


@dataclass(frozen=True)
class Rights:
    """A broker user's permissions on one vhost; ``topics`` maps an exchange to (write, read)."""

    user: str
    configure: str = NOTHING
    write: str = NOTHING
    read: str = NOTHING
    topics: dict[str, tuple[str, str]] = field(default_factory=dict)

    def definitions(self, vhost: str) -> dict[str, list[dict[str, Any]]]:
        """As RabbitMQ's definitions have them."""
        return {
            "permissions": [
                {
                    "user": self.user,
                    "vhost": vhost,
                    "configure": self.configure,
                    "write": self.write,
                    "read": self.read,
                }
            ],
            "topic_permissions": [
                {"user": self.user, "vhost": vhost, "exchange": exchange, "write": put, "read": get}
                for exchange, (put, get) in sorted(self.topics.items())
            ],
        }


# -- bureaus ----------------------------------------------------------------------------------


def of_bureau(bureau: Bureau, vhost: str) -> Rights:
    """Read its own two queues, bind its own queue within its patterns and division, and speak.

    It configures nothing, so it can make and delete nothing; it reads no archive.
    """
    exchanges = bureau.exchanges()
    said = _any(re.escape(bureau.says(declared)) for declared in bureau.may_say())
    place = re.escape(path(bureau.division))
    topics = {
        exchange: (NOTHING, f"^{_any(map(_pattern, patterns))}\\.{place}{_DEEPER}$")
        for exchange, patterns in exchanges.items()
    }
    topics[topology.INBOUND] = (f"^{said}\\.{place}(?:\\.[0-9]{{2,3}})*$", NOTHING)
    return Rights(
        user=bureau.user(vhost),
        write=_exactly([topology.INBOUND, bureau.queue]),
        read=_exactly([bureau.queue, bureau.refusals, *exchanges]),
        topics=topics,
    )


_DEEPER = r"(?:\.(?:\*|[0-9]{2,3}))*(?:\.#)?"


def _pattern(pattern: str) -> str:
    words = pattern.split(".")
    return r"\.".join(r"(?:\*|[a-z_]+)" if word == "*" else re.escape(word) for word in words)


def bureau_queues(bureau: Bureau) -> dict[str, dict[str, Any]]:
    """Its queues with their arguments. Full, the oldest go: nobody else waits for a slow reader."""
    bounded = {"x-queue-type": "quorum", "x-overflow": "drop-head"}
    return {
        bureau.queue: bounded
        | {"x-max-length": bureau.queue_length, "x-max-length-bytes": bureau.queue_bytes},
        bureau.refusals: bounded | {"x-max-length": 10_000, "x-max-length-bytes": 10_000_000},
    }


# -- our own ----------------------------------------------------------------------------------


EDGES = ("portal", "shell")
"""Who asks the services and is asked nothing: the desk, and the person at the command line."""


def of_all() -> list[Rights]:
    """The users of our own processes, from the services' classes."""
    from services.chassis.service import work_queues  # loads the services: seconds

    return [
        *(of_service(name, work_queues(service_class(name), ())) for name in NAMES),
        *(of_edge(name) for name in EDGES),
    ]


def of_service(service: str, queues: Sequence[WorkQueue]) -> Rights:
    """What the process of a service needs, and no more.

    ``queues`` are its subscriptions (``services.chassis.service.work_queues``). All that is named
    after the service is its own; of the others' only what it binds to, reads or re-makes.
    """
    layout = topology.service_layout(service, queues, archive_max_bytes=0)
    own = topology.exchanges_of(service)
    others = {
        name for name in (*layout.exchanges, *layout.queues) if not name.startswith(f"{service}.")
    }
    archives = {name for name in others if name.endswith(".archive")}
    ours = [rf"{service}\..+", f"rpc-{service}", RPC]
    topics = {
        exchange: (
            _types_of(service) if exchange in own else NOTHING,
            _exactly({key for _, e, key in layout.bindings if e == exchange}),
        )
        for exchange in layout.exchanges
    }
    return Rights(
        user=service,
        configure=f"^{_any([*ours, *_literally(others)])}$",
        write=f"^{_any([*ours, *_literally(archives), _literally([DEFAULT])[0]])}$",
        read=f"^{_any([*ours, *_literally(others)])}$",
        topics=topics | {RPC: (REPLY_KEY, _exactly([f"{service}.*"]))},
    )


def of_edge(user: str, services: Iterable[str] = NAMES) -> Rights:
    """Ask the services: the portal and the command line. The answers come to who asked (direct
    reply-to), so nothing may be declared, bound or read: who could bind to ``#`` here would hear
    every password.
    """
    return Rights(
        user=user,
        configure=NOTHING,
        write=f"^{RPC}$",
        read=NOTHING,
        topics={RPC: (f"^{_any(services)}\\.[a-z_]+$", NOTHING)},
    )


def _types_of(service: str) -> str:
    names = sorted(d.name for d in event_types() if d.producer == service)
    return f"^{_any(map(re.escape, names))}\\..*$" if names else NOTHING


def _exactly(names: Iterable[str]) -> str:
    return f"^{_any(_literally(names))}$"


def _literally(names: Iterable[str]) -> list[str]:
    return [re.escape(name) for name in sorted(set(names))]


def _any(alternatives: Iterable[str]) -> str:
    return f"(?:{'|'.join(alternatives)})"


# -- written down -----------------------------------------------------------------------------

FILE = Path(__file__).with_name("rights.json")
"""What ``of_all`` gives, since loading every service to derive it takes seconds: made by
``python -m services.chassis.rights``, compared by a test."""


def written() -> list[Rights]:
    """The users of our own processes, as written down."""
    return msgspec.json.decode(FILE.read_bytes(), type=list[Rights])


def document() -> str:
    """What should be written down."""
    plain = [asdict(each) for each in of_all()]
    return json.dumps(plain, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(document(), encoding="utf-8")
