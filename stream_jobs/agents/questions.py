"""What the question stages share: partials in, by shard; rollups out."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from schemas.families import FAMILIES
from schemas.metrics import WorkerMetrics
from schemas.partials import Partial, decode
from schemas.rollups import encode
from schemas.topics import ROLLUPS, partials
from stream_jobs.agents.exact import Event, Outgoing

_ROLLUP_ROWS = 5_000

FAMILY_OF = {partials(name): name for name in FAMILIES}


def partial_of(event: Event) -> Partial:
    message = event.message
    return decode(FAMILIES[FAMILY_OF[message.topic]], dict(message.headers or ()), message.value or b"")


def rollup_messages(shard: int, table: str, rows: pa.Table, metrics: WorkerMetrics) -> Iterator[Outgoing]:
    """`rows` for `table` in messages that stay well below the broker's limit."""
    metrics.rollup_rows_sent.labels(table).inc(rows.num_rows)
    for first in range(0, rows.num_rows, _ROLLUP_ROWS):
        headers, value = encode(table, rows.slice(first, _ROLLUP_ROWS))
        yield Outgoing(ROLLUPS, value, headers, partition=shard)
