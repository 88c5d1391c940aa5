"""One scrape of one target, as observations: a sample of its queues, GPU time, and rows of families that need no session.

A scrape has one instant, that at which it was asked for. What counters grew by since the last one counts there, however
long ago that was: nobody knows when in between it happened, and parts and wholes that are spread over windows would be
rounded apart. Time that passed (`available_ms`, `gpu_reserved_ms`) is told of two intervals at most: an exporter that was
away says nothing of the time before.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import reduce

import polars as pl

from producers.scraping.amounts import (
    CELL,
    Amounts,
    Cell,
    add_arrivals,
    amounts_of,
    unknown_cells,
    whole,
    without_unknown,
)
from producers.scraping.exposition import Exposition
from producers.scraping.fixed_histograms import INDICATOR, bucket_counts, judged, stage_rows
from producers.scraping.increases import Known, increases
from producers.scraping.mapping import Mapping, mapping_of
from producers.scraping.targets import Target
from producers.scraping.telling import Telling
from schemas.families import STAGE_LATENCIES
from schemas.refusals import Refusal

INTERVALS_TOLD = 2
"""Of time that passes, no more than this many intervals are told at once."""


@dataclass(slots=True)
class TargetState:
    """What of a target is known between two scrapes. `carried`: parts of counts that were not whole yet."""

    known: Known = field(default_factory=Known)
    scraped_ms: int | None = None
    carried: Amounts = field(default_factory=dict)
    in_system: dict[Cell, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one scrape says, by kind: observations of `queues` and `costs`, and rows of families that need no session
    (`rows.stages`, `rows.turns`).

    `refused` are samples and series, `dropped` labels without which samples count; `blunt` counts histograms of an indicator without
    an edge at its threshold: nothing is said of it. Of queues that are `unknown`, by bundle and name, nothing is told this time.
    """

    kinds: dict[str, pl.DataFrame]
    refused: Counter[Refusal]
    dropped: Counter[Refusal]
    resets: int
    spans_gap: bool
    blunt: int
    unknown: set[Cell]


def reading(
    target: Target, region: str, state: TargetState, shown: Exposition, at_ms: int, interval_ms: int
) -> Reading:
    """What a target says at `at_ms`, later than before; its state is then that after the scrape."""
    mapping, before_ms = mapping_of(target.kind), at_ms if state.scraped_ms is None else state.scraped_ms
    samples, refused = _with_cells(shown, target, mapping)
    is_baseline = state.known.is_baseline
    state.known, news = increases(state.known, _counters(samples, mapping), shown.started_s)
    passed_ms = min(at_ms - before_ms, INTERVALS_TOLD * interval_ms)
    amounts = amounts_of(mapping, target, samples, news.grown, passed_ms)
    unknown = unknown_cells(mapping, target, shown)
    if mapping.arrivals == "derived":
        state.in_system = add_arrivals(amounts, state.in_system, unknown, is_baseline, news.resets > 0)
    counts, state.carried = whole(*without_unknown(amounts, unknown, mapping, state.carried))
    state.scraped_ms = at_ms
    stages, outcomes, blunt = _histograms(mapping, target, news.grown)
    told = Telling(target, target.region or region, at_ms)
    kinds = {
        "queues": told.queues(counts),
        "costs": told.costs(counts),
        "rows.stages": told.rows(STAGE_LATENCIES, stages),
        "rows.turns": told.turns(counts, outcomes),
    }
    return Reading(
        {kind: rows for kind, rows in kinds.items() if len(rows)},
        shown.refused + refused + news.refused,
        shown.dropped + _models_dropped(target, shown),
        news.resets,
        at_ms - before_ms > 1.5 * interval_ms,
        blunt,
        unknown,
    )


def _with_cells(shown: Exposition, target: Target, mapping: Mapping) -> tuple[pl.DataFrame, Counter[Refusal]]:
    """Samples with the bundle and queue of their model; those of a model that nobody declared are refused, of one that is called what
    is private for that.

    A share of more than the whole is none. Information has no model, and is joined to what has one.
    """
    info = {name for entry in mapping.of("info") for name in entry.names}
    models = shown.samples["model"].unique().to_list()
    cells = [(model, *(target.served(model) or (None, None))) for model in models]
    known = pl.DataFrame(cells, {"model": pl.String, "bundle": pl.String, "queue": pl.String}, orient="row")
    celled = shown.samples.join(known, on="model", how="left", nulls_equal=True)
    is_info, is_known = pl.col("metric").is_in(info), pl.col("bundle").is_not_null()
    shares = {name: entry.factor for entry in mapping.of("share", "utilisation") for name in entry.names}
    is_more = reduce(_either, [_is(name) & (pl.col("value") * by > 1.0) for name, by in shares.items()], pl.lit(False))
    refused = Counter({Refusal.INCONSISTENT: len(celled.filter(is_more))})
    for model, count in celled.filter(~is_info & ~is_known)["model"].value_counts().rows():
        refused[shown.private_models.get(model, (Refusal.OUTSIDE_VOCABULARY, 0))[0]] += count
    return celled.filter((is_info | is_known) & ~is_more), +refused


def _models_dropped(target: Target, shown: Exposition) -> Counter[Refusal]:
    """What is private in names of models, of a target that does not tell its models apart: all its samples count."""
    dropped: Counter[Refusal] = Counter()
    for reason, count in shown.private_models.values() if not target.models else ():
        dropped[reason] += count
    return dropped


def _either(one: pl.Expr, other: pl.Expr) -> pl.Expr:
    return one | other


def _is(name: str) -> pl.Expr:
    return pl.col("metric") == name


def _counters(samples: pl.DataFrame, mapping: Mapping) -> pl.DataFrame:
    names = {name for entry in mapping.of("counter", "histogram") for name in entry.names}
    return samples.filter(pl.col("metric").is_in(names))


def _histograms(
    mapping: Mapping, target: Target, grown: pl.DataFrame
) -> tuple[list[pl.DataFrame], list[pl.DataFrame], int]:
    """Rows of stages and of outcomes by cell, and how many histograms could not say what their indicator asks."""
    stages, outcomes, blunt = [], [], 0
    for entry in mapping.of("histogram"):
        of_metric = grown.filter(pl.col("metric").is_in(entry.names))
        if entry.family not in target.taken or of_metric.is_empty():
            continue
        counts = bucket_counts(of_metric, CELL, entry.factor)
        if entry.indicator:
            outcome = judged(counts, CELL, INDICATOR[entry.indicator])
            blunt += outcome is None
            outcomes += [] if outcome is None else [outcome]
        else:
            stages += [stage_rows(part, CELL, entry.stage or part["queue"][0]) for part in counts.partition_by("queue")]
    return stages, outcomes, blunt
