"""Open totals: the total so far of every (slice, bucket) that may still grow, block by block.

A block holds one chunk of slices in one bucket. A histogram may have thousands of rows a slice, and a block has a limit:
one that grows beyond it is laid out in pieces, twice as many each time, by the number in the rows' keys. A row thus always
lies in the same piece, and each piece is a block of its own, with the offset that it has itself applied. What a bucket lay
in before is forgotten once the pieces are saved; what a crash leaves behind of both is merged piece by piece, from the one
that has applied most.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from schemas.families import Family
from stream_jobs.operators.totals.blocks import (
    BLOCK_BYTES_MAX,
    BLOCK_DECODED_BYTES_MAX,
    Block,
    applied_offset,
    body,
    pack_rows,
    stamped,
    unpack_rows,
)

PIECE_ROWS_MAX = 200_000
PIECES_MAX = 16_384
"""More than a histogram has indexes: then a piece is no larger than the scales of one index of eight slices."""

BlockKey = tuple[str, int, int, int, int]
"""Privacy partition, bucket start in ms, chunk of slices; in how many pieces it lies, and which of them this is."""
Whole = tuple[str, int, int]
"""The same without the piece."""


@dataclass(slots=True)
class Totals:
    """One block: totals so far of a piece of a chunk of slices in one bucket."""

    rows: pl.DataFrame
    applied: int


class OpenTotals:
    """The open buckets of one family in one source partition. `unsent`: those of which nobody has been told since."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self.blocks: dict[BlockKey, Totals] = {}
        self.unsent: set[BlockKey] = set()
        self._pieces: dict[Whole, int] = {}
        self._unsaved: set[BlockKey] = set()
        self._closed: list[BlockKey] = []
        self._outgrown: list[BlockKey] = []
        """Keys of what lies in more pieces by now, all of them in the save that comes before the one that forgets them."""
        self._merged: list[BlockKey] = []
        """The same of what a crash left behind: its pieces are yet to be saved."""

    def is_ahead_of(self, partition: str, offset: int) -> bool:
        """Whether some block has this record already: after a crash blocks may be ahead of the marker."""
        return any(key[0] == partition and totals.applied >= offset for key, totals in self.blocks.items())

    def add(self, whole: Whole, rows: pl.DataFrame, newest: int) -> None:
        """Adds rows (slice, keys, measures, and the offset they came with), those that a block has applied excepted.

        `newest`: the newest offset of the batch that they are of.
        """
        pieces = self._pieces.get(whole, 1)
        for piece, of_piece in pieces_of(self._family, rows, pieces):
            self._add((*whole, pieces, piece), of_piece, newest)

    def _add(self, key: BlockKey, part: pl.DataFrame, newest: int) -> None:
        totals = self.blocks.get(key)
        identity = ["slice", *self._family.key_names]
        measures = pl.col(self._family.measure_names).sum()
        if totals is not None and (part["offset"] <= totals.applied).any():  # After a crash alone.
            part = part.filter(pl.col("offset") > totals.applied)
        added = part[[*identity, *self._family.measure_names]]
        joined = added if totals is None else pl.concat([totals.rows, added])
        applied = newest if totals is None else max(newest, totals.applied)
        self.blocks[key] = Totals(joined.group_by(identity).agg(measures), applied)
        self._unsaved.add(key)
        self.unsent.add(key)

    def close(self, partition: str, starts_below_ms: int) -> None:
        """Forgets what began before an instant and is both saved and told."""
        closed = [
            key
            for key in self.blocks
            if key[0] == partition and key[1] < starts_below_ms and key not in self.unsent and key not in self._unsaved
        ]
        for key in closed:
            del self.blocks[key]
        for whole in {key[:3] for key in closed if key[3] > 1} - {key[:3] for key in self.blocks}:
            del self._pieces[whole]
        self._closed += closed

    def unsaved_blocks(self) -> Iterator[Block]:
        """Blocks that changed since the last call, and the keys of those that are over."""
        outgrown, self._outgrown, self._merged = self._outgrown, self._merged, []
        waiting = sorted(self._unsaved, reverse=True)
        while waiting:
            key = waiting.pop()
            if key not in self.blocks:
                continue  # It lies in more pieces by now.
            value = packed(self._family, key, self.blocks[key])
            if value is None:
                waiting += self._halve(key[:3])
            else:
                yield Block(_stored_key(self._family, key), value)
        for key in (*self._closed, *outgrown):
            yield Block(_stored_key(self._family, key), None)
        self._unsaved.clear()
        self._closed.clear()

    def _halve(self, whole: Whole) -> list[BlockKey]:
        """Lays a bucket's chunk out in twice as many pieces, all of them to be saved; what they were goes one save later."""
        pieces = self._pieces.get(whole, 1)
        outgrown = [key for piece in range(pieces) if (key := (*whole, pieces, piece)) in self.blocks]
        halves = [half for key in outgrown for half in halved(self._family, key, self.blocks[key])]
        if not self.unsent.isdisjoint(outgrown):
            self.unsent.update(key for key, _ in halves)
        for key in outgrown:
            del self.blocks[key]
            self.unsent.discard(key)
        self.blocks.update(halves)
        self._outgrown += outgrown
        self._pieces[whole] = 2 * pieces
        return [key for key, _ in halves]

    def restore(self, stored: Mapping[str, bytes]) -> None:
        """Takes up blocks by what follows `totals|` in their keys; all of it is to be told again."""
        wholes: defaultdict[Whole, list[tuple[BlockKey, Totals]]] = defaultdict(list)
        for key, value in stored.items():
            partition, start_ms, chunk, pieces, piece = (*key.split("|"), "1", "0")[:5]
            whole = (partition, int(start_ms), int(chunk))
            rows = unpack_rows(body(value), self._family.measure_names)
            rows = rows.select("slice", *self._family.key_names, *self._family.measure_names)
            wholes[whole].append(((*whole, int(pieces), int(piece)), Totals(rows, applied_offset(value))))
        for whole, found in wholes.items():
            for at, totals, is_stored in merged(self._family, found):
                self.blocks[at] = totals
                if at[3] > 1:
                    self._pieces[whole] = at[3]
                if not is_stored:
                    self._unsaved.add(at)
            self._merged += [at for at, _ in found if at[3] < self._pieces.get(whole, 1)]
        self.unsent = set(self.blocks)


def packed(family: Family, key: BlockKey, totals: Totals) -> bytes | None:
    """The stored form; nothing where it is too large for a block and can be halved."""
    value = stamped(totals.applied, pack_rows(totals.rows))
    fits = len(totals.rows) <= PIECE_ROWS_MAX and len(value) < BLOCK_BYTES_MAX
    if fits and totals.rows.estimated_size() < BLOCK_DECODED_BYTES_MAX // 2:
        return value
    return None if _numbers(family) and key[3] < PIECES_MAX else value


def pieces_of(family: Family, rows: pl.DataFrame, pieces: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """`rows` by the piece that they belong to. A family without a number among its keys never needs more than one."""
    keys = _numbers(family)
    if pieces == 1 or not keys:
        yield 0, rows
        return
    # The same in every version: piece p of n becomes p and p + n of 2n.
    piece = (pl.sum_horizontal(pl.col(keys).cast(pl.Int64)) + _ABOVE_ALL) % pieces
    parts = rows.with_columns(piece=piece).partition_by("piece", as_dict=True, include_key=False)
    yield from sorted((int(key[0]), part) for key, part in parts.items())


def halved(family: Family, key: BlockKey, totals: Totals) -> Iterator[tuple[BlockKey, Totals]]:
    """The pieces that one piece becomes where there are twice as many."""
    for piece, rows in pieces_of(family, totals.rows, 2 * key[3]):
        yield (*key[:3], 2 * key[3], piece), Totals(rows, totals.applied)


def merged(family: Family, stored: Iterable[tuple[BlockKey, Totals]]) -> Iterator[tuple[BlockKey, Totals, bool]]:
    """Blocks of one whole in as many pieces as the most numerous have; and whether each is stored like that."""
    found = dict(stored)
    pieces = max(key[3] for key in found)
    newest: dict[int, tuple[int, int, pl.DataFrame]] = {}
    for key, totals in found.items():
        split = dict(pieces_of(family, totals.rows, pieces))
        for piece in range(key[4], pieces, key[3]):
            told = (totals.applied, key[3], split.get(piece, totals.rows.clear()))
            if piece not in newest or told[:2] > newest[piece][:2]:
                newest[piece] = told
    for piece, (applied, among, rows) in sorted(newest.items()):
        if among == pieces or not rows.is_empty():
            yield (*next(iter(found))[:3], pieces, piece), Totals(rows, applied), among == pieces


def _stored_key(family: Family, key: BlockKey) -> bytes:
    where = key if key[3] > 1 else key[:3]
    return "|".join((family.name, "totals", *map(str, where))).encode()


def _numbers(family: Family) -> list[str]:
    return [key.name for key in family.keys if not key.vocabulary]


_ABOVE_ALL = 2**20
"""Makes every sum of keys positive; a power of two, so that it changes no piece."""
