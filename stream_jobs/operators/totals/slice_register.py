"""The register of slices that a family's intake has admitted, in the order of the log.

A slice's number is given by the source offset that first named it (and by its text among those of one offset), so it
never depends on how records were batched. Numbers group slices into chunks of state; none is ever given twice, so a
chunk never changes what its members mean. A cut admits so many slices; what comes later is counted under `other`, with
dimensions of a closed vocabulary kept as they are, and the overflow is counted.

A slice without a row for a day and its family's lateness is retired, and another may have its place. That is judged
where the first row of a new hour of event time lies in the log, so everybody who reads the log retires the same slices
at the same row. Where a full cut gets room, only buckets of the new hour on are counted by the slices that come in:
within one bucket a slice always counts as the same. That also makes a frame that is judged again, against a register
that has moved on, count as it did; hence what was just retired is remembered until a marker beyond it is saved.

Order of saving: pages, then the head (how many numbers were given, and which hours are over). What a crash leaves behind
of pages beyond the head is taken back by the next `restore`, and comes again from the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import polars as pl

from schemas.dimensions import DIMENSIONS, OTHER
from schemas.families import Family
from schemas.instants import HOUR_MS
from schemas.slices import cut_of, owner_text, shard_of, slice_dimensions
from stream_jobs.operators.totals.blocks import body, pack_json, pack_rows, state_format, unpack_json, unpack_rows

PAGE_SLICES = 2_000
IDLE_MS = 24 * 3_600_000
"""A slice is retired after so long, in event time, and its family's lateness."""
HEAD = "head"
_CHUNK_SLICES = {"stages": 8, "streams": 128, "privacy": 64}
_CHUNK_SLICES_DEFAULT = 1_024
_NOT_RETIRED = -1
_UNSEEN = -1

_SCHEMA = {"slice": pl.String, "number": pl.Int64, "from_ms": pl.Int64, "last_hour": pl.Int64}
_RETIRED_SCHEMA = _SCHEMA | {"retired_hour": pl.Int64, "retired_offset": pl.Int64}
_BUCKET_HOUR = pl.col("bucket_start_ms") // HOUR_MS


def chunk_slices(family: Family) -> int:
    """How many slices share a block: few of a family that has many rows a slice."""
    return _CHUNK_SLICES.get(family.name, _CHUNK_SLICES_DEFAULT)


class SliceRegister:
    """The slices that count as themselves, and the `other` that stand for the rest."""

    def __init__(self, family: Family, slices_max: int) -> None:
        self._slices_max = slices_max
        self._owned_without = family.owned_without
        self._idle_hours = -(-(family.lateness_s * 1_000 + IDLE_MS) // HOUR_MS)
        self._chunk_slices = chunk_slices(family)
        self._live = pl.DataFrame(schema=_SCHEMA)
        self._retired = pl.DataFrame(schema=_RETIRED_SCHEMA)
        self._next_number = 0
        self._hour = 0
        self._opened_ms: dict[str, int] = {}
        self._count_live()
        self._unsaved: set[int] = set()
        self._saved_head: dict[str, Any] | None = None
        self._first_head = self._head()
        self._saved_as_retired: list[int] = []
        self._shards = pl.DataFrame(schema={"slice": pl.String, "shard": pl.Int32})

    def __len__(self) -> int:
        return len(self._live)

    # -- numbering -----------------------------------------------------------------------------------------------------

    def numbered(self, rows: pl.DataFrame, overflowed: Counter[str]) -> pl.DataFrame:
        """`rows` (with slice, offset and bucket) with the slice that each counts as, and its chunk."""
        numbered = _together([self._numbered(part, overflowed) for part in self._hour_by_hour(rows)])
        chunk = (numbered["number"] // self._chunk_slices).alias("chunk")
        return numbered[rows.columns].hstack([chunk])

    def by_shard(self, rows: pl.DataFrame, shards: int) -> dict[int, pl.DataFrame]:
        """`rows` by the shard that owns their slice, retired or not."""
        missing = rows.join(self._shards, on="slice", how="anti")["slice"].unique()
        if len(missing):
            owners = [shard_of(owner_text(text, self._owned_without), shards) for text in missing]
            known = pl.DataFrame({"slice": missing, "shard": owners}, schema=self._shards.schema)
            self._shards = pl.concat([self._shards, known])
        parts = rows.join(self._shards, on="slice").partition_by("shard", as_dict=True, include_key=False)
        return {int(key[0]): part for key, part in parts.items()}

    def _hour_by_hour(self, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """`rows` cut where the log enters a new hour; what is idle is retired at each cut, once the part before is done."""
        newest_ms = rows["bucket_start_ms"].max()
        if isinstance(newest_ms, int) and newest_ms // HOUR_MS > self._hour:
            entries = rows.group_by(hour=_BUCKET_HOUR).agg(pl.col("offset").min()).sort("offset")
            for hour, offset in entries.iter_rows():
                if hour > self._hour:
                    yield rows.filter(pl.col("offset") < offset)
                    rows = rows.filter(pl.col("offset") >= offset)
                    self._enter(hour, offset)
        yield rows

    def _numbered(self, rows: pl.DataFrame, overflowed: Counter[str]) -> pl.DataFrame:
        columns = [*rows.columns, "number"]
        remembered, rows = self._remembered(rows)
        own, rest = self._told_apart(rows)
        parts = [own]
        if not rest.is_empty():
            self._admit_all(rest, overflowed)
            own, over = self._told_apart(rest.select(rows.columns))
            others_then, others = self._remembered(_as_other(over.select(rows.columns)))
            parts += [own, others.join(self._live, on="slice")]
            remembered = pl.concat([remembered.select(columns), others_then.select(columns)])
        for part in parts:
            self._note_seen(part)
        return _together([part[columns] for part in (*parts, remembered)])

    def _told_apart(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Rows that count as their own slice, and those that do not (yet); both with what is known of the slice."""
        known = rows.join(self._live, on="slice", how="left")
        is_own = (known["bucket_start_ms"] >= known["from_ms"]).fill_null(False)
        if is_own.all():
            return known, known.clear()
        return known.filter(is_own), known.filter(~is_own)

    def _remembered(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Rows from before their slice was retired, with its number of then, for they are judged again; and the others."""
        if self._retired.is_empty():
            return rows.clear().with_columns(number=pl.lit(0, pl.Int64)), rows
        rows = rows.with_row_index("place")
        then = self._retired.select("slice", "number", "from_ms", "retired_offset")
        was_own = (pl.col("offset") < pl.col("retired_offset")) & (pl.col("bucket_start_ms") >= pl.col("from_ms"))
        known = rows.join(then, on="slice").filter(was_own)
        remembered = known.sort("retired_offset").unique("place", keep="first")
        return remembered, rows.join(remembered, on="place", how="anti").drop("place")

    def _note_seen(self, rows: pl.DataFrame) -> None:
        is_newer = rows["last_hour"] < rows["bucket_start_ms"] // HOUR_MS
        if not is_newer.any():
            return
        seen = rows.filter(is_newer).group_by("number").agg(seen=_BUCKET_HOUR.max())
        newest = pl.max_horizontal("last_hour", "seen")
        self._live = self._live.join(seen, on="number", how="left").with_columns(last_hour=newest).drop("seen")
        self._touch(seen["number"])

    # -- admitting and retiring ----------------------------------------------------------------------------------------

    def _admit_all(self, rest: pl.DataFrame, overflowed: Counter[str]) -> None:
        """Admits what the cuts have room for, in the order of the log, and an `other` for the rest."""
        named = rest.group_by("slice", "bucket_start_ms").agg(pl.col("offset").min(), pl.col("number").first())
        added: dict[str, int] = {}
        over: set[str] = set()
        for text, start_ms, _, number in named.sort("offset", "slice", "bucket_start_ms").iter_rows():
            cut = cut_of(text)
            opened_ms = self._opened_ms.get(cut, 0)
            if number is None and start_ms >= opened_ms:
                if text in added:
                    continue
                if self._admitted[cut] < self._slices_max:
                    self._admitted[cut] += 1
                    added[text] = opened_ms
                    continue
            over.add(text)
            other = _other(text)
            if other not in self._others:
                self._others.add(other)
                added[other] = 0
        overflowed.update(map(cut_of, over))
        self._number(added)

    def _number(self, added: dict[str, int]) -> None:
        numbers = range(self._next_number, self._next_number + len(added))
        rows = {"slice": list(added), "number": numbers, "from_ms": list(added.values())}
        fresh = pl.DataFrame(rows, schema_overrides=_SCHEMA).with_columns(last_hour=pl.lit(_UNSEEN, pl.Int64))
        self._live = pl.concat([self._live, fresh.select(*_SCHEMA)])
        self._next_number += len(added)
        self._touch(numbers)

    def _enter(self, hour: int, offset: int) -> None:
        """Retires what has been idle for too long at the beginning of this hour."""
        self._hour = hour
        is_idle = pl.col("last_hour") + self._idle_hours < hour
        idle = self._live.filter(is_idle)
        if idle.is_empty():
            return
        for cut in {cut_of(text) for text in idle["slice"]}:
            if self._admitted[cut] >= self._slices_max:
                self._opened_ms[cut] = hour * HOUR_MS
        gone = idle.with_columns(retired_hour=pl.lit(hour, pl.Int64), retired_offset=pl.lit(offset, pl.Int64))
        self._retired = pl.concat([self._retired, gone])
        self._live = self._live.filter(~is_idle)
        self._count_live()
        self._shards = self._shards.clear()
        self._touch(idle["number"])

    def _count_live(self) -> None:
        texts = self._live["slice"].to_list()
        self._others = {text for text in texts if OTHER in slice_dimensions(text).values()}
        self._admitted: Counter[str] = Counter(cut_of(text) for text in texts if text not in self._others)

    def _touch(self, numbers: Iterable[int]) -> None:
        self._unsaved.update(number // PAGE_SLICES for number in numbers)

    # -- saving and recovering -----------------------------------------------------------------------------------------

    def unsaved_pages(self, marked: int) -> Iterator[tuple[int | str, bytes | None]]:
        """(page, what to store) of everything that changed since the last call; `None` forgets a page.

        To be called once a save, with its marker: once a marker beyond it is saved, what was retired is let go.
        """
        if self._saved_as_retired:
            self._retired = self._retired.filter(~pl.col("number").is_in(self._saved_as_retired))
            self._touch(self._saved_as_retired)
            self._saved_as_retired = []
        if len(self._retired):  # Seldom: a worker asks this of hundreds of registers in every save.
            self._saved_as_retired = self._retired.filter(pl.col("retired_offset") <= marked)["number"].to_list()
        head = self._head()
        if self._saved_head is None and self._unsaved:
            yield HEAD, pack_json(self._first_head)
        for page in sorted(self._unsaved):
            yield page, self._page(page)
        if head != self._saved_head and (self._unsaved or self._saved_head):
            yield HEAD, pack_json(head)
            self._saved_head = head
        self._unsaved.clear()

    def restore(self, pages: list[tuple[str, bytes]], newest_ms: int) -> None:
        """Takes up (page, stored) pairs as of the head among them. `newest_ms`: the newest instant reported by then."""
        rows = [_stored_rows(stored, newest_ms // HOUR_MS) for page, stored in pages if page != HEAD]
        known = pl.concat([pl.DataFrame(schema=_RETIRED_SCHEMA), *rows])
        head = next((unpack_json(body(stored)) for page, stored in pages if page == HEAD), None)
        if head is None:
            head = {"numbers": max(known["number"], default=-1) + 1, "hour": newest_ms // HOUR_MS, "opened_ms": {}}
        else:
            self._saved_head = head
        self._next_number, self._hour, self._opened_ms = head["numbers"], head["hour"], head["opened_ms"]
        known = known.filter(pl.col("number") < self._next_number)
        is_live = (pl.col("retired_hour") == _NOT_RETIRED) | (pl.col("retired_hour") > self._hour)
        self._live = known.filter(is_live).select(*_SCHEMA)
        self._retired = known.filter(~is_live)
        self._count_live()
        self._first_head = self._head()

    def _head(self) -> dict[str, Any]:
        return {"numbers": self._next_number, "hour": self._hour, "opened_ms": dict(self._opened_ms)}

    def _page(self, page: int) -> bytes | None:
        never = pl.lit(_NOT_RETIRED, pl.Int64)
        live = self._live.with_columns(retired_hour=never, retired_offset=never)
        members = pl.concat([live, self._retired]).filter(pl.col("number") // PAGE_SLICES == page)
        return pack_rows(members.sort("number")) if len(members) else None


def _together(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The rows of all parts; most of the time only one has any, and is taken as it is."""
    found = [part for part in parts if len(part)]
    return found[0] if len(found) == 1 else pl.concat(found or parts[:1])


def _stored_rows(stored: bytes, newest_hour: int) -> pl.DataFrame:
    """A page of slices; of format 1 it is a list of texts by number, which count as just seen."""
    if state_format(stored) > 1:
        return unpack_rows(body(stored), ()).select(pl.col(name).cast(kind) for name, kind in _RETIRED_SCHEMA.items())
    page, texts = unpack_json(body(stored))
    numbers = range(page * PAGE_SLICES, page * PAGE_SLICES + len(texts))
    rows = pl.DataFrame({"slice": texts, "number": numbers}, schema_overrides={"slice": pl.String, "number": pl.Int64})
    return rows.with_columns(
        from_ms=pl.lit(0, pl.Int64),
        last_hour=pl.lit(newest_hour, pl.Int64),
        retired_hour=pl.lit(_NOT_RETIRED, pl.Int64),
        retired_offset=pl.lit(_NOT_RETIRED, pl.Int64),
    )


def _as_other(over: pl.DataFrame) -> pl.DataFrame:
    texts = over["slice"].unique().to_list()
    others = pl.DataFrame({"slice": texts, "other": list(map(_other, texts))}, schema_overrides={"slice": pl.String})
    return over.join(others.cast(pl.String), on="slice").with_columns(slice=pl.col("other")).drop("other")


def _other(text: str) -> str:
    kept = {
        name: value if DIMENSIONS[name].vocabulary and not DIMENSIONS[name].is_identifying else OTHER
        for name, value in slice_dimensions(text).items()
    }
    return ",".join(f"{name}={value}" for name, value in kept.items())
