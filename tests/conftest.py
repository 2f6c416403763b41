"""Fixtures every test may use, and what no test process may be."""

from eventlet import patcher

pytest_plugins = ["tests.fixtures.servers", "tests.fixtures.services"]


def pytest_collection_finish() -> None:
    """Eventlet's patches belong into services: in a test process they stop pytest's own workers."""
    patched = [name for name, done in patcher.already_patched.items() if done]
    assert not patched, f"a test module imports what patches the process: {patched}"
