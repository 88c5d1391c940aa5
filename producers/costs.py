"""Costs: from what turns and replicas used to the rows of ten minutes. There are no prices here."""

from __future__ import annotations

import polars as pl

from producers.observations import COST_COLUMNS, with_unsaid
from producers.sifting import Sifted, at_least_zero, counted, sift
from schemas.families import COSTS, PrivacyPartition
from schemas.refusals import Refusal

GPU_MS_OF_TURN_MAX = 3_600_000
"""Most GPU time of one turn, an hour: its square is a tenth of what a row may hold."""


def sift_costs(lines: pl.DataFrame) -> Sifted:
    """Keeps the lines that can be right: no more successes than turns, and no more of any part than of its whole."""
    of_turn = pl.col("gpu_used_ms") <= GPU_MS_OF_TURN_MAX * pl.col("turns")
    rules = [
        *at_least_zero("at_ms"),
        *counted(COSTS, COST_COLUMNS),
        (Refusal.INCONSISTENT, (of_turn | (pl.col("turns") == 0)).fill_null(True)),
    ]
    return sift(with_unsaid(lines, COST_COLUMNS), rules, COSTS.dimensions)


def cost_rows(lines: pl.DataFrame, partition: PrivacyPartition) -> pl.DataFrame:
    """One row per cell of the partition, with every measure of family `costs`.

    A line that stands for several turns counts their GPU time as if each had used the same, so the sum of squares is exact
    of lines of one turn each and the least possible otherwise. What no turn used has no square.
    """
    squares = pl.when(pl.col("turns") > 0).then(_of_each() * _of_each() * pl.col("turns")).otherwise(0)
    measures = [
        (squares if name == "gpu_used_ms_sumsq" else pl.col(name)).sum().cast(pl.Int64).alias(name)
        for name in COSTS.measure_names
    ]
    return lines.group_by(partition.dimensions).agg(measures).sort(partition.dimensions)


def _of_each() -> pl.Expr:
    """GPU time of each turn of a line, in whole ms."""
    return pl.col("gpu_used_ms") // pl.max_horizontal(pl.col("turns"), pl.lit(1))
