"""Whatever is sent, in whatever order, and whatever dies on the way: every row and decision is that of one batch."""

from __future__ import annotations

import os
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings

from tests.worlds.landed import differences
from tests.worlds.oracle import truth
from tests.worlds.plant import run
from tests.worlds.sendings import Disturbance, Fault, World, sendings
from tests.worlds.strategies import worlds

WORLDS = int(os.environ.get("TURNWATCH_WORLDS", "16"))
"""How many worlds are tried in all. A soak takes thousands: TURNWATCH_WORLDS=5000."""

pytestmark = pytest.mark.timeout(60 + 10 * WORLDS)


def _share(of_all: float) -> int:
    return max(1, round(WORLDS * of_all))


@settings(max_examples=_share(0.3))
@given(world=worlds(faults_max=0))
def test_repeats_disorder_delays_and_wrong_clocks_change_nothing(world: World) -> None:
    assert differences(world, run(world)) == []


@settings(max_examples=_share(0.7))
@given(world=worlds())
def test_workers_that_die_freeze_and_change_lose_and_double_nothing(world: World) -> None:
    assert differences(world, run(world)) == []


SMALL = World(gaps_s=(10, 150), families=(), disturbances=(Disturbance("delayed", 1, 2),))
"""One producer; its second report comes after the third, and so too late."""


def test_a_kill_after_any_single_effect_loses_and_doubles_nothing() -> None:
    assert "late" in truth(sendings(SMALL), SMALL.slices_max).fates.values()
    stride = max(1, 180 // WORLDS)  # A soak tries every one; a shorter run some, and others the next time.
    for beat in range(1 + random.randrange(stride), run(SMALL).beats + 1, stride):
        killed = replace(SMALL, faults=(Fault("kill", beat),))
        assert differences(killed, run(killed)) == [], killed


def test_a_second_kill_while_the_next_worker_recovers_loses_and_doubles_nothing() -> None:
    stride = max(1, 900 // WORLDS)
    for beat in range(1, run(SMALL).beats + 1, stride):
        killed = replace(SMALL, faults=(Fault("kill", beat), Fault("kill", beat + 1 + beat % 4)))
        assert differences(killed, run(killed)) == [], killed
