"""What one scrape says in numbers, by bundle and queue: sums over an engine's series, made whole without losing a part."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

import polars as pl

from producers.scraping.exposition import Exposition
from producers.scraping.mapping import Entry, Mapping
from producers.scraping.targets import Target
from schemas.families import FAMILIES, Measure

CELL = ["bundle", "queue"]
Cell = tuple[str, str]
Amounts = dict[tuple[Cell, str, str], float]
"""By cell, family and measure."""
Counts = dict[tuple[Cell, str, str], int]
_ByMetric = dict[str, pl.DataFrame]


def amounts_of(mapping: Mapping, target: Target, samples: pl.DataFrame, grown: pl.DataFrame, passed_ms: int) -> Amounts:
    """Every mapped measure that a scrape says something of, in the unit of the measure.

    `samples` and `grown` have columns `bundle` and `queue`; `grown` is of counters, with their increases.
    """
    amounts: Amounts = defaultdict(float)
    shown, counted = _by_metric(samples), _by_metric(grown)
    for entry in mapping.metrics:
        if entry.family in target.taken and entry.measure:
            for cell, measure, amount in _said(entry, mapping, target, shown, counted, passed_ms):
                amounts[cell, entry.family, measure] += amount
    return dict(amounts)


def _said(
    entry: Entry, mapping: Mapping, target: Target, shown: _ByMetric, counted: _ByMetric, passed_ms: int
) -> Iterable[tuple[Cell, str, float]]:
    assert entry.measure, "histograms are no amounts"
    values = _of_first_name(entry, counted if entry.type == "counter" else shown)
    if values is None:
        return ()
    match entry.type:
        case "gauge":
            return _summed(values, pl.col("value") * entry.factor, entry.measure)
        case "counter":
            slots = target.batch_slots or 0 if entry.per_batch_slot else 1
            return _summed(values, pl.col("increase") * entry.factor * slots, entry.measure)
        case "presence":
            return _summed(values, pl.lit(float(passed_ms)), entry.measure) if passed_ms else ()
        case "utilisation" if passed_ms:
            busy = _summed(values, pl.col("value") * entry.factor * passed_ms, entry.measure)
            return (*busy, *_summed(values, pl.lit(float(passed_ms)), "available_ms"))
        case "share":
            return _of_whole(entry, mapping, values, shown)
    return ()


def _by_metric(samples: pl.DataFrame) -> _ByMetric:
    return {str(name): rows for (name,), rows in samples.partition_by("metric", as_dict=True).items()}


def _of_first_name(entry: Entry, samples: _ByMetric) -> pl.DataFrame | None:
    """The samples of the newest name that the engine shows."""
    return next((samples[name] for name in entry.names if name in samples), None)


def _summed(rows: pl.DataFrame, amount: pl.Expr, measure: str) -> tuple[tuple[Cell, str, float], ...]:
    summed = rows.with_columns(amount=amount).group_by(CELL).agg(pl.col("amount").sum())
    return tuple(((bundle, queue), measure, total) for bundle, queue, total in summed.rows())


def _of_whole(
    entry: Entry, mapping: Mapping, shares: pl.DataFrame, shown: _ByMetric
) -> tuple[tuple[Cell, str, float], ...]:
    """A share of what the engine's information says that there is; nothing where it says nothing."""
    whole = next(each for each in mapping.of("info") if each.family == entry.family)
    information = _of_first_name(whole, shown)
    if information is None:
        return ()
    there = information.select("by", whole="value")
    joined = shares.join(there, on="by", how="inner", nulls_equal=True)
    assert whole.measure and entry.measure
    used = _summed(joined, pl.col("value") * entry.factor * pl.col("whole"), entry.measure)
    return (*used, *_summed(joined, pl.col("whole"), whole.measure))


def unknown_cells(mapping: Mapping, target: Target, shown: Exposition) -> set[Cell]:
    """The queues of which a gauge was shown and is no number: how many wait or run there nobody knows, and it is not none."""
    sound, refused = set(shown.samples["metric"]), {metric for metric, _ in shown.refused_of}
    gauges = [entry for entry in mapping.of("gauge") if entry.family == "queues" and "queues" in target.taken]
    read = {next((name for name in entry.names if name in sound | refused), "") for entry in gauges}
    served = {target.served(model) for metric, model in shown.refused_of if metric in read}
    return {cell for cell in served if cell is not None}


def without_unknown(
    amounts: Amounts, unknown: set[Cell], mapping: Mapping, carried: Amounts
) -> tuple[Amounts, Amounts]:
    """The amounts without the queues that are unknown, and what is carried with what was counted there: it is told when they are
    known again. Time that passed is not."""
    times = {entry.measure for entry in mapping.of("presence", "utilisation")} | {"available_ms"}
    hidden = {key for key in amounts if key[0] in unknown and key[1] == "queues"}
    counted = {key for key in hidden if _measure(key).merge == "counter" and key[2] not in times}
    left = {key: amounts.get(key, 0.0) * (key in counted) + carried.get(key, 0.0) for key in {*carried, *counted}}
    return {key: amount for key, amount in amounts.items() if key not in hidden}, left


def add_arrivals(
    amounts: Amounts, in_system: dict[Cell, float], unknown: set[Cell], is_baseline: bool, is_reset: bool
) -> dict[Cell, float]:
    """Adds what arrived: what was served, and what those who wait or are served have grown by. Returns those now.

    Requests that leave without being served are missing from it: an increase that would be negative is carried on. Where it is
    unknown how many are there, they are taken for as many as before until that is known; at first nobody came before that (NaN).
    """
    cells = {cell for cell, family, measure in amounts if family == "queues" and measure == "depth"} | unknown
    nobody = math.nan if is_baseline else 0.0
    now: dict[Cell, float] = {}
    for cell in cells:
        before = 0.0 if is_reset else in_system.get(cell, nobody if cell in unknown else 0.0)
        there = amounts.get((cell, "queues", "depth"), 0.0) + amounts.get((cell, "queues", "running"), 0.0)
        now[cell] = before if cell in unknown else there
        if not is_baseline:
            came = 0.0 if math.isnan(before) else now[cell] - before
            amounts[cell, "queues", "arrivals"] = amounts.get((cell, "queues", "served"), 0.0) + came
    return {**in_system, **now}


def whole(amounts: Amounts, carried: Amounts) -> tuple[Counts, Amounts]:
    """Amounts as integers, and what is carried to the next scrape: fractions of counters, and what a part has above its whole.

    So over any number of scrapes the integers add up to the amounts, less than one off. Gauges are rounded.
    """
    counts: Counts = {}
    left: Amounts = dict(carried)
    for key, amount in amounts.items():
        if _measure(key).merge == "gauge":
            counts[key] = round(amount)
        else:
            total = amount + carried.get(key, 0.0)
            counts[key] = max(0, math.floor(total + 1e-6))
            left[key] = total - counts[key]
    for key, count in counts.items():
        part_of = _measure(key).part_of
        if part_of:
            counts[key] = min(count, counts.get((*key[:2], part_of), 0))
            if _measure(key).merge == "counter":
                left[key] += count - counts[key]
    return counts, left


def _measure(key: tuple[Cell, str, str]) -> Measure:
    return next(each for each in FAMILIES[key[1]].measures if each.name == key[2])
