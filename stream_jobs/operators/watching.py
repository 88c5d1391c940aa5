"""Watches: questions that are asked of the very totals that rollups are told from.

`traffic` has the open buckets of every family. A question that needs those, bucket by bucket, watches them there instead of
reading the same partials into a ledger of its own: half of the work and of the memory, and its figures are those that land
in ClickHouse. What a watch remembers of buckets that are folded is its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import polars as pl
import pyarrow as pa

from schemas.families import Family
from stream_jobs.operators.totals.blocks import Block


@dataclass(frozen=True, slots=True)
class Statement:
    """What a watch says to another stage: the record of a topic, keyed by the shard that says it."""

    topic: str
    payload: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


class Known(Protocol):
    """How far a shard has come, at the instant at which its watches are asked."""

    @property
    def now_ms(self) -> int:
        """That instant by the clock; for how often to say something, never for what."""

    def is_open(self, family: Family, bucket_start_ms: int) -> bool:
        """Whether totals of the bucket are kept, in the first privacy partition of a family.

        Those of one that is not are told no more, after a start neither.
        """

    def decidable_until_ms(self, family: Family) -> int:
        """The end of the newest bucket that can be decided in the first privacy partition of a family; event time."""

    def completeness(self, family: Family, bucket_end_ms: int) -> float:
        """The share of the family's recent volume that has reported up to an instant, in its first privacy partition."""


class Watch(Protocol):
    """One question in one shard. State is saved, and restored, with that of the family it is saved with."""

    @property
    def families(self) -> tuple[Family, ...]:
        """Those it is told the totals of. With the first one's blocks its own are saved: their keys begin with its name."""

    @property
    def left_out(self) -> int:
        """How many slices of the newest bucket are not watched, being too many; 0 where all are."""

    def tell(self, family: Family, totals: pl.DataFrame, oldest_open_ms: int) -> None:
        """Takes the buckets that changed, whole, at the family's widest width: bucket_start_ms, slice, keys, measures, version.

        A bucket that is told again replaces what was told of it. Those that begin before `oldest_open_ms` are told no more.
        """

    def rows(self) -> Iterator[tuple[str, pa.Table]]:
        """(table, rows) of what changed since the last call."""

    def statements(self, known: Known) -> Iterator[Statement]:
        """What there is to say by now and was not said yet; after `rows`."""

    def unsaved_blocks(self, applied_offset: int) -> Iterator[Block]:
        """What changed since the last call, stamped with the newest offset applied."""

    def forgotten_blocks(self) -> Iterator[Block]:
        """The keys of what is kept no more, to be confirmed after the others."""

    def restore(self, stored: dict[bytes, bytes]) -> None:
        """Takes up what `unsaved_blocks` wrote, among the blocks of others."""
