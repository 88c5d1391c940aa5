"""Peaks from a file: CSV of `minute` (whole minutes since 1970, UTC) and `peak`. Both bounds of a peak are the same there.

A row stands for as long as the two rows that lie closest together are apart: for ten minutes in a file by ten minutes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from schemas.failures import BadInput
from schemas.instants import HOUR_MS, MINUTE_MS
from stream_jobs.operators.capacity.measured import Hours
from turnwatch.answers.csv_columns import CsvColumns
from turnwatch.capacity.told import Stretch, Told

HOURS_MAX = 10 * 366 * 24
"""Ten years: minutes that lie farther apart were not meant."""


def read_file(path: Path) -> Told:
    """What a file tells of its one series, which has no slice. Raises `BadInput` with file, line, field and value."""
    columns = CsvColumns(path, ("minute", "peak"))
    minute, peak = columns.ascending("minute"), columns.whole("peak", least=0)
    columns.refuse(minute < 0, "minute", "is before 1970")
    if len(minute) == 0:
        raise BadInput(f"{path}: there are no minutes in the file.")
    columns.refuse(minute - minute[0] > HOURS_MAX * 60, "minute", "lies more than ten years after the first one")
    at_ms = minute * MINUTE_MS
    known = {"at_ms": at_ms, "streams_peak_lower": peak, "streams_peak_upper": peak}
    minutes = pl.DataFrame(known).select(
        (pl.col(name) if name in known else pl.lit(None)).cast(kind).alias(name) for name, kind in Told.MINUTES.items()
    )
    step_ms = int(np.diff(at_ms).min()) if len(at_ms) > 1 else MINUTE_MS
    stretch = Stretch(int(at_ms[0]), int(at_ms[-1]) + step_ms)
    billed, queues = pl.DataFrame(schema=Told.BILLED), pl.DataFrame(schema=Told.QUEUES)
    return Told("all", stretch, minutes, _hours(stretch, minutes), billed, queues, None, step_ms)


def _hours(stretch: Stretch, minutes: pl.DataFrame) -> Hours:
    """Whole hours of the file; one without any minute was not told."""
    first, end = -(-stretch.from_ms // HOUR_MS), stretch.to_ms // HOUR_MS
    hour = pl.col("at_ms") // HOUR_MS
    whole = minutes.filter(hour.is_between(first, end - 1))
    peaks = whole.group_by(hour.alias("hour")).agg(pl.col("streams_peak_upper").max())
    peak = np.zeros(max(end - first, 0), dtype=np.int64)
    is_reported = np.zeros(len(peak), dtype=np.bool_)
    places = peaks["hour"].to_numpy() - first
    peak[places], is_reported[places] = peaks["streams_peak_upper"].to_numpy(), True
    return Hours(first * HOUR_MS, peak, is_reported)
