"""Windows of burn as the stream would have told them, over a series of minutes: rows of the table `burn_windows`.

The same columns, sums and choice of slices as `stream_jobs/operators/burn_rate/windows.py`, at the end of every minute that was
decided. They rest on all that is stored; their version is that of a decision on nothing, so a row that the stream told
for the same instant stays.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.instants import DAY_MS
from schemas.slos import WatchedSlo
from stream_jobs.operators.burn_rate.arithmetic import shares
from stream_jobs.operators.burn_rate.error_budget import expected_budgets, spending
from stream_jobs.operators.burn_rate.windows import is_coarse, window_columns, window_lengths, windows_version
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
    lengths = window_lengths(watched)
    running = [np.append(0, np.cumsum(counts[place], dtype=np.int64)) for counts in (series.bad, series.total)]
    counts = np.stack([[instants.sums(sums, length, places) for length in lengths] for sums in running], axis=-1)
    burns = shares(counts) / float(slo.budget_rate)
    chosen = np.flatnonzero((burns.max(axis=0) > 1) | is_coarse(text)) if len(places) else places
    chosen = chosen[series.first_ms[place] < series.ends_ms[places[chosen]]]
    if len(chosen) == 0:
        return None
    counts, places = counts[:, chosen], places[chosen]
    ends_ms = series.ends_ms[places]
    spent = spending(
        np.stack([_since_midnight(running[0], series, places)] * 2, axis=1),
        expected_budgets(counts[lengths.index(slo.period_s), :, 1], ends_ms - series.first_ms[place], slo),
    )
    versions = np.array([windows_version(int(end_ms), 0.0) for end_ms in ends_ms])
    return window_columns(slo, lengths, counts, spent).with_columns(
        pl.Series("decided_ms", np.tile(ends_ms, len(lengths))),
        pl.Series("decided_at", np.tile(ends_ms, len(lengths))).cast(pl.Datetime("ms", "UTC")),
        pl.Series("version", np.tile(versions, len(lengths))),
        slice=pl.lit(text),
        completeness=pl.lit(1.0),
    )


def _since_midnight(running: NDArray[np.int64], series: Series, places: Places) -> NDArray[np.int64]:
    """Bad turns since 00:00 UTC of each instant's day."""
    midnights_ms = series.ends_ms[places] // DAY_MS * DAY_MS
    starts = np.maximum((midnights_ms - series.span.start_ms) // series.span.width_ms, 0)
    since: NDArray[np.int64] = running[places + 1] - running[starts]
    return since
