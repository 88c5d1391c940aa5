"""Rows of costs out of files: ten minutes of what turns and replicas used, as `turnwatch query` exports them.

    turnwatch query "SELECT * FROM costs" --format csv > costs.csv

A file has the dimensions of a cut, `bucket_start` and the measures of family `costs`; of the table's other cuts nothing is
taken, as they say the same again. Every mistake is told with file and line.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import polars as pl

from schemas.declarations import Cut
from schemas.failures import BadInput
from schemas.families import COSTS
from schemas.tables import TABLES
from stream_jobs.operators.cost.pricing import BUCKET
from turnwatch.csv_text import FILE_LINE, numbered, refuse, refuse_unlike, text_rows

FINEST = COSTS.cuts[3]
"""The finest operational cut: what a cost is decomposed over."""
FINEST_OF_TENANTS = COSTS.cuts[5]
assert (FINEST.partition, FINEST_OF_TENANTS.partition) == ("operational", "tenancy")

_FILE, _TIME = "file", "bucket_start"
_COUNT = r"^[0-9]{1,18}$"
_INSTANT = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d0:00(?:\.0+)?(?:Z|\+00:?00)?$"
_UNTOLD = ("chunks_retrieved", "gpu_used_ms_sumsq", "success_audio_ms")
"""Measures that a file may leave out: no cost depends on them."""
_EXPORT = 'export it with turnwatch query "SELECT * FROM costs" --format csv'


def read_cost_files(paths: Sequence[Path], cut: Cut = FINEST) -> pl.DataFrame:
    """The rows of a cut in all files, as if they were one: `bucket_start_ms`, its dimensions, and the measures.

    Raises `BadInput` where a column is missing or unknown, a field is none, a row stands there twice, or none is of the cut.
    """
    rows = pl.concat([_read(path, cut) for path in paths])
    keys = [BUCKET, *cut.dimensions]
    twice = rows.filter(pl.struct(keys).is_duplicated())
    if len(twice):
        again = twice.filter(pl.struct(keys) == twice.select(keys).row(0, named=True)).row(1, named=True)
        raise BadInput(
            f"{again[_FILE]}:{again[FILE_LINE]}: these ten minutes of this slice were told before: {_EXPORT}, "
            "where each stands once."
        )
    return rows.drop(_FILE, FILE_LINE)


def _read(path: Path, cut: Cut) -> pl.DataFrame:
    rows = text_rows(path, f"{_TIME},{','.join(cut.dimensions)},…")
    _refuse_columns(path, rows.columns, cut)
    told_rows = numbered(rows)
    of_cut = told_rows.filter(pl.col("cut") == cut.name) if "cut" in rows.columns else told_rows
    if of_cut.is_empty():
        raise BadInput(f"{path}: there is no row of the cut {cut.name}: {_EXPORT}.")
    told = [name for name in COSTS.measure_names if name in rows.columns]
    refuse_unlike(path, of_cut, _TIME, _INSTANT, "is no beginning of ten minutes, such as 2026-10-01T00:10:00Z")
    for name in told:
        refuse_unlike(path, of_cut, name, _COUNT, "is no count: write a whole number that is not negative")
    return _typed(path, of_cut, cut, told)


def _typed(path: Path, rows: pl.DataFrame, cut: Cut, told: Sequence[str]) -> pl.DataFrame:
    instant = pl.col(_TIME).str.slice(0, 19).str.replace("T", " ").str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False)
    typed = rows.select(
        instant.dt.epoch("ms").alias(BUCKET),
        *(pl.col(name).fill_null("") for name in cut.dimensions),
        *((pl.col(name) if name in told else pl.lit("0").alias(name)).cast(pl.Int64) for name in COSTS.measure_names),
        pl.lit(str(path)).alias(_FILE),
        pl.col(FILE_LINE),
    )
    refuse(path, rows.filter(typed[BUCKET].is_null()), _TIME, "is no day or time that there is")
    for measure in COSTS.measures:
        if measure.part_of:
            above = rows.filter(typed[measure.name] > typed[measure.part_of])
            refuse(path, above, measure.name, f"is more than {measure.part_of}, of which it is a part")
    return typed


def _refuse_columns(path: Path, found: Sequence[str], cut: Cut) -> None:
    known = TABLES["costs_10m"].column_names
    for name in found:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            meant = f"did you mean {close[0]}?" if close else f"{_EXPORT}."
            raise BadInput(f"{path}:1: column {name[:100]!r} is unknown: {meant}")
    wanted = [_TIME, *cut.dimensions, *(name for name in COSTS.measure_names if name not in _UNTOLD)]
    missing = [name for name in wanted if name not in found]
    if missing:
        raise BadInput(f"{path}:1: column {missing[0]} is missing: {_EXPORT}.")
