"""`turnwatch cost why`: the change of what a success costs, from one period to another, shared out to what drove it.

Money is told in whole micro-dollars for each success and in whole cents of the bill: drivers sum to the change exactly.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from schemas.counted import counted
from schemas.failures import BadInput
from schemas.instants import HOUR_MS
from stream_jobs.operators.cost.cells import Basis, CostCells, cost_cells
from stream_jobs.operators.cost.decomposition import MICRO, Decomposition, Uses, decompose
from stream_jobs.operators.cost.drivers import VOLUME, Driver, bill_cents, drivers
from stream_jobs.operators.cost.pricing import Pricing
from turnwatch.answers.cost_periods import CostPeriod, Stretch, named, read_period
from turnwatch.answers.cost_picture import print_why
from turnwatch.answers.printing import Format, print_answer
from turnwatch.price_choice import chosen_prices

Models = Literal["apart", "together"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is compared with what, and how."""

    old: str
    new: str
    where: tuple[str, ...] = ()
    old_where: tuple[str, ...] = ()
    new_where: tuple[str, ...] = ()
    basis: Basis = "reserved"
    models: Models = "apart"


@dataclass(frozen=True, slots=True)
class Why:
    """A comparison that was made: both periods, the cells that they have, and the drivers of the change."""

    old: CostPeriod
    new: CostPeriod
    basis: Basis
    found: CostCells
    change: Decomposition
    drivers: tuple[Driver, ...]
    cents: dict[str, int]
    """Driver, or `VOLUME`, → what it added to the bill."""


def run_cost_why(asked: Asked, prices: Path | None, output: Format) -> int:
    """Prints what moved the cost of a success; as a table with a waterfall, or as one JSON document."""
    chosen = chosen_prices(prices)
    why = explain(asked, Pricing(chosen.prices))
    if output == "json":
        print_answer(told(why), (), output)
    else:
        print_why(told(why))
    chosen.tell()
    return 0


def explain(asked: Asked, pricing: Pricing) -> Why:
    """Reads both sides and decomposes the change; raises `BadInput` where a side has nothing to be compared."""
    now_ms = int(time.time() * 1_000)
    sources = named(asked.old, now_ms), named(asked.new, now_ms)
    _refuse_overlap(asked, *sources)
    old = read_period(asked.old, sources[0], (asked.where, asked.old_where), pricing)
    new = read_period(asked.new, sources[1], (asked.where, asked.new_where), pricing)
    rows = [_of_models(side.rows, asked.models) for side in (old, new)]
    found = cost_cells(rows[0], rows[1], asked.basis, (old.routes, new.routes))
    for side, uses in ((old, found.old), (new, found.new)):
        _refuse_incomparable(side, uses, asked.basis)
    change = decompose(found.old, found.new)
    ordered = drivers(change)
    return Why(old, new, asked.basis, found, change, tuple(ordered), bill_cents(ordered, found.old, found.new))


def told(why: Why) -> dict[str, Any]:
    """The answer as one JSON document; drivers that added nothing are left out."""
    change = why.change
    before, after = round(change.old * MICRO), round(change.new * MICRO)
    return {
        "old": _side(why.old, why.found.old, why.basis),
        "new": _side(why.new, why.found.new, why.basis),
        "change_micro_dollars": after - before,
        "relative_change": change.new / change.old - 1,
        "bill_change_cents": sum(why.cents.values()),
        "volume_cents": why.cents[VOLUME],
        "drivers": [_driver(each, why) for each in why.drivers if each.micro_dollars or why.cents[each.name]],
    }


def _side(period: CostPeriod, uses: Uses, basis: Basis) -> dict[str, Any]:
    return {
        "name": period.name,
        "turns": period.total("turns"),
        "successes": period.total("successes"),
        "micro_dollars_per_success": round(uses.cost_per_success * MICRO),
        "bill_cents": round(float(uses.dollars.sum()) * 100),
        "uncosted_gpu_hours": _uncosted_gpu_hours(period, basis),
        "uncosted_tokens": period.total("uncosted_tokens"),
    }


def _driver(driver: Driver, why: Why) -> dict[str, Any]:
    change = why.change.new - why.change.old
    return {
        "driver": driver.name,
        "meaning": driver.meaning,
        "micro_dollars": driver.micro_dollars,
        "bill_cents": why.cents[driver.name],
        "of_change": driver.dollars / change if change else None,
        "mostly_in": {name: value for name, value in why.found.cells.row(driver.cell, named=True).items() if value},
        "mostly_in_micro_dollars": round(driver.of_cell * MICRO),
    }


def _of_models(rows: pl.DataFrame, models: Models) -> pl.DataFrame:
    """Together: models on one kind of GPU are as one, so that bundles with other models can be compared."""
    return rows if models == "apart" else rows.with_columns(model_version=pl.lit(""))


def _uncosted_gpu_hours(period: CostPeriod, basis: Basis) -> float:
    """GPU time without a price; a route's share of it where replicas were paid for."""
    without_price = period.rows.with_columns(pl.col(f"uncosted_gpu_{basis}_ms").alias(f"gpu_{basis}_ms"))
    shared = cost_cells(without_price, without_price, basis, (period.routes, period.routes))
    return round(float(shared.old.gpu_paid_s.sum()) * 1_000) / HOUR_MS


def _refuse_overlap(asked: Asked, old: Path | Stretch, new: Path | Stretch) -> None:
    """What is on both sides did not change; sides of their own slices may be of one time."""
    if asked.old_where or asked.new_where:
        return
    if isinstance(old, Stretch) and isinstance(new, Stretch) and old.overlaps(new):
        raise BadInput(
            f"--old {asked.old} and --new {asked.new} overlap: name periods of which one ends before the other begins, "
            "or tell them apart with --old-where and --new-where."
        )


def _refuse_incomparable(side: CostPeriod, uses: Uses, basis: Basis) -> None:
    if not side.total("successes"):
        raise BadInput(
            f"{side.name}: of {counted(side.total('turns'), 'turn')} none succeeded: its cost has nothing to be divided by."
        )
    if not uses.dollars.any():
        other = "used" if basis == "reserved" else "reserved"
        uncosted = any(side.total(f"uncosted_{what}") for what in ("gpu_ms", "tokens")) or _uncosted_gpu_hours(
            side, basis
        )
        what = "what was used has no price: add it to the price list" if uncosted else f"try --cost {other}"
        raise BadInput(f"{side.name}: nothing was told that costs ({basis}): {what}.")
