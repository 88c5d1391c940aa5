"""Is a quantile worse by more than is allowed? Of histograms of both bundles, at any look.

Which order statistics enclose the quantile of each side at every look: `anytime.quantile_ranks`. Blocks of time (a dozen since
the candidate began) keep this honest. The baseline's are weighed as if it had served when the candidate did, so that an evening
that is slow for both is no regression of a canary that began in it. And where the shares of slow turns scatter between blocks
more than independent turns would, counts are divided by how much: turns of a bad minute are not so many witnesses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from schemas.arrays import Floats
from schemas.canary import WatchedMetric
from schemas.histograms import ZERO_INDEX
from stream_jobs.operators.release.anytime import Bounds, quantile_ranks
from stream_jobs.operators.release.bounds import GUESSED_VARIATION_SQ, Found, known

BLOCKS_MAX, SCATTER_BLOCKS = 12, 6
"""Most blocks, and from how many on their scatter is known. Once there are so many, there are never fewer."""


@dataclass(frozen=True, slots=True)
class Tails:
    """A stage's histograms of both bundles, with `n` slices that both serve, in blocks that both served.

    `rows`: place, is_candidate, block, low_ms, high_ms (bounds of a bucket), count, weighed (how much that weighs), and
    weighed_sq, the sum of counts by their squared weights. Both sides are merged besides.
    """

    rows: pl.DataFrame
    slices: int
    baseline: _Merged
    candidate: _Merged


@dataclass(frozen=True, slots=True)
class _Merged:
    """One side's buckets, slice by slice in ascending order, and of each slice the observations that its weights leave."""

    rows: pl.DataFrame
    effective: Floats


def weighed(rows: pl.DataFrame, slice_column: str) -> pl.DataFrame:
    """From a slice, is_candidate, block and observations: count, weighed and weighed_sq besides, as of `Tails`.

    Blocks that one side did not serve are left out; in those that both did the baseline weighs as much as the candidate.
    """
    key = [slice_column, "block"]
    totals = rows.group_by(*key, "is_candidate").agg(pl.col("observations").sum().alias("total"))
    mine, others = totals.filter(pl.col("is_candidate")), totals.filter(~pl.col("is_candidate"))
    both = mine.join(others, on=key, suffix="_baseline").filter((pl.col("total") > 0) & (pl.col("total_baseline") > 0))
    times = both.select(*key, times=pl.col("total") / pl.col("total_baseline"))
    count = pl.col("observations").cast(pl.Float64)
    weight = pl.when(pl.col("is_candidate")).then(1.0).otherwise(pl.col("times"))
    return rows.join(times, on=key).with_columns(count=count, weighed=count * weight, weighed_sq=count * weight**2)


def tails_of(rows: pl.DataFrame, slices: int) -> Tails:
    """From `weighed` rows with place, scale and bucket_index; what is told of one bucket by several rows adds up."""
    cells = rows.with_columns(_edge(0).alias("low_ms"), _edge(1).alias("high_ms"))
    return Tails(cells, slices, *(_merged(cells, slices, is_candidate) for is_candidate in (False, True)))


def _edge(further: int) -> pl.Expr:
    bound = pl.lit(2.0).pow((pl.col("bucket_index") + further) * pl.lit(2.0).pow(-pl.col("scale")))
    return pl.when(pl.col("bucket_index") == ZERO_INDEX).then(0.0).otherwise(bound)


def judged_tails(watched: WatchedMetric, tails: Tails, alpha: Floats) -> Found:
    """Bounds of every slice's quantile, `alpha` being what is spent on each; half of it on either side."""
    level = watched.metric.level
    times = _dispersion(tails, level)
    times = np.fmax(times, _guessed(tails, level))
    baseline, candidate = (
        _quantiles(each, tails.slices, level, alpha / 2, times) for each in (tails.baseline, tails.candidate)
    )
    ratio, floor = watched.allowed_ratio or 1.0, watched.floor
    delta = watched.allowed_delta or 0.0
    low = candidate.bounds.low - ratio * np.fmax(baseline.bounds.high, floor) - delta
    high = candidate.bounds.high - ratio * np.fmax(baseline.bounds.low, floor) - delta
    excess = known(Bounds(low, high))
    allowed = ratio * np.fmax(baseline.value, floor) - baseline.value + delta
    nothing = np.zeros(tails.slices, dtype=np.bool_)
    return Found(baseline.value, candidate.value, allowed, excess, excess.low > 0, excess.high <= 0, nothing)


def samples(tails: Tails) -> tuple[Floats, Floats, Floats]:
    """Observations of the baseline and of the candidate, and blocks in which both served."""
    counted = tails.rows.group_by("place").agg(
        pl.col("count").filter(~pl.col("is_candidate")).sum().alias("baseline"),
        pl.col("count").filter(pl.col("is_candidate")).sum().alias("candidate"),
        pl.col("block").n_unique().alias("blocks"),
    )
    return tuple(_placed(counted, name, tails.slices) for name in ("baseline", "candidate", "blocks"))  # type: ignore[return-value] # Three.


@dataclass(frozen=True, slots=True)
class _Quantiles:
    value: Floats
    bounds: Bounds


def _merged(cells: pl.DataFrame, slices: int, is_candidate: bool) -> _Merged:
    """`effective`: Kish's size of a weighed sample, (sum of weights)^2 ÷ sum of squared weights."""
    mine = cells.filter(pl.col("is_candidate") == is_candidate)
    rows = mine.group_by("place", "low_ms", "high_ms").agg(pl.col("weighed").sum()).sort("place", "high_ms")
    sizes = mine.group_by("place").agg((pl.col("weighed").sum() ** 2 / pl.col("weighed_sq").sum()).alias("effective"))
    shares = pl.col("weighed").cum_sum().over("place") / pl.col("weighed").sum().over("place")
    return _Merged(rows.with_columns(shares.alias("share")), _placed(sizes, "effective", slices))


def _quantiles(merged: _Merged, slices: int, level: float, alpha: Floats, times: Floats) -> _Quantiles:
    count = np.maximum(np.floor(merged.effective / times), 0.0)
    ranks = _ranks(count, level, alpha)
    with np.errstate(divide="ignore", invalid="ignore"):
        low_share, high_share = ranks.low / count, ranks.high / count
    low = np.where(ranks.low >= 1, _at_share(merged, slices, low_share, "low_ms"), -np.inf)
    high = np.where(ranks.high <= count, _at_share(merged, slices, high_share, "high_ms"), np.inf)
    edges = [_at_share(merged, slices, np.full(slices, level), name) for name in ("low_ms", "high_ms")]
    return _Quantiles((edges[0] + edges[1]) / 2, Bounds(low, high))


def _ranks(count: Floats, level: float, alpha: Floats) -> Bounds:
    """`quantile_ranks` of slices that have an alpha each: of those with the same one together."""
    low, high = np.zeros_like(count), np.full_like(count, np.inf)
    for each in np.unique(alpha):
        these = np.flatnonzero((alpha == each) & (count >= 1))
        if len(these):
            found = quantile_ranks(count[these], level, float(each))
            low[these], high[these] = found.low, found.high
    return Bounds(low, high)


def _at_share(merged: _Merged, slices: int, share: Floats, edge: str) -> Floats:
    """The edge of the first bucket up to which at least this share of a slice's observations lies."""
    wanted = pl.Series(np.nan_to_num(share, nan=2.0))
    is_reached = pl.col("share") >= pl.col("wanted") - 1e-12
    rows = merged.rows.with_columns(wanted.gather(merged.rows["place"]).alias("wanted")).filter(is_reached)
    return _placed(rows.group_by("place", maintain_order=True).first(), edge, slices, np.nan)


def _dispersion(tails: Tails, level: float) -> Floats:
    """How many times more the difference of slow turns' shares scatters between blocks than independent turns' would.

    Slow are turns above the quantile of both sides together. Pearson's statistic over its degrees of freedom, at least 1.
    """
    sides = pl.concat([tails.baseline.rows, tails.candidate.rows])
    pooled = sides.group_by("place", "high_ms").agg(pl.col("weighed").sum()).sort("place", "high_ms")
    share = pl.col("weighed").cum_sum().over("place") / pl.col("weighed").sum().over("place")
    at = pooled.filter(share >= level).group_by("place").agg(pl.col("high_ms").min().alias("at_ms"))
    blocks = tails.rows.join(at, on="place").group_by("place", "block").agg(_counted())
    share_c, share_b = pl.col("slow_c") / pl.col("all_c"), pl.col("slow_b") / pl.col("all_b")
    both = (pl.col("slow_c") + pl.col("slow_b")) / (pl.col("all_c") + pl.col("all_b"))
    terms = blocks.with_columns(
        difference=share_c - share_b,
        weight=pl.col("all_c") * pl.col("all_b") / (pl.col("all_c") + pl.col("all_b")),
        expected=both * (1 - both),
    )
    mean = (pl.col("weight") * pl.col("difference")).sum().over("place") / pl.col("weight").sum().over("place")
    term = pl.col("weight") * (pl.col("difference") - mean) ** 2 / pl.col("expected")
    scattered = terms.with_columns(term=pl.when(pl.col("expected") > 0).then(term).otherwise(0.0))
    found = scattered.group_by("place").agg((pl.col("term").sum() / (pl.len() - 1).clip(1)).clip(1.0).alias("times"))
    return np.nan_to_num(_placed(found, "times", tails.slices, 1.0), nan=1.0)


def _guessed(tails: Tails, level: float) -> Floats:
    """The dispersion that is guessed while blocks are few, as of a share (`canary_bounds.dispersion`): 1 once they are not.

    A block's slow turns, of both sides' harmonic mean, times the squared variation of their rate.
    """
    before, now, blocks = samples(tails)
    with np.errstate(divide="ignore", invalid="ignore"):
        a_block = 2 / (1 / before + 1 / now) / blocks
    guessed = 1 + GUESSED_VARIATION_SQ["quantile"] * (1 - level) * a_block
    return np.where((blocks < SCATTER_BLOCKS) & np.isfinite(guessed), guessed, 1.0)


def _counted() -> list[pl.Expr]:
    """Slow turns and all turns of either side."""
    is_slow = pl.col("high_ms") > pl.col("at_ms")
    sides = {"c": pl.col("is_candidate"), "b": ~pl.col("is_candidate")}
    slow = [pl.col("count").filter(is_slow & each).sum().alias(f"slow_{side}") for side, each in sides.items()]
    return slow + [pl.col("count").filter(each).sum().alias(f"all_{side}") for side, each in sides.items()]


def _placed(rows: pl.DataFrame, name: str, slices: int, missing: float = 0.0) -> Floats:
    values = np.full(slices, missing)
    values[rows["place"].to_numpy()] = rows[name].to_numpy()
    return values
