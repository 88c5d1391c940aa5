"""`turnwatch export`: a view as a file of Parquet or CSV, for whatever an analyst works with.

ClickHouse itself writes the format, so no value passes through another type, and the file is written piece by piece: memory
stays the same however long the answer is. The server holds an answer back until it is whole (`wait_end_of_query`), and under its
final name a file is whole or not there. Rows are counted in what was written, not by a second query.
"""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq
from clickhouse_connect.driver.exceptions import ClickHouseError
from rich.console import Console
from rich.progress import DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TransferSpeedColumn
from urllib3.exceptions import HTTPError

from schemas.counted import counted
from schemas.failures import BadInput, Foreseen
from schemas.view_declarations import View
from schemas.views import VIEWS
from schemas.warehouse import ClickHouseAddress
from stream_jobs.sinks.clickhouse import connect, explained
from turnwatch.answers.narrowing import narrowed
from turnwatch.backtest.sources import written_instant
from turnwatch.places import clickhouse
from turnwatch.settings import load

Format = Literal["parquet", "csv"]

CHUNK_BYTES = 1 << 20
EXPORT_TIMEOUT_S = 1_800.0
_SETTINGS = {
    "readonly": 2,
    "wait_end_of_query": 1,
    "max_execution_time": int(EXPORT_TIMEOUT_S),
    "date_time_output_format": "iso",
    "output_format_parquet_string_as_string": 1,
}
_WIRE_FORMAT: Mapping[Format, str] = {"parquet": "Parquet", "csv": "CSV"}


@dataclass(frozen=True, slots=True)
class Asked:
    """Rows of a view, between two instants in ms where they are given, with one of the values of each column in `chosen`."""

    view: View
    from_ms: int | None = None
    to_ms: int | None = None
    chosen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def statement(self) -> tuple[str, dict[str, Any]]:
        """SELECT and its parameters; values never stand in the text."""
        parameters: dict[str, Any] = {}
        conditions = []
        at = f"toDateTime64({self.view.time}, 3, 'UTC')"
        for name, sign, instant_ms in (("from_ms", ">=", self.from_ms), ("to_ms", "<", self.to_ms)):
            if instant_ms is not None:
                conditions.append(f"{at} {sign} fromUnixTimestamp64Milli({{{name}:Int64}}, 'UTC')")
                parameters[name] = instant_ms
        for place, (name, values) in enumerate(self.chosen.items()):
            conditions.append(f"toString({name}) IN {{chosen_{place}:Array(String)}}")
            parameters[f"chosen_{place}"] = list(values)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return f"SELECT {', '.join(self.view.column_names)} FROM {self.view.name}{where}", parameters


@dataclass(frozen=True, slots=True)
class Written:
    rows: int
    size: int
    sha256: str


def run_export(
    name: str, begins: str | None, ends: str | None, where: Sequence[str], output: Format, out: Path | None
) -> int:
    """Writes the file, says how many rows it has and its hash, and returns the exit code."""
    asked = asked_for(name, begins, ends, where)
    target = out or Path(f"{asked.view.name}.{output}")
    written = export(clickhouse(load()), asked, output, target)
    print(f"{target}: {counted(written.rows, 'row')}, {counted(written.size, 'byte')}, sha256 {written.sha256}")
    if not written.rows:
        print(f"turnwatch: {asked.view.name} has no such rows: the file holds its columns only.", file=sys.stderr)
    return 0


def asked_for(name: str, begins: str | None, ends: str | None, where: Sequence[str]) -> Asked:
    """What the options mean; raises `BadInput`."""
    if name not in VIEWS:
        close = get_close_matches(name, VIEWS, n=1)
        meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(VIEWS))}."
        raise BadInput(f"There is no view {name[:100]!r}: {meant}")
    view = VIEWS[name]
    if (begins or ends) and not view.time:
        raise BadInput(f"{name} has no time: leave out --from and --to.")
    from_ms = None if begins is None else written_instant(begins)
    to_ms = None if ends is None else written_instant(ends, is_last=True)
    if from_ms is not None and to_ms is not None and from_ms >= to_ms:
        raise BadInput(f"--to {ends} is not after --from {begins}: an export is of a range that has a length.")
    chosen = narrowed([where], view.column_names, f"rows of {name}")
    return Asked(view, from_ms, to_ms, {column: tuple(sorted(values)) for column, values in chosen.items()})


def export(address: ClickHouseAddress, asked: Asked, output: Format, out: Path) -> Written:
    """Writes what is asked to `out`; raises `WarehouseError`, or `Foreseen` where the file cannot be written."""
    part = out.with_name(f"{out.name}.part")
    try:
        with part.open("wb") as file:
            hashed = _Hashed(file)
            if output == "csv":
                hashed.write((",".join(asked.view.column_names) + "\n").encode())
            lines = _Lines()
            for chunk in _chunks(address, asked, output):
                hashed.write(chunk)
                if output == "csv":
                    lines.count(chunk)
        rows = lines.counted if output == "csv" else pq.ParquetFile(part).metadata.num_rows
        part.replace(out)
    except OSError as error:
        raise Foreseen(f"{out}: the export cannot be written: {error.strerror or error}.") from None
    finally:
        part.unlink(missing_ok=True)
    return Written(rows, hashed.size, hashed.sha256.hexdigest())


def _chunks(address: ClickHouseAddress, asked: Asked, output: Format) -> Iterator[bytes]:
    """The answer, piece by piece."""
    statement, parameters = asked.statement()
    client = connect(address, read_timeout_s=EXPORT_TIMEOUT_S)
    try:
        with _progress(asked.view.name) as advance:
            answer: Any = client.raw_stream(statement, parameters, settings=_SETTINGS, fmt=_WIRE_FORMAT[output])
            while chunk := answer.read(CHUNK_BYTES):
                advance(len(chunk))
                yield chunk
    except (ClickHouseError, HTTPError) as error:
        raise explained(error, address) from error
    finally:
        client.close()


@contextmanager
def _progress(name: str) -> Iterator[Callable[[int], None]]:
    console = Console(file=sys.stderr)
    columns = (SpinnerColumn(), TextColumn(name), DownloadColumn(), TransferSpeedColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda size: bar.advance(task, size)


@dataclass(slots=True)
class _Hashed:
    """A file that knows the size and the hash of what was written to it."""

    file: io.BufferedWriter
    size: int = 0
    sha256: Any = field(default_factory=hashlib.sha256)

    def write(self, chunk: bytes) -> None:
        self.file.write(chunk)
        self.size += len(chunk)
        self.sha256.update(chunk)


@dataclass(slots=True)
class _Lines:
    """Counts rows of CSV in pieces: ends of lines outside of quotes. A doubled quote opens and closes at once."""

    counted: int = 0
    is_quoted: bool = False

    def count(self, chunk: bytes) -> None:
        parts = chunk.split(b'"')
        outside = parts[1 if self.is_quoted else 0 :: 2]
        self.counted += sum(part.count(b"\n") for part in outside)
        self.is_quoted ^= len(parts) % 2 == 0
