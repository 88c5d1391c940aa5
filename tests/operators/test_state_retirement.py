"""Slices that are gone give way to others, and nobody's counts ever notice when, how often or in what batches."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.dimensions import OTHER
from schemas.families import TURNS
from schemas.slices import cut_of, slice_dimensions
from stream_jobs.operators.totals import slice_register
from stream_jobs.operators.totals.intake import Intake
from tests.operators.days import DAY_MS, HOUR_MS, MINUTE_MS, Heard, Plant, days, frame
from tests.operators.worlds import START_MS, Crash

_SEEDS = st.integers(0, 2**32 - 1)
_HOUR_START_MS = START_MS // HOUR_MS * HOUR_MS


@pytest.fixture(autouse=True, scope="module")
def small_chunks() -> Iterator[None]:
    """Chunks of two slices and pages of three, so that what belongs to which is tried in every world."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slice_register, "_CHUNK_SLICES_DEFAULT", 2)
        patch.setattr(slice_register, "PAGE_SLICES", 3)
        yield


def heard_of(intake: Intake) -> dict[tuple[str, int], int]:
    heard = Heard()
    for _, partial in intake.unsent_partials():
        heard.partial(partial)
    return {cell: turns for cell, turns in heard.turns().items() if cut_of(cell[0]) == "pool,bundle"}


def bundle(name: str, start_ms: int) -> tuple[str, int]:
    return f"pool=realtime,bundle={name}", start_ms


def test_a_slice_that_is_gone_for_a_day_gives_its_place_to_another() -> None:
    intake = Intake(TURNS, 0, 1, slices_max=2)
    intake.apply([frame(0, _HOUR_START_MS, ["old", "steady"])])
    intake.apply([frame(1, _HOUR_START_MS + 20 * HOUR_MS, ["steady", "new"])])
    assert bundle(OTHER, _HOUR_START_MS + 20 * HOUR_MS) in heard_of(intake)
    day_later_ms = _HOUR_START_MS + 26 * HOUR_MS
    intake.apply([frame(2, day_later_ms, ["steady", "new"])])
    found = heard_of(intake)
    assert found[bundle("new", day_later_ms)] == found[bundle("steady", day_later_ms)] == 1
    intake.apply([frame(3, day_later_ms, ["old"])])
    assert heard_of(intake)[bundle(OTHER, day_later_ms)] == 1


def test_a_bucket_that_counted_a_slice_as_other_goes_on_to_do_so_when_there_is_room() -> None:
    intake = Intake(TURNS, 0, 1, slices_max=1)
    next_day_ms = _HOUR_START_MS + 26 * HOUR_MS
    before_ms = next_day_ms - MINUTE_MS
    intake.apply([frame(0, _HOUR_START_MS, ["old"]), frame(1, before_ms, ["new"])])
    intake.apply([frame(2, next_day_ms, ["new"]), frame(3, before_ms, ["new"], turns=4)])
    found = heard_of(intake)
    assert found[bundle(OTHER, before_ms)] == 5
    assert found[bundle("new", next_day_ms)] == 1
    assert bundle("new", before_ms) not in found


def test_a_slice_with_a_row_each_day_is_never_retired() -> None:
    intake = Intake(TURNS, 0, 1, slices_max=1)
    for day in range(30):
        start_ms = _HOUR_START_MS + day * DAY_MS
        intake.apply([frame(2 * day, start_ms, ["steady"]), frame(2 * day + 1, start_ms, ["new"])])
        assert set(heard_of(intake)) == {bundle("steady", start_ms), bundle(OTHER, start_ms)}


def undisturbed(seed: int, slices_max: int, batch: int = 20) -> Heard:
    """What comes of a log without crashes. How many records are applied at once is no matter: the first property says so."""
    plant = Plant(slices_max)
    plant.run(days(seed), batches=[batch])
    return plant.heard


@settings(max_examples=3, deadline=None)
@given(seed=_SEEDS, slices_max=st.integers(1, 4))
def test_batch_borders_never_change_what_a_slice_counts_as(seed: int, slices_max: int) -> None:
    dice, plant = random.Random(seed), Plant(slices_max)
    plant.run(days(seed), batches=[dice.randint(1, 25) for _ in range(4)])
    alone = undisturbed(seed, slices_max, batch=1)
    assert plant.heard.turns() == alone.turns()
    assert plant.heard.late == alone.late


@settings(max_examples=5, deadline=None)
@given(seed=_SEEDS, slices_max=st.integers(1, 4))
def test_a_crash_between_any_two_effects_retires_as_if_nothing_had_happened(seed: int, slices_max: int) -> None:
    dice, lives = random.Random(seed), [12]

    def survive() -> None:
        if lives[0] and dice.random() < 0.12:
            lives[0] -= 1
            raise Crash

    plant = Plant(slices_max, survive)
    plant.run(days(seed), batches=[dice.randint(1, 12) for _ in range(4)])
    alone = undisturbed(seed, slices_max)
    assert plant.heard.turns() == alone.turns()
    assert plant.heard.late == alone.late


@settings(max_examples=4, deadline=None)
@given(seed=_SEEDS, slices_max=st.integers(1, 4))
def test_slices_and_other_add_up_and_a_bucket_never_splits_a_slice(seed: int, slices_max: int) -> None:
    happened: Counter[tuple[str, int]] = Counter()
    whole: Counter[int] = Counter()
    alone = undisturbed(seed, 5_000)
    for (text, start_ms), turns in alone.turns().items():
        happened[text, start_ms] += turns
        whole[start_ms] += turns if cut_of(text) == "pool,bundle" else 0
    counted: defaultdict[int, int] = defaultdict(int)
    for (text, start_ms), turns in undisturbed(seed, slices_max).turns().items():
        if OTHER not in slice_dimensions(text).values():
            assert turns == happened[text, start_ms]
        counted[start_ms] += turns if cut_of(text) == "pool,bundle" else 0
    assert counted == whole


def test_the_comparison_notices_a_page_that_is_lost() -> None:
    """The tests above would be worthless otherwise."""
    assert any(map(_is_noticed, range(5, -1, -1)))


def _is_noticed(seed: int) -> bool:
    plant, log = Plant(2), days(seed)
    plant.run(log[:30], batches=[5])
    for key in [key for key in plant.changelog.stored if b"|slices|" in key]:
        del plant.changelog.stored[key]
    plant.run(log, batches=[5])
    return plant.heard.turns() != undisturbed(seed, 2).turns()
