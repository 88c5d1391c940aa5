"""Rows that are saved whole whenever any of them changed: few enough for that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from stream_jobs.operators.totals.blocks import Block, body, chunks_below_limit, stamped, unpack_rows

Schema = Mapping[str, type[pl.DataType]]


class SavedRows:
    """Writes one table of a shard in as many blocks as it takes, whose keys begin with `prefix`; what were more are empty then."""

    def __init__(self, prefix: str, schema: Schema) -> None:
        self._prefix, self._schema = prefix, dict(schema)
        self._places = 0

    @property
    def keys(self) -> list[bytes]:
        """Those of the blocks that there are."""
        return [self._key(place) for place in range(self._places)]

    def blocks(self, rows: pl.DataFrame, applied_offset: int) -> Iterator[Block]:
        """All of the rows, stamped with the newest offset applied."""
        chunks = list(chunks_below_limit(rows))
        chunks += list(chunks_below_limit(rows.clear())) * (self._places - len(chunks))
        self._places = len(chunks)
        for key, packed in zip(self.keys, chunks, strict=True):
            yield Block(key, stamped(applied_offset, packed))

    def restored(self, stored: dict[bytes, bytes], measures: Sequence[str] = ()) -> pl.DataFrame:
        """What `blocks` wrote, among other blocks; no row where it wrote nothing. `measures` are 0 where they were not declared then."""
        parts = [pl.DataFrame(schema=self._schema)]
        while (key := self._key(self._places)) in stored:
            rows = unpack_rows(body(stored[key]), measures)
            parts.append(rows.select(*self._schema).cast(self._schema))  # type: ignore[arg-type]
            self._places += 1
        return pl.concat(parts)

    def _key(self, place: int) -> bytes:
        return f"{self._prefix}|{place}".encode()
