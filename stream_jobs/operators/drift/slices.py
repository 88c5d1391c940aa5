"""The slices of a shard in which drift is looked for, by number: rows of its arrays.

Numbers are given as slices are told first, up to a bound, and free again when nothing is kept of a slice any more. Slices
that differ in their bundle alone are of one group: a bundle is compared with the one before it, which the same shard owns
(`Family.owned_without`).
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.arrays import Integers
from schemas.families import Family
from schemas.instants import HOUR_MS
from schemas.slices import without_dimension

BUNDLE = "bundle"
NO_NUMBER = -1


class DriftSlices:
    """Which slice has which number, since when there is anything of it, and until when there was."""

    def __init__(self, family: Family, slices_max: int) -> None:
        self._slices_max = slices_max
        self._is_grouped = BUNDLE in family.owned_without
        self.texts: list[str] = []
        self._number: dict[str, int] = {}
        self._group_of: dict[str, int] = {}
        self._groups_given = 0
        self.changes = 0
        """Grows whenever a number comes to mean something else."""
        self._ranks = np.zeros(0, dtype=np.int64)
        self._free: list[int] = []
        self._turned_away: dict[str, int] = {}
        self.groups = self.first_ms = self.last_ms = np.zeros(0, dtype=np.int64)

    def __len__(self) -> int:
        """How many numbers there are, free ones included."""
        return len(self.texts)

    @property
    def left_out(self) -> int:
        """Slices of the last hours that got no number, being too many."""
        return len(self._turned_away)

    def numbers(self, rows: pl.DataFrame) -> Integers:
        """The number of each row's slice, of rows with slice and bucket_start_ms; `NO_NUMBER` where there was no room."""
        heard = rows.group_by("slice").agg(
            first=pl.col("bucket_start_ms").min() // HOUR_MS * HOUR_MS,
            last=pl.col("bucket_start_ms").max() // HOUR_MS * HOUR_MS,
        )
        texts = heard["slice"].to_list()
        for text in sorted(text for text in texts if text not in self._number):
            self._admit(text)
        known = np.array([self._number.get(text, NO_NUMBER) for text in texts], dtype=np.int64)
        self._note(known, heard["first"].to_numpy(), heard["last"].to_numpy(), texts)
        lookup = pl.DataFrame({"slice": texts, "number": known}, schema={"slice": pl.String, "number": pl.Int64})
        return rows.select("slice").join(lookup, on="slice", how="left", maintain_order="left")["number"].to_numpy()

    def watched(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Those of the rows, with slice and bucket_start_ms, whose slice has or will have a number; the others are counted."""
        if len(self._number) < self._slices_max:
            return rows
        self.numbers(rows.select("bucket_start_ms", "slice").unique())
        return rows.filter(pl.col("slice").is_in(list(self._number)))

    def forget(self, is_free: NDArray[np.bool_], oldest_ms: int) -> list[int]:
        """Frees numbers of slices of which nothing is kept, that is from this instant on; says which."""
        gone = [number for number in np.flatnonzero(is_free).tolist() if self.texts[number]]
        for number in gone:
            del self._number[self.texts[number]]
            self.texts[number] = ""
            self.groups[number] = NO_NUMBER
            self._free.append(number)
        self._turned_away = {text: last for text, last in self._turned_away.items() if last >= oldest_ms}
        if not gone:
            return gone
        self.changes += 1
        self._free.sort(reverse=True)
        living = {self._group_text(text) for text in self._number}
        self._group_of = {text: group for text, group in self._group_of.items() if text in living}
        return gone

    @property
    def ranks(self) -> Integers:
        """The place of each slice among all of them by name: whichever number it has."""
        if len(self._ranks) != len(self.texts):
            self._ranks = np.argsort(np.argsort(np.array(self.texts, dtype=object), kind="stable"), kind="stable")
        return self._ranks

    def restore(self, rows: pl.DataFrame) -> None:
        """Takes up slices with first_ms and last_ms; numbers are given anew."""
        for text, first_ms, last_ms in rows.select("slice", "first_ms", "last_ms").iter_rows():
            if text in self._number or self._admit(text):
                number = self._number[text]
                self.first_ms[number] = min(first_ms, self.first_ms[number])
                self.last_ms[number] = max(last_ms, self.last_ms[number])

    def _admit(self, text: str) -> bool:
        if self._free:
            number = self._free.pop()
            self.texts[number] = text
        elif len(self.texts) < self._slices_max:
            number = len(self.texts)
            self.texts.append(text)
            more = max(0, number + 1 - len(self.groups))
            self.groups, self.first_ms, self.last_ms = (
                np.pad(each, (0, more)) for each in (self.groups, self.first_ms, self.last_ms)
            )
        else:
            return False
        self._number[text] = number
        self._ranks = np.zeros(0, dtype=np.int64)
        self.changes += 1
        self.groups[number] = self._group(self._group_text(text))
        self.first_ms[number], self.last_ms[number] = np.iinfo(np.int64).max, 0
        self._turned_away.pop(text, None)
        return True

    def _group(self, text: str) -> int:
        if text not in self._group_of:
            self._group_of[text] = self._groups_given
            self._groups_given += 1
        return self._group_of[text]

    def _group_text(self, text: str) -> str:
        return without_dimension(text, BUNDLE) if self._is_grouped else text

    def _note(self, known: Integers, first_ms: Integers, last_ms: Integers, texts: list[str]) -> None:
        is_known = known >= 0
        np.minimum.at(self.first_ms, known[is_known], first_ms[is_known])
        np.maximum.at(self.last_ms, known[is_known], last_ms[is_known])
        for place in np.flatnonzero(~is_known).tolist():
            self._turned_away[texts[place]] = int(last_ms[place])
