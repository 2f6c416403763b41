"""An office: funding on a fresh database."""

from collections.abc import Callable

import pytest

from services.chassis.crypto import Seals
from services.chassis.uow import Foundation
from tests.builders.funding import Office
from tests.fixtures.services import OpenUow


@pytest.fixture
def office(uow_for: OpenUow, foundation_for: Callable[[str], Foundation]) -> Office:
    """Funding with nothing in it, on a day in November 2026."""
    keys = foundation_for("funding").settings.transit_keys
    return Office(uow_for, Seals("registry", keys))
