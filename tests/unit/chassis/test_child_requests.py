"""Requests that are served in a child process: what is said when it does not come back."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest

from services.chassis import edge
from services.contracts.errors import Unavailable, ZhidaError


@pytest.mark.parametrize("writes", [True, False])
def test_a_child_that_died_is_not_said_to_have_changed_nothing(
    monkeypatch: pytest.MonkeyPatch, writes: bool
) -> None:
    """Killed after its commit it looks the same as before: only a query surely changed nothing."""
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=-9))
    with pytest.raises(ZhidaError) as told:
        edge._in_child("probe:Probe", "import_roster", {}, {}, writes=writes)
    assert isinstance(told.value, Unavailable) is writes
    assert ("没有任何改动" in told.value.message) is not writes
