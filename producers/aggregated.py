"""Rows that come aggregated: from metrics of others, which have no sessions, into partitions without identifying dimensions.

They wait for their window beside the observations that are counted here, and make frames of their own for it. Frames of one
window add up, so it does not matter which of them tells what, nor that some come late.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import polars as pl

from producers.sifting import Rule, Sifted, at_least_zero, one_of, sift
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
from schemas.refusals import Refusal

_PREFIX = "rows."
_FAMILIES = (TURNS, STAGE_LATENCIES, OUTCOMES, DUPLEX, QUALITY, COSTS, PRIVACY)


@cache
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


def ended(kind: str, rows: pl.DataFrame, watermark_ms: int) -> tuple[list[WindowRows], list[pl.DataFrame]]:
    """The windows of these rows that end at or before the watermark, oldest first, and the rows of those that do not."""
    family = FAMILY_OF_KIND[kind]
    width_ms = partition_of(family).k_window_s * 1_000
    start_ms = pl.col("at_ms") // width_ms * width_ms
    is_over = start_ms + width_ms <= watermark_ms
    parts = rows.filter(is_over).with_columns(at_ms=start_ms).partition_by("at_ms", as_dict=True, include_key=False)
    windows = [
        WindowRows(family, partition_of(family), int(begin_ms), summed(family, part))
        for (begin_ms,), part in sorted(parts.items())
    ]
    later = rows.filter(~is_over)
    return windows, [later] if len(later) else []


def summed(family: Family, rows: pl.DataFrame) -> pl.DataFrame:
    """One row for each cell and key of the family's partition, with the sums of its measures.

    Where a sum is larger than a row may hold the rows stay apart: those of one frame are added up at intake.
    """
    cell = (*partition_of(family).dimensions, *family.key_names)
    merged = rows.group_by(cell).agg(pl.col(family.measure_names).sum()).sort(cell)
    fits = merged.select(pl.all_horizontal(pl.col(each.name).max() <= each.largest for each in family.measures)).item()
    return merged if fits else rows.select(merged.columns)


def sift_rows(kind: str, rows: pl.DataFrame) -> Sifted:
    """Keeps the rows that intake would take: known keys, sound dimensions, no measure out of its bounds."""
    family = FAMILY_OF_KIND[kind]
    rules = [*at_least_zero("at_ms", *family.measure_names), *_bounds(family)]
    return sift(rows, rules, partition_of(family).dimensions)


def _bounds(family: Family) -> Iterator[Rule]:
    for measure in family.measures:
        yield Refusal.TOO_LARGE, pl.col(measure.name) <= measure.largest
        if measure.part_of is not None:
            yield Refusal.INCONSISTENT, pl.col(measure.name) <= pl.col(measure.part_of)
    for key in family.keys:
        if key.vocabulary:
            yield one_of(key.name, key.vocabulary)
        else:
            column = pl.col(key.name)
            yield Refusal.OUTSIDE_VOCABULARY, column.is_between(*key.integer_range) | (column == pl.lit(key.marker))
