"""What tests of the incidents stage share."""

from __future__ import annotations

import pytest

from stream_jobs.agents import incidents
from tests.faults.desk import HeldClock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> HeldClock:
    held = HeldClock()
    monkeypatch.setattr(incidents, "_now_ms", lambda: held.now_ms)
    return held
