"""Bounds: how many turns were at least, and at most, beyond a threshold that nobody counted?

A histogram knows of each latency only its bucket. Turns in buckets above the threshold were surely bad, those below it
surely good; those in the bucket that holds the threshold may be either. So everything is judged twice, with the fewest
and with the most bad turns that the histograms allow, and the truth lies between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from schemas.failures import BadInput
from schemas.families import SCALE_MAX, Indicator
from schemas.histograms import bucket_indexes, upper_bounds_ms
from schemas.slos import Slo

SCALES = range(-10, SCALE_MAX + 1)
"""Every scale that a histogram of the contract can have."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A latency of a stage, and on which side of it a turn is bad."""

    stage: str
    threshold_ms: int
    indicator: Indicator

    @property
    def sentence(self) -> str:
        sign = "<" if self.indicator.bad_when == "at_or_above" else "≤"
        counted = f"counted was {sign} {self.indicator.threshold_ms} ms"
        return (
            f"{self.stage} {sign} {self.threshold_ms} ms was not counted ({counted}): it is judged between the bounds "
            "of the histogram's buckets, once with the fewest bad turns that they allow and once with the most."
        )

    @property
    def place_of(self) -> dict[int, int]:
        """By scale the index of the bucket that holds the threshold: turns above it are bad, those below it good."""
        return {scale: _index(self.threshold_ms, scale) for scale in SCALES}

    def is_sharp(self, scale: int) -> bool:
        """Whether a threshold that is itself good is its bucket's upper bound: then all of that bucket is good."""
        with np.errstate(over="ignore"):
            upper_ms = float(upper_bounds_ms(np.array([self.place_of[scale]]), scale)[0])
        return self.indicator.bad_when == "above" and upper_ms == self.threshold_ms


def uncounted(slo: Slo, threshold_ms: int) -> Threshold | None:
    """The threshold to be judged from histograms; `None` where it is the one that was counted."""
    stage = slo.indicator.stage
    if stage is None or slo.indicator.threshold_ms is None:
        raise BadInput(
            f"{slo.name} has no threshold: {slo.indicator.meaning}. Leave --threshold-ms out, or name an SLO of a latency."
        )
    return None if threshold_ms == slo.indicator.threshold_ms else Threshold(stage, threshold_ms, slo.indicator)


def bounded(threshold: Threshold) -> tuple[pl.Expr, pl.Expr]:
    """Of rows of a histogram: the observations that were surely bad, and those that may have been."""
    place = pl.col("scale").cast(pl.Int64).replace_strict(threshold.place_of, return_dtype=pl.Int64)
    sharp = pl.col("scale").cast(pl.Int64).is_in([scale for scale in SCALES if threshold.is_sharp(scale)])
    is_bad = pl.col("bucket_index") > place
    may_be_bad = is_bad | ((pl.col("bucket_index") == place) & ~sharp)
    return pl.col("observations").filter(is_bad).sum(), pl.col("observations").filter(may_be_bad).sum()


def bounded_sql(threshold: Threshold) -> tuple[str, str]:
    """The same two sums for ClickHouse."""
    scales = ", ".join(map(str, SCALES))
    places = ", ".join(str(threshold.place_of[scale]) for scale in SCALES)
    firsts = ", ".join(str(threshold.place_of[scale] + threshold.is_sharp(scale)) for scale in SCALES)
    place = f"transform(toInt64(scale), [{scales}], [{places}], toInt64(0))"
    first = f"transform(toInt64(scale), [{scales}], [{firsts}], toInt64(0))"
    return f"sumIf(observations, bucket_index > {place})", f"sumIf(observations, bucket_index >= {first})"


def _index(threshold_ms: int, scale: int) -> int:
    with np.errstate(over="ignore"):  # The coarsest bounds are beyond any number.
        return int(bucket_indexes(np.array([float(threshold_ms)]), scale)[0])
