"""Fixtures every test may use, and what no test process may be."""

from services.chassis import loading  # isort: skip

from collections import defaultdict
from pathlib import Path

import pytest
from eventlet import patcher

LONG_S = 600

pytest_plugins = ["tests.fixtures.servers", "tests.fixtures.services", "tests.fixtures.plans"]


def pytest_collection_finish() -> None:
    """Everything is loaded.

    Eventlet's patches belong into services: in a test process they stop pytest's own workers.
    """
    patched = [name for name, done in patcher.already_patched.items() if done]
    assert not patched, f"a test module imports what patches the process: {patched}"
    loading.done()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with a test that may take ten minutes come first: they would keep one worker busy
    when the others have nothing left."""
    longest: dict[Path, float] = defaultdict(float)
    for item in items:
        if (limit := item.get_closest_marker("timeout")) is not None:
            longest[item.path] = max(longest[item.path], limit.args[0])
    items.sort(key=lambda item: -longest[item.path] if longest[item.path] >= LONG_S else 0)
