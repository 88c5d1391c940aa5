"""Canaries by the thousand: windows of candidate and baseline as they would be counted, for `turnwatch bench canary`.

Nothing is independent that need not be: rates follow the hour of the day, on both sides alike, and each window of each side
has a rate of its own around it. A candidate gets more of the traffic as the day goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.arrays import Floats
from schemas.histograms import bucket_indexes
from stream_jobs.operators.release.counting import IS_CANDIDATE
from stream_jobs.operators.release.pairs import Pairs, Side
from stream_jobs.operators.release.tails import BLOCKS_MAX

Rng = np.random.Generator

HOURS = 24
WINDOWS_AN_HOUR = 12
CONCENTRATION = 200.0
"""Of a window's own rate around the hour's: counts of 200 units vary twice as much as independent ones."""
_SHARES = (0.01, 0.05, 0.1, 0.25, 0.5)
"""Of the traffic, that the candidate has: each for a fifth of the day."""
_WORDS_OWN = 0.01
"""Deviation of the logarithm of the word error rate of each hour of each side around the common one."""
_TAIL = 0.4
_TAIL_OWN = 0.02
"""Deviations of the logarithm of latencies: of turns, and of each block of each side around the hour's."""


@dataclass(frozen=True, slots=True)
class World:
    """`slices` of each of `runs` canaries, whose largest has `units` in a window; the next has half of that, and so on."""

    runs: int
    slices: int
    units: float

    @property
    def series(self) -> int:
        return self.runs * self.slices

    @property
    def place(self) -> NDArray[np.int64]:
        """Of an hour's windows: their series."""
        return np.repeat(np.arange(self.series), WINDOWS_AN_HOUR)

    def counts(self, rng: Rng, hour: int) -> tuple[Floats, Floats]:
        """Units of the baseline and of the candidate in each window of an hour, at least one of each."""
        of_slice = np.tile(self.units * 0.5 ** np.arange(self.slices), self.runs) * busy(hour)
        share = _SHARES[hour * len(_SHARES) // HOURS]
        mean = np.repeat(of_slice, WINDOWS_AN_HOUR)
        return tuple(np.maximum(rng.poisson(mean * each), 1.0) for each in (1 - share, share))  # type: ignore[return-value] # Two.


def busy(hour: int) -> float:
    """Traffic of an hour beside the day's mean."""
    return float(1 + 0.6 * np.sin((hour - 9) * np.pi / 12))


def by_window(pairs: Pairs) -> Iterator[Pairs]:
    """An hour's windows one after the other: each series has as many, next to each other."""
    windows = max(len(pairs.place) // pairs.slices, 1)
    for first in range(windows):
        these = slice(first, None, windows)
        sides = (_part(side, these) for side in (pairs.baseline, pairs.candidate))
        yield Pairs(pairs.place[these], pairs.slices, *sides)


def _part(side: Side, these: slice) -> Side:
    squares = tuple(each[these] for each in side.squares) if side.squares else None
    return Side(side.numerator[these], side.denominator[these], side.units[these], squares)  # type: ignore[arg-type] # Three.


def share_pairs(
    rng: Rng, world: World, hour: int, rate: float, worse: float = 0.0, own: float = CONCENTRATION
) -> Pairs:
    """Events among units: the candidate's rate is higher by `worse`."""
    of_hour = rate * (1.25 - 0.25 * busy(hour))
    sides = []
    for units, mean in zip(world.counts(rng, hour), (of_hour, of_hour + worse), strict=True):
        rates = rng.beta(own * mean, own * (1 - mean), units.shape)
        events = rng.binomial(units.astype(np.int64), rates).astype(np.float64)
        sides.append(Side(events, units, units, (events, units, events)))
    return Pairs(world.place, world.series, *sides)


def many_pairs(rng: Rng, runs: int, appeared: NDArray[np.int64], window: int, rate: float) -> Pairs:
    """One window of many busy slices of each run, those that have appeared by then: 4,000 turns on either side."""
    there = np.flatnonzero(np.tile(appeared <= window, runs))
    units = np.full(len(there), 4_000.0)
    sides = []
    for _ in range(2):
        rates = rng.beta(CONCENTRATION * rate, CONCENTRATION * (1 - rate), len(there))
        events = rng.binomial(4_000, rates).astype(np.float64)
        sides.append(Side(events, units, units, (events, units, events)))
    return Pairs(there, runs * len(appeared), *sides)


def re_blocked(rows: pl.DataFrame, blocks: int) -> pl.DataFrame:
    """So many blocks of histograms as a gate reads them: merged into a dozen at most."""
    return rows.with_columns(pl.col("block") // -(-blocks // BLOCKS_MAX))


def word_pairs(rng: Rng, runs: int, calls: int, wer: float, worse: float = 0.0) -> Pairs:
    """An hour's labelled calls of one slice on either side, whose own error rates vary as the hour's does; sums over calls."""
    sides = []
    for common in (wer, wer + worse):
        mean = common * np.exp(rng.normal(0, _WORDS_OWN, (runs, 1)))
        words = rng.integers(5, 40, (runs, calls)).astype(np.float64)
        errors = rng.binomial(words.astype(np.int64), rng.beta(mean * 6, (1 - mean) * 6, words.shape)).astype(
            np.float64
        )
        squares = tuple((one * other).sum(axis=1) for one, other in ((errors, errors), (words, words), (errors, words)))
        sides.append(Side(errors.sum(axis=1), words.sum(axis=1), np.full(runs, float(calls)), squares))
    return Pairs(np.arange(runs), runs, *sides)


def cost_pairs(rng: Rng, world: World, hour: int, ms: float) -> Pairs:
    """GPU time of successes: nobody tells squares, so windows alone say how it varies."""
    sides = []
    for units in world.counts(rng, hour):
        used = units * ms * rng.gamma(25.0, 1 / 25.0, units.shape)
        sides.append(Side(used, units, units))
    return Pairs(world.place, world.series, *sides)


def histogram_rows(
    rng: Rng, runs: int, block: int, units: tuple[int, int], p99_ms: tuple[float, float], blocks_an_hour: int = 1
) -> pl.DataFrame:
    """A block's latencies of baseline and candidate, one slice of each run; both are slower when it is busy."""
    sides = []
    for is_candidate, count, p99 in zip((False, True), units, p99_ms, strict=True):
        own = rng.normal(np.log(p99) - 2.326 * _TAIL + 0.1 * busy(block // blocks_an_hour), _TAIL_OWN, runs)
        index = bucket_indexes(np.exp(rng.normal(np.repeat(own, count), _TAIL)), 4)
        cells, counts = np.unique(np.repeat(np.arange(runs), count) * 65_536 + index + 32_768, return_counts=True)
        told = {"place": cells // 65_536, "bucket_index": cells % 65_536 - 32_768, "observations": counts}
        sides.append(pl.DataFrame(told).with_columns(pl.lit(is_candidate).alias(IS_CANDIDATE)))
    return pl.concat(sides).with_columns(pl.lit(block).alias("block"), pl.lit(4, pl.Int64).alias("scale"))
