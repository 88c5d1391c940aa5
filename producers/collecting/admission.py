"""What of a batch may be written down: before anything is on disk, private values and undeclared columns are gone.

A recorder that is not ours, or is newer, may send anything. What the contract does not let leave a host is counted by
reason and forgotten (`producers/refusing.py`); the batch goes on without it, also to the journal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pyarrow as pa

from producers.collecting.records import DiskRecord, packed
from producers.kinds import KINDS
from producers.observation_batches import (
    Batch,
    BatchHeader,
    MalformedBatch,
    OfNewerVersion,
    decode_batch,
    encode_batch,
    header_as_json,
    header_of_json,
)
from producers.refusing import admit_rows, refused_by_pool
from schemas.refusals import Refusal, Refused

ByPool = Mapping[str, Refused]
"""What was refused, by pool; of an unknown one, under the first."""
_JOURNALLED = frozenset(("header", "at_ms", "refused", "withheld"))
_REASONS = frozenset(Refusal)


@dataclass(frozen=True, slots=True)
class Received:
    """A batch without what was refused of it, the bytes of exactly that, and when it came.

    `refused` are observations, `withheld` the values of undeclared columns that family `privacy` is told of, `dropped` all such values.
    """

    batch: Batch
    body: bytes
    at_ms: int
    refused: ByPool = field(default_factory=dict)
    withheld: ByPool = field(default_factory=dict)
    dropped: Refused = field(default_factory=Refused)

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
        return Received(batch, body, at_ms)
    return Received(
        replace(batch, rows=admitted.rows),
        encode_batch(header, admitted.rows)[1],
        at_ms,
        refused_by_pool(batch.rows, admitted.why),
        batch.undeclared.withheld,
        batch.undeclared.dropped,
    )


def _says_more(body: bytes) -> bool:
    """Whether the stream has notes of its own beside its columns."""
    with pa.ipc.open_stream(body) as reader:
        return bool(reader.schema.metadata) or any(column.metadata for column in reader.schema)


def journalled(each: Received) -> bytes:
    """The record of the journal that `read_again` reads."""
    head = {"header": header_as_json(each.batch.header), "at_ms": each.at_ms, "refused": _as_json(each.refused)}
    if each.withheld:
        head["withheld"] = _as_json(each.withheld)
    return packed(head, each.body)


def read_again(record: DiskRecord) -> Received | None:
    """A batch of the journal; None where this version cannot read it. Raises `OfNewerVersion`."""
    head = record.head
    if head.keys() - _JOURNALLED:
        raise OfNewerVersion("The batch says something that only a newer version knows.")
    header, at_ms = header_of_json(head["header"]), int(head["at_ms"])
    refused, withheld = (_of_json(head.get(name, {})) for name in ("refused", "withheld"))
    try:
        return Received(decode_batch(header, record.body), record.body, at_ms, refused, withheld)
    except MalformedBatch:
        return None


def _as_json(by_pool: ByPool) -> dict[str, dict[str, int]]:
    return {pool: refused.as_dict() for pool, refused in by_pool.items()}


def _of_json(by_pool: Mapping[str, Mapping[str, int]]) -> ByPool:
    if {reason for reasons in by_pool.values() for reason in reasons} - _REASONS:
        raise OfNewerVersion("The batch was refused for a reason that only a newer version knows.")
    return {
        pool: Refused(tuple((Refusal(reason), count) for reason, count in reasons.items()))
        for pool, reasons in by_pool.items()
    }
