"""Rows of the view `costs` from files, CSV or Parquet, as `turnwatch query` exports them; every mistake is told by file and line."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import polars as pl

from schemas.failures import BadInput
from schemas.families import COSTS
from schemas.tables import TABLES
from turnwatch.csv_text import text_rows

DIMENSIONS = tuple(dict.fromkeys(name for partition in COSTS.partitions for name in partition.dimensions))
COLUMNS = ("cut", *DIMENSIONS, "bucket_start", *COSTS.measure_names)
_PASSED_OVER = [name for name in TABLES["costs_10m"].column_names if name not in COLUMNS]
_BUCKET_MS = COSTS.partitions[0].k_window_s * 1_000
_LINE = "line of the file"
_INSTANT = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:00(?:\.0+)?(?:Z|\+00:?00)?$"
_WHOLE = r"^[0-9]{1,18}$"


def read_cost_files(paths: Sequence[Path]) -> pl.DataFrame:
    """The rows of all files, as if they were one: cut, dimensions, bucket_start_ms, and measures as 64-bit integers.

    Raises `BadInput` for columns that are missing or unknown, for what is no count, for parts above their whole, and for a
    cell that is told twice.
    """
    rows = pl.concat([_read(path) for path in paths])
    cell = ["cut", *DIMENSIONS, "bucket_start_ms"]
    twice = rows.filter(pl.struct(cell).is_duplicated())
    if twice.height:
        first = twice.row(0, named=True)
        told = ", ".join(f"{name} {first[name]}" for name in DIMENSIONS if first[name])
        raise BadInput(
            f"{', '.join(map(str, paths))}: {told} is told twice of one bucket: export the view `costs`, which adds up versions."
        )
    if rows.is_empty():
        raise BadInput(f"{', '.join(map(str, paths))}: there are no rows: export some of the view `costs`.")
    return rows


def _read(path: Path) -> pl.DataFrame:
    written = _text(path)
    _refuse_other_columns(path, written.columns)
    rows = written.select(*COLUMNS).with_row_index(_LINE, offset=2)
    texts = rows.with_columns(pl.col("cut", *DIMENSIONS).fill_null(""))
    _refuse(path, texts, ~pl.col("bucket_start").str.contains(_INSTANT), "bucket_start", "is no time such as 2026-10-01T12:10:00Z")
    for name in COSTS.measure_names:
        _refuse(path, texts, ~pl.col(name).str.contains(_WHOLE), name, "is no count: write a whole number of 0 or more")
    told = texts.with_columns(pl.col(COSTS.measure_names).cast(pl.Int64), bucket_start_ms=_instant_ms())
    _refuse(path, told, pl.col("bucket_start_ms") % _BUCKET_MS != 0, "bucket_start", "begins no bucket of 10 min")
    for measure in COSTS.measures:
        if measure.part_of:
            above = pl.col(measure.name) > pl.col(measure.part_of)
            _refuse(path, told, above, measure.name, f"is above {measure.part_of}")
    return told.select("cut", *DIMENSIONS, "bucket_start_ms", *COSTS.measure_names)


def _text(path: Path) -> pl.DataFrame:
    if not path.exists():
        raise BadInput(f"{path}: there is no such file.")
    if path.suffix == ".csv":
        return text_rows(path, ",".join(COLUMNS))
    if path.suffix != ".parquet":
        raise BadInput(f"{path}: only files ending in .csv or .parquet are read.")
    try:
        rows = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError):
        raise BadInput(f"{path}: this is no Parquet file.") from None
    times = [name for name, dtype in rows.schema.items() if isinstance(dtype, pl.Datetime)]
    return rows.with_columns(pl.col(times).dt.strftime("%Y-%m-%dT%H:%M:%SZ")).cast(pl.String, strict=False)


def _refuse_other_columns(path: Path, found: Sequence[str]) -> None:
    for name in found:
        if name not in COLUMNS and name not in _PASSED_OVER:
            close = get_close_matches(name, COLUMNS, n=1)
            meant = f"did you mean `{close[0]}`?" if close else "give those of the view `costs`."
            raise BadInput(f"{path}:1: there is no column {name[:100]!r} to be given: {meant}")
    missing = next((name for name in COLUMNS if name not in found), None)
    if missing:
        raise BadInput(f"{path}:1: column {missing} is missing: give all of the view `costs`.")


def _refuse(path: Path, rows: pl.DataFrame, is_wrong: pl.Expr, name: str, why: str) -> None:
    """Raises `BadInput` for the first row that is wrong, or has nothing there."""
    wrong = rows.filter(is_wrong.fill_null(True)).head(1)
    if wrong.height:
        value = wrong[name].item()
        field = name if value is None else f"{name} {str(value)[:100]!r}"
        raise BadInput(f"{path}:{wrong[_LINE].item()}: {field} {why if value is not None else 'is missing: write it'}.")


def _instant_ms() -> pl.Expr:
    minute = pl.col("bucket_start").str.slice(0, 16).str.replace(" ", "T")
    return minute.str.to_datetime("%Y-%m-%dT%H:%M", time_unit="ms", strict=False).dt.epoch("ms")
