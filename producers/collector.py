"""The regional collector: takes observations in, closes windows as event time passes, and hands out frames.

Every partition of every family has windows of its own, as long as its k-window. Observations that come after their
window was closed make one more frame for that window where it identifies nobody, so they are late, not lost. In a
partition that identifies, they pass the gate as `producers/open_windows.py` says. What is held is counted in the
heartbeat of the window that held it first. What no later window could release until the collector ends stays private:
counted as held, whole in the operational partition, absent from the others.

The state is plain values, tables that never change, and dataclasses of those, so that a process can write it down.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields

import polars as pl

from producers.aggregate import heartbeat_rows
from producers.aggregated import ROW_KINDS, ended
from producers.cells import cells_of, identifying, of_nobody_generalised
from producers.counting import rows_of, sifted
from producers.engine_windows import QueueWindows, ReleaseWindows
from producers.framing import Frame, Framing
from producers.kinds import KINDS, OF_STATE, Kind
from producers.noising import Noising, Place, Sampler, noised
from producers.open_windows import Closed, OpenWindows
from producers.refusing import refused_by_pool
from producers.stream_windows import StreamWindows
from producers.tally import Tally
from schemas.families import (
    AUDIENCE,
    FAMILIES,
    HEARTBEATS,
    K_SESSIONS_MIN,
    OPERATIONAL,
    PRIVACY,
    QUEUES,
    RELEASES,
    STREAMS,
    TURNS,
    Family,
    PrivacyPartition,
)
from schemas.frames import ARROW, ContentType
from schemas.instants import DAY_MS, MINUTE_MS
from schemas.refusals import Refused

__all__ = [
    "Collector",
    "Frame",
    "Framing",
    "Noising",
    "OpenWindows",
    "QueueWindows",
    "ReleaseWindows",
    "Report",
    "StreamWindows",
    "Tally",
]

WINDOW_MS = OPERATIONAL.k_window_s * 1_000
NEVER_MS = 2**62
OBSERVATIONS_MAX = 5_000_000
"""Most observations of a kind that wait for their window; more are dropped, counted: a stalled clock cannot fill memory."""


@dataclass(slots=True)
class Report:
    """What the next heartbeat says of one family."""

    rows_sent: int = 0
    observations_seen: int = 0
    observations_dropped: int = 0
    observations_held: int = 0

    def as_measures(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in HEARTBEATS.measure_names}


def _no_reports() -> dict[str, Report]:
    return {name: Report() for name in HEARTBEATS.keys[0].vocabulary}


def _none_waiting() -> dict[str, list[pl.DataFrame]]:
    return {name: [] for name in KINDS}


@dataclass(slots=True)
class Collector:
    """One producer's windows and sequence numbers. `opens_at_ms` is where its event time begins.

    `incarnation` has to grow with every start of this producer; its start in ms since the epoch serves. With a `sampler`
    the measures that declare noise get it in partitions that identify; without one all is exact. With `skips_silence`
    there is no heartbeat of windows in which nothing happened: for event time that runs ahead of the clock, as in a file.
    """

    producer: str
    region: str
    incarnation: int
    opens_at_ms: int
    content_type: ContentType = ARROW
    k: int = K_SESSIONS_MIN
    observations_max: int = OBSERVATIONS_MAX
    sampler: Sampler | None = None
    skips_silence: bool = False
    _open_ms: int = field(init=False)
    _waiting: dict[str, list[pl.DataFrame]] = field(init=False, default_factory=_none_waiting)
    _windows: dict[tuple[str, str], OpenWindows] = field(init=False, default_factory=dict)
    _streams: StreamWindows = field(init=False, default_factory=StreamWindows)
    _queues: QueueWindows = field(init=False, default_factory=QueueWindows)
    _releases: ReleaseWindows = field(init=False, default_factory=ReleaseWindows)
    _reports: dict[str, Report] = field(init=False, default_factory=_no_reports)
    _tally: Tally = field(init=False, default_factory=Tally)
    _noising: Noising = field(init=False, default_factory=Noising)
    _framing: Framing = field(init=False)

    def __post_init__(self) -> None:
        self._open_ms = self.opens_at_ms // WINDOW_MS * WINDOW_MS
        self._framing = Framing(self.producer, self.incarnation, self.content_type)

    def observe(self, kind: str, rows: pl.DataFrame) -> int:
        """Takes in observations of a kind (`KINDS`), of any time and in any order; returns how many were sound and fitted.

        Starts of streams before `opens_at_ms` are already active.
        """
        waiting = self._waiting[kind]
        if rows.is_empty():
            return 0
        sound = sifted(kind, rows)
        kept = sound.sound.head(max(0, self.observations_max - sum(map(len, waiting))))
        waiting.append(kept)
        for pool, refused in refused_by_pool(rows, sound.why).items():
            self.note_refused(kind, pool, refused)
        dropped = len(rows) - len(kept)
        # The window that judges changes of streams says that it has seen them: none says more dropped than seen.
        self._note(kind, seen=dropped if kind == "streams" else len(rows), dropped=dropped)
        return len(kept)

    def observe_turns(self, turns: pl.DataFrame) -> None:
        """Takes in turns (`TURN_COLUMNS`), which count in the window that they ended in."""
        self.observe("turns", turns)

    def observe_streams(self, changes: pl.DataFrame) -> None:
        """Takes in starts and ends of streams (`STREAM_COLUMNS`)."""
        self.observe("streams", changes)

    def observe_duplex(self, events: pl.DataFrame) -> None:
        """Takes in full-duplex events (`DUPLEX_COLUMNS`)."""
        self.observe("duplex", events)

    def note_dropped(self, kind: str, count: int) -> None:
        """Counts observations of a kind that will never come here, or were refused before."""
        self._note(kind, seen=count, dropped=count)

    def note_refused(self, kind: str, pool: str, refused: Refused) -> None:
        """Tells family `privacy` of observations that were refused before they came here, of a kind or of `UNKNOWN`."""
        self._tally.refused(kind, pool, refused)

    @property
    def open_ms(self) -> int:
        """Where the window begins that is closed next."""
        return self._open_ms

    @property
    def waiting_rows(self) -> int:
        """Observations in memory, each a row, whose operational window is not closed."""
        return sum(len(chunk) for chunks in self._waiting.values() for chunk in chunks)

    @property
    def open_streams(self) -> pl.Series:
        """The sessions that are live, or of which a change waits for its window."""
        parts = [self._streams.live, *self._waiting["streams"]]
        return pl.concat([part.select("session") for part in parts])["session"].unique()

    @property
    def has_open_windows(self) -> bool:
        """Whether an observation, a cell of any partition, or news for a heartbeat waits for its window; held cells do not."""
        news = any(report.observations_seen for report in self._reports.values())
        return news or self.waiting_rows > 0 or any(windows.parts for windows in self._windows.values())

    def state(self) -> dict[str, object]:
        """Everything that observations and windows have made of this collector: with it another one goes on."""
        return {each.name: getattr(self, each.name) for each in fields(self) if not each.init}

    def restore(self, state: Mapping[str, object]) -> None:
        """Goes on where a collector with that state was."""
        for name, value in state.items():
            setattr(self, name, value)

    def close(self, watermark_ms: int) -> Iterator[Frame]:
        """Frames of every window that ends at or before `watermark_ms`, oldest first, each ended by its heartbeat."""
        while self._open_ms + WINDOW_MS <= watermark_ms:
            self._skip_to(self._next_told_ms(watermark_ms))
            window_end_ms = self._open_ms + WINDOW_MS
            for kind in KINDS.values():
                ready = self._ready(kind, window_end_ms)
                if kind.name in ROW_KINDS:
                    yield from self._row_frames(kind, ready, window_end_ms)
                elif kind.name in OF_STATE:
                    yield from self._state_frames(kind, ready)
                else:
                    yield from self._counted(kind, ready, window_end_ms)
            yield from self._told_frames(self._open_ms)
            self._open_ms = window_end_ms

    def _skip_to(self, open_ms: int) -> None:
        if open_ms > self._open_ms:
            self._open_ms, self._queues.before = open_ms, None

    def _next_told_ms(self, watermark_ms: int) -> int:
        """Where the window begins that is told next: the open one, unless silence is skipped; the last one is told anyhow."""
        is_told = self._tally.counts or any(report.observations_seen for report in self._reports.values())
        is_open = len(self._streams.live) or any(windows.parts for windows in self._windows.values())
        if not self.skips_silence or is_told or is_open:
            return self._open_ms
        times = [chunk[KINDS[kind].time].min() for kind, chunks in self._waiting.items() for chunk in chunks]
        first_ms = min([watermark_ms - WINDOW_MS, *(int(time) for time in times if isinstance(time, int))])
        return max(self._open_ms, first_ms // WINDOW_MS * WINDOW_MS)

    def flush(self, watermark_ms: int) -> Iterator[Frame]:
        """Closes what is open at the end, to the end of its minute.

        What lies in a longer window that is not over by then, or stays below k, is never released.
        """
        yield from self.close(-(-max(watermark_ms, self._open_ms) // MINUTE_MS) * MINUTE_MS)

    def tell_rows(self, kind: str) -> Iterator[Frame]:
        """Frames of all aggregated rows of a kind that wait, each for its own window: whoever ends waits for no window's end."""
        yield from self._row_frames(KINDS[kind], self._ready(KINDS[kind], NEVER_MS), NEVER_MS)

    @property
    def noise_spent(self) -> tuple[Mapping[Place, int], Mapping[Place, int]]:
        """Windows of the newest day that were told with noise, and those told as 0 because the budget was spent."""
        return self._noising.spent, self._noising.withheld

    @property
    def unfinished(self) -> dict[str, int]:
        """By family: observations in windows that are not over, as its first partition counts them."""
        waiting = {
            family.name: self._windows[family.name, family.partitions[0].name].unfinished
            for family in FAMILIES.values()
            if (family.name, family.partitions[0].name) in self._windows
        }
        return {name: count for name, count in waiting.items() if count}

    @property
    def held_turns(self) -> int:
        """Turns that wait below k; after `flush` they are missing from the audience partition, and only there."""
        return self.waiting(TURNS, AUDIENCE)

    def waiting(self, family: Family, partition: PrivacyPartition) -> int:
        """Observations that the partition has not told yet, for their window is not over or their pool is below k."""
        windows = self._windows.get((family.name, partition.name))
        return windows.observations if windows else 0

    def _ready(self, kind: Kind, window_end_ms: int) -> pl.DataFrame:
        if not self._waiting[kind.name]:
            return kind.none
        rows = pl.concat([kind.none, *self._waiting[kind.name]])
        later = rows.filter(pl.col(kind.time) >= window_end_ms)
        self._waiting[kind.name] = [later] if len(later) else []
        return rows.filter(pl.col(kind.time) < window_end_ms) if len(later) else rows

    def _counted(self, kind: Kind, ready: pl.DataFrame, window_end_ms: int) -> Iterator[Frame]:
        """Frames of every partition of the kind's families whose window ends now."""
        partitions = [(family, partition) for family in kind.families for partition in family.partitions]
        widths_ms = {partition.k_window_s * 1_000 for _, partition in partitions}
        windows = {width_ms: list(_by_window(ready, kind.time, width_ms)) for width_ms in widths_ms}
        for family, partition in partitions:
            width_ms = partition.k_window_s * 1_000
            is_plain = width_ms == WINDOW_MS and not identifying(partition)
            for start_ms, observations in windows[width_ms]:
                if is_plain:
                    yield from self._frames(family, partition, start_ms, rows_of(family, partition, observations))
                else:
                    self._fold(family, partition, start_ms, observations)
            if not is_plain and window_end_ms % width_ms == 0:
                yield from self._closed(family, partition, window_end_ms - width_ms)

    def _fold(self, family: Family, partition: PrivacyPartition, start_ms: int, observations: pl.DataFrame) -> None:
        told, windows = of_nobody_generalised(observations, partition), self._open(family, partition)
        rows = rows_of(family, partition, told)
        if self._is_noised(windows, family, partition):
            rows = self._noising.bounded(rows, told, family, partition)
        cells = cells_of(told, rows, family, partition, self.k)
        windows.fold(start_ms, cells, family, partition, self.k)

    def _open(self, family: Family, partition: PrivacyPartition) -> OpenWindows:
        return self._windows.setdefault((family.name, partition.name), OpenWindows())

    def _closed(self, family: Family, partition: PrivacyPartition, start_ms: int) -> Iterator[Frame]:
        windows = self._open(family, partition)
        if not identifying(partition):
            for closed in windows.summed(family, partition):
                yield from self._frames(family, partition, closed.window_start_ms, closed.released)
            return
        before = windows.held_cells(family, partition)
        for closed in self._released(windows, start_ms, family, partition):
            self._tally.released(closed.released, family, partition)
            yield from self._frames(family, partition, closed.window_start_ms, closed.released)
        newly_held = self._tally.held(before, windows.held_cells(family, partition), family, partition)
        self._reports[family.name].observations_held += newly_held

    def _released(
        self, windows: OpenWindows, start_ms: int, family: Family, partition: PrivacyPartition
    ) -> Iterable[Closed]:
        """What the gate lets go, with noise where that is wanted."""
        is_noised = self._is_noised(windows, family, partition)
        closed = list(windows.gated(start_ms, family, partition, self.k))
        if not is_noised or self.sampler is None:
            return closed
        self._noising.settle(windows.held_cells(family, partition), family, partition)
        return self._noising.told(closed, start_ms // DAY_MS, self.sampler, family, partition)

    def _is_noised(self, windows: OpenWindows, family: Family, partition: PrivacyPartition) -> bool:
        """Whether there is noise for it; what waits from before there was is then made fit for it."""
        if self.sampler is None:
            self._noising.contributed = {}
            return False
        if noised(family, partition):
            self._noising.begin(windows, family, partition)
        return bool(noised(family, partition))

    def _state_frames(self, kind: Kind, ready: pl.DataFrame) -> Iterator[Frame]:
        """Frames of a kind that is counted from window to window."""
        if kind.name == "streams":
            closed = self._streams.closed(ready, self._open_ms, self.opens_at_ms)
            self._note(kind.name, seen=closed.seen, dropped=closed.dropped)
            yield from self._frames(STREAMS, OPERATIONAL, self._open_ms, closed.rows)
        elif kind.name == "queues":
            for start_ms, rows in self._queues.closed(list(_by_window(ready, kind.time, WINDOW_MS)), self._open_ms):
                yield from self._frames(QUEUES, QUEUES.partitions[0], start_ms, rows)
        else:
            yield from self._frames(RELEASES, RELEASES.partitions[0], self._open_ms, self._releases.closed(ready))

    def _row_frames(self, kind: Kind, ready: pl.DataFrame, window_end_ms: int) -> Iterator[Frame]:
        """Frames of rows that came aggregated, whose windows are over."""
        if ready.is_empty():
            return
        windows, later = ended(kind.name, ready, window_end_ms)
        self._waiting[kind.name] += later
        for window in windows:
            yield from self._frames(window.family, window.partition, window.window_start_ms, window.rows)

    def _told_frames(self, window_start_ms: int) -> Iterator[Frame]:
        """What the collector tells of itself: its tally, and last of all its heartbeat."""
        if self._tally.counts:
            yield from self._frames(PRIVACY, PRIVACY.partitions[0], window_start_ms, self._tally.rows(self.region))
            self._tally = Tally()
        heartbeat = heartbeat_rows(self.region, {name: each.as_measures() for name, each in self._reports.items()})
        self._reports = _no_reports()
        yield from self._frames(HEARTBEATS, HEARTBEATS.partitions[0], window_start_ms, heartbeat)

    def _frames(
        self, family: Family, partition: PrivacyPartition, window_start_ms: int, rows: pl.DataFrame
    ) -> Iterator[Frame]:
        if family.name in self._reports:
            self._reports[family.name].rows_sent += len(rows)
        yield from self._framing.frames(family, partition, window_start_ms, rows)

    def _note(self, kind: str, seen: int, dropped: int) -> None:
        for family in KINDS[kind].families:
            self._reports[family.name].observations_seen += seen
            self._reports[family.name].observations_dropped += dropped


def _by_window(rows: pl.DataFrame, time: str, width_ms: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """The rows of each window that has any, oldest first."""
    window = pl.col(time) // width_ms * width_ms
    parts = rows.with_columns(_window=window).partition_by("_window", as_dict=True, include_key=False)
    for (start_ms,), part in sorted(parts.items()):
        yield int(start_ms), part
