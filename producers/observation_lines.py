"""Observations as NDJSON: one JSON object a line, of one kind a file or of the kind that its field `kind` names.

Lines are read in columns, thousands at once. Where that fails the lines are halved until the bad ones stand alone, so that
each is refused by itself, counted under its reason, and told by its number, never by what stands in it. Fields that the
contract does not declare are dropped and counted (`producers/refusing.py`); the line goes on without them.

`session` is a whole number, an opaque key already, or a text, which is hashed under a key that the process makes for itself
and forgets: it only tells sessions apart.
"""

from __future__ import annotations

import io
from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

import polars as pl
import pyarrow as pa
from pyarrow import json as arrow_json

from producers.aggregated import ROW_KINDS
from producers.collector import WINDOW_MS
from producers.counting import sifted
from producers.kinds import KINDS
from producers.line_objects import KIND, kind_of, whereabouts_of, why_unreadable
from producers.line_shapes import in_bounds, is_braced, is_flat
from producers.refusing import WHY, admit_rows, known_pool, known_pools
from schemas.families import UNKNOWN
from schemas.refusals import MEANINGS, Refusal

COLUMNS: dict[str, Mapping[str, pl.DataType]] = {
    name: kind.columns for name, kind in KINDS.items() if name not in ROW_KINDS
}
"""Of every kind of observation that a line may be; rows that are aggregated already are none."""
LINE_BYTES_MAX = 65_536
"""Longest line: a stretch of audio with a hundred gaps takes 2 KB."""
TOLD_MAX = 20
"""So many refused lines of a file are told one by one; the others are counted."""
LINE = "\x00line"
"""Column of the line's number, from 1; no field of an observation is called that."""

_Numbered = list[tuple[int, bytes]]


class RefusedWhere(NamedTuple):
    """Of which kind something was refused and why, in which pool, and in which window of ten seconds it says it was.

    The first pool of the vocabulary where it says none that there is; no window where it says no time.
    """

    kind: str
    reason: Refusal
    pool: str
    window_start_ms: int | None


@dataclass(slots=True)
class Tidings:
    """What became of lines: each was blank, taken or refused. `refused_of` is by kind, `UNKNOWN` where a line did not say any;
    `refused_since` are those since somebody looked last; `first` are the first of them, and why."""

    lines: int = 0
    blank: int = 0
    taken: Counter[str] = field(default_factory=Counter)
    refused_of: Counter[tuple[str, Refusal]] = field(default_factory=Counter)
    refused_since: Counter[RefusedWhere] = field(default_factory=Counter)
    dropped: Counter[Refusal] = field(default_factory=Counter)
    first: list[tuple[int, Refusal]] = field(default_factory=list)
    meant: dict[int, str] = field(default_factory=dict)
    """What of its reason's meaning it is, of lines in `first` of which more is known."""

    @property
    def refused(self) -> Counter[Refusal]:
        """Lines of any kind, by reason."""
        refused: Counter[Refusal] = Counter()
        for (_, reason), count in self.refused_of.items():
            refused[reason] += count
        return refused

    def refuse(self, where: RefusedWhere, count: int) -> None:
        self.refused_of[where.kind, where.reason] += count
        self.refused_since[where] += count

    def refused_news(self) -> Counter[RefusedWhere]:
        """What was refused since this was asked last."""
        news, self.refused_since = self.refused_since, Counter()
        return news

    def tell(self, line: int, reason: Refusal, meaning: str = "") -> None:
        """Notes the line among the first: those that break their shape are known of before those whose values are refused."""
        insort(self.first, (line, reason))
        if meaning:
            self.meant[line] = meaning
        for beyond, _ in self.first[TOLD_MAX:]:
            self.meant.pop(beyond, None)
        del self.first[TOLD_MAX:]

    def sentences(self) -> list[str]:
        """What is told of the first lines that were refused."""
        return [
            f"Line {line} is refused ({reason.value}): {self.meant.get(line, MEANINGS[reason])}."
            for line, reason in self.first
        ]


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
        self.tidings = Tidings()
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

    def _refuse(self, numbered: tuple[int, bytes], kind: str, reason: Refusal) -> None:
        """Refuses a line that is not read as a row; of one that may not be looked into only the number is given."""
        pool, at_ms = whereabouts_of(numbered[1])
        window_start_ms = None if at_ms is None else at_ms // WINDOW_MS * WINDOW_MS
        self.tidings.refuse(RefusedWhere(kind, reason, known_pool(pool), window_start_ms), 1)
        self.tidings.tell(numbered[0], reason)

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
                self._refuse(numbered, UNKNOWN, Refusal.MALFORMED if kind is None else Refusal.OUTSIDE_VOCABULARY)
        yield from of_kinds.items()

    def _parsed(self, lines: _Numbered, kind: str) -> Iterator[pl.DataFrame]:
        """Tables that together hold every line that is JSON with declared fields of their types, and their numbers."""
        for some in in_bounds(lines):
            yield from self._table_of(some, kind)

    def _table_of(self, lines: _Numbered, kind: str) -> Iterator[pl.DataFrame]:
        whole = _as_numbered_table(lines, kind)
        if whole is not None:
            yield whole
            return
        # One line at least is wrong. Each is looked at by itself, this once, and the sound ones are read together.
        reasons = [(numbered, why_unreadable(numbered[1], COLUMNS[kind])) for numbered in lines]
        for numbered, reason in reasons:
            if reason:
                self._refuse(numbered, kind, reason)
        yield from self._halved([numbered for numbered, reason in reasons if not reason], kind)

    def _halved(self, lines: _Numbered, kind: str) -> Iterator[pl.DataFrame]:
        """The same of lines that are sound by themselves: undeclared fields may have several types, or names twice."""
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
        admitted = admit_rows(keyed, {**COLUMNS[kind], LINE: pl.Int64()})
        self.tidings.dropped += Counter(dict(admitted.dropped.by_reason))
        self._note(keyed, admitted.why, kind)
        sifting = sifted(kind, admitted.rows.drop(LINE))
        self._note(admitted.rows, sifting.why, kind)
        sound = sifting.sound
        for demand in self.demands:
            # What cannot be right was refused for that.
            is_refused = ~pl.lit(True if sifting.why is None else sifting.why.is_null())
            is_met = demand.holds(kind)  # Asked once: by the clock it would be another demand the next time.
            unmet = pl.when(~is_met & ~is_refused).then(pl.lit(demand.reason.value))
            self._note(admitted.rows, admitted.rows.select(unmet).to_series(), kind, demand.meaning)
            sound = sound.filter(is_met)
        return sound

    def _note(self, rows: pl.DataFrame, why: pl.Series | None, kind: str, meaning: str = "") -> None:
        """Takes in why each of these rows is refused; null of one that is not, nothing at all where none is."""
        if why is None or why.null_count() == len(why):
            return
        refused = rows.with_columns(known_pools(rows), why.alias(WHY)).filter(pl.col(WHY).is_not_null())
        window = pl.col(KINDS[kind].time) // WINDOW_MS * WINDOW_MS
        for reason, pool, start_ms, count in refused.group_by(WHY, "pool", window.alias("at")).len().rows():
            self.tidings.refuse(RefusedWhere(kind, Refusal(reason), pool, start_ms), count)
        for line, reason in refused.select(LINE, WHY).bottom_k(TOLD_MAX, by=LINE).rows():
            self.tidings.tell(line, Refusal(reason), meaning)

    def _keyed(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Sessions that are texts, as numbers of 64 bits that nobody can look up; a text of nothing but space names none."""
        if "session" not in rows.columns or rows["session"].dtype != pl.String:
            return rows
        texts = [text for text in rows["session"].drop_nulls().unique().to_list() if text.strip()]
        keys = [blake2b(text.encode(), key=self._session_key, digest_size=8).digest() for text in texts]
        numbers = [int.from_bytes(each, "little") for each in keys]
        return rows.with_columns(pl.col("session").replace_strict(texts, numbers, default=None, return_dtype=pl.UInt64))


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
