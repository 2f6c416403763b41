"""The places that came with the database reach the other services."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.contracts.actors import system_actor
from services.registry import divisions
from tests.fixtures.services import emitted


def test_seeded_places_are_told_once(uow_for: Callable[..., Any]) -> None:
    """Every seeded place, with its name, at the first look and never again."""
    with uow_for("registry", actor=system_actor("registry")) as uow:
        divisions.tell_seeded(uow)
    with uow_for("registry", actor=system_actor("registry")) as uow:
        divisions.tell_seeded(uow)
        told = {body["division"]: body["name"] for _, body in emitted(uow)}
        assert len(emitted(uow)) == len(told) > 300
    assert told["421083"] == "洪湖市"
