"""Queues: from samples of serving engines to the rows of a window.

Counters of all samples are summed. A gauge is that of each engine's last sample in the window, summed over engines. Growth is
told as a pair: the depth of each engine's last sample in the window before, and in this one; only of engines that were
sampled in both, in the same cell. So pairs join from window to window, and an engine that comes or goes is no jump.
"""

from __future__ import annotations

import polars as pl

from producers.observations import QUEUE_COLUMNS, with_unsaid
from producers.sifting import Sifted, at_least_zero, counted, known, one_of, sift
from schemas.families import QUEUES, PrivacyPartition
from schemas.refusals import Refusal

GAUGES = tuple(measure.name for measure in QUEUES.measures if measure.merge == "gauge")
PARTS = {measure.name: measure.part_of for measure in QUEUES.measures if measure.merge == "gauge" and measure.part_of}
"""Gauges that are parts, and of which: where a part is not known nothing is said of its whole, for 0 of 100 would be a full 100 free."""
WHOLE_GAUGES = tuple(name for name in GAUGES if name not in PARTS)
"""Gauges that a sample is refused without, where it is told that they are not known: it would say that there are none."""
PAIR = ("depth_from", "depth_to")
_COUNTERS = tuple(name for name in QUEUES.measure_names if name not in (*GAUGES, *PAIR))
_ENGINE = ("host", *QUEUES.key_names)


def sift_queues(samples: pl.DataFrame) -> Sifted:
    """Keeps the samples that can be right."""
    rules = [
        *known(Refusal.MALFORMED, "host"),
        *at_least_zero("at_ms"),
        *counted(QUEUES, QUEUE_COLUMNS),
        *(one_of(key.name, key.vocabulary) for key in QUEUES.keys),
    ]
    return sift(with_unsaid(samples, QUEUE_COLUMNS), rules, QUEUES.dimensions)


def queue_rows(samples: pl.DataFrame, partition: PrivacyPartition, before: pl.DataFrame | None = None) -> pl.DataFrame:
    """One row per cell and queue of one window. `before`: `last_samples` of the window right before it."""
    cell = [*partition.dimensions, *QUEUES.key_names]
    last = last_samples(samples)
    paired = last if before is None else last.join(_depths(before), on=[*QUEUES.dimensions, *_ENGINE], how="inner")
    pairs = paired.head(0).with_columns(depth_from="depth") if before is None else paired
    summed = samples.group_by(cell).agg(pl.col(*_COUNTERS).sum())
    gauges = last.group_by(cell).agg(pl.col(*GAUGES).sum())
    grown = pairs.group_by(cell).agg(pl.col("depth_from").sum(), pl.col("depth").sum().alias("depth_to"))
    rows = summed.join(gauges, on=cell, how="left").join(grown, on=cell, how="left")
    told = [pl.col(name).fill_null(0).cast(pl.Int64) for name in QUEUES.measure_names]
    return rows.select(*cell, *told).sort(cell)


def last_samples(samples: pl.DataFrame) -> pl.DataFrame:
    """Each engine's last sample of a window: what its gauges are, and where the next window's growth begins."""
    return samples.sort("at_ms", maintain_order=True).unique(_ENGINE, keep="last", maintain_order=True)


def without_gauges(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of samples that came after their window was told: gauges and pairs were said for it, what was counted was not."""
    return rows.with_columns(pl.lit(0, pl.Int64).alias(name) for name in (*GAUGES, *PAIR))


def _depths(before: pl.DataFrame) -> pl.DataFrame:
    return before.select(*QUEUES.dimensions, *_ENGINE, depth_from="depth")
