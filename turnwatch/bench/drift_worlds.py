"""Fleets of which somebody knows what changed: failed turns, word errors and latencies of slices, hour by hour.

Slices differ in how much traffic they have and in how much they wander by themselves from hour to hour. All have a curve of
the day in traffic and rate, and quieter weekends; the words of one call are not independent. In a world with changes each slice
but every fourth one gets worse at an hour of its own, and stays so: a rate rises by 15, 30 or 100 %, or that share of its turns
takes twice as long. A rate that is next to nothing, lookups in a stale index, rises by that share of 5 %. Where wander lasts all slices wander, and an
hour's goes on in the next: its logarithm is an autoregression of order one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import polars as pl
from numpy.random import Generator
from scipy.signal import lfilter
from scipy.special import ndtr

from schemas.arrays import Floats, Integers
from schemas.drift_measures import RATIOS, SHAPES
from schemas.families import STAGE_LATENCIES, Family
from schemas.instants import DAY_MS, HOUR_MS
from stream_jobs.operators.drift.shapes import BINS, LOWEST, SCALE
from turnwatch.bench.fleets import START_MS, demand

DAY_H = DAY_MS // HOUR_MS
CHANGES = (0.0, 0.15, 0.30, 1.00)
LASTING_DAYS = 6
"""Changes begin in the first of them."""
WANDERS = (0.0, 0.1)
"""Standard deviation of an hour's rate, or middle latency, as a share of what it should be."""
LASTING = ((0.8, 0.1), (0.8, 0.2), (0.95, 0.1))
"""Of wander that lasts: its correlation from one hour to the next, and its standard deviation."""
TRAFFICS = {"busy": 3_000, "middling": 600, "sparse": 60}
"""Turns, or words of labelled calls, in a mean hour."""
WORDS_OF_A_CALL = 50
CALLS_ALIKE = 20
"""Words of a call are wrong as in a beta-binomial: its two parameters add up to this, which triples the variance and more."""
DAY_AMPLITUDE = 0.3
RARE_RATE, RARE_RISE = 0.0005, 0.05
LATENCY_MS, LATENCY_SIGMA = 400.0, 0.5
KINDS = tuple(product(TRAFFICS, WANDERS, CHANGES))


@dataclass(frozen=True, slots=True)
class World:
    """One figure of slices over days. `begins_h`: the hour in which each slice's change begins. `lasting`: the correlation of
    an hour's wander with that of the hour before."""

    measure: str
    days: int
    traffic: tuple[str, ...]
    wander: Floats
    change: Floats
    begins_h: Integers
    lasting: float = 0.0

    @property
    def family(self) -> Family:
        return STAGE_LATENCIES if self.measure in SHAPES else RATIOS[self.measure].family

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(f"pool=realtime,route=r{number:04}" for number in range(len(self.traffic)))

    def slices(self) -> pl.DataFrame:
        """What there is to find: measure, slice, traffic, wander, change, begins_h."""
        named = {"slice": self.texts, "traffic": self.traffic, "wander": self.wander, "change": self.change}
        return pl.DataFrame(named | {"begins_h": self.begins_h}).with_columns(measure=pl.lit(self.measure))


def world(measure: str, slices: int, days: int, seed: int) -> World:
    """Slices of every kind in turn; a slice's place does not depend on how many there are."""
    dice = np.random.default_rng((seed, 0))
    kinds = [KINDS[number % len(KINDS)] for number in range(slices)]
    begins = (days - LASTING_DAYS) * DAY_H + dice.integers(0, DAY_H, slices)
    wander, change = (np.array([kind[place] for kind in kinds], dtype=np.float64) for place in (1, 2))
    return World(measure, days, tuple(kind[0] for kind in kinds), wander, change, begins)


def where_wander_lasts(of: World, lasting: float, deviation: float) -> World:
    """The same slices, all of which wander so much, and for hours at a time."""
    return replace(of, lasting=lasting, wander=np.full(len(of.traffic), deviation))


def hours(of: World, seed: int, is_planted: bool) -> list[pl.DataFrame]:
    """Totals of each hour, as a watch is told them. Without `is_planted` nothing changes."""
    dice = np.random.default_rng((seed, 1 + list(_DRAWN).index(of.measure)))
    curve = demand(of.days).reshape(-1, 60).mean(axis=1)
    total = dice.poisson(curve[:, None] * np.array([TRAFFICS[name] for name in of.traffic]))
    is_changed = np.arange(len(curve))[:, None] >= of.begins_h
    change = np.where(is_changed & is_planted, of.change, 0.0)
    strays = np.exp(of.wander * _going_on(dice.standard_normal(total.shape), of.lasting) - of.wander**2 / 2)
    draw = _DRAWN[of.measure]
    return [draw(of, place, total[place], change[place], strays[place], dice) for place in range(len(curve))]


def _going_on(anew: Floats, lasting: float) -> Floats:
    """An autoregression of variance 1 from standard normal deviates, of shape (hours, slices)."""
    part = np.sqrt(1 - lasting**2)
    found, _ = lfilter([part], [1.0, -lasting], anew, axis=0, zi=(1 - part) * anew[:1])
    return np.asarray(found, dtype=np.float64)


def _rate(of: World, hour: int, change: Floats, strays: Floats) -> Floats:
    """What a slice's rate is in an hour: from 4 to 10 %, with a curve of the day."""
    usual = 0.04 + 0.06 * ((np.arange(len(change)) * 7) % 13) / 12
    by_day = 1 + DAY_AMPLITUDE * np.sin(2 * np.pi * hour / DAY_H)
    return np.asarray(np.minimum(usual * by_day * (1 + change) * strays, 0.9), dtype=np.float64)


def _turns(of: World, hour: int, total: Integers, change: Floats, strays: Floats, dice: Generator) -> pl.DataFrame:
    failed = dice.binomial(total, _rate(of, hour, change, strays))
    return _told(of, hour, {"outcomes": total, "successes": total - failed})


def _lookups(of: World, hour: int, total: Integers, change: Floats, strays: Floats, dice: Generator) -> pl.DataFrame:
    stale = dice.binomial(total, (RARE_RATE + RARE_RISE * change) * strays)
    return _told(of, hour, {"tenant_lookups": total, "tenant_lookups_stale": stale})


def _calls(of: World, hour: int, total: Integers, change: Floats, strays: Floats, dice: Generator) -> pl.DataFrame:
    calls = np.repeat(np.arange(len(total)), total // WORDS_OF_A_CALL)
    rate = _rate(of, hour, change, strays)[calls]
    said = dice.poisson(WORDS_OF_A_CALL, len(calls)) + 1
    wrong = dice.binomial(said, dice.beta(CALLS_ALIKE * rate, CALLS_ALIKE * (1 - rate)))

    def summed(values: Integers) -> Integers:
        return np.bincount(calls, values, len(total)).astype(np.int64)

    sums = {"words": summed(said), "word_errors": summed(wrong), "words_sumsq": summed(said**2)}
    sums |= {"word_errors_sumsq": summed(wrong**2), "word_errors_by_words": summed(said * wrong)}
    return _told(of, hour, sums)


def _latencies(of: World, hour: int, total: Integers, change: Floats, strays: Floats, dice: Generator) -> pl.DataFrame:
    """Log-normal, in the bins that a shape has; what takes twice as long is a part of the turns."""
    ends = np.log(2.0) * np.arange(LOWEST + 1, LOWEST + BINS) / 2**SCALE - np.log(LATENCY_MS)
    below = (ends - np.log(strays)[:, None]) / LATENCY_SIGMA
    slower = below - np.log(2.0) / LATENCY_SIGMA
    share = (1 - change)[:, None] * ndtr(below) + change[:, None] * ndtr(slower)
    counts = dice.multinomial(total, np.diff(share, prepend=0.0, append=1.0, axis=1))
    number, place = np.nonzero(counts)
    texts = np.array(of.texts, dtype=object)[number].tolist()
    rows = {"slice": texts, "bucket_index": place + LOWEST, "observations": counts[number, place]}
    named = pl.DataFrame(rows, schema_overrides={"slice": pl.String})
    return named.with_columns(
        bucket_start_ms=pl.lit(START_MS + hour * HOUR_MS), stage=pl.lit(SHAPES[of.measure]), scale=SCALE, version=1
    )


def _told(of: World, hour: int, sums: dict[str, Integers]) -> pl.DataFrame:
    named = {"slice": of.texts, "bucket_start_ms": np.full(len(of.texts), START_MS + hour * HOUR_MS)}
    return pl.DataFrame(named | sums).with_columns(version=pl.lit(1, pl.Int64))


Draw = Callable[[World, int, Integers, Floats, Floats, Generator], pl.DataFrame]
RARE = "tenant_stale_lookup_rate"
_DRAWN: dict[str, Draw] = {
    "failure_rate": _turns,
    "word_error_rate": _calls,
    "heard_shape": _latencies,
    RARE: _lookups,
}
MEASURES = tuple(name for name in _DRAWN if name != RARE)
