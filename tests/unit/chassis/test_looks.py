"""When a consumer looks after its queue."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from services.chassis import consumer


@pytest.mark.parametrize(("chance", "second"), [(0.0, 10.0), (0.5, 15.0), (0.999, 19.99)])
def test_the_second_look_is_never_early_and_the_others_keep_the_period(
    monkeypatch: pytest.MonkeyPatch, chance: float, second: float
) -> None:
    """Sooner than a period, what a neighbour has not noted yet would be taken for lost."""
    looked: list[object] = []
    upkeep = SimpleNamespace(every_s=10.0, look=lambda *given: looked.append(given))
    session = consumer._Session.__new__(consumer._Session)
    session._consumer = SimpleNamespace(upkeep=upkeep)
    session._connection, session._looked = None, False
    monkeypatch.setattr(consumer.time, "monotonic", lambda: 100.0)
    monkeypatch.setattr(consumer.random, "random", lambda: chance)
    session.look()
    assert session._next_look == pytest.approx(100.0 + second)
    session.look()
    assert session._next_look == 110.0
    assert len(looked) == 2
