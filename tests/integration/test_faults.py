"""A small round of `turnwatch bench faults`: real servers, real workers, every kind of fault, and nothing wrong after it.

Every row is reckoned, and pages that nobody expected. Whether one is missed or told twice only the benchmark says: it takes
four times as long for the same hour of event time, and here a worker that is frozen for 20 s is away for longer than an
incident lasts.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from rich.console import Console

from tests.integration.commands import processes_in
from turnwatch.bench.faults.expectation import expected
from turnwatch.bench.faults.play import Played, play
from turnwatch.bench.faults.reckoning import tally_tables

FAULTS, STORM_S = 8, 34.0
COLLECTORS_PER_REGION = 1
"""A third of the benchmark's: a round costs by the frame."""


@pytest.mark.needs("prometheus-alertmanager")
async def test_a_round_of_faults_loses_nothing_and_one_frame_more_or_less_would_be_seen(
    tmp_path: Path, seed: int
) -> None:
    rounds: list[Played] = []
    await play(Console(), tmp_path, 1, seed, FAULTS, rounds.append, STORM_S, COLLECTORS_PER_REGION)
    (played,) = rounds
    found = played.reckoning
    assert (found.lost, found.double_counted, found.refusals.missing, found.refusals.undue) == (0, 0, 0, 0), found
    assert not any(found.unread.values()), found
    assert found.pages.delivered > 0 and found.pages.unexpected == 0, found.pages
    assert played.reckoning.faults == FAULTS
    assert played.reckoning.refusals.corrupted > 0
    assert processes_in(tmp_path) == []

    some = Random(seed).choice(played.told)
    without = tally_tables(expected([each for each in played.told if each is not some]), played.landed)
    assert sum(each.double_counted for each in without) > 0
    twice = tally_tables(expected([*played.told, some]), played.landed)
    assert sum(each.lost for each in twice) > 0
