"""Rows that come aggregated: from metrics of others, which have no sessions, into partitions without identifying dimensions.

They wait for their window beside the observations that are counted here, and make frames of their own for it. Frames of one
window add up, so it does not matter which of them tells what, nor that some come late.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl

from schemas.dimensions import DIMENSIONS
from schemas.families import (
    COSTS,
    DUPLEX,
    OUTCOMES,
    PRIVACY,
    QUALITY,
    STAGE_LATENCIES,
    TURNS,
    Family,
    PrivacyPartition,
)

_PREFIX = "rows."
_FAMILIES = (TURNS, STAGE_LATENCIES, OUTCOMES, DUPLEX, QUALITY, COSTS, PRIVACY)


def partition_of(family: Family) -> PrivacyPartition:
    """The family's partition that identifies nobody: what has no sessions may be in no other."""
    return next(
        each for each in family.partitions if not any(DIMENSIONS[name].is_identifying for name in each.dimensions)
    )


def row_columns(family: Family) -> dict[str, pl.DataType]:
    """Columns of aggregated rows: a time within their window, then dimensions, keys and measures."""
    keys: dict[str, pl.DataType] = {key.name: pl.String() if key.vocabulary else pl.Int32() for key in family.keys}
    return {
        "at_ms": pl.Int64(),
        **{name: pl.String() for name in partition_of(family).dimensions},
        **keys,
        **{name: pl.Int64() for name in family.measure_names},
    }


FAMILY_OF_KIND: dict[str, Family] = {f"{_PREFIX}{family.name}": family for family in _FAMILIES}
"""Aggregated rows travel as a kind of their own, like observations: `rows.turns`, `rows.stages`, …"""
ROW_KINDS: dict[str, dict[str, pl.DataType]] = {kind: row_columns(family) for kind, family in FAMILY_OF_KIND.items()}


def kind_of(family: Family) -> str:
    return f"{_PREFIX}{family.name}"


@dataclass(frozen=True, slots=True)
class WindowRows:
    """The rows of one window of one family's partition, each cell once."""

    family: Family
    partition: PrivacyPartition
    window_start_ms: int
    rows: pl.DataFrame


@dataclass(slots=True)
class AggregatedRows:
    """Rows that wait for their windows to end."""

    _waiting: dict[str, list[pl.DataFrame]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(len(part) for parts in self._waiting.values() for part in parts)

    def add(self, kind: str, rows: pl.DataFrame) -> None:
        """Takes rows (`ROW_KINDS[kind]`) of any windows; those that are over join the next that ends."""
        self._waiting.setdefault(kind, []).append(rows)

    def ended(self, watermark_ms: int) -> Iterator[WindowRows]:
        """Every window that ends at or before the watermark, and is not waited for any longer."""
        for kind, parts in sorted(self._waiting.items()):
            family = FAMILY_OF_KIND[kind]
            width_ms = partition_of(family).k_window_s * 1_000
            rows = pl.concat(parts)
            start_ms = pl.col("at_ms") // width_ms * width_ms
            is_over = start_ms + width_ms <= watermark_ms
            self._waiting[kind] = [rows.filter(~is_over)]
            yield from _by_window(family, rows.filter(is_over).with_columns(at_ms=start_ms))


def summed(family: Family, rows: pl.DataFrame) -> pl.DataFrame:
    """One row for each cell and key of the family's partition, with the sums of its measures."""
    cell = (*partition_of(family).dimensions, *family.key_names)
    return rows.group_by(cell).agg(pl.col(family.measure_names).sum()).sort(cell)


def _by_window(family: Family, rows: pl.DataFrame) -> Iterator[WindowRows]:
    for (start_ms,), part in sorted(rows.partition_by("at_ms", as_dict=True, include_key=False).items()):
        yield WindowRows(family, partition_of(family), int(start_ms), summed(family, part))
