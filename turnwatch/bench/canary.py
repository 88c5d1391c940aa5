"""How often does the gate of running canaries err, how soon does it see, and how long does it take?

*Errs*: canaries without any difference, looked at each five minutes of an hour and each hour of a day by a policy that allows none at all, which is where errors
are most frequent, either way. Run by run, a rollback by any metric of any slice counts, and for each metric that it would
go on. Limit of both: alpha, 5 %. `undivided` is one metric of
the largest slice, had it all of alpha to itself: what the bounds hold by themselves. Beside it two tests that are
not made for being looked at again: an ordinary z test of the same differences, and Mann-Whitney's of windows, as Kayenta
judges by, each at 5 % and of the largest slice's errors alone.

*Sees*: the hours until a canary is rolled back whose p99 went from 3.8 to 8.4 s, and one whose word error rate on far-field calls
is 8 % higher. A test at a fixed horizon sees it at the end of the day, if at all. Limit: all of the first, 80 % of the second,
and sooner on average than the horizon.

*Takes*: seconds of a gate over 500 slices of a day, from rows to verdict. Limit: 1 s.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import mannwhitneyu, norm

from alerts.canary_document import load_canary
from schemas.arrays import Flags
from schemas.canary import ALPHA, CanaryPolicy, WatchedMetric
from schemas.families import STAGE_LATENCIES
from stream_jobs.operators.release.alpha import Purse, spent
from stream_jobs.operators.release.bounds import Found, judged
from stream_jobs.operators.release.canary import decide, judge_all
from stream_jobs.operators.release.counting import (
    FIRST,
    IS_CANDIDATE,
    LAST,
    SLICE,
    WINDOW,
    counted_ratio,
    counted_tails,
)
from stream_jobs.operators.release.pairs import Pairs, paired_sums
from stream_jobs.operators.release.tails import BLOCKS_MAX, judged_tails, tails_of, weighed
from turnwatch.bench.canary_seen import METRICS, WER, alpha_of, seen, summed, watched_as
from turnwatch.bench.canary_worlds import (
    HOURS,
    WINDOWS_AN_HOUR,
    World,
    cost_pairs,
    histogram_rows,
    many_pairs,
    re_blocked,
    share_pairs,
    word_pairs,
)

GATE_S_MAX = 1.0
_SLICES = 4
_MANY, _WAVES, _WAVE_WINDOWS = 200, 8, 6
"""Slices of large fleets, in how many waves they appear, and how many windows later each."""


def run_canary(runs: int, slices: int, seed: int) -> int:
    """Prints `name=value` lines, and returns 1 where a limit is missed."""
    rng = np.random.default_rng(seed)
    lines = [*_errs(rng, runs), *seen(rng, min(runs, 400)), _takes(rng, slices)]
    return 0 if all(lines) else 1


# -- errs ----------------------------------------------------------------------------------------------------------------


def _errs(rng: np.random.Generator, runs: int) -> Iterator[bool]:
    world = World(runs, _SLICES, units=400.0)
    of_each = {
        "errors": _ever(world, watched_as("errors", delta=0.0), lambda hour: share_pairs(rng, world, hour, 0.02)),
        "privacy_errors": _ever(
            world, watched_as("privacy_errors", ratio=1.0), lambda hour: share_pairs(rng, world, hour, 0.0005, own=1e6)
        ),
        "gpu_ms_per_success": _ever(
            world, watched_as("gpu_ms_per_success", ratio=1.0), lambda hour: cost_pairs(rng, world, hour, 900.0)
        ),
        "wer": _ever(World(runs, 1, 0), watched_as("wer", delta=0.0), lambda hour: word_pairs(rng, runs, 60, WER)),
        "p99_turn_ms": _ever_slow(rng, runs, (400, 100)),
    }
    slices_of = {"errors": _SLICES, "privacy_errors": _SLICES, "gpu_ms_per_success": _SLICES}
    for name, each in of_each.items():
        print(
            f"metric={name} slices={slices_of.get(name, 1)} false_rollbacks={each.rolled_back.mean():.4f} false_continues={each.went_on.mean():.4f} "
            f"undivided={each.undivided.mean():.4f}"
        )
    together = np.any([each.rolled_back for each in of_each.values()], axis=0)
    went_on = max(float(each.went_on.mean()) for each in of_each.values())
    z, ranks = _peeked_at(rng, min(runs, 500))
    print(f"peeked=z_test false_rollbacks={z:.4f}\npeeked=mann_whitney false_rollbacks={ranks:.4f}")
    many = _ever_of_many(rng, max(runs // 20, 2))
    rate = float(together.mean())
    print(
        f"canaries={runs} looks={HOURS + WINDOWS_AN_HOUR - 1} false_rollbacks={rate:.4f} limit={ALPHA} ratio={rate / ALPHA:.2f}"
    )
    yield rate <= ALPHA and went_on <= ALPHA and many <= ALPHA


@dataclass(frozen=True, slots=True)
class Erred:
    """Of each run, whether any look said of any slice that it is worse; of the protected one, the largest, that it is surely
    not (it is on the limit exactly); and of that one again that it is worse, had it all of alpha to itself.
    """

    rolled_back: Flags
    went_on: Flags
    undivided: Flags

    @classmethod
    def never(cls, runs: int) -> Erred:
        return cls(*(np.zeros(runs, dtype=np.bool_) for _ in range(3)))

    def looked(self, slices: int, found: Found, alone: Found, is_enough: Flags) -> Erred:
        """After one more look, at what was found of each run's slices."""
        worse, inside, undivided = (
            (each & is_enough).reshape(-1, slices) for each in (found.is_worse, found.is_inside, alone.is_worse)
        )
        return Erred(
            self.rolled_back | worse.any(axis=1), self.went_on | inside[:, 0], self.undivided | undivided[:, 0]
        )


def _ever(world: World, watched: WatchedMetric, hour_of: Callable[[int], Pairs]) -> Erred:
    erred = Erred.never(world.runs)
    alpha = np.tile(alpha_of(world.slices), world.runs)
    for sums in summed(watched, hour_of):
        is_enough = np.minimum(sums.candidate.units, sums.baseline.units) >= watched.samples_min
        found, alone = judged(watched, sums, alpha), judged(watched, sums, np.full_like(alpha, ALPHA))
        erred = erred.looked(world.slices, found, alone, is_enough)
    return erred


def _ever_slow(rng: np.random.Generator, runs: int, units: tuple[int, int]) -> Erred:
    erred = Erred.never(runs)
    watched, alpha = watched_as("p99_turn_ms", ratio=1.0), np.full(runs, alpha_of(1)[0])
    rows = [histogram_rows(rng, runs, hour, units, (3_800, 3_800)) for hour in range(HOURS)]
    for hour in range(HOURS):
        tails = tails_of(weighed(re_blocked(pl.concat(rows[: hour + 1]), hour + 1), "place"), runs)
        found, alone = judged_tails(watched, tails, alpha), judged_tails(watched, tails, np.full(runs, ALPHA))
        erred = erred.looked(1, found, alone, np.full(runs, (hour + 1) * units[1] >= watched.samples_min))
    return erred


def _ever_of_many(rng: np.random.Generator, runs: int) -> float:
    """Of canaries with many slices, which appear in eight waves, looked at in each window: how many are rolled back."""
    watched, slices = watched_as("errors", delta=0.0), np.arange(_MANY)
    appeared = slices * _WAVES // _MANY * _WAVE_WINDOWS
    alpha = np.tile(spent(Purse(ALPHA / METRICS, 1.0), appeared, np.ones(_MANY), slices == 0), runs)
    rolled_back, so_far = np.zeros(runs, dtype=np.bool_), None
    for window in range((_WAVES + 2) * _WAVE_WINDOWS):
        told = paired_sums(many_pairs(rng, runs, appeared, window, 0.05))
        so_far = told if so_far is None else so_far + told
        rolled_back |= judged(watched, so_far, alpha).is_worse.reshape(runs, _MANY).any(axis=1)
    rate = float(rolled_back.mean())
    print(
        f"metric=errors slices={_MANY} appearing_in={_WAVES} canaries={runs} false_rollbacks={rate:.4f} limit={ALPHA}"
    )
    return rate


def _peeked_at(rng: np.random.Generator, runs: int) -> tuple[float, float]:
    """How often tests for one look err, that are looked at each hour: at the largest slice's errors, candidate at an even share."""
    shape = (runs, HOURS * WINDOWS_AN_HOUR)
    sides = [rng.binomial(200, rng.beta(4, 196, shape)) / 200 for _ in range(2)]
    z, ranks = np.zeros(runs, dtype=np.bool_), np.zeros(runs, dtype=np.bool_)
    for hour in range(1, HOURS + 1):
        before, now = (each[:, : hour * WINDOWS_AN_HOUR] for each in sides)
        error = np.sqrt((before.var(axis=1, ddof=1) + now.var(axis=1, ddof=1)) / before.shape[1])
        z |= (now.mean(axis=1) - before.mean(axis=1)) / error > norm.ppf(1 - ALPHA)
        ranks |= mannwhitneyu(now, before, axis=1, alternative="greater", method="asymptotic").pvalue < ALPHA
    return float(z.mean()), float(ranks.mean())


# -- takes ---------------------------------------------------------------------------------------------------------------


def _takes(rng: np.random.Generator, slices: int) -> bool:
    policy = load_canary()
    tails = [each for each in policy.metrics if each.metric.family is STAGE_LATENCIES]
    ratios = {each: _rows_of(rng, each, slices) for each in policy.metrics if each not in tails}
    histograms = _rows_of(rng, tails[0], slices)
    seconds = min(_judging_s(policy, ratios, tails, histograms) for _ in range(3))
    told = sum(map(len, ratios.values())) + len(histograms)
    print(f"gate slices={slices} rows={told} seconds={seconds:.3f} limit={GATE_S_MAX} ratio={seconds / GATE_S_MAX:.2f}")
    return seconds < GATE_S_MAX


def _judging_s(
    policy: CanaryPolicy,
    ratios: Mapping[WatchedMetric, pl.DataFrame],
    tails: Sequence[WatchedMetric],
    histograms: pl.DataFrame,
) -> float:
    began = time.perf_counter()
    counted = [counted_ratio(each, rows, 300_000) for each, rows in ratios.items()]
    decide(judge_all([*counted, *counted_tails(tails, histograms, 300_000)], policy), policy)
    return time.perf_counter() - began


def _rows_of(rng: np.random.Generator, watched: WatchedMetric, slices: int) -> pl.DataFrame:
    """A day of both sides: windows of five minutes, hours of labels, and a dozen blocks of histograms of 40 buckets."""
    metric = watched.metric
    names = pl.Series(["pool=realtime", *(f"pool=realtime,region=r-{place}" for place in range(1, slices))])
    width_ms = (
        HOURS * 3_600_000 // BLOCKS_MAX
        if metric.kind == "quantile"
        else max(300_000, metric.family.partitions[0].k_window_s * 1_000)
    )
    windows, buckets = HOURS * 3_600_000 // width_ms, 40 if metric.kind == "quantile" else 1
    shape = (2, slices, windows, buckets)
    side, place, window, bucket = (each.ravel() for each in np.indices(shape))
    keys = {
        SLICE: names.gather(pl.Series(place)),
        WINDOW: window * width_ms,
        FIRST: window * width_ms,
        LAST: window * width_ms,
        IS_CANDIDATE: side == 1,
    }
    if metric.kind == "quantile":
        return pl.DataFrame(
            {**keys, "bucket_index": bucket + 400, "observations": rng.poisson(20, len(side))}
        ).with_columns(pl.lit(metric.stage).alias("stage"), pl.lit(6, pl.Int64).alias("scale"))
    units = rng.poisson(100, len(side)) + 1
    told = dict.fromkeys(metric.measures, units) | {
        metric.numerator: rng.binomial(units, 0.05),
        metric.denominator: units,
    }
    return pl.DataFrame({**keys, **told})
