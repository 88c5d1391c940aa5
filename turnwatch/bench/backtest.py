"""How long does a backtest of 30 days and 1,000 slices take, file and all, next to the limit of 10 s?

A seeded fleet with a day curve is written as Parquet, a row for each slice and minute; some slices have incidents of an
hour, one burns all the time. What is timed is what the command does: read, judge, summarise, draw.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from alerts.openslo import load_slos
from alerts.policies import policy_for
from schemas.instants import MINUTE_MS
from schemas.slos import Slo
from turnwatch.backtest.command import judged
from turnwatch.backtest.picture import draw
from turnwatch.backtest.sources import read_files

LIMIT_S = 10.0
START_MS = 1_790_000_000_000 // 86_400_000 * 86_400_000
DAY_MINUTES = 1_440
INCIDENTS_EVERY = 25
"""One slice of so many has an incident."""


def run_backtest_bench(days: int, slices: int, seed: int) -> int:
    console = Console()
    watched = policy_for(next(slo for slo in load_slos() if slo.indicator.name == "turn_4000ms"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fleet.parquet"
        _write(path, watched.slo, days, slices, seed)
        console.print(f"{days * DAY_MINUTES * slices:,} rows, {path.stat().st_size / 2**20:.0f} MiB", highlight=False)
        started = time.perf_counter()
        told = read_files([path], watched.slo)
        read_s = time.perf_counter() - started
        report = judged(watched, path.name, told, None, None)
        judged_s = time.perf_counter() - started - read_s
        draw(report)
        taken_s = time.perf_counter() - started
    (verdict,) = report.verdicts
    console.print(f"read in {read_s:.2f} s, judged in {judged_s:.2f} s", highlight=False)
    print(
        f"days={days} slices={slices} seed={seed} pages={verdict.count('page')} tickets={verdict.count('ticket')} "
        f"seconds={taken_s:.2f} limit={LIMIT_S:g} ratio={taken_s / LIMIT_S:.2f}"
    )
    return 0 if taken_s < LIMIT_S else 1


def _write(path: Path, slo: Slo, days: int, slices: int, seed: int) -> None:
    """A row group for each slice, as ClickHouse would export them in order."""
    dice = np.random.default_rng(seed)
    minutes = np.arange(days * DAY_MINUTES)
    instants = pa.array(START_MS + minutes * MINUTE_MS, pa.int64()).cast(pa.timestamp("ms", tz="UTC"))
    demand = 20 * (1 + 0.8 * np.sin(2 * np.pi * minutes / DAY_MINUTES))
    schema = pa.schema([("slice", pa.string()), ("minute", instants.type), ("good", pa.int64()), ("total", pa.int64())])
    with pq.ParquetWriter(path, schema) as writer:
        for place, text in enumerate(_slices(slo, slices)):
            total = dice.poisson(demand)
            bad = dice.binomial(total, _bad_share(dice, place, len(minutes)))
            columns: Sequence[object] = (pa.array([text] * len(minutes)), instants, total - bad, total)
            writer.write_table(pa.table(list(columns), schema=schema))


def _bad_share(dice: np.random.Generator, place: int, minutes: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    share = np.full(minutes, 0.05 if place == 1 else 0.004)
    if place % INCIDENTS_EVERY == 0:
        first = int(dice.integers(0, max(1, minutes - 60)))
        share[first : first + 60] = 0.4
    return share


def _slices(slo: Slo, count: int) -> list[str]:
    fleet = f"pool={slo.pool}"
    return [fleet, *(f"{fleet},bundle=v{number}" for number in range(1, count))]
