"""Where a series comes from: a range of time in ClickHouse, tables in files, or a folder of frames."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from schemas.failures import BadInput
from schemas.slos import Slo
from schemas.warehouse import ClickHouseAddress
from turnwatch.backtest.bounds import Threshold
from turnwatch.backtest.frames import has_frames, read_frames
from turnwatch.backtest.series import Series
from turnwatch.backtest.tables import read_tables
from turnwatch.backtest.warehouse import read_warehouse

TABLES = (".csv", ".parquet")
_SPAN = re.compile(r"([1-9]\d{0,3})([hdw])")
_UNIT_MS = {"h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class Told:
    """What was read: one series, or two where a threshold lies between bounds; and the stretch that is asked about."""

    series: tuple[Series, ...]
    from_ms: int
    to_ms: int


def read(data: Sequence[str], slo: Slo, threshold: Threshold | None, address: Callable[[], ClickHouseAddress]) -> Told:
    """Reads files, or the range of ClickHouse that `data` names. `address` is asked only where it is needed."""
    if len(data) == 1 and not Path(data[0]).exists() and Path(data[0]).suffix not in TABLES:
        from_ms, to_ms = written_range(data[0], int(time.time() * 1_000))
        return Told(read_warehouse(address(), slo, from_ms, to_ms, threshold), from_ms, to_ms)
    return read_files([Path(name) for name in data], slo, threshold)


def read_files(paths: Sequence[Path], slo: Slo, threshold: Threshold | None = None) -> Told:
    """Reads files as a whole: what they span is what is asked about."""
    series = _from_files(paths, slo, threshold)
    return Told(series, series[0].span.start_ms, series[0].span.end_ms)


def written_range(text: str, now_ms: int) -> tuple[int, int]:
    """`30d` up to now, or `FROM..TO`; a last day is meant as a whole, and a time of day up to there.

    >>> first, last = written_range("2026-10-01..2026-10-31", now_ms=0)
    >>> (last - first) // 86_400_000
    31
    """
    span = _SPAN.fullmatch(text)
    if span:
        return now_ms - int(span[1]) * _UNIT_MS[span[2]], now_ms
    first, dots, last = text.partition("..")
    if not dots:
        raise BadInput(
            f"There is no file {text!r}, and it is no range of time: "
            "name files, or write 30d, or 2026-10-01..2026-10-31 (in UTC)."
        )
    from_ms, to_ms = written_instant(first), written_instant(last, is_last=True)
    if from_ms >= to_ms:
        raise BadInput(f"The range {text} ends before it begins: write the earlier time first.")
    return from_ms, to_ms


def written_instant(text: str, is_last: bool = False) -> int:
    """A day or a time as written, in ms; in UTC unless it has a zone. A last day is meant as a whole."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"{text!r} is no time: write a day such as 2026-10-01, or 2026-10-01T12:00 (in UTC).") from None
    if is_last and _DAY.fullmatch(text):
        read += timedelta(days=1)
    instant = read if read.tzinfo else read.replace(tzinfo=UTC)
    return int(instant.timestamp()) * 1_000


def _from_files(paths: Sequence[Path], slo: Slo, threshold: Threshold | None) -> tuple[Series, ...]:
    for path in paths:
        if not path.exists():
            raise BadInput(f"{path}: there is no such file.")
    folders = [path for path in paths if path.is_dir()]
    if folders:
        if len(paths) > 1:
            raise BadInput(f"{folders[0]} is a folder: give it alone, or files only.")
        return _from_folder(folders[0], slo, threshold)
    if threshold is not None:
        raise BadInput(
            f"{paths[0]}: its turns were counted at {slo.indicator.threshold_ms} ms: another threshold is told only by "
            "histograms, from a range of time in ClickHouse or a folder of frames."
        )
    for path in paths:
        if path.suffix not in TABLES:
            raise BadInput(f"{path}: only files ending in .csv or .parquet are read, and folders of frames.")
    return (read_tables(paths, slo),)


def _from_folder(folder: Path, slo: Slo, threshold: Threshold | None) -> tuple[Series, ...]:
    if has_frames(folder):
        return read_frames(folder, slo, threshold)
    tables = sorted(path for path in folder.iterdir() if path.suffix in TABLES)
    if not tables:
        raise BadInput(f"{folder}: the folder holds no frames (with NAME.headers.json beside them), .csv or .parquet.")
    return _from_files(tables, slo, threshold)
