"""Delivery: due messages are claimed, sent and marked, in that order and never in one transaction.

A claim writes an attempt for each message and commits; only then is the mail server spoken to, with
no database transaction open, so a slow server holds no connection and no lock. What the server
answered is marked in a second transaction. A process that dies between the two leaves attempts
without an outcome: they end as ``unknown`` and the message goes out again under the same
Message-ID, counted as another attempt, so a text that comes twice is never a secret.

``rounds`` goes through what is due; ``claims`` takes messages, ``plans`` says what becomes of each,
``answers`` writes down what came of it; ``forgetting`` empties old texts.
"""

from services.notify.delivery.answers import LEASE, mark, reclaim
from services.notify.delivery.claims import claim
from services.notify.delivery.forgetting import forget_old_texts
from services.notify.delivery.plans import COPY_MAY_LAG, LOOK_AGAIN
from services.notify.delivery.rounds import CONNECTIONS, deliver_due, send

__all__ = [
    "CONNECTIONS",
    "COPY_MAY_LAG",
    "LEASE",
    "LOOK_AGAIN",
    "claim",
    "deliver_due",
    "forget_old_texts",
    "mark",
    "reclaim",
    "send",
]
