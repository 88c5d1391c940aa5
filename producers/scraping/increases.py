"""What counters grew by between two scrapes, whatever happened to the exporter in between.

- The first scrape of a target is a baseline: nobody knows when what it shows was counted.
- A value below the one before, or a younger process, is a reset: what is shown was counted since, so that is the increase.
- A series that was not there before began at zero after the last scrape. Where another one of its metric has gone at the
  same time it may be that one by another name: it is a baseline, and counted as inconsistent.
- A series that was away and comes back goes on from where it was; a missed scrape makes the next increase longer, no larger.
- A sample that its exporter stamped earlier than the one before is old: it is passed over, and counted.

A histogram is one series: any of its buckets that falls resets it as a whole, and one whose edges change is a baseline.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import polars as pl

from producers.scraping.exposition import SAMPLES, SAMPLES_MAX
from schemas.refusals import Refusal

YOUNGER_BY_S = 5.0
"""By how much a process has to have started later to be another one: boot times are rounded, and clocks are slewed."""

_SERIES, _KEY = ["metric", "series"], ["metric", "part", "series", "le"]


@dataclass(slots=True)
class Known:
    """What a target has shown so far: the newest sample of every series, and which of them the last scrape had."""

    samples: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=SAMPLES))
    present: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame(schema={name: SAMPLES[name] for name in _SERIES})
    )
    started_s: float | None = None
    is_baseline: bool = True


@dataclass(frozen=True, slots=True)
class Increases:
    """`grown` has the columns of samples, and `increase`, of every series whose increase is known."""

    grown: pl.DataFrame
    resets: int
    refused: Counter[Refusal]


def increases(known: Known, shown: pl.DataFrame, started_s: float | None) -> tuple[Known, Increases]:
    """What was counted since the last scrape, and what is known after this one.

    `shown` are the samples of counters and histograms; further columns are kept.
    """
    refused: Counter[Refusal] = Counter()
    is_younger = _is_younger(known.started_s, started_s)
    before = known.samples.clear() if is_younger else known.samples
    now = _without_old(shown, before, refused)
    compared = _compared(now, before, known.present.clear() if is_younger else known.present)
    compared = compared.with_columns(increase=_increase(known.is_baseline))
    baselines = compared.filter(pl.col("is_ambiguous")).select(_SERIES).n_unique() if len(compared) else 0
    refused[Refusal.INCONSISTENT] += 0 if known.is_baseline else baselines
    resets = compared.filter("is_reset").select(_SERIES).n_unique() if len(compared) else 0
    grown = compared.drop_nulls("increase").select(*shown.columns, "increase")
    after = Known(_remembered(now, before), now.select(_SERIES).unique(), started_s or known.started_s, False)
    return after, Increases(grown, resets + (1 if is_younger and not known.is_baseline else 0), +refused)


def _is_younger(before_s: float | None, now_s: float | None) -> bool:
    return before_s is not None and now_s is not None and now_s > before_s + YOUNGER_BY_S


def _without_old(now: pl.DataFrame, before: pl.DataFrame, refused: Counter[Refusal]) -> pl.DataFrame:
    earlier = before.drop_nulls("stamped_ms").select(*_KEY, told_ms="stamped_ms")
    is_old = (pl.col("stamped_ms") < pl.col("told_ms")).fill_null(False)
    marked = now.join(earlier, on=_KEY, how="left", nulls_equal=True).with_columns(is_old=is_old.any().over(_SERIES))
    old = marked.filter("is_old")
    refused[Refusal.CLOCK_BACKWARDS] += old.select(_SERIES).n_unique() if len(old) else 0
    return marked.filter(~pl.col("is_old")).select(now.columns)


def _compared(now: pl.DataFrame, before: pl.DataFrame, present: pl.DataFrame) -> pl.DataFrame:
    """Each sample with the one before, and what that says of its series."""
    gone = present.join(now.select(_SERIES), on=_SERIES, how="anti").select("metric").unique().to_series().to_list()
    edges = before.group_by(_SERIES).agg(edges_before=pl.col("le").count())
    is_known = pl.col("edges_before").is_not_null()
    has_other_edges = is_known & (
        pl.col("value_before").is_null().any().over(_SERIES)
        | (pl.col("le").count().over(_SERIES) != pl.col("edges_before"))
    )
    return (
        now.join(before.select(*_KEY, value_before="value"), on=_KEY, how="left", nulls_equal=True)
        .join(edges, on=_SERIES, how="left")
        .with_columns(
            is_ambiguous=has_other_edges | (~is_known & pl.col("metric").is_in(gone)),
            is_reset=(pl.col("value") < pl.col("value_before")).fill_null(False).any().over(_SERIES),
        )
        .with_columns(is_reset=pl.col("is_reset") & ~pl.col("is_ambiguous"))
    )


def _increase(is_baseline: bool) -> pl.Expr:
    if is_baseline:
        return pl.lit(None, pl.Float64)
    began_at_zero = pl.col("is_reset") | pl.col("value_before").is_null()
    since = pl.when(began_at_zero).then(pl.col("value")).otherwise(pl.col("value") - pl.col("value_before"))
    return pl.when(~pl.col("is_ambiguous")).then(since)


def _remembered(now: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """The newest sample of every series, those that are away now last; the oldest of them are forgotten first."""
    return pl.concat(
        [now.select(list(SAMPLES)), before.join(now.select(_SERIES).unique(), on=_SERIES, how="anti")]
    ).head(2 * SAMPLES_MAX)
