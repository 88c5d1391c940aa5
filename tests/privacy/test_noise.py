"""Noise after the gate: its distribution, what one session can change, whose figures it leaves alone, and its budget."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import chisquare

from producers.collecting.admission import received
from producers.collecting.durable import DurableCollector, Limits
from producers.collector import Collector, Frame
from producers.discrete_laplace import opendp_sampler
from producers.observation_batches import BatchHeader, encode_batch
from schemas.failures import BadInput
from schemas.families import TENANCY, TENANTS
from schemas.frame_rows import decode_rows
from schemas.instants import DAY_MS
from schemas.noise import Noise
from tests.privacy.observed import observed
from turnwatch.collect import collector_settings
from turnwatch.settings import load

START_MS = 1_700_000_040_000 // DAY_MS * DAY_MS
MINUTE_MS = 60_000
NOISED = {measure.name: measure.noise for measure in TENANTS.measures if measure.noise}
HANDOFFS = ("tenants", "tenancy", "tenant_handoffs")
DRAWS = 20_000


def nothing(noise: Noise, count: int) -> Sequence[int]:
    """Only the bounds, without noise."""
    return [0] * count


def upwards(noise: Noise, count: int) -> Sequence[int]:
    return [1_000] * count


def downwards(noise: Noise, count: int) -> Sequence[int]:
    return [-1_000] * count


def collector(sampler: object = None, k: int = 5) -> Collector:
    return Collector("eu-west-1-collector-0", "eu-west-1", 1, START_MS, k=k, sampler=sampler)  # type: ignore[arg-type]


def turns(seed: int, start_ms: int = START_MS, count: int = 200, sessions: int = 60) -> pl.DataFrame:
    """A minute of turns, with tool calls that were unsafe among them."""
    rows = observed("turns", seed, count, sessions, start_ms, MINUTE_MS)
    return rows.with_columns(
        tool_calls=pl.lit(3, pl.Int64),
        tool_calls_unsafe=pl.Series(np.random.default_rng(seed).integers(0, 4, count)),
        pool=pl.when(pl.col("session") % 9 == 0).then(pl.lit("batch")).otherwise(pl.lit("realtime")),
    )


def tenancy(frames: Sequence[Frame]) -> pl.DataFrame:
    """Rows of tenants, with the windows that they are of."""
    tables = []
    for frame in frames:
        if frame.header.partition is TENANCY and frame.header.family is TENANTS:
            decoded = decode_rows(frame.header, dict(frame.headers), frame.payload)
            assert isinstance(decoded, tuple), decoded
            tables.append(pl.DataFrame(pl.from_arrow(decoded[0])).with_columns(at_ms=frame.header.window_start_ms))
    return pl.concat(tables) if tables else pl.DataFrame()


def minutes(under_test: Collector, came: Sequence[pl.DataFrame], start_ms: int = START_MS) -> list[Frame]:
    """What these leave, minute by minute."""
    out: list[Frame] = []
    for place, rows in enumerate(came):
        under_test.observe_turns(rows)
        out += under_test.close(start_ms + (place + 1) * MINUTE_MS)
    return out


# The distribution


def expected(noise: Noise, far: int) -> list[float]:
    """P(x) for |x| <= `far`, and what is beyond, by the formula."""
    a = math.exp(-1 / noise.scale)
    inside = [(1 - a) / (1 + a) * a ** abs(x) for x in range(-far, far + 1)]
    return [*inside, 1 - sum(inside)]


def fit(drawn: Sequence[int], noise: Noise) -> float:
    """The p-value of chi-square."""
    far = round(3 * noise.scale)
    counts = Counter(x if abs(x) <= far else None for x in drawn)
    observed_counts = [counts[x] for x in (*range(-far, far + 1), None)]
    return float(chisquare(observed_counts, np.array(expected(noise, far)) * len(drawn)).pvalue)


@pytest.mark.parametrize("name", NOISED)
def test_the_noise_is_discrete_laplace_at_the_declared_scale(name: str) -> None:
    """Unseeded, as in production: one run in a million fails by chance."""
    noise = NOISED[name]
    drawn = opendp_sampler()(noise, DRAWS)
    assert fit(drawn, noise) > 1e-6
    outside = sum(abs(x) > noise.within() for x in drawn) / DRAWS
    assert 0.03 < outside <= 0.06


def test_another_scale_or_a_rounded_normal_would_be_noticed() -> None:
    noise, rng = NOISED["tenant_handoffs"], np.random.default_rng(1)
    a = math.exp(-1 / (noise.scale * 1.15))
    wider = rng.geometric(1 - a, DRAWS) - rng.geometric(1 - a, DRAWS)
    normal = np.rint(rng.normal(0, noise.scale * math.sqrt(2), DRAWS)).astype(int)
    assert fit(wider.tolist(), noise) < 1e-6
    assert fit(normal.tolist(), noise) < 1e-6


@pytest.mark.parametrize("epsilon", [0.05, 0.25, 1.0, 3.0, 8.0])
@pytest.mark.parametrize("clip", [1, 2, 7])
def test_the_confidence_and_the_bias_are_exact(epsilon: float, clip: int) -> None:
    noise = Noise(epsilon * 10, 10, clip)
    far = round(60 * noise.scale) + 60
    chances = dict(zip(range(-far, far + 1), expected(noise, far), strict=False))
    least = next(t for t in range(far) if sum(p for x, p in chances.items() if abs(x) > t) <= 0.05 + 1e-12)
    assert noise.within() == least
    assert noise.mean_of_zero == pytest.approx(sum(x * p for x, p in chances.items() if x > 0), rel=1e-6)


def test_without_opendp_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opendp.prelude", None)
    with pytest.raises(BadInput, match=r"OpenDP is not installed: run `pip install 'turnwatch\[privacy\]'`"):
        opendp_sampler()


@pytest.mark.parametrize(("said", "has_noise"), [(None, False), ("false", False), ("true", True)])
def test_nothing_gets_noise_unless_the_collector_is_told_to(
    said: str | None, has_noise: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TURNWATCH_COLLECTOR__NOISE", raising=False)
    if said:
        monkeypatch.setenv("TURNWATCH_COLLECTOR__NOISE", said)
    known = collector_settings(load(), "eu-0", "eu-west-1", None)
    assert (known.sampler is not None) is has_noise


# What one session can change


@pytest.mark.parametrize("seed", range(2))
def test_a_session_changes_no_closing_by_more_than_its_bound(seed: int) -> None:
    """Whatever it did, in several tenants, several pieces, late, and in pools that are held from minute to minute."""
    came = [turns(seed * 10 + place, START_MS + place * MINUTE_MS) for place in range(4)]
    came[2] = pl.concat([came[2], came[1].head(90)])  # Late, some of it.
    target = 9 * (seed + 1)
    came = [
        rows.with_columns(
            session=pl.when(pl.int_range(pl.len()) % 7 == 0).then(pl.lit(target, pl.UInt64)).otherwise("session"),
            is_handoff=pl.col("is_handoff") | (pl.int_range(pl.len()) % 7 == 0),
        )
        for rows in came
    ]
    is_target = pl.col("session") == target
    without = [
        rows.with_columns(
            is_handoff=pl.col("is_handoff") & ~is_target,
            tool_calls_unsafe=pl.when(is_target).then(0).otherwise("tool_calls_unsafe"),
        )
        for rows in came
    ]
    one, other, exact = collector(nothing), collector(nothing), collector()
    changed = 0
    for place in range(4):
        pieces = [
            list(minutes(each, [rows[place]], START_MS + place * MINUTE_MS))
            for each, rows in ((one, came), (other, without))
        ]
        told, less = map(tenancy, pieces)
        full = tenancy(list(minutes(exact, [came[place]], START_MS + place * MINUTE_MS)))
        for name, noise in NOISED.items():
            difference = int((told[name].cast(pl.Int64) - less[name].cast(pl.Int64)).abs().sum())
            assert difference <= noise.clip, (place, name)
            changed += difference
            assert (told[name] <= full[name]).all()
    assert changed, "the session has to count at all"


def test_who_waits_in_a_held_pool_counts_once_when_it_is_released() -> None:
    under_test = collector(nothing)
    few = turns(1, count=12, sessions=4).with_columns(is_handoff=pl.lit(True), pool=pl.lit("batch"))
    later = [few.with_columns(ended_at_ms=pl.col("ended_at_ms") + place * MINUTE_MS) for place in range(3)]
    assert tenancy(minutes(under_test, later)).is_empty()
    many = turns(2, START_MS + 3 * MINUTE_MS).with_columns(is_handoff=pl.lit(False), pool=pl.lit("batch"))
    released = tenancy(minutes(under_test, [many], START_MS + 3 * MINUTE_MS))
    assert released["tenant_tool_calls"].sum() == 3 * (3 * 12 + 200)
    assert released["tenant_handoffs"].sum() == few["session"].n_unique()
    again = many.with_columns(is_handoff=pl.lit(True), ended_at_ms=pl.col("ended_at_ms") + MINUTE_MS)
    after = tenancy(minutes(under_test, [again], START_MS + 4 * MINUTE_MS))
    assert after["tenant_handoffs"].sum() == again["session"].n_unique(), "each closing has a bound of its own"


def test_nothing_below_0_is_told_and_no_part_above_its_whole() -> None:
    above = tenancy(minutes(collector(upwards), [turns(1)]))
    assert (above["tenant_tool_calls_unsafe"] == above["tenant_tool_calls"]).all()
    assert (above["tenant_handoffs"] >= 1_000).all()
    below = tenancy(minutes(collector(downwards), [turns(1)]))
    assert below.select(list(NOISED)).sum().row(0) == (0, 0)


def test_every_cell_gets_a_draw_of_its_own_also_where_nothing_was() -> None:
    drawn: list[int] = []

    def counting(noise: Noise, count: int) -> Sequence[int]:
        drawn.append(count)
        return list(range(1, count + 1))

    quiet = turns(1).with_columns(is_handoff=pl.lit(False))
    rows = tenancy(minutes(collector(counting), [quiet]))
    assert rows["tenant_handoffs"].to_list() == list(range(1, len(rows) + 1))
    assert drawn == [len(rows)] * len(NOISED)


def test_what_waits_from_before_there_was_noise_is_not_told() -> None:
    """Nobody's share of it was bounded."""
    few, many = turns(1, count=4, sessions=2).with_columns(is_handoff=pl.lit(True), pool=pl.lit("batch")), turns(2)
    under_test = collector()
    assert tenancy(minutes(under_test, [few])).is_empty()
    under_test.sampler = nothing
    later = many.with_columns(
        pool=pl.lit("batch"), is_handoff=pl.lit(False), ended_at_ms=pl.col("ended_at_ms") + MINUTE_MS
    )
    rows = tenancy(minutes(under_test, [later], START_MS + MINUTE_MS))
    assert rows["tenant_handoffs"].sum() == 0
    assert rows["tenant_tool_calls"].sum() == 3 * 204


# What is left alone


def test_every_other_frame_is_the_same_byte_for_byte() -> None:
    came = [turns(seed, START_MS + seed * MINUTE_MS) for seed in range(3)]
    plain, noisy = minutes(collector(), came), minutes(collector(opendp_sampler()), came)
    assert len(plain) == len(noisy)
    others = [(a, b) for a, b in zip(plain, noisy, strict=True) if a.header.family is not TENANTS]
    assert {a.header.partition.name for a, _ in others} >= {"operational", "audience", "client"}
    assert all((a.headers, a.payload, a.header) == (b.headers, b.payload, b.header) for a, b in others)


def test_other_measures_of_noised_cells_are_exact() -> None:
    came = [turns(seed, START_MS + seed * MINUTE_MS) for seed in range(3)]
    exact, noisy = tenancy(minutes(collector(), came)), tenancy(minutes(collector(upwards), came))
    assert exact.drop(list(NOISED)).equals(noisy.drop(list(NOISED)))
    assert not exact.equals(noisy)


def test_a_measure_without_noise_is_told_as_it_is() -> None:
    assert set(NOISED) == {"tenant_handoffs", "tenant_tool_calls_unsafe"}
    assert all(replace(measure, noise=None) == measure for measure in TENANTS.measures if measure.name not in NOISED)


# The budget


def spend(under_test: Collector, windows: int) -> None:
    spent = under_test.noise_spent[0]
    assert isinstance(spent, Counter)
    for name in NOISED:
        spent["tenants", "tenancy", name] += windows


def test_a_spent_budget_is_told_as_0_and_counted_until_the_next_day() -> None:
    start_ms = START_MS + DAY_MS - 5 * MINUTE_MS
    under_test = collector(upwards)
    under_test.restore({"_open_ms": start_ms})
    first = minutes(under_test, [turns(1, start_ms)], start_ms)
    spend(under_test, 1_440 - 2)
    rest = minutes(under_test, [turns(seed, start_ms + seed * MINUTE_MS) for seed in range(1, 4)], start_ms + MINUTE_MS)
    by_window = tenancy([*first, *rest]).group_by("at_ms").agg(pl.col(*NOISED).sum()).sort("at_ms")
    assert (by_window["tenant_handoffs"] > 0).to_list() == [True, True, False, False]
    assert (by_window["tenant_tool_calls_unsafe"] > 0).to_list() == [True, True, False, False]
    spent, withheld = under_test.noise_spent
    assert (spent[HANDOFFS], withheld[HANDOFFS]) == (1_440, 2)
    tomorrow = START_MS + DAY_MS
    under_test.restore({"_open_ms": tomorrow})
    assert (tenancy(minutes(under_test, [turns(9, tomorrow)], tomorrow))["tenant_handoffs"] > 0).all()
    spent, withheld = under_test.noise_spent
    assert (spent[HANDOFFS], withheld[HANDOFFS]) == (1, 0)


def test_a_minute_in_which_nothing_is_told_spends_nothing() -> None:
    under_test = collector(nothing)
    minutes(under_test, [turns(1), turns(2).clear(), turns(3).clear()])
    assert under_test.noise_spent[0][HANDOFFS] == 1


def test_the_budget_and_the_bounds_survive_a_restart(tmp_path: Path) -> None:
    def opened(now_ms: int) -> DurableCollector:
        core = DurableCollector.opened(tmp_path, "eu-west-1-collector-0", "eu-west-1", now_ms, Limits())
        core.collector.sampler = upwards
        return core

    def minute(core: DurableCollector, number: int) -> bool:
        """Whether handoffs of that minute are told with noise."""
        start_ms = START_MS + number * MINUTE_MS
        header = BatchHeader("turns", "host-1", 1, number, 200, 0)
        core.take([received(header, encode_batch(header, turns(number, start_ms))[1], start_ms + MINUTE_MS)])
        sent = set(core.store.unsent)
        while core.close(start_ms + MINUTE_MS + 2_000):
            pass
        frames = [frame for each in set(core.store.unsent) - sent for frame in core.store.read_frames(each)]
        return bool(tenancy(frames)["tenant_handoffs"].sum())

    core = opened(START_MS)
    assert minute(core, 0)
    spend(core.collector, 1_440 - 2)
    assert minute(core, 1)
    told = [core.store.read_frames(each) for each in core.store.unsent]
    core.store.close()  # As after `kill -9`: only the lock is gone.
    core = opened(START_MS + 2 * MINUTE_MS)
    assert [core.store.read_frames(each) for each in core.store.unsent] == told, "nobody draws twice for what was told"
    assert core.collector.noise_spent[0][HANDOFFS] == 1_440
    assert not minute(core, 2)
    assert core.collector.noise_spent[1][HANDOFFS] == 1
    core.shut()
