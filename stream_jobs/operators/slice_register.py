"""The register of slices that a family's intake has admitted, in the order of the log.

A slice's number is given by the source offset that first named it (and by its text among those of one offset), so it
never depends on how records were batched. A cut admits so many slices; what comes later is counted under `other`, with
dimensions of a closed vocabulary kept as they are, and the overflow is counted. Numbers group slices into chunks of
state, which therefore never change their members.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import polars as pl

from schemas.dimensions import DIMENSIONS, OTHER
from schemas.families import Family
from schemas.slices import cut_of, shard_of, slice_dimensions
from stream_jobs.operators.blocks import pack_json, unpack_json

PAGE_SLICES = 2_000
_CHUNK_SLICES = {"stages": 8, "streams": 128}
_CHUNK_SLICES_DEFAULT = 1_024


class SliceRegister:
    """Slices in the order of their admission; only ever grows."""

    def __init__(self, family: Family, slices_max: int) -> None:
        self._slices_max = slices_max
        self._chunk_slices = _CHUNK_SLICES.get(family.name, _CHUNK_SLICES_DEFAULT)
        self._numbers: dict[str, int] = {}
        self._admitted: Counter[str] = Counter()
        self._saved = 0
        self._known = self._lookup([])
        self._shards = pl.DataFrame(schema={"slice": pl.String, "shard": pl.Int32})

    def __len__(self) -> int:
        return len(self._numbers)

    def numbered(self, rows: pl.DataFrame, overflowed: Counter[str]) -> pl.DataFrame:
        """`rows` (with slice and offset) with the slice that each counts as, and its chunk."""
        missing = rows.join(self._known, on="slice", how="anti")
        lookup = self._known
        if not missing.is_empty():
            named = missing.group_by("slice").agg(pl.col("offset").min()).sort("offset", "slice")["slice"].to_list()
            over = self._admit_all(named, overflowed)
            lookup = pl.concat([self._known, self._lookup(over)])
        return rows.join(lookup, on="slice").with_columns(slice=pl.col("counted_as")).drop("counted_as")

    def by_shard(self, rows: pl.DataFrame, shards: int) -> dict[int, pl.DataFrame]:
        """`rows` by the shard that owns their slice."""
        if len(self._shards) != len(self._numbers):
            owners = [shard_of(text, shards) for text in self._numbers]
            self._shards = pl.DataFrame({"slice": list(self._numbers), "shard": owners}, schema=self._shards.schema)
        parts = rows.join(self._shards, on="slice").partition_by("shard", as_dict=True, include_key=False)
        return {int(key[0]): part for key, part in parts.items()}

    def unsaved_pages(self) -> Iterator[tuple[int, bytes]]:
        """(page number, packed texts) of the pages that grew since the last call."""
        texts = list(self._numbers)
        for page in range(self._saved // PAGE_SLICES, -(-len(texts) // PAGE_SLICES) if self._saved < len(texts) else 0):
            yield page, pack_json([page, texts[page * PAGE_SLICES : (page + 1) * PAGE_SLICES]])
        self._saved = len(texts)

    def restore(self, pages: list[bytes]) -> None:
        for _, texts in sorted(map(unpack_json, pages)):
            for text in texts:
                self._admit(text)
        self._known = self._lookup([(text, text) for text in self._numbers])
        self._saved = len(self._numbers)

    def _admit_all(self, named: list[str], overflowed: Counter[str]) -> list[tuple[str, str]]:
        """Admits what the cuts have room for; (slice, what it counts as) of the rest."""
        over: list[tuple[str, str]] = []
        added: list[tuple[str, str]] = []
        for text in named:
            cut = cut_of(text)
            if self._admitted[cut] < self._slices_max:
                self._admit(text)
                added.append((text, text))
                continue
            overflowed[cut] += 1
            other = _other(text)
            if other not in self._numbers:
                self._numbers[other] = len(self._numbers)
                added.append((other, other))
            over.append((text, other))
        self._known = pl.concat([self._known, self._lookup(added)])
        return over

    def _admit(self, text: str) -> None:
        self._numbers[text] = len(self._numbers)
        if OTHER not in slice_dimensions(text).values():
            self._admitted[cut_of(text)] += 1

    def _lookup(self, pairs: list[tuple[str, str]]) -> pl.DataFrame:
        columns = {
            "slice": [text for text, _ in pairs],
            "counted_as": [counted_as for _, counted_as in pairs],
            "chunk": [self._numbers[counted_as] // self._chunk_slices for _, counted_as in pairs],
        }
        return pl.DataFrame(columns, schema={"slice": pl.String, "counted_as": pl.String, "chunk": pl.Int64})


def _other(text: str) -> str:
    kept = {
        name: value if DIMENSIONS[name].vocabulary and not DIMENSIONS[name].is_identifying else OTHER
        for name, value in slice_dimensions(text).items()
    }
    return ",".join(f"{name}={value}" for name, value in kept.items())
