"""Whatever the gate merges, holds and releases: in each partition of each family, what left and what waits is what came."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.cells import OBSERVATIONS, identifying
from producers.collector import WINDOW_MS, Collector, Frame
from producers.counting import rows_of
from producers.kinds import KINDS
from producers.open_windows import OpenWindows
from schemas.families import COSTS, FAMILIES, OUTCOMES, PRIVACY, QUALITY, TURNS, Family, PrivacyPartition
from schemas.frame_rows import decode_rows
from tests.privacy.observed import counters, observed

START_MS = 1_700_000_040_000 // 3_600_000 * 3_600_000
IDENTIFYING = [(family, each) for family in FAMILIES.values() for each in family.partitions if identifying(each)]
WINDOWS = 3


def test_there_are_several_partitions_that_identify_with_windows_of_several_lengths() -> None:
    assert len(IDENTIFYING) >= 7
    assert len({partition.k_window_s for _, partition in IDENTIFYING}) >= 3


@pytest.mark.parametrize(("kind", "window_s"), [("turns", 60), ("costs", 600), ("quality", 3_600)])
@given(seed=st.integers(0, 2**32), count=st.integers(1, 120), sessions=st.integers(1, 200), late=st.integers(0, 2))
@settings(max_examples=5, deadline=None)
def test_totals_are_what_came(kind: str, window_s: int, seed: int, count: int, sessions: int, late: int) -> None:
    """Over several windows, late observations and pools below k among them; gauges do not add over time."""
    width_ms, collector, out = window_s * 1_000, _collector(), list[Frame]()
    came = [
        observed(kind, seed + place, count, sessions, START_MS + place * width_ms, width_ms) for place in range(WINDOWS)
    ]
    for place, observations in enumerate(came):
        is_late = pl.int_range(pl.len()) % 7 < late
        collector.observe(kind, observations.filter(~is_late))
        out += _closed(collector, START_MS + (place + 1) * width_ms)
        collector.observe(kind, observations.filter(is_late))
    out += _closed(collector, START_MS + (WINDOWS + 1) * width_ms)
    for family in KINDS[kind].families:
        for partition in family.partitions:
            left = _total(_rows(out, family, partition), family)
            waits = _total(_waiting(collector, family, partition), family)
            assert {name: left[name] + waits[name] for name in left} == _total(
                rows_of(family, partition, pl.concat(came)), family
            )


@given(seed=st.integers(0, 2**32), count=st.integers(1, 300), sessions=st.integers(1, 60))
@settings(max_examples=5, deadline=None)
def test_the_tally_says_of_each_dimension_what_happened_to_every_observation(
    seed: int, count: int, sessions: int
) -> None:
    """kept + generalised = observed - held + released, and what was held and not released waits."""
    collector, out = _collector(), list[Frame]()
    for place in range(WINDOWS):
        collector.observe("turns", observed("turns", seed + place, count, sessions, START_MS + place * 60_000, 10_000))
        out += _closed(collector, START_MS + (place + 1) * 60_000)
    tally = _rows(out, PRIVACY, PRIVACY.partitions[0])
    for family, partition in [(TURNS, TURNS.partition("audience")), (OUTCOMES, OUTCOMES.partition("client"))]:
        for dimension in identifying(partition):
            told = (
                tally.filter(reported_family=family.name, because=dimension)
                .group_by("fate")
                .agg(pl.col("observations").sum())
            )
            fates = {**dict.fromkeys(("kept", "generalised", "held", "released"), 0), **dict(told.rows())}
            assert fates["kept"] + fates["generalised"] == count * WINDOWS - fates["held"] + fates["released"]
            assert fates["held"] - fates["released"] == collector.waiting(family, partition)


def test_what_is_refused_is_told_once_by_reason_and_pool() -> None:
    """Four families would have counted these turns; an analyst who adds up their refusals gets turns."""
    sound = observed("turns", 1, 40, 40, START_MS, 10_000).with_columns(pool=pl.lit("batch"))
    broken = sound.head(3).with_columns(tokens_in=pl.lit(-1, pl.Int64))
    collector = _collector()
    assert collector.observe("turns", pl.concat([sound, broken])) == 40
    tally = _rows(_closed(collector, START_MS + 10_000), PRIVACY, PRIVACY.partitions[0])
    told = tally.filter(fate="refused").select("pool", "reported_family", "because", "observations").rows()
    assert told == [("batch", "turns", "negative", 3)]


def test_what_no_session_did_is_told_under_a_star_and_takes_nobody_along() -> None:
    """An idle replica's cost is in the bill of the pool, and in no tenant's."""
    bills = observed("costs", 3, 60, 10**9, START_MS, 10_000).with_columns(
        pool=pl.lit("realtime"), route=pl.lit("support"), purchase=pl.lit("spot"), tenant=pl.lit("t-00000000000000aa")
    )
    idle = pl.int_range(pl.len()) < 4
    bills = bills.with_columns(session=pl.when(~idle).then(pl.int_range(pl.len()).cast(pl.UInt64)))
    collector = _collector()
    collector.observe("costs", bills)
    rows = _rows(_closed(collector, START_MS + 600_000), COSTS, COSTS.partition("tenancy"))
    assert sorted(rows.select("tenant", "turns").rows()) == [("*", 4), ("t-00000000000000aa", 56)]


def test_labels_that_come_days_late_together_are_told_of_their_own_hour() -> None:
    """Where k sessions of the pool came late together, they need not take the time of those who come now."""
    then, now = START_MS - 40 * 3_600_000, START_MS
    collector = _collector()
    collector.observe("quality", observed("quality", 1, 60, 10**9, then, 3_600_000).with_columns(pool=pl.lit("batch")))
    collector.observe(
        "quality", observed("quality", 2, 9, 10**9, then - 3_600_000, 60_000).with_columns(pool=pl.lit("batch"))
    )
    collector.observe("quality", observed("quality", 3, 60, 10**9, now, 3_600_000).with_columns(pool=pl.lit("batch")))
    frames = [each for each in _closed(collector, now + 3_600_000) if each.header.partition.name == "speech"]
    rows = {
        each.header.window_start_ms: _rows([each], QUALITY, QUALITY.partition("speech"))["calls"].sum()
        for each in frames
    }
    assert rows == {then: 60, now: 69}


def _collector() -> Collector:
    return Collector("eu-west-1-collector-0", "eu-west-1", 1, START_MS)


def _closed(collector: Collector, end_ms: int) -> Iterator[Frame]:
    """Frames of the windows that end at `end_ms`, as if those before had ended in silence."""
    collector.restore({"_open_ms": end_ms - WINDOW_MS})
    yield from collector.close(end_ms)


def _rows(frames: Iterable[Frame], family: Family, partition: PrivacyPartition) -> pl.DataFrame:
    tables = [pl.DataFrame(schema=dict.fromkeys(family.measure_names, pl.Int64))]
    for frame in frames:
        if (frame.header.family, frame.header.partition) == (family, partition):
            decoded = decode_rows(frame.header, dict(frame.headers), frame.payload)
            assert isinstance(decoded, tuple), decoded
            tables.append(pl.DataFrame(pl.from_arrow(decoded[0])))
    return pl.concat(tables, how="diagonal")


def _waiting(collector: Collector, family: Family, partition: PrivacyPartition) -> pl.DataFrame:
    windows = collector.state()["_windows"]
    assert isinstance(windows, dict)
    waits: OpenWindows = windows.get((family.name, partition.name), OpenWindows())
    return pl.concat(
        [_none(family), *waits.held, *(part for parts in waits.parts.values() for part in parts)], how="diagonal"
    )


def _none(family: Family) -> pl.DataFrame:
    return pl.DataFrame(schema=dict.fromkeys((*family.measure_names, OBSERVATIONS), pl.Int64))


def _total(rows: pl.DataFrame, family: Family) -> dict[str, int]:
    return {name: int(rows[name].sum()) for name in counters(family.name)}
