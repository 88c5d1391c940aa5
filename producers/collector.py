"""The regional collector: takes observations in, closes windows as event time passes, and hands out frames.

Turns that come after their window was closed make one more frame for that window, so they are late, not lost. A change
of a stream that comes late counts in the first second that is still open: the number of active streams is right from
there on. Held turns are counted in the heartbeat of the window that held them first. What no later window could release
until the collector ends stays private: counted as held, whole in the operational partition, absent from the audience's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa

from producers import ndjson
from producers.aggregate import heartbeat_rows, outcome_rows, stage_rows, stream_rows, turn_rows
from producers.duplex import duplex_rows, no_duplex_events, sift_duplex
from producers.gate import Cells, gate, sessions_of
from producers.observations import no_stream_changes, no_turns, sift_stream_changes, sift_turns
from schemas.families import (
    AUDIENCE,
    DUPLEX,
    HEARTBEATS,
    K_SESSIONS_MIN,
    OPERATIONAL,
    OUTCOMES,
    STAGE_LATENCIES,
    STREAMS,
    TURNS,
    Family,
    PrivacyPartition,
)
from schemas.frames import ARROW, FRAME_BYTES_MAX, FRAME_ROWS_MAX, ContentType, FrameHeader, encode
from schemas.rows import arrow_schema

WINDOW_MS = OPERATIONAL.k_window_s * 1_000
AUDIENCE_WINDOW_MS = AUDIENCE.k_window_s * 1_000
OBSERVATIONS_MAX = 5_000_000
"""Most turns, and most events, that wait for their window; more are dropped, counted: a stalled clock cannot fill memory."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame ready to send: Kafka headers and payload, with its header and row count for whoever counts."""

    header: FrameHeader
    headers: list[tuple[str, bytes]]
    payload: bytes
    rows: int


@dataclass(slots=True)
class _Report:
    """What the next heartbeat says of one family."""

    rows_sent: int = 0
    observations_seen: int = 0
    observations_dropped: int = 0
    observations_held: int = 0

    def as_measures(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in HEARTBEATS.measure_names}


def _no_cells() -> Cells:
    turns = no_turns()
    return Cells(turn_rows(turns, AUDIENCE), sessions_of(turns, AUDIENCE))


def _no_reports() -> dict[str, _Report]:
    return {name: _Report() for name in HEARTBEATS.keys[0].vocabulary}


@dataclass(slots=True)
class Collector:
    """One producer's windows and sequence numbers. `opens_at_ms` is where its event time begins.

    `incarnation` has to grow with every start of this producer; its start in ms since the epoch serves.
    """

    producer: str
    region: str
    incarnation: int
    opens_at_ms: int
    content_type: ContentType = ARROW
    k: int = K_SESSIONS_MIN
    observations_max: int = OBSERVATIONS_MAX
    _open_ms: int = field(init=False)
    _turns: list[pl.DataFrame] = field(init=False, default_factory=list)
    _turns_waiting: int = field(init=False, default=0)
    _minute: list[pl.DataFrame] = field(init=False, default_factory=list)
    _changes: list[pl.DataFrame] = field(init=False, default_factory=list)
    _events: list[pl.DataFrame] = field(init=False, default_factory=list)
    _events_waiting: int = field(init=False, default=0)
    _live: pl.DataFrame = field(init=False, default_factory=no_stream_changes)
    _held: Cells = field(init=False, default_factory=_no_cells)
    _reports: dict[str, _Report] = field(init=False, default_factory=_no_reports)
    _sequences: Counter[str] = field(init=False, default_factory=Counter)

    def __post_init__(self) -> None:
        self._open_ms = self.opens_at_ms // WINDOW_MS * WINDOW_MS

    def observe_turns(self, turns: pl.DataFrame) -> None:
        """Takes in turns (`TURN_COLUMNS`) that ended at any time, in any order."""
        sifted = sift_turns(turns)
        room = max(0, self.observations_max - self._turns_waiting)
        kept = sifted.sound.head(room)
        for family in (TURNS, STAGE_LATENCIES, OUTCOMES):
            report = self._reports[family.name]
            report.observations_seen += len(turns)
            report.observations_dropped += len(turns) - len(kept)
        self._turns.append(kept)
        self._turns_waiting += len(kept)

    def observe_streams(self, changes: pl.DataFrame) -> None:
        """Takes in starts and ends of streams (`STREAM_COLUMNS`); starts before `opens_at_ms` are already active."""
        sifted = sift_stream_changes(changes)
        report = self._reports[STREAMS.name]
        report.observations_seen += sifted.refused
        report.observations_dropped += sifted.refused
        self._changes.append(sifted.sound)

    def observe_duplex(self, events: pl.DataFrame) -> None:
        """Takes in full-duplex events (`DUPLEX_COLUMNS`) of any time, in any order."""
        kept = sift_duplex(events).sound.head(max(0, self.observations_max - self._events_waiting))
        report = self._reports[DUPLEX.name]
        report.observations_seen += len(events)
        report.observations_dropped += len(events) - len(kept)
        self._events.append(kept)
        self._events_waiting += len(kept)

    def close(self, watermark_ms: int) -> Iterator[Frame]:
        """Frames of every window that ends at or before `watermark_ms`, oldest first, each ended by its heartbeat."""
        while self._open_ms + WINDOW_MS <= watermark_ms:
            window_end_ms = self._open_ms + WINDOW_MS
            yield from self._turn_frames(window_end_ms)
            yield from self._stream_frames(window_end_ms)
            yield from self._duplex_frames(window_end_ms)
            if window_end_ms % AUDIENCE_WINDOW_MS == 0:
                yield from self._audience_frames(window_end_ms)
            yield from self._heartbeat_frames(window_end_ms)
            self._open_ms = window_end_ms

    def flush(self, watermark_ms: int) -> Iterator[Frame]:
        """Closes what is open at the end, to the end of its minute; what stays below k is never released."""
        yield from self.close(-(-max(watermark_ms, self._open_ms) // AUDIENCE_WINDOW_MS) * AUDIENCE_WINDOW_MS)

    @property
    def held_turns(self) -> int:
        """Turns that wait below k; after `flush` they are missing from the audience partition, and only there."""
        return int(self._held.measures["turns"].sum())

    def _turn_frames(self, window_end_ms: int) -> Iterator[Frame]:
        ready, waiting = _split(self._turns, "ended_at_ms", window_end_ms, no_turns())
        self._turns, self._turns_waiting = [waiting], len(waiting)
        self._minute.append(ready.select("ended_at_ms", "session", *_AUDIENCE_INPUTS))
        for start_ms, turns in _by_window(ready, "ended_at_ms", WINDOW_MS):
            yield from self._frames(TURNS, OPERATIONAL, start_ms, turn_rows(turns, OPERATIONAL))
            yield from self._frames(OUTCOMES, OPERATIONAL, start_ms, outcome_rows(turns, OPERATIONAL))
            stages = stage_rows(turns)
            if len(stages):
                yield from self._frames(STAGE_LATENCIES, OPERATIONAL, start_ms, stages)

    def _stream_frames(self, window_end_ms: int) -> Iterator[Frame]:
        changes, waiting = _split(self._changes, "at_ms", window_end_ms, no_stream_changes())
        self._changes = [waiting]
        starts, ends = self._paired(changes.sort("at_ms", maintain_order=True))
        already = (
            starts.filter(pl.col("at_ms") < self.opens_at_ms) if self._open_ms <= self.opens_at_ms else starts.clear()
        )
        live = pl.concat([self._live, already])
        rows = stream_rows(
            live, self._in_seconds(starts.join(already, on="session", how="anti")), self._in_seconds(ends)
        )
        self._live = pl.concat([self._live, starts]).join(ends, on="session", how="anti")
        if len(rows):
            yield from self._frames(STREAMS, OPERATIONAL, self._open_ms, rows)

    def _paired(self, changes: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Starts of streams that were not live, and ends of those that were; the rest is dropped, counted."""
        starts = (
            changes.filter("is_start")
            .unique("session", keep="first", maintain_order=True)
            .join(self._live, on="session", how="anti")
        )
        known = pl.concat([self._live, starts]).select("session", *OPERATIONAL.dimensions, started_at_ms="at_ms")
        ends = (
            changes.filter(~pl.col("is_start"))
            .unique("session", keep="first", maintain_order=True)
            .select("at_ms", "session", "is_start")
            .join(known, on="session")
            .with_columns(at_ms=pl.max_horizontal("at_ms", "started_at_ms"))
            .select(changes.columns)
        )
        # Seen with the window that judges them, so that no heartbeat says more dropped than seen.
        self._reports[STREAMS.name].observations_seen += len(changes)
        self._reports[STREAMS.name].observations_dropped += len(changes) - len(starts) - len(ends)
        return starts, ends

    def _in_seconds(self, changes: pl.DataFrame) -> pl.DataFrame:
        second = ((pl.max_horizontal("at_ms", pl.lit(self._open_ms)) - self._open_ms) // 1_000).cast(pl.Int32)
        return changes.with_columns(second=second)

    def _duplex_frames(self, window_end_ms: int) -> Iterator[Frame]:
        ready, waiting = _split(self._events, "at_ms", window_end_ms, no_duplex_events())
        self._events, self._events_waiting = [waiting], len(waiting)
        for start_ms, events in _by_window(ready, "at_ms", WINDOW_MS):
            yield from self._frames(DUPLEX, DUPLEX.partition("operational"), start_ms, duplex_rows(events))

    def _audience_frames(self, window_end_ms: int) -> Iterator[Frame]:
        """The last minute's turns as audiences; late ones join the window that is open, they cannot reach k alone."""
        turns = pl.concat(self._minute)
        self._minute = []
        fresh = Cells(turn_rows(turns, AUDIENCE), sessions_of(turns, AUDIENCE))
        before = self._held.measures
        gated = gate(self._held.joined_by(fresh, AUDIENCE.dimensions), AUDIENCE, self.k)
        self._held = gated.held
        self._reports[TURNS.name].observations_held += _newly_held(before, gated.held.measures)
        if len(gated.released):
            yield from self._frames(TURNS, AUDIENCE, window_end_ms - AUDIENCE_WINDOW_MS, gated.released)

    def _heartbeat_frames(self, window_end_ms: int) -> Iterator[Frame]:
        rows = heartbeat_rows(self.region, {name: report.as_measures() for name, report in self._reports.items()})
        self._reports = _no_reports()
        yield from self._frames(HEARTBEATS, HEARTBEATS.partitions[0], window_end_ms - WINDOW_MS, rows)

    def _frames(
        self, family: Family, partition: PrivacyPartition, window_start_ms: int, rows: pl.DataFrame
    ) -> Iterator[Frame]:
        if family.name in self._reports:
            self._reports[family.name].rows_sent += len(rows)
        table = _table(family, rows)
        for offset in range(0, len(table), FRAME_ROWS_MAX):
            yield from self._sized(family, partition, window_start_ms, table.slice(offset, FRAME_ROWS_MAX))

    def _sized(
        self, family: Family, partition: PrivacyPartition, window_start_ms: int, table: pa.Table
    ) -> Iterator[Frame]:
        """One frame, or as many as it takes for each to stay below the largest payload."""
        sequence = self._sequences[family.name]
        header = FrameHeader(
            family, partition, self.producer, self.incarnation, sequence, window_start_ms, self.content_type
        )
        headers, payload = encode(header, table) if self.content_type == ARROW else ndjson.encode(header, table)
        if len(payload) <= FRAME_BYTES_MAX:
            self._sequences[family.name] += 1
            yield Frame(header, headers, payload, len(table))
            return
        half = len(table) // 2
        assert half, "a single row exceeds the largest payload"
        yield from self._sized(family, partition, window_start_ms, table.slice(0, half))
        yield from self._sized(family, partition, window_start_ms, table.slice(half))


_AUDIENCE_INPUTS = tuple(
    name for name in no_turns().columns if name not in ("ended_at_ms", "session", "region", "route", "bundle")
)


def _split(chunks: list[pl.DataFrame], time: str, end_ms: int, none: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    rows = pl.concat([none, *chunks])
    return rows.filter(pl.col(time) < end_ms), rows.filter(pl.col(time) >= end_ms)


def _by_window(rows: pl.DataFrame, time: str, width_ms: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """The rows of each window that has any, oldest first."""
    window = pl.col(time) // width_ms * width_ms
    parts = rows.with_columns(_window=window).partition_by("_window", as_dict=True, include_key=False)
    for (start_ms,), part in sorted(parts.items()):
        yield int(start_ms), part


def _newly_held(before: pl.DataFrame, after: pl.DataFrame) -> int:
    """Held turns that were not held before: a hold that is not released only grows."""
    earlier = before.select("pool", earlier="turns").group_by("pool").sum()
    grown = after.join(earlier, on="pool", how="left").select(
        (pl.col("turns") - pl.col("earlier").fill_null(0)).clip(0).sum()
    )
    return int(grown.item())


def _table(family: Family, rows: pl.DataFrame) -> pa.Table:
    schema = arrow_schema(family)
    absent = [pl.lit(None, pl.String).alias(name) for name in family.dimensions if name not in rows.columns]
    return rows.with_columns(absent).select(schema.names).to_arrow().cast(schema)
