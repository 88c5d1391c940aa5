"""Observations as NDJSON: one JSON object a line, of one kind a file or of the kind that its field `kind` names.

Lines are read in columns, thousands at once. Where that fails, or would take as many columns as lines, each is looked at by itself, so
that a bad one is refused alone, counted under its reason, and told by its number and the declared columns that were wrong, never by
what stands in it. Fields that the contract does not declare are dropped and counted (`producers/refusing.py`); the line goes on
without them.

`session` is a whole number, an opaque key already, or a text, which is hashed under a key that the process makes for itself
and forgets: it only tells sessions apart.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import polars as pl
import pyarrow as pa
from pyarrow import json as arrow_json

from producers.aggregated import ROW_KINDS
from producers.collector import WINDOW_MS
from producers.counting import sifted
from producers.kinds import KINDS
from producers.line_objects import (
    KIND,
    Parted,
    dropped_in,
    has_unknown_gauge,
    is_object,
    kind_of,
    parted,
    whereabouts_of,
)
from producers.line_progress import Progress
from producers.line_shapes import LINES_AT_ONCE, is_braced, is_flat, is_narrow
from producers.line_tidings import TOLD_MAX, RefusedWhere, Tidings
from producers.refusing import (
    WHY,
    AdmittedRows,
    admit_rows,
    columns_refused,
    is_blank,
    is_withheld,
    known_pool,
    known_pools,
)
from producers.sifting import columns_broken
from schemas.families import QUEUES, UNKNOWN
from schemas.refusals import Refusal

COLUMNS: dict[str, Mapping[str, pl.DataType]] = {
    name: kind.columns for name, kind in KINDS.items() if name not in ROW_KINDS
}
"""Of every kind of observation that a line may be; rows that are aggregated already are none."""
LINE_BYTES_MAX = 65_536
"""Longest line: a stretch of audio with a hundred gaps takes 2 KB."""
LINE = "\x00line"
"""Column of the line's number, from 1; no field of an observation is called that."""

_Numbered = list[tuple[int, bytes]]
_Wrong = Callable[[pl.DataFrame, Refusal], Sequence[str]]
"""Which columns of one row are why it is refused for this reason."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a reader asks of sound observations besides: those of a kind of which it does not hold are refused."""

    holds: Callable[[str], pl.Expr]
    reason: Refusal
    meaning: str


class ObservationLines:
    """Reads lines into tables by kind; `kind` where all are of one. `session_key` is secret, and of this process.

    `region` is where an observation happened whose line says none.
    """

    def __init__(self, session_key: bytes, kind: str | None = None, region: str | None = None) -> None:
        self._session_key, self.kind, self._region = session_key, kind, region
        self.tidings, self.progress = Tidings(), Progress()
        self.demands: tuple[Demand, ...] = ()

    def read(self, lines: list[bytes]) -> Iterator[tuple[str, pl.DataFrame]]:
        """Observations of the next lines that may be counted, by kind: its declared columns."""
        first = self.tidings.lines + 1
        self.tidings.lines += len(lines)
        numbered = [(first + place, line) for place, line in enumerate(lines) if line.strip()]
        self.tidings.blank += len(lines) - len(numbered)
        for kind, own in self._by_kind([each for each in numbered if self._is_short(each) and self._is_shaped(each)]):
            tables = [self._sound(rows, kind) for rows in self._parsed(own, kind)]
            if tables:
                observations = pl.concat(tables)
                self.tidings.taken[kind] += len(observations)
                yield kind, observations

    def _is_short(self, numbered: tuple[int, bytes]) -> bool:
        if len(numbered[1]) > LINE_BYTES_MAX:
            self._refuse((numbered[0], b""), self.kind or UNKNOWN, Refusal.TOO_LARGE)
        return len(numbered[1]) <= LINE_BYTES_MAX

    def _is_shaped(self, numbered: tuple[int, bytes]) -> bool:
        is_sound = is_braced(numbered[1]) and is_flat(numbered[1])
        if not is_sound:
            self._refuse((numbered[0], b""), self.kind or UNKNOWN, Refusal.MALFORMED)
        return is_sound

    def _refuse(self, numbered: tuple[int, bytes], kind: str, reason: Refusal, columns: Sequence[str] = ()) -> None:
        """Refuses a line that is not read as a row; of one that may not be looked into only the number is given."""
        pool, at_ms = whereabouts_of(numbered[1])
        window_start_ms = None if at_ms is None else at_ms // WINDOW_MS * WINDOW_MS
        self.tidings.refuse(RefusedWhere(kind, reason, known_pool(pool), window_start_ms), 1)
        self.tidings.tell(numbered[0], reason, columns=columns)

    def _by_kind(self, lines: _Numbered) -> Iterator[tuple[str, _Numbered]]:
        if self.kind:
            yield from [(self.kind, lines)] if lines else []
            return
        of_kinds: dict[str, _Numbered] = {}
        for numbered in lines:
            kind = kind_of(numbered[1])
            if kind in COLUMNS:
                of_kinds.setdefault(kind, []).append(numbered)
            else:
                reason = Refusal.MALFORMED if kind is None else Refusal.OUTSIDE_VOCABULARY
                self._refuse(numbered, UNKNOWN, reason, (KIND,) if is_object(numbered[1]) else ())
        yield from of_kinds.items()

    def _parsed(self, lines: _Numbered, kind: str) -> Iterator[pl.DataFrame]:
        """Tables that together hold every line that is JSON with declared fields of their types, and their numbers."""
        for start in range(0, len(lines), LINES_AT_ONCE):
            yield from self._tables_of(lines[start : start + LINES_AT_ONCE], kind)

    def _tables_of(self, lines: _Numbered, kind: str) -> Iterator[pl.DataFrame]:
        is_plain = is_narrow(lines, (*COLUMNS[kind], KIND)) and not (
            kind == QUEUES.name and any(has_unknown_gauge(line) for _, line in lines)
        )
        whole = _as_numbered_table(lines, kind) if is_plain else None
        if whole is not None:
            yield whole
            return
        # One line at least is wrong, or they have too many names. Each is looked at by itself, this once, and what is declared of
        # the sound ones is read together.
        looked_at = [(number, line, parted(line, COLUMNS[kind])) for number, line in lines]
        sound = [(number, parts) for number, _, parts in looked_at if isinstance(parts, Parted)]
        for number, line, parts in looked_at:
            if not isinstance(parts, Parted):
                self._refuse((number, line), kind, *parts)
        others = dict(zip((number for number, _ in sound), dropped_in([each.others for _, each in sound]), strict=True))
        for is_text in (True, False):  # A column of sessions is of texts, or of numbers.
            of_type = [
                (n, each.line()) for n, each in sound if isinstance(each.declared.get("session"), str) is is_text
            ]
            for rows in self._halved(of_type, kind):
                self._note_others(rows, others, kind)
                yield rows

    def _halved(self, lines: _Numbered, kind: str) -> Iterator[pl.DataFrame]:
        """The same of lines that are sound by themselves: one may hold half of a character, which no table can."""
        table = _as_numbered_table(lines, kind) if lines else None
        if table is not None:
            yield table
        elif len(lines) == 1:
            self._refuse(lines[0], kind, Refusal.MALFORMED)
        elif lines:
            half = len(lines) // 2
            yield from self._halved(lines[:half], kind)
            yield from self._halved(lines[half:], kind)

    def _sound(self, rows: pl.DataFrame, kind: str) -> pl.DataFrame:
        """The rows whose declared fields hold what they may, and that can be right."""
        keyed = self._keyed(
            rows.drop(KIND, strict=False).with_columns(pl.col("region").fill_null(pl.lit(self._region, pl.String)))
        )
        declared = {**COLUMNS[kind], LINE: pl.Int64()}
        admitted = admit_rows(keyed, declared)
        self._note_dropped(keyed, admitted, kind)
        self._note(keyed, admitted.why, kind, lambda row, reason: columns_refused(row, declared, reason))
        sifting = sifted(kind, admitted.rows.drop(LINE))
        self._note(
            admitted.rows, sifting.why, kind, lambda row, reason: columns_broken(sifted(kind, row.drop(LINE)), reason)
        )
        sound, time = sifting.sound, KINDS[kind].time
        # What cannot be right was refused for that.
        left = admitted.rows if sifting.why is None else admitted.rows.filter(sifting.why.is_null())
        for demand in self.demands:
            is_met = demand.holds(kind)  # Asked once: by the clock it would be another demand the next time.
            unmet = left.select(pl.when(~is_met).then(pl.lit(demand.reason.value))).to_series()
            self._note(left, unmet, kind, lambda *_: (time,), demand.meaning)
            sound, left = sound.filter(is_met), left.filter(is_met)
        self.progress.note_taken(left[LINE], left[time])
        return sound

    def _note(self, rows: pl.DataFrame, why: pl.Series | None, kind: str, wrong: _Wrong, meaning: str = "") -> None:
        """Takes in why each of these rows is refused; null of one that is not, nothing at all where none is."""
        if why is None or why.null_count() == len(why):
            return
        for where, count in _places(rows, [why], kind):
            self.tidings.refuse(where, count)
        refused = rows.with_columns(why.alias(WHY)).filter(pl.col(WHY).is_not_null()).bottom_k(TOLD_MAX, by=LINE)
        for place, (line, reason) in enumerate(refused.select(LINE, WHY).rows()):
            if self.tidings.is_told(line):
                columns = wrong(refused.drop(WHY)[place : place + 1], Refusal(reason))
                self.tidings.tell(line, Refusal(reason), meaning, columns)

    def _note_dropped(self, rows: pl.DataFrame, admitted: AdmittedRows, kind: str) -> None:
        """Takes in which fields of these rows were dropped; what was only unknown is nobody's secret, and only counted."""
        self.tidings.dropped += Counter(dict(admitted.dropped.by_reason))
        self.tidings.withheld_since += Counter(dict(_places(rows, admitted.withheld_why, kind)))

    def _note_others(self, rows: pl.DataFrame, others: Mapping[int, Sequence[Refusal]], kind: str) -> None:
        """The same of fields that were taken off their lines before; `others` has what they were, line by line."""
        told = [(at, reason) for at, line in enumerate(rows[LINE].to_list()) for reason in others[line]]
        self.tidings.dropped.update(reason for _, reason in told)
        withheld = [(at, reason.value) for at, reason in told if is_withheld(reason)]
        found = pl.DataFrame(withheld, schema={"row": pl.UInt32, WHY: pl.String}, orient="row")
        self.tidings.withheld_since.update(dict(_placed(rows, found["row"], found[WHY], kind)))

    def _keyed(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Sessions that are texts, as numbers of 64 bits that nobody can look up; a text of which nobody can see anything names none."""
        if "session" not in rows.columns or rows["session"].dtype != pl.String:
            return rows
        texts = [text for text in rows["session"].drop_nulls().unique().to_list() if not is_blank(text)]
        keys = [blake2b(text.encode(), key=self._session_key, digest_size=8).digest() for text in texts]
        numbers = [int.from_bytes(each, "little") for each in keys]
        return rows.with_columns(pl.col("session").replace_strict(texts, numbers, default=None, return_dtype=pl.UInt64))


def _places(rows: pl.DataFrame, whys: Sequence[pl.Series], kind: str) -> Iterator[tuple[RefusedWhere, int]]:
    """Where these reasons are told, of which each row has one or none (null) in each of the columns, and how often each."""
    if whys:
        row = pl.concat([why.is_not_null().arg_true() for why in whys])
        yield from _placed(rows, row, pl.concat([why.drop_nulls() for why in whys], rechunk=True), kind)


def _placed(rows: pl.DataFrame, row: pl.Series, reasons: pl.Series, kind: str) -> Iterator[tuple[RefusedWhere, int]]:
    """The same of reasons of which each is beside the place of its row."""
    window = (rows[KINDS[kind].time] // WINDOW_MS * WINDOW_MS).alias("at")
    found = pl.DataFrame([known_pools(rows), window])[row].with_columns(reasons.alias(WHY))
    for reason, pool, start_ms, count in found.group_by(WHY, "pool", "at").len().rows():
        yield RefusedWhere(kind, Refusal(reason), pool, start_ms), count


def _schemas(kind: str) -> Iterator[pa.Schema]:
    """The declared columns, with sessions as numbers and as texts."""
    schema = pl.DataFrame(schema=dict(COLUMNS[kind])).to_arrow().schema
    schema = pa.schema([pa.field(each.name, _plain(each.type)) for each in schema])
    yield schema
    if "session" in schema.names:
        yield schema.set(schema.names.index("session"), pa.field("session", pa.string()))


def _plain(arrow_type: pa.DataType) -> pa.DataType:
    """The type as JSON is read into it: large strings and lists are for tables of gigabytes."""
    if pa.types.is_large_string(arrow_type):
        return pa.string()
    return pa.list_(arrow_type.value_type) if pa.types.is_large_list(arrow_type) else arrow_type


def _as_numbered_table(lines: _Numbered, kind: str) -> pl.DataFrame | None:
    """Lines as a table, one row each; none where any of them is no object of declared fields in their types."""
    payload = b"\n".join(line for _, line in lines)
    for schema in _schemas(kind):
        options = arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="infer")
        try:
            rows = pl.from_arrow(arrow_json.read_json(io.BytesIO(payload), parse_options=options))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError, pl.exceptions.PolarsError):
            continue
        assert isinstance(rows, pl.DataFrame)
        if len(rows) == len(lines):
            return rows.with_columns(pl.Series(LINE, [number for number, _ in lines], pl.Int64))
    return None
