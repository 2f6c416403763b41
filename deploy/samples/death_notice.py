"""A bureau tells of a death: bare kombu and joserfc, nothing of Zhida's.

What it needs stands on the bureau's connection sheet: the broker's address with the bureau's own
user, and registry's public key. Reads one JSON object from stdin (``amqp_uri``, ``public_key``,
``identity_number``, ``division``, ``died_on``, ``certificate_no``) and prints one: the event's id
and the moment the broker confirmed it.
"""

import json
import sys
import time
import uuid

from joserfc import jwe
from joserfc.jwk import ECKey
from kombu import Connection, Producer

EVENT = "public_security.death_registered.v1"


def main() -> None:
    """Publish one notice and wait until the broker has taken it."""
    notice = json.load(sys.stdin)
    key = ECKey.import_key(json.loads(notice["public_key"]))
    header = {"alg": "ECDH-ES", "enc": "A256GCM", "kid": key.kid}
    sealed = jwe.encrypt_compact(header, notice["identity_number"].encode(), key)
    division = notice["division"]
    words = [division[:2], division[2:4], division[4:6], division[6:9], division[9:12]]
    event_id = str(uuid.uuid4())
    body = {
        "certificate_no": notice["certificate_no"],
        "division": division,
        "identity_number": sealed,
        "died_on": notice["died_on"],
    }
    options = {"confirm_publish": True, "connect_timeout": 5}
    with Connection(notice["amqp_uri"], transport_options=options) as connection:
        Producer(connection.channel()).publish(
            json.dumps(body).encode(),
            exchange="bureaus.events",
            routing_key=".".join([EVENT, *filter(None, words)]),
            content_type="application/json",
            content_encoding="utf-8",
            delivery_mode=2,
            mandatory=True,
            user_id=connection.userid,
            message_id=event_id,
            headers={
                "cloudEvents:specversion": "1.0",
                "cloudEvents:id": event_id,
                "cloudEvents:source": "/public_security",
                "cloudEvents:type": EVENT,
                "cloudEvents:subject": notice["certificate_no"],
                "cloudEvents:time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            },
            timeout=10,
            confirm_timeout=10,
        )
    sys.stdout.write(json.dumps({"event_id": event_id, "confirmed_at": time.time()}) + "\n")


if __name__ == "__main__":
    main()
