"""Batches of observations on their way from a recorder to its collector: one kind each, as columns, over HTTP.

`POST /v1/observations` carries an Arrow IPC stream (lz4) of one kind of observation, and headers that say whose it is.
A batch is known by (recorder, incarnation, kind, sequence): a collector that is given the same one again answers that it
has it, and counts nothing twice. A recorder that reports to several collectors numbers the batches of each of them, so
that each sees 0, 1, 2, … of every kind, and tells each of them its share of what was seen and dropped: shares add up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any

import polars as pl
import pyarrow as pa

from producers.aggregated import ROW_KINDS
from producers.duplex import DUPLEX_COLUMNS
from producers.observations import KINDS as OBSERVED
from producers.refusing import HOST, POOLS, in_type, known_pools, reasons_in
from producers.undeclared import UNDECLARED_FIELDS_MAX, Undeclared, has_many_fields, undeclared
from schemas.arrow_streams import LZ4, measured, read_measured
from schemas.dimensions import SLUG
from schemas.failures import BadInput, Undecodable
from schemas.families import UNKNOWN
from schemas.refusals import Refusal, Refused
from schemas.undeclared_columns import viewed_bytes

PATH = "/v1/observations"
CONTENT_TYPE = "application/vnd.apache.arrow.stream"

KIND, RECORDER, INCARNATION = "tw-kind", "tw-recorder", "tw-incarnation"
SEQUENCE, SEEN, DROPPED = "tw-sequence", "tw-seen", "tw-dropped"
REFUSED, WITHHELD = "tw-refused", "tw-withheld"
RETRY_AFTER = "retry-after"

BATCH_ROWS_MAX = 20_000
BATCH_BYTES_MAX = 4_000_000
"""Of the body as it is sent; a larger one is 413."""
BATCH_DECODED_BYTES_MAX = 32_000_000
NUMBER_MAX = 2**53
"""Every number of a header: beyond, JSON and floats would round it."""

REFUSED_BYTES_MAX = 4_096
"""Of a header of refusals: several times all reasons in all pools."""
_REFUSED = r"[a-z][a-z_]{0,30}:[a-z][a-z_]{0,30}=[0-9]{1,15}"
_WITHHELD = rf"({UNKNOWN}:)?{_REFUSED}"

OBSERVATIONS: dict[str, dict[str, pl.DataType]] = {**OBSERVED, "duplex": DUPLEX_COLUMNS}
"""Columns of every kind of observation: what recorders send."""
KINDS: dict[str, dict[str, pl.DataType]] = {**OBSERVATIONS, **ROW_KINDS}
"""Columns of everything that a batch may hold: rows that come aggregated, too."""


class MalformedBatch(BadInput):
    """No collector can take this batch, now or later. `status` is the HTTP status, the message one sentence for it."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class OfNewerVersion(BadInput):
    """A newer version wrote it, and says more than this one knows."""


@dataclass(frozen=True, slots=True)
class BatchHeader:
    """Whose batch it is. `seen` and `dropped` are totals of the kind since the incarnation began, this batch included:
    `seen` counts what the host handed in for this collector, `dropped` what of it will never come. `refused` is the part of
    `dropped` that the recorder refused itself, by `pool:reason`; who does not tell it leaves it out. `withheld` are totals of what is no
    observation of the kind: fields that were dropped of such as came, by `pool:reason`, and observations of no known kind, by
    `unknown:pool:reason`."""

    kind: str
    recorder: str
    incarnation: int
    sequence: int
    seen: int
    dropped: int
    refused: Mapping[str, int] = field(default_factory=dict, hash=False)
    withheld: Mapping[str, int] = field(default_factory=dict, hash=False)

    @property
    def refused_by_pool(self) -> dict[str, Refused]:
        """Observations of the kind."""
        return _by_pool(self.refused, self.kind)

    @property
    def withheld_by_pool(self) -> dict[str, Refused]:
        """Fields of the kind."""
        return _by_pool(self.withheld, self.kind)

    @property
    def unknown_by_pool(self) -> dict[str, Refused]:
        """Observations of no known kind."""
        return _by_pool(self.withheld, UNKNOWN)


def refusal_name(kind: str, pool: str, reason: Refusal) -> str:
    """What a header calls what was refused of a kind (its own or `UNKNOWN`) and pool for a reason."""
    name = f"{pool}:{reason.value}"
    return f"{UNKNOWN}:{name}" if kind == UNKNOWN else name


_REFUSALS = frozenset(
    refusal_name(kind, pool, reason) for kind in ("", UNKNOWN) for pool in POOLS for reason in Refusal
)


HEADER_FIELDS = tuple(each.name for each in fields(BatchHeader))


def header_as_json(header: BatchHeader) -> dict[str, Any]:
    """What a file holds; `header_of_json` reads it. What there is nothing of is left out: a version that does not know of it reads the rest."""
    facts = {name: getattr(header, name) for name in HEADER_FIELDS}
    return {name: value for name, value in facts.items() if not (isinstance(value, Mapping) and not value)}


def header_of_json(facts: Mapping[str, Any]) -> BatchHeader:
    """Raises `OfNewerVersion` where there is something that this version does not know."""
    if facts.keys() - set(HEADER_FIELDS) or facts["kind"] not in KINDS:
        raise OfNewerVersion("The batch says something that only a newer version knows.")
    return BatchHeader(**facts)


def _by_pool(counts: Mapping[str, int], kind: str) -> dict[str, Refused]:
    by_pool = {
        pool: tuple((reason, count) for reason in Refusal if (count := counts.get(refusal_name(kind, pool, reason), 0)))
        for pool in POOLS
    }
    return {pool: Refused(by_reason) for pool, by_reason in by_pool.items() if by_reason}


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows with exactly the columns of their kind; `unknown_columns` were sent besides, and dropped, and `undeclared` is what they held."""

    header: BatchHeader
    rows: pl.DataFrame
    unknown_columns: int = 0
    undeclared: Undeclared = field(default_factory=Undeclared)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a collector says to a batch. `refused` counts rows by reason, `dropped` values of columns that nobody declared; `error` is
    a sentence where it took none."""

    status: int
    taken: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    is_repeated: bool = False
    error: str = ""
    retry_after_s: int | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_taken(self) -> bool:
        return self.status == 200

    @property
    def is_final(self) -> bool:
        """Whether sending the batch again would change nothing: it was taken, or never will be."""
        return self.is_taken or self.status in (400, 413, 415)

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.retry_after_s is None else {RETRY_AFTER: str(self.retry_after_s)}

    def body(self) -> bytes:
        """JSON: `{"taken": 3, "refused": {"negative": 1}}`, with `"dropped"` in the same way where there were undeclared columns, and
        `"repeated": true` of one it has; else `{"error": …}`."""
        if not self.is_taken:
            return json.dumps({"error": self.error}).encode()
        dropped = {"dropped": dict(self.dropped)} if self.dropped else {}
        repeated = {"repeated": True} if self.is_repeated else {}
        return json.dumps({"taken": self.taken, "refused": dict(self.refused)} | dropped | repeated).encode()


def encode_batch(header: BatchHeader, rows: pl.DataFrame) -> tuple[dict[str, str], bytes]:
    """HTTP headers and body; `rows` has the kind's columns and at most `BATCH_ROWS_MAX` rows.

    Without rows it tells its totals alone: that something was dropped and nothing came.
    """
    assert len(rows) <= BATCH_ROWS_MAX, "a large batch is two"
    table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
    table = table.cast(_narrow(table.schema)).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=LZ4) as writer:
        writer.write_table(table)
    return headers_of(header), sink.getvalue().to_pybytes()


def headers_of(header: BatchHeader) -> dict[str, str]:
    return {
        "content-type": CONTENT_TYPE,
        KIND: header.kind,
        RECORDER: header.recorder,
        INCARNATION: str(header.incarnation),
        SEQUENCE: str(header.sequence),
        SEEN: str(header.seen),
        DROPPED: str(header.dropped),
        **{
            name: ",".join(f"{what}={count}" for what, count in counts.items())
            for name, counts in ((REFUSED, header.refused), (WITHHELD, header.withheld))
            if counts
        },
    }


def decode_header(headers: Mapping[str, str]) -> BatchHeader:
    """Reads the headers, whose names are lower case or compared without case; raises `MalformedBatch`."""
    if headers.get("content-type", "").partition(";")[0].strip().lower() != CONTENT_TYPE:
        raise MalformedBatch(415, f"The body has to be {CONTENT_TYPE}.")
    kind, recorder = headers.get(KIND, ""), headers.get(RECORDER, "")
    if kind not in KINDS:
        raise MalformedBatch(400, f"Header {KIND} names no kind of observation: {', '.join(KINDS)}.")
    if not re.fullmatch(SLUG, recorder):
        raise MalformedBatch(400, f"Header {RECORDER} has to match {SLUG}.")
    if not _names_a_host(recorder):
        raise MalformedBatch(400, f"Header {RECORDER} has to name a host, and not a person's address or number.")
    incarnation, sequence, seen, dropped = (_number(headers, name) for name in (INCARNATION, SEQUENCE, SEEN, DROPPED))
    if dropped > seen:
        raise MalformedBatch(400, f"Header {DROPPED} exceeds {SEEN}: what is dropped was seen.")
    refused = _refused(headers, REFUSED, _REFUSED)
    if sum(refused.values()) > dropped:
        raise MalformedBatch(400, f"Header {REFUSED} exceeds {DROPPED}: what is refused is dropped.")
    withheld = _refused(headers, WITHHELD, _WITHHELD)
    return BatchHeader(kind, recorder, incarnation, sequence, seen, dropped, refused, withheld)


@lru_cache(maxsize=4_096)
def _names_a_host(recorder: str) -> bool:
    return not reasons_in(HOST, [recorder])


def decode_batch(header: BatchHeader, payload: bytes) -> Batch:
    """The batch's rows. A column that an older recorder does not have is null; raises `MalformedBatch`.

    Values are not judged here: what may be counted is for the collector to say, row by row. So a column of which something is of
    another type than the kind declares stays what it is.
    """
    table = _table(payload)
    columns = KINDS[header.kind]
    unknown = [name for name in table.column_names if name not in columns]
    if len(set(table.column_names)) < len(table.column_names):
        raise MalformedBatch(400, "The batch has a column twice.")
    if has_many_fields(table.schema, unknown):
        limit = f"more than {UNDECLARED_FIELDS_MAX} columns, or parts of such, that {header.kind} do not declare"
        raise MalformedBatch(400, f"The batch has {limit}: send the declared ones alone.")
    if viewed_bytes(table.columns) > BATCH_DECODED_BYTES_MAX:
        raise MalformedBatch(
            413, f"Texts of the batch that share their bytes become more than {BATCH_DECODED_BYTES_MAX} bytes."
        )
    # Polars ends in a panic, which is no exception, where a type is none of its own.
    if not all(_is_plain(table.schema.field(name).type) for name in table.column_names if name in columns):
        raise MalformedBatch(400, f"A column of the batch is not of the type that {header.kind} declare.")
    rows = pl.DataFrame(pl.from_arrow(table.drop_columns(unknown)))
    typed = pl.DataFrame([_typed(rows, *column) for column in columns.items()])
    if not unknown:
        return Batch(header, typed)
    return Batch(header, typed, len(unknown), undeclared(table, unknown, known_pools(typed)))


def _typed(rows: pl.DataFrame, name: str, dtype: pl.DataType) -> pl.Series:
    """A column in its declared type; null where there is none, and as it came where the rows that have it are refused for it."""
    if name not in rows.columns or rows[name].null_count() == len(rows):
        return pl.Series(name, [None] * len(rows), dtype)
    typed = in_type(rows[name], dtype)
    return typed if typed.null_count() == rows[name].null_count() else rows[name]


def read_answer(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """What came back over HTTP, whatever it is: an answer that nobody can read is none of a collector (status 502)."""
    after = headers.get(RETRY_AFTER, "")
    retry_after_s = int(after) if re.fullmatch("[0-9]{1,5}", after) else None
    try:
        told = json.loads(body)
        if status == 200:
            refused, dropped = (
                {str(reason): int(count) for reason, count in counts.items()}
                for counts in (told["refused"], told.get("dropped", {}))
            )
            return Answer(200, int(told["taken"]), refused, bool(told.get("repeated", False)), dropped=dropped)
        return Answer(status, error=str(told["error"])[:300], retry_after_s=retry_after_s)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        status = 502 if status in (200, 400, 413, 415) else status
        return Answer(status, error="The answer is none of a collector.", retry_after_s=retry_after_s)


def _number(headers: Mapping[str, str], name: str) -> int:
    text = headers.get(name, "")
    if not re.fullmatch(r"[0-9]{1,16}", text) or int(text) > NUMBER_MAX:
        raise MalformedBatch(400, f"Header {name} has to be a whole number from 0 to 2^53.")
    return int(text)


def _refused(headers: Mapping[str, str], header: str, shape: str) -> dict[str, int]:
    """What a recorder refused; of pools and reasons that this version does not know nothing is kept but their part of `dropped`."""
    text = headers.get(header, "")
    if not text:
        return {}
    parts = text.split(",")
    named = [part.partition("=")[::2] for part in parts]
    is_sound = len(text) <= REFUSED_BYTES_MAX and all(re.fullmatch(shape, part) for part in parts)
    if not is_sound or len({name for name, _ in named}) < len(named):
        raise MalformedBatch(400, f"Header {header} has to be POOL:REASON=COUNT, several with commas, each once.")
    return {name: int(count) for name, count in named if name in _REFUSALS}


def _table(payload: bytes) -> pa.Table:
    if len(payload) > BATCH_BYTES_MAX:
        raise MalformedBatch(413, f"The batch has more than {BATCH_BYTES_MAX} bytes: send fewer rows at once.")
    try:
        size = measured(payload)
    except Undecodable as error:
        raise MalformedBatch(400, str(error)) from None
    if size.rows > BATCH_ROWS_MAX or size.decoded_bytes > BATCH_DECODED_BYTES_MAX:
        limits = f"{BATCH_ROWS_MAX} rows or unpacks to more than {BATCH_DECODED_BYTES_MAX} bytes"
        raise MalformedBatch(413, f"The batch has more than {limits}: send fewer rows at once.")
    try:
        return read_measured(payload, "The body")
    except Undecodable as error:
        raise MalformedBatch(400, str(error)) from None


def _is_plain(dtype: pa.DataType) -> bool:
    """Whether batches may have columns of that type: numbers, truth, text, bytes, lists of numbers, or nothing at all."""
    if pa.types.is_fixed_size_list(dtype) and not dtype.list_size:
        return False  # At lists of no width polars panics.
    if _is_list(dtype):
        return _is_number(dtype.value_type) or (_is_list(dtype.value_type) and _is_plain(dtype.value_type))
    is_text = pa.types.is_string(dtype) or pa.types.is_large_string(dtype) or pa.types.is_string_view(dtype)
    is_bytes = pa.types.is_binary(dtype) or pa.types.is_large_binary(dtype)
    return is_text or is_bytes or _is_number(dtype) or pa.types.is_boolean(dtype) or pa.types.is_null(dtype)


def _is_list(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_list(dtype) or pa.types.is_large_list(dtype) or pa.types.is_fixed_size_list(dtype))


def _is_number(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_integer(dtype) or pa.types.is_floating(dtype))


def _narrow(schema: pa.Schema) -> pa.Schema:
    """Strings with 32-bit offsets: half the bytes, and any reader of Arrow knows them."""
    wide = {pa.large_string(): pa.string(), pa.large_list(pa.float64()): pa.list_(pa.float64())}
    return pa.schema([pa.field(each.name, wide.get(each.type, each.type)) for each in schema])
