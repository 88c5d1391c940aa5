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
from stream_jobs.agents.application import Application
from stream_jobs.agents.diversion import Diversion, dead_letter
from stream_jobs.agents.exact import Event, Outgoing

_ROLLUP_ROWS = 5_000

FAMILY_OF = {partials(name): name for name in FAMILIES}


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
    """What an event says; decoded once, where another question of the same worker reads it as well."""
    message = event.message
    place = (message.topic, message.partition, message.offset)
    shared = event.app.partials_read if isinstance(event, faust.Event) and isinstance(event.app, Application) else None
    known = shared.take(place) if shared else None
    if known is not None:
        return known
    partial = decode(FAMILIES[FAMILY_OF[message.topic]], dict(message.headers or ()), message.value or b"")
    if partial.source_partition not in range(sources):
        raise Undecodable(f"The partial is of a source partition that is none of the {sources} there are.")
    if shared:
        shared.keep(place, partial)
    return partial


def rollup_messages(shard: int, table: str, rows: pa.Table, metrics: WorkerMetrics) -> Iterator[Outgoing]:
    """`rows` for `table` in messages that stay well below the broker's limit."""
    metrics.rollup_rows_sent.labels(table).inc(rows.num_rows)
    for first in range(0, rows.num_rows, _ROLLUP_ROWS):
        headers, value = encode(table, rows.slice(first, _ROLLUP_ROWS))
        yield Outgoing(ROLLUPS, value, headers, partition=shard)
