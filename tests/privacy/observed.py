"""Seeded observations of the kinds that have identifying partitions, skewed so that some cells are small."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.random import Generator

from producers.kinds import KINDS
from schemas.dimensions import DIMENSIONS

VALUES = {
    "region": ["eu-west-1"],
    "route": ["support", "sales"],
    "bundle": ["v1"],
    "model_version": ["m1"],
    "gpu_type": ["l4"],
    "purchase": ["reserved", "spot"],
    "consent": ["granted"],
    "language": ["en", "de", "is"],
    "accent": ["us", "scottish", "*"],
    "client_version": ["1.0", "2.0", "2.1"],
    "tenant": ["t-00000000000000aa", "t-00000000000000bb", "t-00000000000000cc"],
}


def observed(kind: str, seed: int, count: int, sessions: int, start_ms: int, span_ms: int) -> pl.DataFrame:
    """`count` sound observations of so many sessions, some of which nobody's session (of costs) is behind."""
    rng = np.random.default_rng(seed)
    columns = KINDS[kind].columns
    drawn = {name: _values(rng, name, count) for name in columns if name in DIMENSIONS}
    numbers = {name: np.ones(count, dtype=np.int64) for name, dtype in columns.items() if dtype == pl.Int64()}
    if kind == "turns":
        numbers |= {
            "chunks_late": np.zeros(count, dtype=np.int64),
            "tool_calls_unsafe": np.zeros(count, dtype=np.int64),
        }
    flags = {name: rng.random(count) < 0.2 for name, dtype in columns.items() if dtype == pl.Boolean()}
    session = pl.Series(rng.integers(0, sessions, count).astype(np.uint64))
    if kind == "costs":
        session = session.set(pl.Series(rng.random(count) < 0.05), None)
    times = {KINDS[kind].time: start_ms + rng.integers(0, span_ms, count)}
    absent = {name: None for name, dtype in columns.items() if dtype == pl.Float64()}
    table = pl.DataFrame({**drawn, **numbers, **flags, **times, "session": session})
    return table.with_columns(pl.lit(value, pl.Float64).alias(name) for name, value in absent.items()).select(
        list(columns)
    )


def counters(family_name: str) -> list[str]:
    """The measures that add up over time."""
    family = {each.name: each for kind in KINDS.values() for each in kind.families}[family_name]
    return [measure.name for measure in family.measures if measure.merge == "counter"]


def _values(rng: Generator, name: str, count: int) -> list[str]:
    values = VALUES.get(name) or list(DIMENSIONS[name].vocabulary)
    weights = 0.35 ** np.arange(len(values))
    return [str(value) for value in rng.choice(values, count, p=weights / weights.sum())]
