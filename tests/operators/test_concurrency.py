"""Peaks of concurrent streams, from hosts to tables, against counting who is open: of every slice, across source partitions
and workers that die, after late frames, and after a host is lost.

A stream of a lost host counts until the end of the last window that the host told of: nobody knows of it any longer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from producers.observations import no_stream_changes
from producers.stream_windows import StreamWindows
from schemas.families import OPERATIONAL, STREAMS
from schemas.families.partitions import OPERATIONAL_CUTS
from schemas.frames import FrameHeader, encode
from schemas.rows import arrow_schema
from schemas.slices import slice_dimensions
from schemas.tables import late_table
from stream_jobs.operators.capacity.intervals import peak
from stream_jobs.operators.totals.opening import Record
from tests.operators.family_worlds import SOURCES, START_MS, RowKey, Sent, Worker
from tests.operators.worlds import Crash

WINDOW_MS, WINDOWS = 10_000, 12
HOSTS = ("eu-west-1", "v1"), ("eu-west-1", "v2"), ("us-east-1", "v2")
LOST, LOST_AFTER = 1, 7
"""A host, and how many windows it told of."""
LATE = 2
"""A host whose frames come up to a minute after those of others."""


@dataclass(frozen=True)
class Stream:
    host: int
    route: str
    start_ms: int
    end_ms: int

    @property
    def dimensions(self) -> dict[str, str]:
        region, bundle = HOSTS[self.host]
        return {"region": region, "pool": "realtime", "route": self.route, "bundle": bundle}


def drawn(dice: Random, count: int = 60) -> list[Stream]:
    """Streams that are open at some time from `START_MS` on; none ends with a window, whose last instant that would be."""
    streams = []
    for place in range(count):
        start = dice.randrange(-30_000, WINDOWS * WINDOW_MS)
        end = start + dice.choice((3, 900, 4_000, 25_000, 70_000)) + dice.randrange(500)
        if end > 0 and end % WINDOW_MS:
            streams.append(Stream(place % len(HOSTS), dice.choice("ab"), START_MS + start, START_MS + end))
    return streams


# -- what hosts send -----------------------------------------------------------------------------------------------------


def logs(streams: list[Stream], dice: Random) -> list[list[Sent]]:
    """By source partition the frames of its hosts, in the order in which they come."""
    found: list[list[tuple[int, Sent]]] = [[] for _ in range(SOURCES)]
    for host in range(len(HOSTS)):
        delay_ms = 60_000 if host == LATE else 500
        for sent in _frames(host, [stream for stream in streams if stream.host == host]):
            found[host % SOURCES].append((sent.start_ms + dice.randrange(delay_ms), sent))
    return [[_at(place, each) for place, (_, each) in enumerate(sorted(log, key=lambda at: at[0]))] for log in found]


def _at(offset: int, sent: Sent) -> Sent:
    record = sent.record
    return Sent(
        Record(offset, record.append_ms, record.headers, record.payload), sent.partition, sent.start_ms, sent.rows
    )


def _frames(host: int, streams: list[Stream]) -> Iterator[Sent]:
    windows = StreamWindows()
    for window in range(LOST_AFTER if host == LOST else WINDOWS):
        start_ms = START_MS + window * WINDOW_MS
        closed = windows.closed(_changes(streams, start_ms, is_first=window == 0), start_ms, START_MS)
        if len(closed.rows):
            rows = tuple(closed.rows.iter_rows(named=True))
            table = pa.Table.from_pylist(list(rows), schema=arrow_schema(STREAMS))
            headers, payload = encode(FrameHeader(STREAMS, OPERATIONAL, f"host-{host}", 1, window, start_ms), table)
            yield Sent(Record(0, start_ms + 90_000, dict(headers), payload), OPERATIONAL, start_ms, rows)


def _changes(streams: list[Stream], start_ms: int, is_first: bool) -> pl.DataFrame:
    """Starts and ends of a window; the first one has those from before, too."""
    from_ms = 0 if is_first else start_ms
    rows = [
        {"at_ms": at_ms, "session": f"{place}", "is_start": is_start, **stream.dimensions}
        for place, stream in enumerate(streams)
        for at_ms, is_start in ((stream.start_ms, True), (stream.end_ms, False))
        if from_ms <= at_ms < start_ms + WINDOW_MS
    ]
    empty = no_stream_changes()
    return pl.DataFrame(rows, schema=empty.schema) if rows else empty


# -- the truth, and what is told -----------------------------------------------------------------------------------------


def true_peaks(streams: list[Stream], width_ms: int) -> dict[tuple[str, int], int]:
    """By slice and bucket: how many were open at once, by counting intervals that are cut at the bucket's ends."""
    found = {}
    for text in {text for stream in streams for text in _slices(stream)}:
        of = slice_dimensions(text).items() - {("pool", "realtime")}
        inside = [stream for stream in streams if of <= stream.dimensions.items()]
        ends = np.array([_known_until(stream) for stream in inside])
        starts = np.minimum(np.array([stream.start_ms for stream in inside]), ends)
        for from_ms in range(START_MS, START_MS + WINDOWS * WINDOW_MS, width_ms):
            clipped = (np.clip(each, from_ms, from_ms + width_ms) for each in (starts, ends))
            found[text, from_ms] = peak(*clipped).streams
    return found


def _slices(stream: Stream) -> Iterator[str]:
    for cut in OPERATIONAL_CUTS:
        yield ",".join(f"{name}={stream.dimensions[name]}" for name in cut.dimensions)


def _known_until(stream: Stream) -> int:
    return min(stream.end_ms, START_MS + LOST_AFTER * WINDOW_MS) if stream.host == LOST else stream.end_ms


def bounds(worker: Worker, table: str) -> dict[tuple[str, int], tuple[int, int]]:
    rows = (row for _, row in worker.landed[table].values())
    return {
        (row["slice"], round(row["bucket_start"].timestamp() * 1_000)): (row["peak_lower"], row["peak_upper"])
        for row in rows
    }


def told(log: list[list[Sent]], batch: int, dice: Random | None = None) -> Worker:
    """A worker that has heard everything; with dice it dies four times between any two effects, and another takes over."""
    lives = [4 if dice else 0]

    def survive() -> None:
        if lives[0] and dice and dice.random() < 0.1:
            lives[0] -= 1
            raise Crash

    worker = Worker(STREAMS, survive)
    worker.run(log, batch)
    return worker


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("table", "width_ms"), [("concurrency_10s", WINDOW_MS), ("concurrency_1m", 60_000)])
def test_the_true_peak_of_every_slice_lies_between_its_bounds(table: str, width_ms: int, seed: int) -> None:
    dice = Random(seed)
    streams = drawn(dice)
    worker = told(logs(streams, dice), batch=3, dice=dice)
    assert not worker.landed[late_table(STREAMS)], "a minute late is in time"
    found, wanted = bounds(worker, table), true_peaks(streams, width_ms)
    assert {key for key, true in wanted.items() if true} <= set(found)
    outside = {key: (low, wanted[key], high) for key, (low, high) in found.items() if not low <= wanted[key] <= high}
    assert outside == {}
    assert any(low == high > 3 for low, high in found.values()), "the bounds say something"


def test_order_and_deaths_change_no_bound() -> None:
    dice = Random(11)
    log = logs(drawn(dice), dice)
    assert bounds(told(log, 1, dice), "concurrency_1m") == bounds(told(log, 40), "concurrency_1m")


def test_a_lost_host_takes_its_streams_along_and_those_of_others_stay() -> None:
    forever = [Stream(host, "a", START_MS + 1_500, START_MS + 300_000) for host in range(len(HOSTS))]
    found = bounds(told(logs(forever, Random(1)), batch=5), "concurrency_10s")
    of_fleet = [found["pool=realtime", START_MS + window * WINDOW_MS] for window in range(WINDOWS)]
    assert of_fleet == [(3, 3)] * LOST_AFTER + [(2, 2)] * (WINDOWS - LOST_AFTER)
    lost: RowKey = ("pool=realtime,region=eu-west-1,bundle=v1", START_MS)
    assert found[lost] == (1, 1)
