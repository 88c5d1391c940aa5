"""The slices of a shard by number, in the order in which they were first seen: arrays of counts are addressed by it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.families import OPERATIONAL, TURNS
from schemas.slices import cut_of
from stream_jobs.operators.blocks import Block, body, pack_json, stamped, unpack_json

_PAGE_SLICES = 2_000
_PARTITION_OF_CUT = {cut.name: cut.partition for cut in TURNS.cuts}


class SliceNumbers:
    """Only ever grows. `texts[number]` and `first_seen_ms[number]` tell of a slice."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.first_seen_ms: list[int] = []
        self._numbers: dict[str, int] = {}
        self._by_minute: list[bool] = []
        self._by_minute_array = np.zeros(0, dtype=bool)
        self._saved = 0

    def __len__(self) -> int:
        return len(self.texts)

    def admit(self, text: str, first_ms: int) -> None:
        """Numbers a slice that has none yet."""
        if text in self._numbers:
            return
        self._numbers[text] = len(self.texts)
        self.texts.append(text)
        self.first_seen_ms.append(first_ms)
        self._by_minute.append(_PARTITION_OF_CUT.get(cut_of(text)) != OPERATIONAL.name)

    def of(self, texts: Iterable[str]) -> NDArray[np.int64]:
        """The numbers of admitted slices."""
        return np.array([self._numbers[text] for text in texts], dtype=np.int64)

    @property
    def by_minute(self) -> NDArray[np.bool_]:
        """By number: whether the slice's buckets are a minute wide (its cut has an identifying dimension)."""
        if len(self._by_minute_array) < len(self):
            self._by_minute_array = np.array(self._by_minute, dtype=bool)
        return self._by_minute_array

    def is_fine(self) -> pl.Expr:
        """True for rows whose slice has buckets of 10 s."""
        wide = [text for text, is_wide in zip(self.texts, self._by_minute, strict=True) if is_wide]
        return ~pl.col("slice").is_in(wide)

    def unsaved_blocks(self, applied_offset: int) -> Iterator[Block]:
        """The pages that grew since the last call."""
        pages = range(self._saved // _PAGE_SLICES, -(-len(self) // _PAGE_SLICES)) if self._saved < len(self) else ()
        for page in pages:
            members = slice(page * _PAGE_SLICES, (page + 1) * _PAGE_SLICES)
            pairs = list(zip(self.texts[members], self.first_seen_ms[members], strict=True))
            yield Block(f"slices|{page}".encode(), stamped(applied_offset, pack_json(pairs)))
        self._saved = len(self)

    def restore(self, stored: dict[bytes, bytes]) -> None:
        pages = sorted(
            (int(key.split(b"|")[1]), body(value)) for key, value in stored.items() if key.startswith(b"slices|")
        )
        for text, first_ms in (pair for _, page in pages for pair in unpack_json(page)):
            self.admit(text, first_ms)
        self._saved = len(self)
