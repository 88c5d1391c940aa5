"""What of a batch may be written down: before anything is on disk, private values and undeclared columns are gone.

A recorder that is not ours, or is newer, may send anything. What the contract does not let leave a host is counted by
reason and forgotten (`producers/refusing.py`); the batch goes on without it, also to the journal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import pyarrow as pa

from producers.collecting.records import DiskRecord, packed
from producers.kinds import KINDS
from producers.observation_batches import Batch, BatchHeader, MalformedBatch, decode_batch, encode_batch
from producers.refusing import admit_rows, refused_by_pool
from schemas.refusals import Refusal, Refused

ByPool = Mapping[str, Refused]
"""What was refused, by pool; of an unknown one, under the first."""


@dataclass(frozen=True, slots=True)
class Received:
    """A batch without what was refused of it, the bytes of exactly that, and when it came."""

    batch: Batch
    body: bytes
    at_ms: int
    refused: ByPool

    @property
    def rows(self) -> int:
        """As it was sent."""
        return len(self.batch.rows) + self.refused_in_all.total

    @property
    def refused_in_all(self) -> Refused:
        return sum(self.refused.values(), Refused())


def received(header: BatchHeader, body: bytes, at_ms: int) -> Received:
    """A batch as it came, admitted; raises `MalformedBatch`."""
    if header.kind not in KINDS:
        raise MalformedBatch(400, f"This collector takes no {header.kind}.")
    batch = decode_batch(header, body)
    admitted = admit_rows(batch.rows, KINDS[header.kind].columns)
    if not (admitted.why is not None or batch.unknown_columns or _says_more(body)):
        return Received(batch, body, at_ms, {})
    by_pool = refused_by_pool(batch.rows, admitted.why)
    return Received(replace(batch, rows=admitted.rows), encode_batch(header, admitted.rows)[1], at_ms, by_pool)


def _says_more(body: bytes) -> bool:
    """Whether the stream has notes of its own beside its columns."""
    with pa.ipc.open_stream(body) as reader:
        return bool(reader.schema.metadata) or any(column.metadata for column in reader.schema)


def journalled(each: Received) -> bytes:
    """The record of the journal that `read_again` reads."""
    refused = {pool: refused.as_dict() for pool, refused in each.refused.items()}
    return packed({"header": asdict(each.batch.header), "at_ms": each.at_ms, "refused": refused}, each.body)


def read_again(record: DiskRecord) -> Received | None:
    """A batch of the journal; None where this version cannot read it."""
    refused = {
        pool: Refused(tuple((Refusal(reason), count) for reason, count in by_reason.items()))
        for pool, by_reason in record.head["refused"].items()
    }
    try:
        batch = decode_batch(BatchHeader(**record.head["header"]), record.body)
    except MalformedBatch:
        return None
    return Received(batch, record.body, int(record.head["at_ms"]), refused)
