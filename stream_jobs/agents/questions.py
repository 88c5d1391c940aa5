"""What the question stages share: partials in, by shard; rollups out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import faust
import pyarrow as pa

from schemas.failures import Undecodable
from schemas.families import FAMILIES
from schemas.metrics import WorkerMetrics
from schemas.partials import Partial, decode
from schemas.rejections import Reason, Rejected
from schemas.rollups import encode
from schemas.topics import ROLLUPS, partials
from stream_jobs.agents.diversion import Diversion, dead_letter
from stream_jobs.agents.exact import Event, Outgoing

_ROLLUP_ROWS = 5_000

FAMILY_OF = {partials(name): name for name in FAMILIES}

READ_BYTES_MAX = 16 * 1024 * 1024


class ReadPartials:
    """Partials that one question has decoded and the other has still to read: of the newest `bytes_max` of them."""

    def __init__(self, bytes_max: int = READ_BYTES_MAX) -> None:
        self._bytes_max, self._bytes = bytes_max, 0
        self._known: dict[tuple[str, int, int], Partial] = {}

    def take(self, place: tuple[str, int, int]) -> Partial | None:
        """The partial of a topic, partition and offset; asked for once."""
        partial = self._known.pop(place, None)
        if partial is not None:
            self._bytes -= partial.rows.nbytes
        return partial

    def keep(self, place: tuple[str, int, int], partial: Partial) -> None:
        self.take(place)
        self._known[place] = partial
        self._bytes += partial.rows.nbytes
        while self._bytes > self._bytes_max:
            self.take(next(iter(self._known)))


_READ = ReadPartials()


def read_partials(events: Iterable[Event], sources: int, diversion: Diversion) -> Iterator[Partial]:
    """The partials of `sources` partitions; what is none is diverted. One of a newer format ends the worker."""
    for event in events:
        try:
            yield _partial_of(event, sources)
        except Undecodable as error:
            divert(event, error, diversion)


def divert(event: Event, error: Undecodable, diversion: Diversion) -> None:
    """Takes down that a record of a topic of our own is none of ours."""
    message = event.message
    rejected = Rejected(Reason.UNDECODABLE, str(error))
    diversion.divert(dead_letter(rejected, None, message.topic, message.partition, message.offset))


def _partial_of(event: Event, sources: int) -> Partial:
    message = event.message
    place = (message.topic, message.partition, message.offset)
    is_shared = isinstance(
        event, faust.Event
    )  # By both questions, and nobody else's messages have a place of their own.
    known = _READ.take(place) if is_shared else None
    if known is not None:
        return known
    partial = decode(FAMILIES[FAMILY_OF[message.topic]], dict(message.headers or ()), message.value or b"")
    if partial.source_partition not in range(sources):
        raise Undecodable(f"The partial is of a source partition that is none of the {sources} there are.")
    if is_shared:
        _READ.keep(place, partial)
    return partial


def rollup_messages(shard: int, table: str, rows: pa.Table, metrics: WorkerMetrics) -> Iterator[Outgoing]:
    """`rows` for `table` in messages that stay well below the broker's limit."""
    metrics.rollup_rows_sent.labels(table).inc(rows.num_rows)
    for first in range(0, rows.num_rows, _ROLLUP_ROWS):
        headers, value = encode(table, rows.slice(first, _ROLLUP_ROWS))
        yield Outgoing(ROLLUPS, value, headers, partition=shard)
