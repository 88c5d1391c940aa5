"""Detection on recorded queues and on simulated fleets: early, once, and never where all is well."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest

from producers.fleet.engine import simulate_fleet
from producers.fleet.scenario_file import ScenarioFile
from schemas.findings import Finding
from tests.operators.queue_fleets import found_in, minutes
from tests.operators.recorded_engine import delay_s, found_by_minute, loads, slice_of
from tests.producers.fleets import START_MS, small

PHASES_S = (0.0, 15.0, 30.0, 45.0)
"""Where in a minute the load begins."""


@pytest.mark.recorded
def test_an_overloaded_engine_is_found_within_a_minute_and_one_that_keeps_up_is_not(recorded_data: Path) -> None:
    recorded = sorted(loads(recorded_data / "vllm_load_test"), key=lambda load: load.scale)
    assert (recorded[0].pending_max, recorded[-1].pending_max) == (4, 294)
    delays = {load.scale: [] for load in recorded}  # type: ignore[var-annotated]
    for phase_s in PHASES_S:
        said = found_by_minute(recorded, phase_s)
        for load in recorded:
            delays[load.scale].append(delay_s(load, said, phase_s))
            shown = [is_in for is_in, _ in groupby(slice_of(load) in each for each in said)]
            assert shown.count(True) <= 1, f"scale {load.scale} flaps"
    found = {scale: [delay for delay in each if delay is not None] for scale, each in delays.items()}
    assert {scale: len(each) for scale, each in found.items()} == {
        **dict.fromkeys((100, 200, 300), 0),
        **{400: 2, 500: 3, 600: 3},
        **dict.fromkeys((700, 800, 900, 1_000, 1_500, 2_000), 4),
    }
    assert all(0 < delay <= 60 for each in found.values() for delay in each)
