"""Windows of burn as the stream would have told them, over a series of minutes: rows of the table `burn_windows`.

The same columns, sums and choice of slices as `stream_jobs/operators/burn_windows.py`, at the end of every minute that was
decided. They rest on all that is stored; their version is that of a decision on nothing, so a row that the stream told
for the same instant stays.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.slos import WatchedSlo
from stream_jobs.operators.burn_windows import is_coarse, window_name, windows_version
from stream_jobs.operators.error_budget import DAY_MS, expected_budgets, spending
from turnwatch.backtest.instants import Instants, decided
from turnwatch.backtest.series import Series

INSTANTS_A_BATCH = 4_320
"""Three days of minutes: with ten windows a batch has 43,200 rows at the most."""

Places = NDArray[np.int64]


def window_batches(series: Series, watched: WatchedSlo, from_ms: int) -> Iterator[tuple[int, int, pl.DataFrame | None]]:
    """Rows of each slice, a few days at a time: how many batches are done, of how many, and the rows if there are any."""
    ends_ms = series.ends_ms
    places = decided(series)
    places = places[ends_ms[places] > from_ms]
    starts = range(0, len(places), INSTANTS_A_BATCH)
    of, done = len(starts) * len(series.slices), 0
    for place in range(len(series.slices)):
        instants = Instants(series, series.is_wide(place))
        for start in starts:
            done += 1
            yield done, of, rows_of_slice(series, place, watched, instants, places[start : start + INSTANTS_A_BATCH])


def rows_of_slice(
    series: Series, place: int, watched: WatchedSlo, instants: Instants, places: Places
) -> pl.DataFrame | None:
    """Windows of one slice at some instants: at all of them if it is of a coarsest cut, otherwise where it burns."""
    slo, text = watched.slo, series.slices[place]
    lengths = sorted({length for row in watched.rows for length in (row.long_s, row.short_s)} | {slo.period_s})
    running = [np.append(0, np.cumsum(counts[place], dtype=np.int64)) for counts in (series.bad, series.total)]
    bad, total = (np.stack([instants.sums(sums, length, places) for length in lengths]) for sums in running)
    burns = np.divide(bad, total, out=np.zeros(total.shape), where=total > 0) / float(slo.budget_rate)
    chosen = np.flatnonzero((burns.max(axis=0) > 1) | is_coarse(text)) if len(places) else places
    chosen = chosen[series.first_ms[place] < series.ends_ms[places[chosen]]]
    if len(chosen) == 0:
        return None
    bad, total, burns, places = bad[:, chosen], total[:, chosen], burns[:, chosen], places[chosen]
    ends_ms = series.ends_ms[places]
    period = lengths.index(slo.period_s)
    spent = spending(
        np.stack([_since_midnight(running[0], series, places)] * 2, axis=1),
        expected_budgets(total[period], ends_ms - series.first_ms[place], slo),
    )
    left = np.broadcast_to(1 - burns[period], burns.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        exhausted_in_s = np.where(burns > 0, np.maximum(left, 0) * float(slo.period_s) / burns, np.nan)
    count = len(chosen)
    return pl.DataFrame(
        {
            "window": np.repeat([window_name(length) for length in lengths], count),
            "window_s": np.repeat(np.array(lengths, dtype=np.int64), count),
            "bad": bad.ravel(),
            "total": total.ravel(),
            "burn": burns.ravel(),
            "budget_left": left.ravel(),
            "exhausted_in_s": exhausted_in_s.ravel(),
            "spent_today": np.tile(spent.today, len(lengths)),
            "one_failure_costs": np.tile(spent.one_failure, len(lengths)),
            "decided_ms": np.tile(ends_ms, len(lengths)),
            "version": np.tile(np.array([windows_version(int(end), 0.0) for end in ends_ms]), len(lengths)),
        }
    ).with_columns(
        pl.col("exhausted_in_s", "spent_today", "one_failure_costs").fill_nan(None),
        pl.col("decided_ms").cast(pl.Datetime("ms", "UTC")).alias("decided_at"),
        slice=pl.lit(text),
        slo=pl.lit(slo.name),
        completeness=pl.lit(1.0),
    )


def _since_midnight(running: NDArray[np.int64], series: Series, places: Places) -> NDArray[np.int64]:
    """Bad turns since 00:00 UTC of each instant's day."""
    midnights_ms = series.ends_ms[places] // DAY_MS * DAY_MS
    starts = np.maximum((midnights_ms - series.span.start_ms) // series.span.width_ms, 0)
    since: NDArray[np.int64] = running[places + 1] - running[starts]
    return since
