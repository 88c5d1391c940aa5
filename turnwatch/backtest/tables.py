"""Rows from files: CSV and Parquet, of the same columns.

`minute` (or `bucket_start`) says when a bucket begins, `good` or `bad` and `total` count its turns; `slice` and
`indicator` are optional, and so are the other columns of the view `burn_rate`, so that what `turnwatch query` exports
is read back. An instant is ISO 8601 in UTC, a `minute` also a whole number. Every mistake is told with file and line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from schemas.failures import BadInput
from schemas.instants import MINUTE_MS
from schemas.slos import Slo
from schemas.tables import TABLES
from turnwatch.backtest.series import TEN_SECONDS_MS, Batch, Gathering, Series, Span, fleet_of
from turnwatch.csv_text import text_rows

BATCH_ROWS = 1_000_000
Read = TypeVar("Read")
_TIMES, _COUNTS = ("minute", "bucket_start"), ("good", "bad")
_NAMED = (*_TIMES, *_COUNTS, "total", "slice", "indicator")
_PASSED_OVER = tuple(name for name in TABLES["burn_rate_1m"].column_names if name not in _NAMED)
_INSTANT = (
    r"^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})(:\d{2})?(?:\.0+)?(?:Z|\+00:?00)?$"  # Fractions of a second begin no bucket.
)


@dataclass(frozen=True, slots=True)
class Columns:
    """What a file calls its time and its count, and what else it has."""

    time: str
    count: str
    has_slice: bool
    has_indicator: bool

    @property
    def names(self) -> list[str]:
        optional = (("slice", self.has_slice), ("indicator", self.has_indicator))
        return [self.time, self.count, "total", *(name for name, is_there in optional if is_there)]


def read_tables(paths: Sequence[Path], slo: Slo) -> Series:
    """The rows of all files, as if they were one."""
    readers = [_parquet(path) if path.suffix == ".parquet" else _csv(path, slo) for path in paths]
    spans = [reader.span for reader in readers]
    widths = {span.width_ms for span in spans}
    if len(widths) > 1:
        wide, fine = (next(path for path, span in zip(paths, spans, strict=True) if span.width_ms == width)
                      for width in (MINUTE_MS, TEN_SECONDS_MS))  # fmt: skip
        raise BadInput(f"{wide} has buckets of 1 min and {fine} of 10 s: give files of one width.")
    span = Span(min(each.start_ms for each in spans), max(each.end_ms for each in spans), widths.pop())
    gathering = Gathering(span, slo, " and ".join(map(str, paths)))
    for reader in readers:
        for batch in reader.batches(slo):
            gathering.add(batch)
    return gathering.series()


@dataclass(frozen=True, slots=True)
class _Reader:
    """A file whose span is known, and how to go through its rows."""

    span: Span
    batches: Callable[[Slo], Iterator[Batch]]


def _columns(path: Path, names: Sequence[str]) -> Columns:
    """Refuses what nobody knows, or what is there twice or not at all."""
    for name in names:
        if name not in _NAMED and name not in _PASSED_OVER:
            close = get_close_matches(name, _NAMED, n=1)
            meant = f"did you mean `{close[0]}`?" if close else "known are minute, good, total, slice and indicator."
            raise BadInput(f"{path}:1: there is no column {name!r}: {meant}")
        if list(names).count(name) > 1:
            raise BadInput(f"{path}:1: column {name!r} stands there twice: keep one of them.")
    for wanted in (_TIMES, _COUNTS, ("total",)):
        found = [name for name in wanted if name in names]
        if len(found) != 1:
            count = "both" if found else "no"
            raise BadInput(f"{path}:1: there is {count} column {' and '.join(wanted)}: give {' or '.join(wanted)}.")
    time, count_name = (next(name for name in wanted if name in names) for wanted in (_TIMES, _COUNTS))
    return Columns(time, count_name, "slice" in names, "indicator" in names)


def _span(path: Path, columns: Columns, instants_ms: NDArray[np.int64], where: Callable[[int], str]) -> Span:
    """A column `minute` has minutes; buckets are 10 s wide where some do not begin on one."""
    is_within = _is_off(instants_ms, MINUTE_MS)
    if columns.time == "minute" and is_within.any():
        row = int(np.argmax(is_within))
        raise BadInput(f"{where(row)}: this is no whole minute: name the column bucket_start if buckets are 10 s wide.")
    is_odd = _is_off(instants_ms, TEN_SECONDS_MS) if is_within.any() else is_within
    if is_odd.any():
        raise BadInput(f"{where(int(np.argmax(is_odd)))}: buckets begin at multiples of 10 s or of 1 min.")
    if int(instants_ms.min()) < 0:
        raise BadInput(f"{where(int(np.argmin(instants_ms)))}: this is before 1970.")
    width_ms = TEN_SECONDS_MS if is_within.any() else MINUTE_MS
    return Span(int(instants_ms.min()), int(instants_ms.max()) + width_ms, width_ms)


def _is_off(instants_ms: NDArray[np.int64], width_ms: int) -> NDArray[np.bool_]:
    """Which are no multiples. By division: numpy has no fast remainder."""
    return np.asarray(instants_ms // width_ms * width_ms != instants_ms, dtype=np.bool_)


# -- CSV -----------------------------------------------------------------------------------------------------------------


def _csv(path: Path, slo: Slo) -> _Reader:
    rows = text_rows(path, "minute,good,total")
    columns = _columns(path, rows.columns)
    rows = rows.select(columns.names).with_row_index("line", offset=2)
    if columns.has_indicator:
        rows = rows.filter(pl.col("indicator") == slo.indicator.name)
    if rows.is_empty():
        raise BadInput(f"{path}: the file has no rows of {slo.indicator.name}: nothing can be said about it.")
    lines = rows["line"].to_numpy()

    def where(row: int) -> str:
        return f"{path}:{int(lines[row])}"

    instants_ms = _instants(rows[columns.time], columns, where)
    counted = _numbers(rows[columns.count], columns.count, where)
    total = _numbers(rows["total"], "total", where)
    names, slices = _coded(rows["slice"] if columns.has_slice else None, len(rows), fleet_of(slo), where)
    bad = _bad(columns, counted, total, where)
    batch = Batch(names, slices, instants_ms, bad, total, where)
    return _Reader(_span(path, columns, instants_ms, where), lambda _: iter((batch,)))


def _instants(written: pl.Series, columns: Columns, where: Callable[[int], str]) -> NDArray[np.int64]:
    """ISO 8601 in UTC, or the number of a minute."""
    if columns.time == "minute" and written.str.contains(r"^\d{1,9}$").all():
        minutes = written.cast(pl.Int64).to_numpy()
        return minutes * MINUTE_MS
    return read_instants(written, columns.time, where)


def read_instants(written: pl.Series, name: str, where: Callable[[int], str]) -> NDArray[np.int64]:
    """ISO 8601 in UTC as ms since 1970."""
    parts = written.str.strip_chars().str.extract_groups(_INSTANT).struct.unnest()
    text = parts["1"] + " " + parts["2"] + parts["3"].fill_null(":00")
    read = text.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="ms", strict=False)
    if read.null_count():
        row = int(read.is_null().arg_max() or 0)
        raise BadInput(f"{where(row)}: {name} {_shown(written[row])} is no UTC time such as 2026-10-01T12:00:00Z.")
    return read.dt.epoch("ms").to_numpy()


def _shown(written: str | None) -> str:
    return "is missing, which" if written is None else repr(written[:100])


def _numbers(written: pl.Series, name: str, where: Callable[[int], str]) -> NDArray[np.int64]:
    read = written.str.strip_chars().cast(pl.Int64, strict=False)
    if read.null_count():
        row = int(read.is_null().arg_max() or 0)
        raise BadInput(f"{where(row)}: {name} {_shown(written[row])} is no count: write a whole number.")
    return read.to_numpy()


def _coded(
    written: pl.Series | None, rows: int, fleet: str, where: Callable[[int], str]
) -> tuple[Sequence[str], NDArray[np.int64]]:
    if written is None:
        return [fleet], np.zeros(rows, dtype=np.int64)
    names = written.unique(maintain_order=True)
    return names.to_list(), written.replace_strict(names, range(len(names)), return_dtype=pl.Int64).to_numpy()


def _bad(
    columns: Columns, counted: NDArray[np.int64], total: NDArray[np.int64], where: Callable[[int], str]
) -> NDArray[np.int64]:
    """Bad turns, whichever of both was written; a mistake is told in the words of the file."""
    for is_wrong, what in (
        (counted < 0, f"{columns.count} is negative"),
        (total < 0, "total is negative"),
        (counted > total, f"{columns.count} is above total"),
    ):
        if is_wrong.any():
            row = int(np.argmax(is_wrong))
            raise BadInput(f"{where(row)}: {what} ({columns.count} {int(counted[row])}, total {int(total[row])}).")
    return total - counted if columns.count == "good" else counted


# -- Parquet -------------------------------------------------------------------------------------------------------------


def _parquet(path: Path) -> _Reader:
    """Only the times are read at first: they say how large it gets."""
    file = _opened(path)
    columns = _columns(path, file.schema_arrow.names)
    if file.metadata.num_rows == 0:
        raise BadInput(f"{path}: the file has no rows: nothing can be said about them.")

    def where(row: int) -> str:
        return f"{path}: row {row + 1}"

    extremes = _extremes(file, columns.time)
    times = _unreadable(path, lambda: file.read([columns.time]).column(0)) if extremes is None else extremes
    span = _span(path, columns, _arrow_instants(times, columns.time, where), where)
    return _Reader(span, lambda slo: _parquet_batches(path, columns, slo))


def _extremes(file: pq.ParquetFile, time: str) -> pa.Array | None:
    """The first and last minute as the file's own statistics say; buckets of which the width is unknown are all read."""
    place = file.schema_arrow.names.index(time)
    groups = [file.metadata.row_group(group).column(place) for group in range(file.metadata.num_row_groups)]
    told = [group.statistics for group in groups]
    if time != "minute" or not all(each is not None and each.has_min_max and each.null_count == 0 for each in told):
        return None
    return pa.array([bound for each in told for bound in (each.min, each.max)], file.schema_arrow.field(time).type)


def _parquet_batches(path: Path, columns: Columns, slo: Slo) -> Iterator[Batch]:
    file = _opened(path, coded=["slice"] if columns.has_slice else [])
    batches = file.iter_batches(BATCH_ROWS, columns=columns.names)
    before = 0
    while True:
        read = _unreadable(path, lambda: next(batches, None))
        if read is None:
            return
        yield from _arrow_batch(read, columns, slo, path, before)
        before += read.num_rows


def _arrow_batch(read: pa.RecordBatch, columns: Columns, slo: Slo, path: Path, before: int) -> Iterator[Batch]:
    rows = np.arange(before, before + read.num_rows)
    if columns.has_indicator:
        is_ours = pc.equal(read.column("indicator").cast(pa.string()), slo.indicator.name).fill_null(False)
        read, rows = read.filter(is_ours), rows[is_ours.to_numpy(zero_copy_only=False)]
    if read.num_rows == 0:
        return

    def where(row: int) -> str:
        return f"{path}: row {int(rows[row]) + 1}"

    counted = _arrow_numbers(read.column(columns.count), columns.count, where)
    total = _arrow_numbers(read.column("total"), "total", where)
    names, slices = _arrow_slices(read.column("slice"), where) if columns.has_slice else ([fleet_of(slo)], None)
    yield Batch(
        names,
        np.zeros(read.num_rows, dtype=np.int64) if slices is None else slices,
        _arrow_instants(read.column(columns.time), columns.time, where),
        _bad(columns, counted, total, where),
        total,
        where,
    )


def _opened(path: Path, coded: Sequence[str] = ()) -> pq.ParquetFile:
    """`coded`: columns whose values are few, and are read as places in a list of them."""
    return _unreadable(path, lambda: pq.ParquetFile(path, read_dictionary=coded))


def _unreadable(path: Path, read: Callable[[], Read]) -> Read:
    try:
        return read()
    except (pa.ArrowException, OSError) as error:
        first = str(error).partition("\n")[0][:200]
        raise BadInput(f"{path}: this cannot be read as Parquet: {first}.") from None


def _arrow_instants(column: pa.Array | pa.ChunkedArray, name: str, where: Callable[[int], str]) -> NDArray[np.int64]:
    _refuse_missing(column, name, where)
    if pa.types.is_timestamp(column.type):
        values: NDArray[np.int64] = column.cast(pa.int64()).to_numpy()
        return _in_ms(values, column.type.unit)
    if pa.types.is_integer(column.type) and name == "minute":
        minutes: NDArray[np.int64] = column.cast(pa.int64()).to_numpy()
        return minutes * MINUTE_MS
    raise BadInput(f"{where(0)}: column {name} is {column.type}: write a timestamp in UTC.")


def _in_ms(values: NDArray[np.int64], unit: str) -> NDArray[np.int64]:
    match unit:
        case "s":
            return values * 1_000
        case "ms":
            return values
        case _:
            return values // {"us": 1_000, "ns": 1_000_000}[unit]


def _arrow_numbers(column: pa.Array, name: str, where: Callable[[int], str]) -> NDArray[np.int64]:
    _refuse_missing(column, name, where)
    if pa.types.is_integer(column.type):
        return np.asarray(column.to_numpy(zero_copy_only=False)).astype(np.int64, copy=False)
    if not pa.types.is_floating(column.type):
        raise BadInput(f"{where(0)}: column {name} is {column.type}: write whole numbers.")
    values = column.to_numpy(zero_copy_only=False)
    is_wrong = ~np.isfinite(values) | (values != np.trunc(values)) | (np.abs(values) >= 2.0**53)
    if is_wrong.any():
        row = int(np.argmax(is_wrong))
        raise BadInput(f"{where(row)}: {name} {values[row]} is no count: write a whole number.")
    return np.asarray(values).astype(np.int64)


def _arrow_slices(column: pa.Array, where: Callable[[int], str]) -> tuple[list[str], NDArray[np.int64]]:
    _refuse_missing(column, "slice", where)
    coded = column if pa.types.is_dictionary(column.type) else pc.dictionary_encode(column)
    return coded.dictionary.to_pylist(), coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)


def _refuse_missing(column: pa.Array | pa.ChunkedArray, name: str, where: Callable[[int], str]) -> None:
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))  # type: ignore[call-arg,unused-ignore]  # A chunked column takes no argument.
        raise BadInput(f"{where(row)}: {name} is missing: write it, or leave the row out.")
