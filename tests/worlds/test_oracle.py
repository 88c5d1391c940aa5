"""The comparison can fail: one frame more or less, on either side, and a recipe with one step missing, are noticed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from stream_jobs.agents.exact import Stage
from stream_jobs.agents.intake import IntakeStage
from stream_jobs.agents.pulse import StageFailure
from tests.worlds.landed import differences
from tests.worlds.oracle import truth
from tests.worlds.plant import Ran, run
from tests.worlds.sendings import Disturbance, Fault, FaultKind, Sending, World, sendings

WORLD = World(
    seed=11,
    partitions=2,
    producers=3,
    gaps_s=(10, 150, 10),
    disturbances=(Disturbance("repeated", 2), Disturbance("delayed", 1, 11), Disturbance("corrupted", 5)),
)
SENT = sendings(WORLD)
CLOSING = 9
"""Reports of zero: three producers tell of two privacy partitions, and once more of one."""

Sent = tuple[Sending, ...]


@cache
def undisturbed() -> Ran:
    return run(WORLD)


def without(place: int) -> Sent:
    """Without the frame and its repeats: one of those would count in its stead."""
    return tuple(each for each in SENT if _identity(each) != _identity(SENT[place]))


def _identity(sending: Sending) -> tuple[str, str, int, int]:
    return (sending.family, sending.producer, sending.incarnation, sending.sequence)


def with_twice(place: int) -> Sent:
    """The same rows once more, under a number of their own: no fence can tell."""
    double = replace(SENT[place], sequence=SENT[place].sequence + 2_000)
    return (*SENT[: place + 1], double, *SENT[place + 1 :])


def counted() -> Iterator[int]:
    """Places of sendings that count, in time or late."""
    lengths: dict[tuple[str, int], int] = {}
    fates = truth(SENT, WORLD.slices_max).fates
    for place, sending in enumerate(SENT[:-CLOSING]):
        log = (sending.family, sending.source)
        offset = lengths[log] = lengths.get(log, -1) + 1
        if fates[(*log, offset)] in ("taken", "late"):
            yield place


def of_tables(found: Iterable[str]) -> list[str]:
    """What was said of rows; positions alone would give a shift away, too."""
    return [line for line in found if line.split(":")[0].endswith(("_10s", "_1m", "_late"))]


def test_the_world_has_frames_of_every_family_repeats_late_ones_and_broken_ones() -> None:
    assert {SENT[place].family for place in counted()} == {"turns", "stages", "streams", "heartbeats"}
    assert set(truth(SENT, WORLD.slices_max).fates.values()) == {"taken", "repeated", "late", "broken"}
    assert differences(WORLD, undisturbed()) == []


@pytest.mark.parametrize("changed", [without, with_twice])
def test_an_oracle_that_drops_or_doubles_any_one_frame_disagrees(changed: Callable[[int], Sent]) -> None:
    ran = undisturbed()
    for place in counted():
        assert of_tables(differences(WORLD, ran, changed(place))), SENT[place]


@pytest.mark.parametrize("changed", [without, with_twice])
def test_a_plant_that_drops_or_doubles_any_one_frame_is_noticed(changed: Callable[[int], Sent]) -> None:
    for place in list(counted())[::4]:
        assert of_tables(differences(WORLD, run(WORLD, changed(place)), SENT)), SENT[place]


# -- the recipe with one step missing ----------------------------------------------------------------------------------


def catching(worlds: int = 60) -> World | None:
    """The first world of killed and frozen workers that brings it to light, or in which a stage says that records are missing."""
    return next(filter(_is_caught_in, map(_troubled, range(worlds))), None)


def _is_caught_in(world: World) -> bool:
    try:
        return bool(differences(world, run(world)))
    except StageFailure:
        return True


def _troubled(seed: int) -> World:
    kinds: tuple[FaultKind, ...] = ("kill", "stall", "kill", "rebalance", "stall", "kill")
    faults = tuple(Fault(kind, 12 + 45 * place + 7 * seed % 45, seed + place) for place, kind in enumerate(kinds))
    return World(seed=seed, partitions=2, producers=2, gaps_s=(10, 10, 20, 10), faults=faults, workers=2)


def test_a_marker_that_is_saved_before_its_blocks_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = IntakeStage.phases

    def marker_first(stage: IntakeStage) -> Any:
        blocks, missing, pages, marker, *others = [list(phase) for phase in whole(stage)]
        return [missing, pages, marker, blocks, *others]

    monkeypatch.setattr(IntakeStage, "phases", marker_first)
    world = catching()
    assert world
    monkeypatch.undo()
    assert not _is_caught_in(world), "the recipe itself passes there"


def test_acknowledging_before_saving_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    whole: Any = Stage.__dict__["_save"]

    async def acknowledges_first(stage: Any, pulse: Any) -> None:
        for event in stage._applied:
            event.ack()
        stage._applied = []
        await whole(stage, pulse)

    monkeypatch.setattr(Stage, "_save", acknowledges_first)
    world = catching()
    assert world
    monkeypatch.undo()
    assert not _is_caught_in(world), "the recipe itself passes there"
