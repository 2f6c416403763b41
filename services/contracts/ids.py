"""Identifiers: UUID version 7, so that keys made one after another lie beside one another."""

from __future__ import annotations

import uuid

from uuid_utils import compat


def new_id() -> uuid.UUID:
    """A new UUIDv7 (RFC 9562): unique, ordered by creation time to the millisecond."""
    return compat.uuid7()
