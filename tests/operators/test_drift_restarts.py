"""A shard that is killed between any two steps goes on to say what it would have said; so does one that hears twice, or in disorder."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from schemas.drift_policies import DriftPolicy, WatchedMeasure
from schemas.families import OUTCOMES, QUALITY, Family
from tests.operators.drift_worlds import POOL, Shard, calls, totals, turns

POLICY = DriftPolicy(
    "two", "ml", (WatchedMeasure("failure_rate", 0.05, 500), WatchedMeasure("word_error_rate", 0.05, 2_000))
)
BAD_FROM, ENDS = 60, 82
"""Hours of the first week: from Tuesday on they are compared with the day before."""
SETTLED = 70
"""From here on it is decided hour by hour."""
OPEN_H = 73
"""Labels of hours that are younger are told again after a start."""


def hours() -> list[dict[Family, pl.DataFrame]]:
    dice = np.random.default_rng(1)

    def of(hour: int, place: int) -> tuple[dict[str, int], dict[str, int]]:
        is_bad = hour >= BAD_FROM and place == 0
        return turns(dice, 0.09 if is_bad else 0.06), calls(dice, 0.2 if is_bad else 0.12)

    named = [f"{POOL},bundle=v{place}" for place in range(3)]
    world = []
    for hour in range(ENDS):
        both = [of(hour, place) for place in range(3)]
        world.append(
            {
                OUTCOMES: totals(OUTCOMES, hour, {text: each[0] for text, each in zip(named, both, strict=True)}),
                QUALITY: totals(QUALITY, hour, {text: each[1] for text, each in zip(named, both, strict=True)}),
            }
        )
    return world


WORLD = hours()


def tell(shard: Shard, hour: int) -> None:
    for family, rows in WORLD[hour].items():
        shard.tell(family, rows)


def saved(shard: Shard, stored: dict[bytes, bytes], is_whole: bool = True) -> None:
    """Phases of a save; a kill may come before what is kept no more is let go."""
    stored |= {block.key: block.value for block in shard.watch.unsaved_blocks(1) if block.value is not None}
    gone = list(shard.watch.forgotten_blocks())
    for block in gone if is_whole else ():
        assert block.value is None
        stored.pop(block.key, None)


def restarted(shard: Shard, stored: dict[bytes, bytes], hour: int) -> Shard:
    """Another life of it: what is saved, and what its ledger still has open."""
    again = Shard(POLICY, tables=shard.tables, said=shard.said)
    again.watch.restore(dict(stored))
    for open_hour in range(max(0, hour - OPEN_H), hour + 1):
        again.tell(QUALITY, WORLD[open_hour][QUALITY])
    for open_hour in (hour - 1, hour):  # What the last save had still open, and what came since.
        again.tell(OUTCOMES, WORLD[open_hour][OUTCOMES])
    return again


def run(kills: dict[int, str]) -> Shard:
    """From hour to hour; `kills`: when it is killed, `before` it saves, or `amid` a save."""
    shard, stored = Shard(POLICY), dict[bytes, bytes]()
    for hour in range(ENDS):
        tell(shard, hour)
        if hour >= SETTLED:
            shard.decide(hour + 1)
        kill = kills.get(hour)
        if kill != "before":
            saved(shard, stored, is_whole=kill != "amid")
        if kill:
            shard = restarted(shard, stored, hour)
            shard.decide(hour + 1) if hour >= SETTLED else None
            saved(shard, stored)
    return shard


@pytest.fixture(scope="module")
def undisturbed() -> Shard:
    shard = run({})
    assert set(shard.drifting) == {f"{POOL},bundle=v0|failure_rate", f"{POOL},bundle=v0|word_error_rate"}
    return shard


@pytest.mark.parametrize("when", ["before", "amid"])
def test_kills_change_nothing_of_what_is_found_or_told(undisturbed: Shard, when: str) -> None:
    kills = dict.fromkeys((3, SETTLED + 4), when)
    shard = run(kills)
    assert shard.drifting == undisturbed.drifting
    known = shard.rows.filter(pl.col("bucket_start").is_in(undisturbed.rows["bucket_start"].implode()))
    assert known.equals(undisturbed.rows)


def test_a_save_that_is_cut_short_after_hours_were_caught_up_with_loses_none_of_them() -> None:
    failing, stored = DriftPolicy("one", "ml", POLICY.measures[:1]), dict[bytes, bytes]()
    shard, day_before = Shard(failing), 60 - 24

    def caught_up(shard: Shard) -> Shard:
        for hour in range(24, day_before + 4):
            shard.tell(OUTCOMES, WORLD[hour][OUTCOMES])
        return shard

    shard.tell(OUTCOMES, WORLD[23][OUTCOMES])
    saved(shard, stored)
    caught_up(shard).decide(day_before + 4)
    blocks = [(block.key, block.value) for block in shard.watch.unsaved_blocks(2) if block.value is not None]
    for cut in (2, len(blocks) - 1):
        again = Shard(failing)
        again.watch.restore(stored | dict(blocks[:cut]))
        caught_up(again).tell(OUTCOMES, WORLD[60][OUTCOMES])  # Nothing was confirmed, so all of it came again.
        again.decide(61)
        newest = again.rows.filter(pl.col("bucket_start") == pl.col("bucket_start").max())
        assert set(newest["reference"]) == {"day_before"}, cut


def test_what_is_told_twice_and_in_disorder_is_the_same(undisturbed: Shard) -> None:
    dice, shard = np.random.default_rng(2), Shard(POLICY)
    for begin in range(0, ENDS, 12):
        block = [*range(begin, min(begin + 12, ENDS))]
        for hour in [*dice.permutation(block).tolist(), *dice.permutation(block).tolist()]:
            shard.tell(QUALITY, WORLD[hour][QUALITY])
        for hour in [*block, block[-1]]:  # Minutes come in order, but for an hour of disorder.
            shard.tell(OUTCOMES, WORLD[hour][OUTCOMES])
        shard.decide(begin + len(block))
    assert shard.drifting == undisturbed.drifting
