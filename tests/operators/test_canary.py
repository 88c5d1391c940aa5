"""A running canary: few false rollbacks however often one looks, nothing that is sure is missed, and no data is never good."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from numpy.typing import ArrayLike
from scipy.stats import mannwhitneyu

from schemas.arrays import Floats
from schemas.canary import CANARY_METRICS, CanaryPolicy, WatchedMetric
from schemas.histograms import bucket_indexes
from stream_jobs.operators.release.alpha import Purse, spent
from stream_jobs.operators.release.anytime_few import share_bounds, student_radius
from stream_jobs.operators.release.bounds import judged as bounds_of
from stream_jobs.operators.release.canary import Decided, decide, judge_all
from stream_jobs.operators.release.counting import (
    FIRST,
    IS_CANDIDATE,
    LAST,
    SLICE,
    WINDOW,
    counted_ratio,
    counted_tails,
)
from stream_jobs.operators.release.pairs import PairedSums, Pairs, Side, paired_sums

WIDTH_MS = 300_000
POOL = "pool=realtime"


def watched(name: str, delta: float | None = None, ratio: float | None = None, floor: float = 0.0) -> WatchedMetric:
    return WatchedMetric(CANARY_METRICS[name], name, delta, ratio, floor)


def policy(*metrics: WatchedMetric, protected: tuple[str, ...] = (POOL,)) -> CanaryPolicy:
    return CanaryPolicy("tried", "0" * 16, metrics, protected)


def windows(metric: WatchedMetric, is_candidate: bool, events: ArrayLike, units: int, name: str = POOL) -> pl.DataFrame:
    """Rows of one side of a slice: what was counted in its windows."""
    counted = np.atleast_1d(np.asarray(events))
    of = metric.metric
    told = {of.denominator: np.full(counted.shape, units), of.numerator: counted}
    others = {each: np.ones(len(counted), dtype=np.int64) * 10_000 for each in of.measures if each not in told}
    start = np.arange(len(counted)) * WIDTH_MS
    return pl.DataFrame({WINDOW: start, **told, **others}).with_columns(
        pl.lit(name).alias(SLICE), pl.lit(is_candidate).alias(IS_CANDIDATE)
    )


def judged(metric: WatchedMetric, *rows: pl.DataFrame) -> Decided:
    tried = policy(metric)
    return decide(judge_all([counted_ratio(metric, pl.concat(rows, how="diagonal"), WIDTH_MS)], tried), tried)


def outcome(metric: WatchedMetric, *rows: pl.DataFrame) -> str:
    told = judge_all([counted_ratio(metric, pl.concat(rows, how="diagonal"), WIDTH_MS)], policy(metric))
    return next(each.outcome for each in told if each.slice == POOL)


# -- cases of Kayenta's judge, written from what its documentation says that it does ------------------------------------------


def test_sparse_errors_of_the_candidate_alone_are_never_passed_and_more_of_them_roll_back() -> None:
    """Canary 0, 1, 2, 1, 0, 0 against zeros: Mann-Whitney finds no difference there."""
    metric, seen = watched("errors", ratio=1.5), [0, 1, 2, 1, 0, 0]
    assert mannwhitneyu(seen, [0] * 6, method="asymptotic").pvalue > 0.02
    assert outcome(metric, windows(metric, True, seen, 1_000), windows(metric, False, [0] * 6, 1_000)) == "undecided"
    assert outcome(metric, windows(metric, True, seen, 100), windows(metric, False, [0] * 6, 9_900)) == "worse"
    for times in (4, 6):
        told = windows(metric, True, seen * times, 1_000), windows(metric, False, [0] * 6 * times, 1_000)
        assert outcome(metric, *told) == "worse"
    equal = windows(metric, True, seen * 6, 1_000), windows(metric, False, seen * 6, 1_000)
    assert outcome(metric, *equal) == "undecided"


def test_a_burst_in_one_window_is_one_witness_and_not_a_hundred() -> None:
    metric, quiet = watched("errors", ratio=1.5), [2] * 30
    burst = [*quiet[:-1], 60]
    assert outcome(metric, windows(metric, True, burst, 1_000), windows(metric, False, quiet, 1_000)) == "undecided"
    spread = [4] * 30
    assert sum(spread) == pytest.approx(sum(burst), abs=5)
    many = windows(metric, True, [6] * 30, 1_000), windows(metric, False, quiet, 1_000)
    assert outcome(metric, *many) == "worse"


def histogram(
    rng: np.random.Generator, is_candidate: bool, draw: Callable[[int], Floats], blocks: int = 12
) -> pl.DataFrame:
    rows = []
    for block in range(blocks):
        index, counts = np.unique(bucket_indexes(draw(600), 6), return_counts=True)
        counted = {"bucket_index": index, "observations": counts}
        rows.append(pl.DataFrame(counted).with_columns(pl.lit(block * 3_600_000).alias(WINDOW)))
    keys = {SLICE: POOL, IS_CANDIDATE: is_candidate, "stage": "turn"}
    told = pl.concat(rows).with_columns(*(pl.lit(value).alias(name) for name, value in keys.items()))
    return told.with_columns(
        pl.lit(6, pl.Int64).alias("scale"), pl.col(WINDOW).alias(FIRST), pl.col(WINDOW).alias(LAST)
    )


def tail_outcomes(metrics: list[WatchedMetric], before: pl.DataFrame, now: pl.DataFrame) -> dict[str, str]:
    told = judge_all(counted_tails(metrics, pl.concat([before, now]), WIDTH_MS), policy(*metrics))
    return {each.metric: each.outcome for each in told}


@pytest.mark.parametrize(
    ("name", "draw"),
    [
        ("variance", lambda rng, count: rng.normal(1_000, 300, count)),
        ("two_humps", lambda rng, count: np.where(rng.random(count) < 0.5, 700, 1_300) + rng.normal(0, 40, count)),
    ],
)
def test_a_change_of_variance_or_shape_with_the_same_middle_is_seen(
    name: str, draw: Callable[[np.random.Generator, int], Floats]
) -> None:
    """Mann-Whitney compares locations, and there is no difference of these."""
    rng = np.random.default_rng(3)
    metrics = [watched("p50_turn_ms", delta=450.0), watched("p95_turn_ms", delta=100.0)]
    before = histogram(rng, False, lambda count: rng.normal(1_000, 60, count))
    now = histogram(rng, True, lambda count: draw(rng, count))
    assert tail_outcomes(metrics, before, now) == {"p50_turn_ms": "inside", "p95_turn_ms": "worse"}
    locations = mannwhitneyu(draw(rng, 200), rng.normal(1_000, 60, 200)).pvalue
    assert locations > 0.02


def test_an_hour_that_is_slow_for_both_is_no_regression_of_a_canary_that_began_in_it() -> None:
    rng = np.random.default_rng(4)
    metric = watched("p95_turn_ms", delta=100.0)
    day = [histogram(rng, False, lambda count: rng.normal(1_000, 50, count), 11)]
    slow = [
        histogram(rng, side, lambda count: rng.normal(1_600, 50, count), 1).with_columns(
            pl.lit(11 * 3_600_000).alias(WINDOW)
        )
        for side in (False, True)
    ]
    (found,) = judge_all(counted_tails([metric], pl.concat([*day, *slow]), WIDTH_MS), policy(metric))
    assert found.outcome != "worse" and found.candidate == pytest.approx(found.baseline, rel=0.02)


@pytest.mark.parametrize(
    ("served", "expected"),
    [
        ({"us": (1_000, 50)}, "inside"),
        ({"eu": (1_000, 30)}, "worse"),
        ({"eu": (200, 2), "us": (1_800, 90)}, "inside"),
        ({"eu": (1_800, 54), "us": (200, 10)}, "worse"),
        ({"sa": (1_000, 30)}, "insufficient"),
    ],
    ids=["the worse region", "the better region", "mostly the worse one", "mostly the better one", "another region"],
)
def test_a_canary_of_some_regions_is_compared_with_these(served: dict[str, tuple[int, int]], expected: str) -> None:
    """The baseline fails 1 % of the turns of one region and 5 % of another's: 3 % of all, which no canary is compared with."""
    metric, rows = watched("errors", delta=0.01), []
    for is_candidate, regions in ((False, {"eu": (1_000, 10), "us": (1_000, 50)}), (True, served)):
        whole = [sum(each) for each in zip(*regions.values(), strict=True)]
        told = {POOL: whole} | {f"{POOL},region={name}": list(each) for name, each in regions.items()}
        rows += [windows(metric, is_candidate, [bad] * 60, units, name) for name, (units, bad) in told.items()]
    assert outcome(metric, *rows) == expected


def test_parts_of_a_window_scatter_together() -> None:
    """What is bad in one window is so in all of its regions, which are no more witnesses than one."""
    rng = np.random.default_rng(9)
    metric, bad = watched("errors", delta=0.0), rng.gamma(4.0, 5.0, 40)
    rows = [
        windows(metric, side, rng.poisson(bad if side else 20.0, 40), 1_000, f"{POOL},region=r{place}")
        for side in (True, False)
        for place in range(8)
    ]
    by_region = counted_ratio(metric, pl.concat(rows), WIDTH_MS)
    assert isinstance(by_region.counted, PairedSums)
    (pool,) = [place for place, name in enumerate(by_region.names) if name == POOL]
    assert by_region.counted.windows[pool] == 40
    scatter = by_region.counted.window_variance / by_region.counted.unit_variance
    assert scatter[pool] > 4 * np.delete(scatter, pool).mean()


def test_a_tail_is_compared_within_regions() -> None:
    rng, metric = np.random.default_rng(10), watched("p95_turn_ms", delta=150.0)
    usual = {"eu": 1_000.0, "us": 2_000.0}

    def of_region(is_candidate: bool, name: str, mean_ms: float) -> pl.DataFrame:
        told = histogram(rng, is_candidate, lambda count: rng.normal(mean_ms, 50, count))
        return told.with_columns(pl.lit(f"{POOL},region={name}").alias(SLICE))

    for name, slower_ms, expected in (("us", 0.0, "inside"), ("eu", 500.0, "worse")):
        rows = [of_region(False, *each) for each in usual.items()]
        rows.append(of_region(True, name, usual[name] + slower_ms))
        told = judge_all(counted_tails([metric], pl.concat(rows), WIDTH_MS), policy(metric))
        assert {each.slice: each.outcome for each in told}[POOL] == expected


def test_an_outage_is_seen_in_its_first_windows_and_a_bad_minute_is_none() -> None:
    metric = watched("errors", delta=0.01)
    assert outcome(metric, windows(metric, True, [300, 300], 1_000), windows(metric, False, [10, 12], 1_000)) == "worse"
    assert (
        outcome(metric, windows(metric, True, [45, 10], 1_000), windows(metric, False, [10, 12], 1_000)) == "undecided"
    )


def test_a_bad_minute_is_none_beside_a_baseline_without_errors_either() -> None:
    metric = watched("errors", delta=0.005)
    for errors, expected in ((40, "undecided"), (300, "worse")):
        assert outcome(metric, windows(metric, True, errors, 1_000), windows(metric, False, 0, 2_000)) == expected


@pytest.mark.parametrize("name", ["late_chunks", "partial_rewrites", "entity_errors", "stale_citations"])
def test_what_comes_by_the_dozen_in_one_turn_is_no_crowd_of_witnesses(name: str) -> None:
    metric = watched(name, delta=0.01)
    one_turn = windows(metric, True, [100, 3], 300), windows(metric, False, [3, 4], 300)
    assert outcome(metric, *one_turn) == "undecided"
    assert CANARY_METRICS[name].counted in ("calls", "outcomes")
    many = windows(metric, True, [90, 110] * 10, 300), windows(metric, False, [3, 4] * 10, 300)
    assert outcome(metric, *many) == "worse"


def ever_worse(name: str, runs: int, slices: int, looks: Sequence[int], draw: Callable[[int], Side]) -> float:
    """Share of runs without any difference, each of so many slices, that any of these looks rolls back."""
    metric, so_far = watched(name, delta=0.0), None
    alpha = spent(Purse(0.01, 1.0), np.zeros(slices, np.int64), np.ones(slices), np.arange(slices) == 0)
    worse = np.zeros(runs * slices, dtype=np.bool_)
    for look in range(1, max(looks) + 1):
        told = paired_sums(Pairs(np.arange(len(worse)), len(worse), draw(len(worse)), draw(len(worse))))
        so_far = told if so_far is None else so_far + told
        if look in looks:
            worse |= bounds_of(metric, so_far, np.tile(alpha, runs)).is_worse
    return float(worse.reshape(runs, slices).any(axis=1).mean())


@pytest.mark.parametrize("name", ["late_chunks", "partial_rewrites", "entity_errors", "stale_citations"])
def test_what_neither_side_ever_had_is_inside_once_units_enough_were_without(name: str) -> None:
    """Windows have 10,000 turns or calls; of 0 among n of them some share may have any."""
    metric, sides = watched(name, delta=0.002), (True, False)
    assert outcome(metric, *(windows(metric, side, [0], 120_000) for side in sides)) == "undecided"
    assert outcome(metric, *(windows(metric, side, [0] * 10, 120_000) for side in sides)) == "inside"
    one = windows(metric, True, [0] * 9 + [1], 120_000), windows(metric, False, [0] * 10, 120_000)
    assert outcome(metric, *one) != "worse"
    assert (
        outcome(watched(name, ratio=1.5), *(windows(metric, side, [0] * 10, 120_000) for side in sides)) == "undecided"
    )
    floored = watched(name, ratio=1.5, floor=0.002)
    assert outcome(floored, *(windows(metric, side, [0] * 10, 120_000) for side in sides)) == "inside"


def test_a_candidate_whose_bad_turns_are_too_rare_to_be_seen_is_passed_no_more_often_than_alpha() -> None:
    """Bad turns have nothing but late chunks, and so many are bad that it is just beyond what is allowed; looked at each window."""
    dice, metric, turns, runs, looks = np.random.default_rng(8), watched("late_chunks", delta=0.002), 500, 400, 24
    none, passed = np.zeros(runs), np.zeros(runs, dtype=bool)
    bad = dice.binomial(turns, 0.0021, (looks, runs)).cumsum(axis=0) * 12.0
    for look in range(looks):
        place = np.tile(np.arange(runs), look + 1)
        each = np.full(len(place), float(turns))
        late = np.diff(bad[: look + 1], axis=0, prepend=0.0).ravel()
        sides = (Side(late * 0, 12 * each, each), Side(late, 12 * each, each))
        found = bounds_of(metric, paired_sums(Pairs(place, runs, *sides)), none + 0.05)
        passed |= found.is_inside
    assert bad[-1].max() > 0 and passed.mean() <= 0.05


def test_what_never_varied_and_cannot_be_bounded_says_what_to_set() -> None:
    """Of the age of an index that is the same for ever nothing is known; nor of a ratio of nothing."""
    for metric, words in (
        (watched("index_age_s", delta=60), "required: false"),
        (watched("late_chunks", ratio=1.5), "`floor`, or an `allowedDelta`"),
        (watched("late_chunks", delta=1e-6), "until there are outcomes enough"),
    ):
        rows = [windows(metric, side, [0] * 12, 1_000) for side in (True, False)]
        told = judge_all([counted_ratio(metric, pl.concat(rows, how="diagonal"), WIDTH_MS)], policy(metric))
        assert told[0].outcome == "undecided" and words in told[0].because, metric.metric.name


@pytest.mark.parametrize("units", [400, 4_000])
def test_many_slices_whose_rates_vary_err_no_more_often_than_a_few(units: int) -> None:
    """A variance of eight windows is none to be sure by: t has tails that a 200th of alpha does not cut off."""
    rng = np.random.default_rng(6)

    def draw(series: int) -> Side:
        events = rng.binomial(units, rng.beta(10, 190, series)).astype(np.float64)
        count = np.full(series, float(units))
        return Side(events, count, count, (events, count, events))

    assert ever_worse("errors", 60, 200, (8, 9, 10, 12), draw) <= 0.02


def test_turns_of_a_tenth_more_or_less_in_each_window_are_no_slower_release() -> None:
    rng = np.random.default_rng(2)

    def draw(series: int) -> Side:
        count, mean = np.full(series, 2_000.0), 1_500 * np.exp(rng.normal(0, 0.1, series))
        total = count * rng.normal(mean, 0.4 * mean / np.sqrt(2_000))
        return Side(total, count, count, (count * mean**2 * 1.16, count, total))

    assert ever_worse("mean_turn_ms", 1_000, 1, (1, 2, 4, 7, 8), draw) <= 0.02


def test_where_there_is_no_bound_none_is_told() -> None:
    rng = np.random.default_rng(8)
    metric = watched("p99_turn_ms", ratio=1.2)
    rows = [histogram(rng, side, lambda count: rng.normal(1_000, 60, count), 1) for side in (True, False)]
    (found,) = judge_all(counted_tails([metric], pl.concat(rows), WIDTH_MS), policy(metric))
    assert (found.outcome, found.high) == ("undecided", None)


# -- deciding ------------------------------------------------------------------------------------------------------------


def test_no_data_too_little_and_one_side_only_are_a_pause() -> None:
    metric = watched("errors", delta=0.01)
    mine = windows(metric, True, [1] * 50, 100)
    few = judged(metric, windows(metric, True, [0], 100), windows(metric, False, [0], 100))
    assert (few.decision, few.insufficient) == ("pause", (POOL,))
    assert judged(metric, mine).decision == "pause"
    assert judged(metric, mine.clear()).decision == "pause"
    assert judged(metric, mine, windows(metric, False, [1] * 50, 0)).decision == "pause"


@pytest.mark.parametrize(("kind", "known"), [({"ratio": 1.5}, None), ({"delta": 0.01}, 0.01)])
def test_a_ratio_of_a_baseline_that_nobody_knows_yet_allows_nothing_that_is_known(
    kind: dict[str, float], known: float | None
) -> None:
    """A difference is known before anybody serves; a ratio, and how much worse it may be, only once the baseline is."""
    metric = watched("errors", floor=0.01 if known is None else 0.0, **kind)
    mine = windows(metric, True, [1] * 50, 100)
    for rows in ([mine], [mine, windows(metric, False, [0] * 50, 0)]):
        (told,) = judge_all([counted_ratio(metric, pl.concat(rows), WIDTH_MS)], policy(metric))
        assert (told.outcome, told.baseline, told.allowed, told.baseline_samples) == ("insufficient", None, known, 0)
        assert known is not None or (told.low, told.high) == (None, None)
    assert judge_all([counted_ratio(metric, mine, WIDTH_MS)], policy(metric))[0].alpha is None
    both = [mine, windows(metric, False, [1] * 50, 100)]
    (told,) = judge_all([counted_ratio(metric, pl.concat(both), WIDTH_MS)], policy(metric))
    assert told.allowed == pytest.approx(0.005 if known is None else known) and told.alpha == pytest.approx(0.025)


def test_it_goes_on_only_once_all_protected_slices_are_surely_no_worse() -> None:
    metric = watched("errors", delta=0.01)
    equal = [windows(metric, side, [2] * 100, 100) for side in (True, False)]
    early = [windows(metric, side, [2] * 4, 100) for side in (True, False)]
    assert judged(metric, *equal).decision == "continue"
    assert judged(metric, *early).decision == "pause"


def test_a_slice_that_nobody_named_stops_it_and_critical_ones_are_named_first() -> None:
    metric = watched("errors", delta=0.01)
    rows = [windows(metric, side, [2] * 100, 100) for side in (True, False)]
    other = "pool=batch,region="
    for region in ("a", "b"):
        rows += [windows(metric, side, [20 if side else 2] * 100, 100, other + region) for side in (True, False)]
    tried = CanaryPolicy("tried", "0" * 16, (metric,), (POOL,), weights=((f"{other}b", 9.0),))
    found = decide(judge_all([counted_ratio(metric, pl.concat(rows), WIDTH_MS)], tried), tried)
    assert found.decision == "rollback"
    assert [each.slice for each in found.blockers] == [f"{other}b", "pool=batch", f"{other}a"]


def test_a_slice_that_is_worse_by_several_metrics_is_one_blocker() -> None:
    required, other = watched("errors", delta=0.01), replace(watched("handoffs", delta=0.01), is_required=False)
    east = f"{POOL},region=east"
    counted = [
        counted_ratio(
            metric,
            pl.concat(
                windows(metric, side, [20 if side else 2] * 100, 100, name)
                for side in (True, False)
                for name in (POOL, east)
            ),
            WIDTH_MS,
        )
        for metric in (required, other)
    ]
    tried = policy(required, other, protected=(POOL, east))
    found = decide(judge_all(counted, tried), tried)
    assert [(each.slice, each.reasons) for each in found.blockers] == [
        (POOL, ("errors", "handoffs")),
        (east, ("errors", "handoffs")),
    ]


def test_fewer_successes_are_worse_and_told_as_successes() -> None:
    metric = watched("successes", delta=0.01)
    rows = windows(metric, True, [80] * 100, 100), windows(metric, False, [95] * 100, 100)
    (found,) = judge_all([counted_ratio(metric, pl.concat(rows), WIDTH_MS)], policy(metric))
    assert found.outcome == "worse"
    assert found.candidate == pytest.approx(0.8) and found.baseline == pytest.approx(0.95)
    assert found.low is not None and found.low <= 0.15 <= (found.high or 1)


def test_a_baseline_that_costs_nothing_counts_as_its_floor() -> None:
    rng = np.random.default_rng(5)
    metric = watched("gpu_ms_per_success", ratio=1.2, floor=10.0)
    free = windows(metric, False, np.zeros(60, dtype=np.int64), 100)
    for each_ms, expected in ((5, "inside"), (40, "worse")):
        used = (100 * each_ms * rng.uniform(0.8, 1.2, 60)).astype(np.int64)
        assert outcome(metric, windows(metric, True, used, 100), free) == expected


def test_without_any_success_there_is_nothing_to_divide_by_and_no_verdict() -> None:
    metric = watched("gpu_ms_per_success", ratio=1.2)
    rows = windows(metric, True, [900] * 60, 0), windows(metric, False, [900] * 60, 100)
    assert judged(metric, *rows).decision == "pause"


def test_without_reference_words_there_is_no_word_error_rate() -> None:
    metric = watched("wer", delta=0.01)
    rows = [windows(metric, side, [0] * 60, 0) for side in (True, False)]
    assert judged(metric, *rows).decision == "pause"


# -- bounds --------------------------------------------------------------------------------------------------------------


def test_a_mean_of_windows_lies_within_its_bounds_at_every_look_in_all_but_alpha_of_runs() -> None:
    drawn = np.random.default_rng(6).normal(5.0, 3.0, (2_000, 60))
    counts = np.arange(2, 61)
    outside = np.zeros(2_000, dtype=np.bool_)
    for count in counts:
        part = drawn[:, :count]
        error = part.std(axis=1, ddof=1) / np.sqrt(count)
        outside |= np.abs(part.mean(axis=1) - 5.0) > student_radius(error, np.full(2_000, float(count)), 0.05)
    assert 0.005 < outside.mean() <= 0.05


def test_one_window_has_no_bound() -> None:
    assert np.isinf(student_radius(np.array([1.0]), np.array([1.0]), 0.05)[0])


@pytest.mark.parametrize("share", [0.001, 0.02, 0.5])
def test_a_share_lies_within_its_bounds_at_every_look_in_all_but_alpha_of_runs(share: float) -> None:
    events = np.random.default_rng(7).binomial(50, share, (1_000, 24)).cumsum(axis=1).astype(np.float64)
    bounds = share_bounds(events, np.broadcast_to(np.arange(50.0, 50 * 25, 50), events.shape), 0.05)
    assert ((bounds.low > share) | (bounds.high < share)).any(axis=1).mean() <= 0.05
    assert (bounds.low <= events / np.arange(50.0, 50 * 25, 50)).all()


def test_nothing_seen_is_no_bound_and_no_event_none_from_below() -> None:
    nothing = share_bounds(np.zeros(2), np.array([0.0, 1_000.0]), 0.05)
    assert (nothing.low[0], nothing.high[0], nothing.low[1]) == (0.0, 1.0, 0.0)
    assert 0 < nothing.high[1] < 0.02


def test_a_slice_that_both_serve_late_changes_no_share_of_one_that_they_served_before() -> None:
    metric = watched("errors", delta=0.01)

    def row(name: str, window: int, is_candidate: bool) -> pl.DataFrame:
        return windows(metric, is_candidate, 1, 100, name).with_columns(pl.lit(window * WIDTH_MS).alias(WINDOW))

    rows = [row("tenant=a", 0, False), row("tenant=a", 3, True), *(row("tenant=b", 5, side) for side in (True, False))]
    later = [*rows, *(row("tenant=a", 9, side) for side in (True, False))]
    first, second = (counted_ratio(metric, pl.concat(each), WIDTH_MS) for each in (rows, later))
    assert (first.names, first.appeared_ms.tolist()) == (["tenant=b"], [5 * WIDTH_MS])
    assert (second.names, second.appeared_ms.tolist()) == (["tenant=a", "tenant=b"], [9 * WIDTH_MS, 5 * WIDTH_MS])
    assert second.last_ms.tolist() == [9 * WIDTH_MS, 5 * WIDTH_MS]


def test_what_is_spent_never_exceeds_alpha_and_does_not_change_by_what_comes_later() -> None:
    appeared = np.array([0, 0, 5, 5, 9, 12])
    weights, protected = np.array([1.0, 2.0, 1.0, 1.0, 3.0, 1.0]), np.array([True, False, False, False, False, False])
    whole = spent(Purse(0.05, 1.0), appeared, weights, protected)
    assert whole.sum() <= 0.05
    assert (spent(Purse(0.05, 1.0), appeared[:4], weights[:4], protected[:4]) == whole[:4]).all()
    assert (whole > 0).all()
