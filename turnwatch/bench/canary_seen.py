"""How soon the gate of running canaries sees what is worse, next to tests that look once: `turnwatch bench canary`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import polars as pl
from scipy.stats import mannwhitneyu, norm

from schemas.arrays import Floats
from schemas.canary import ALPHA, CANARY_METRICS, WatchedMetric
from stream_jobs.operators.release.alpha import Purse, spent
from stream_jobs.operators.release.bounds import judged
from stream_jobs.operators.release.pairs import PairedSums, Pairs, paired_sums
from stream_jobs.operators.release.tails import judged_tails, tails_of, weighed
from turnwatch.bench.canary_worlds import HOURS, WINDOWS_AN_HOUR, by_window, histogram_rows, re_blocked, word_pairs

SEEN_MIN = 0.8
"""The power that tests are usually planned for, here within a day of looks."""
METRICS = 5
"""Of the policy that is simulated: alpha is divided among them."""
WER, CALLS = 0.2, 400


def seen(rng: np.random.Generator, runs: int) -> Iterator[bool]:
    yield _told(
        "p99_from_3.8_to_8.4_s", _hours_to_see_tail(rng, min(runs, 200)), 1.0, _tail_beside(rng, min(runs, 200))
    )
    yield _told("wer_8_percent_worse", *_hours_to_see_words(rng, runs))


def _told(name: str, hours: Floats, seen_min: float, beside: tuple[float, float]) -> bool:
    """`hours` until each was rolled back, infinite where none of the day's looks did."""
    is_seen = np.isfinite(hours)
    mean = float(np.where(is_seen, hours, HOURS).mean())
    print(
        f"canary={name} seen={is_seen.mean():.3f} hours_mean={mean:.2f} fixed_horizon_hours={HOURS} "
        f"fixed_horizon_seen={beside[0]:.3f} mann_whitney_seen={beside[1]:.3f}"
    )
    return bool(is_seen.mean() >= seen_min and mean < HOURS)


def _hours_to_see_tail(rng: np.random.Generator, runs: int) -> Floats:
    """Looks each five minutes at 60 turns of the candidate and 600 of the baseline."""
    hours = np.full(runs, np.inf)
    watched, alpha = watched_as("p99_turn_ms", ratio=1.25), np.full(runs, alpha_of(1)[0])
    rows: list[pl.DataFrame] = []
    for look in range(HOURS * WINDOWS_AN_HOUR):
        rows.append(histogram_rows(rng, runs, look, (600, 60), (3_800, 8_400), WINDOWS_AN_HOUR))
        told = re_blocked(pl.concat(rows), look + 1)
        worse = judged_tails(watched, tails_of(weighed(told, "place"), runs), alpha).is_worse
        worse &= (look + 1) * 60 >= watched.samples_min
        hours = np.where(worse & np.isinf(hours), (look + 1) / WINDOWS_AN_HOUR, hours)
        if np.isfinite(hours).all():
            break
    return hours


def _tail_beside(rng: np.random.Generator, runs: int) -> tuple[float, float]:
    """What tests at the end of the day see of the same: both judge windows' p99."""
    shape = (runs, HOURS * WINDOWS_AN_HOUR)
    windows = [np.log(p99) + rng.normal(0, 0.12, shape) for p99 in (3_800, 8_400)]
    return _fixed(*windows)


def _hours_to_see_words(rng: np.random.Generator, runs: int) -> tuple[Floats, float, tuple[float, float]]:
    """Hourly looks at 400 labelled far-field calls an hour on either side, with no rise allowed."""
    hours = np.full(runs, np.inf)
    watched, alpha = watched_as("wer", delta=0.0), np.full(runs, alpha_of(1)[0])
    told: list[Pairs] = []

    def of_hour(hour: int) -> Pairs:
        told.append(word_pairs(rng, runs, CALLS, WER, worse=0.08 * WER))
        return told[-1]

    for hour, sums in enumerate(summed(watched, of_hour), 1):
        worse = judged(watched, sums, alpha).is_worse
        hours = np.where(worse & np.isinf(hours), hour, hours)
    rates = [
        np.stack([side.numerator / side.denominator for side in sides], axis=1)
        for sides in ([each.baseline for each in told], [each.candidate for each in told])
    ]
    return hours, SEEN_MIN, _fixed(*rates)


def _fixed(before: Floats, now: Floats) -> tuple[float, float]:
    """Shares of runs in which Welch's z and Mann-Whitney say at the horizon that windows are worse, at alpha."""
    error = np.sqrt((before.var(axis=1, ddof=1) + now.var(axis=1, ddof=1)) / before.shape[1])
    z = (now.mean(axis=1) - before.mean(axis=1)) / error > norm.ppf(1 - ALPHA)
    ranks = mannwhitneyu(now, before, axis=1, alternative="greater", method="asymptotic").pvalue < ALPHA
    return float(z.mean()), float(ranks.mean())


def summed(watched: WatchedMetric, hour_of: Callable[[int], Pairs]) -> Iterator[PairedSums]:
    """The sums after each window of the first hour, and after each hour."""
    so_far: PairedSums | None = None
    for hour in range(HOURS):
        told = hour_of(hour)
        for pairs in by_window(told) if hour == 0 else [told]:
            more = paired_sums(pairs, watched.allowed_ratio or 1.0, watched.allowed_ratio is not None)
            so_far = more if so_far is None else so_far + more
            yield so_far


def watched_as(name: str, delta: float | None = None, ratio: float | None = None) -> WatchedMetric:
    return WatchedMetric(CANARY_METRICS[name], name, delta, ratio)


def alpha_of(slices: int) -> Floats:
    """What each slice of a run has, the first of which is protected."""
    is_protected = np.arange(slices) == 0
    return spent(Purse(ALPHA / METRICS, 1.0), np.zeros(slices, dtype=np.int64), np.ones(slices), is_protected)
