"""Labelled calls, and what turns cost, with a planted session among them that no other is like: kinds whose windows are long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.random import Generator

from producers.kinds import KINDS
from tests.privacy.fleets import PERIODS, PLANTED_SESSION, POOL, START_MS, Fleet, target_of
from tests.privacy.studies import OF_COSTS, OF_LABELS, Study

Weights = Mapping[str, tuple[Sequence[str], Sequence[float]]]
"""By dimension its values and how often each comes."""

LABELS: Weights = {
    "route": (["support", "sales"], [0.7, 0.3]),
    "bundle": (["v1", "v2"], [0.85, 0.15]),
    "consent": (["granted", "contract"], [0.75, 0.25]),
    "language": (["en", "de", "is"], [0.6, 0.3, 0.1]),
    "accent": (["us", "scottish"], [0.8, 0.2]),
    "noise_class": (["quiet", "noisy"], [0.7, 0.3]),
    "tenant": (["t-00000000000000aa", "t-00000000000000bb"], [0.65, 0.35]),
    "device_class": (["phone", "car"], [0.75, 0.25]),
    "client_version": (["1.0", "2.0"], [0.7, 0.3]),
}
COSTS: Weights = {
    "route": (["support", "sales"], [0.9, 0.1]),
    "bundle": (["v1", "v2"], [0.7, 0.3]),
    "model_version": (["m1"], [1.0]),
    "gpu_type": (["l4"], [1.0]),
    "purchase": (["reserved", "spot"], [0.95, 0.05]),
    "tenant": (["t-00000000000000aa", "t-00000000000000bb", "t-00000000000000cc"], [0.6, 0.3, 0.1]),
}
UNLIKE = {
    "language": "cy",
    "accent": "welsh",
    "device_class": "headset",
    "tenant": "t-00000000000000ff",
    "client_version": "9.9",
}
"""What only one planted session is."""
ALIKE = {
    "language": "is",
    "accent": "scottish",
    "noise_class": "noisy",
    "device_class": "car",
    "tenant": "t-00000000000000bb",
    "client_version": "2.0",
}
"""What some are, each for itself."""


def labels(seed: int) -> Fleet:
    """Three hours of labelled calls, some of which are labelled an hour late; few are of the other bundle or consent."""
    return _fleet(OF_LABELS, LABELS, seed, {"word_errors": 0})


def costs(seed: int) -> Fleet:
    """Thirty minutes of what turns cost; what idle replicas cost is told apart from them, and is about nobody."""
    return _fleet(OF_COSTS, COSTS, seed, {"turns": 1, "successes": 0, "attempts": 1})


def _fleet(study: Study, weights: Weights, seed: int, facts: Mapping[str, int]) -> Fleet:
    rng = np.random.default_rng(seed)
    parts = [_period(rng, study, weights, period, seed, facts) for period in range(PERIODS)]
    planted = [_planted(parts[1], study, place, values) for place, values in enumerate((UNLIKE, ALIKE))]
    talk = [planted[0]] * (25 if seed % 4 == 1 else 0)
    observed = pl.concat([*parts, *talk, *planted])
    return Fleet(observed, tuple(target_of(each, study) for each in observed.tail(len(planted)).to_dicts()))


def _period(
    rng: Generator, study: Study, weights: Weights, period: int, seed: int, facts: Mapping[str, int]
) -> pl.DataFrame:
    """Observations of one window, each of a session of its own or of one that was there before; some come a window late."""
    count = int(rng.integers(60, 150))
    if seed % 3 == 0 and period == 0:  # Then the pool is below k, and held.
        count = int(rng.integers(5, 18))
    is_late = rng.random(count) < 0.06
    sessions = rng.integers(0, 100, count) if seed % 2 else period * 1_000 + np.arange(count)
    drawn = {name: rng.choice(list(of), count, p=list(p)).astype(str) for name, (of, p) in weights.items()}
    table = pl.DataFrame(
        {
            "moment": period + is_late.astype(np.int64),
            KINDS[study.kind].time: START_MS + period * study.step_ms + rng.integers(0, study.step_ms, count),
            "session": sessions.astype(np.uint64),
            "region": ["eu-west-1"] * count,
            "pool": rng.choice([POOL, "batch"], count, p=[0.95, 0.05]).astype(str),
            **drawn,
        }
    )
    amounts = {name: facts.get(name, 0) for name, dtype in KINDS[study.kind].columns.items() if dtype == pl.Int64()}
    rows = table.with_columns(
        pl.lit(value, pl.Int64).alias(name) for name, value in amounts.items() if name not in table.columns
    )
    return rows.select("moment", *KINDS[study.kind].columns)


def _planted(period: pl.DataFrame, study: Study, place: int, values: Mapping[str, str]) -> pl.DataFrame:
    """One that came in time, of a pool that most are of: of one that is held as a whole nothing is told."""
    usual = {"consent": "granted"} if study is OF_LABELS else {"route": "support", "purchase": "reserved"}
    usual |= {"pool": POOL, "bundle": "v1"}
    one = period.filter(moment=1, **usual).head(1)
    facts = {"session": PLANTED_SESSION + place, study.secret: 1} | {
        name: value for name, value in values.items() if name in study.dimensions
    }
    return one.with_columns(pl.lit(value).cast(one.schema[name]).alias(name) for name, value in facts.items())
