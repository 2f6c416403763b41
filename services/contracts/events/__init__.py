"""Event types, a module for the service that produces them.

Importing this package registers every type; ``event_types()`` lists them.
"""

from services.contracts.events import bureaus, cases, funding, notify, registry
from services.contracts.events.base import (
    Audience,
    Event,
    EventType,
    Privacy,
    event_type,
    event_types,
)

__all__ = [
    "Audience",
    "Event",
    "EventType",
    "Privacy",
    "bureaus",
    "cases",
    "event_type",
    "event_types",
    "funding",
    "notify",
    "registry",
]
