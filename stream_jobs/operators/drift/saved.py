"""What is saved of series: their state after the last hour that can change no more, as a whole.

Each base has keys of its own, which say how many there are, so that a base of which a crash saved only a part is none;
the one before it is let go once the new one is confirmed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from stream_jobs.operators.drift.series import NAMES, Series
from stream_jobs.operators.drift.slices import DriftSlices
from stream_jobs.operators.totals.blocks import Block, body, chunks_below_limit, stamped, unpack_rows

_KIND = "held"


class SavedSeries:
    """The bases of one family in one shard, under `prefix`."""

    def __init__(self, prefix: str, figures: Sequence[str]) -> None:
        family, *rest = prefix.split("|")
        self._prefix = "|".join((family, _KIND, *rest))
        self._figures = tuple(figures)
        self._keys: list[bytes] = []
        self._forgotten: list[bytes] = []

    def blocks(self, base: Series, base_ms: int, slices: DriftSlices, applied_offset: int) -> Iterator[Block]:
        """The base of the hours before `base_ms`, and the slices that it is of."""
        chunks = list(chunks_below_limit(self._rows(base, slices)))
        keys = [f"{self._prefix}|{base_ms}|{place}|{len(chunks)}".encode() for place in range(len(chunks))]
        self._forgotten += [key for key in self._keys if key not in keys]
        self._keys = keys
        for key, packed in zip(keys, chunks, strict=True):
            yield Block(key, stamped(applied_offset, packed))

    def forgotten_blocks(self) -> Iterator[Block]:
        """The keys of former bases."""
        forgotten, self._forgotten = self._forgotten, []
        yield from (Block(key, None) for key in forgotten)

    def restored(self, stored: dict[bytes, bytes], slices: DriftSlices) -> tuple[Series, int]:
        """The newest whole base among the stored blocks, and before which hour it is; a quiet one where there is none."""
        found = _by_base([key for key in stored if key.startswith(f"{self._prefix}|".encode())])
        whole = {base: keys for base, keys in found.items() if len(keys) == base[1]}
        newest = max(whole, default=None)
        self._keys = sorted(whole[newest]) if newest else []
        self._forgotten += [key for keys in found.values() for key in keys if key not in self._keys]
        if newest is None:
            return Series.quiet(len(self._figures), len(slices)), 0
        rows = pl.concat([unpack_rows(body(stored[key]), ()) for key in self._keys])
        return self._series(rows, slices), newest[0]

    def _rows(self, base: Series, slices: DriftSlices) -> pl.DataFrame:
        """A row for each slice and figure; of a slice without anything to say the first figure's, as it tells since when it is there."""
        values = base.grown(len(slices)).values
        living = np.array([bool(text) for text in slices.texts], dtype=bool)
        is_kept = values.any(axis=0) & living
        is_kept[:1] |= living
        figure, number = np.nonzero(is_kept)
        texts = np.array(slices.texts, dtype=object)
        columns = {name: values[place][is_kept] for place, name in enumerate(NAMES)}
        return pl.DataFrame(
            {
                "slice": texts[number].tolist(),
                "figure": [self._figures[place] for place in figure.tolist()],
                "first_ms": slices.first_ms[number],
                "last_ms": slices.last_ms[number],
                **columns,
            },
            schema_overrides={"slice": pl.String, "figure": pl.String, "first_ms": pl.Int64, "last_ms": pl.Int64},
        )

    def _series(self, rows: pl.DataFrame, slices: DriftSlices) -> Series:
        """The series of the figures that are still watched; one that is new begins quiet."""
        slices.restore(rows.unique("slice", maintain_order=True))
        series = Series.quiet(len(self._figures), len(slices))
        number_of = {text: number for number, text in enumerate(slices.texts)}
        place_of = {name: place for place, name in enumerate(self._figures)}
        number = np.array([number_of.get(text, -1) for text in rows["slice"].to_list()], dtype=np.int64)
        figure = np.array([place_of.get(name, -1) for name in rows["figure"].to_list()], dtype=np.int64)
        is_known = (number >= 0) & (figure >= 0)
        for place, name in enumerate(NAMES):
            if name in rows.columns:
                series.values[place, figure[is_known], number[is_known]] = rows[name].to_numpy()[is_known]
        return series


def _by_base(keys: Sequence[bytes]) -> dict[tuple[int, int], list[bytes]]:
    """Keys by the base that they are of: before which hour, in how many blocks."""
    found: dict[tuple[int, int], list[bytes]] = {}
    for key in keys:
        base_ms, _, places = key.decode().split("|")[-3:]
        found.setdefault((int(base_ms), int(places)), []).append(key)
    return found
