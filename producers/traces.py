"""Readers of recorded traces: one request a row, in order of arrival, whatever the recording looks like.

The format is told by the contents, not by the name. A trace without latencies leaves them null, for the service model
to supply. A malformed file ends in one sentence that names the file and the line. Counts of tokens are passed on as
recorded, although those of `vllm_load_test` answers cannot be tokens (`service_fit.py` says why).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import polars as pl

from schemas.failures import BadInput

REQUEST_COLUMNS: dict[str, pl.DataType] = {
    "arrived_ms": pl.Float64(),
    "tokens_in": pl.Int64(),
    "tokens_out": pl.Int64(),
    "tokens_cached": pl.Int64(),
    "first_token_ms": pl.Float64(),
    "total_ms": pl.Float64(),
}
"""`arrived_ms` counts from the first arrival; latencies run from arrival, null where they were not recorded."""

FORMATS = ("azure_llm_2023", "mooncake", "vllm_load_test")
TOKENS_MAX = 10_000_000
"""More tokens than any model's context: a larger number is a broken file."""
CACHE_BLOCK_TOKENS = 512
RUN_GAP_MS = 60_000.0
"""Silence between two runs of a load test that are replayed one after the other."""


class MalformedTrace(BadInput):
    """The trace cannot be read. The message is a sentence for the user."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A recording: the format it is in, the route its requests stand for, and the requests."""

    format: str
    route: str
    requests: pl.DataFrame

    @property
    def has_latencies(self) -> bool:
        return self.requests["total_ms"].null_count() == 0


def read_trace(path: Path) -> Trace:
    """Reads a file or, for `vllm_load_test`, a directory of detail logs."""
    if path.is_dir():
        return _read_runs(path)
    text = _text(path)
    first = text.lstrip()[:200]
    if first.startswith("TIMESTAMP,"):
        return Trace("azure_llm_2023", _route(path), _read_azure(path, text))
    if re.match(r'\{\s*"\d+"\s*:', first):
        return Trace("vllm_load_test", "chat", _numbered(_read_detail_log(path, text)))
    if not first.startswith("{"):
        _refuse(path, 1, f"is not the beginning of any known trace ({', '.join(FORMATS)})")
    return Trace("mooncake", "conversation", _read_mooncake(path, text))


def scale_of(path: Path) -> int:
    """The load scale that the name of a detail log gives; 0 without one."""
    found = re.search(r"scale(\d+)", path.name)
    return int(found[1]) if found else 0


def detail_logs(directory: Path) -> list[Path]:
    """The detail logs of a load test, by scale."""
    below = directory / "detail_log"
    return sorted((below if below.is_dir() else directory).glob("detail_log*.json"), key=scale_of)


def read_detail_log(path: Path) -> pl.DataFrame:
    """One run of a load test, with the `event` that tells its prompts apart across runs."""
    return _read_detail_log(path, _text(path))


def _read_runs(directory: Path) -> Trace:
    logs = detail_logs(directory)
    if not logs:
        raise MalformedTrace(
            f"{directory}: the directory has no detail_log*.json; give a trace file or a vllm_load_test."
        )
    runs, begins_ms = [], 0.0
    for log in logs:
        run = read_detail_log(log)
        runs.append(run.with_columns(pl.col("arrived_ms") + begins_ms))
        begins_ms += float(np.max((run["arrived_ms"] + run["total_ms"]).to_numpy())) + RUN_GAP_MS
    return Trace("vllm_load_test", "chat", _numbered(pl.concat(runs)))


_AZURE_LINE = r"^(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,9})?),(?P<tokens_in>\d{1,9}),(?P<tokens_out>\d{1,9})$"


def _read_azure(path: Path, text: str) -> pl.DataFrame:
    header, *lines = text.splitlines()
    if header.strip() != "TIMESTAMP,ContextTokens,GeneratedTokens":
        _refuse(path, 1, "is not the header TIMESTAMP,ContextTokens,GeneratedTokens")
    while lines and not lines[-1].strip():
        lines.pop()
    fields = pl.Series("line", lines, dtype=pl.String).str.strip_chars().str.extract_groups(_AZURE_LINE).struct.unnest()
    counts = [pl.col(name).cast(pl.Int64, strict=False) for name in ("tokens_in", "tokens_out")]
    rows = fields.with_columns(
        pl.col("at").str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="ns", strict=False), *counts
    )
    broken = rows.with_row_index("line").filter(pl.any_horizontal(pl.all().is_null()))
    if len(broken):
        _refuse(path, int(broken["line"][0]) + 2, "is not a time and two counts of tokens, separated by commas")
    at_ms = (pl.col("at") - pl.col("at").min()).dt.total_nanoseconds() / 1e6
    return _numbered(rows.select(at_ms.alias("arrived_ms"), "tokens_in", "tokens_out"))


def _read_mooncake(path: Path, text: str) -> pl.DataFrame:
    records = [_json_object(path, number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    rows = pl.DataFrame(
        {
            "arrived_ms": [_number(path, at, record, "timestamp") for at, record in records],
            "tokens_in": [_count(path, at, record, "input_length") for at, record in records],
            "tokens_out": [_count(path, at, record, "output_length") for at, record in records],
            "blocks": [_blocks(path, at, record) for at, record in records],
        },
        schema_overrides={"blocks": pl.List(pl.Int64)},
    )
    first_ms = pl.col("arrived_ms").min()
    ordered = rows.sort("arrived_ms", maintain_order=True).with_columns(pl.col("arrived_ms") - first_ms)
    return _numbered(ordered.with_columns(tokens_cached=_cached_tokens(ordered)))


def _cached_tokens(requests: pl.DataFrame) -> pl.Series:
    """Prompt tokens in blocks that an earlier request had: what an unbounded prefix cache would have spared."""
    blocks = requests.select("tokens_in", "blocks").with_row_index("request").explode("blocks").drop_nulls("blocks")
    marked = blocks.with_columns(is_hit=pl.col("request").min().over("blocks") < pl.col("request"))
    hits = marked.group_by("request").agg(hits=pl.col("is_hit").sum().cast(pl.Int64) * CACHE_BLOCK_TOKENS)
    joined = requests.with_row_index("request").join(hits, on="request", how="left", maintain_order="left")
    return joined.select(pl.min_horizontal("tokens_in", pl.col("hits").fill_null(0))).to_series()


def _read_detail_log(path: Path, text: str) -> pl.DataFrame:
    """Requests of one run. `record_time` is when an answer was complete, on a clock that starts anywhere."""
    try:
        records = json.loads(text)
    except json.JSONDecodeError as error:
        _refuse(path, error.lineno, f"is not JSON ({error.msg})")
    if not isinstance(records, dict) or not records or not all(isinstance(one, dict) for one in records.values()):
        _refuse(path, 1, "does not begin a detail log, an object of numbered requests")
    entries = list(records.items())

    def numbers(name: str) -> list[float]:
        return [_entry(path, key, one, name) for key, one in entries]

    run = pl.DataFrame(
        {
            "event": [int(value) for value in numbers("event_id")],
            "ended_s": numbers("record_time"),
            "first_token_ms": [1_000 * value for value in numbers("first_chunk_time")],
            "total_ms": [1_000 * value for value in numbers("total_chunk_time")],
            "tokens_in": [int(value) for value in numbers("in_len")],
            "tokens_out": [int(value) for value in numbers("out_len")],
        }
    )
    arrived_ms = pl.col("ended_s") * 1_000 - pl.col("total_ms")
    timed = run.with_columns(
        arrived_ms=arrived_ms - arrived_ms.min(), first_token_ms=pl.min_horizontal("first_token_ms", "total_ms")
    )
    return timed.drop("ended_s").sort("arrived_ms", "event")


def _numbered(rows: pl.DataFrame) -> pl.DataFrame:
    """The common columns, in order of arrival; what a recording does not have is null, or no cached tokens."""
    absent = [
        pl.lit(0 if name == "tokens_cached" else None).alias(name)
        for name in REQUEST_COLUMNS
        if name not in rows.columns
    ]
    typed = [pl.col(name).cast(dtype) for name, dtype in REQUEST_COLUMNS.items()]
    return rows.with_columns(absent).select(typed).sort("arrived_ms", maintain_order=True)


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise MalformedTrace(f"{path}: there is no such file; give the path of a recorded trace.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise MalformedTrace(f"{path}: the trace could not be read as text ({type(error).__name__}).") from error
    if not text.strip():
        raise MalformedTrace(f"{path}: the trace is empty.")
    return text


def _route(path: Path) -> str:
    """`conv` and `code` are the two services of the Azure traces, by file name."""
    return next((route for route in ("code", "conv") if route in path.stem.lower()), "llm")


def _json_object(path: Path, line: int, text: str) -> tuple[int, dict[str, Any]]:
    try:
        record = json.loads(text)
    except json.JSONDecodeError:
        record = None
    if not isinstance(record, dict):
        _refuse(path, line, "is not a JSON object")
    return line, record


def _number(path: Path, line: int, record: dict[str, Any], name: str) -> float:
    value = record.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e15:
        _refuse(path, line, f"has no {name} that is a number of at least 0")
    return float(value)


def _count(path: Path, line: int, record: dict[str, Any], name: str) -> int:
    value = record.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= TOKENS_MAX:
        _refuse(path, line, f"has no {name} that is a whole number from 0 to {TOKENS_MAX:,}")
    return value


def _blocks(path: Path, line: int, record: dict[str, Any]) -> list[int]:
    value = record.get("hash_ids", [])
    if not isinstance(value, list) or not all(isinstance(one, int) and abs(one) < 2**62 for one in value):
        _refuse(path, line, "has hash_ids that are not a list of whole numbers")
    return value


def _entry(path: Path, key: str, record: dict[str, Any], name: str) -> float:
    value = record.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e15:
        raise MalformedTrace(f"{path}: request {key!r} has no {name} that is a number of at least 0.")
    return float(value)


def _refuse(path: Path, line: int, what: str) -> NoReturn:
    raise MalformedTrace(f"{path}, line {line}: {what}.")
