"""Rows of costs as cells of a decomposition: who used and paid what, in two periods over the same cells.

A cell is a pool, a route and a model, on one kind of GPU or hosted. Rows do not say all of that of everything, so three
rules complete them, each within one period:

1. What replicas were paid for is told without a route. It is shared out to the routes of the same pool, model, GPU and
   purchase by the GPU time that they used, or by tokens where nobody told GPU time; what nobody used stays where it is, idle.
2. Turns, attempts and tokens are told once, with the model that answers. Other models of the same pool and route (speech
   recognition, synthesis, retrieval) serve its turns, each with one attempt, and the work of an attempt is then 1: their
   `gpu_per_token` is GPU time for each turn.
3. GPU time that was paid for and served, and that nobody told the use of, counts as used.

No rule changes a sum: dollars of all cells are those of the rows.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from schemas.arrays import Floats
from stream_jobs.operators.cost.decomposition import ATTEMPTS, EFFICIENCIES, TOKENS, Uses
from stream_jobs.operators.cost.pricing import NANO

CELL = ("pool", "route", "model_version", "gpu_type", "purchase")
_REPLICAS = ("pool", "model_version", "gpu_type", "purchase")
_SERVED = ("pool", "route")

Basis = Literal["reserved", "used"]
"""Which cost is explained: of all that was paid for, idle included, or of what turns used."""

_TOKEN_COLUMNS = ("tokens_prompt", "tokens_carried", "tokens_retrieved", "tokens_out", "tokens_audio")
_ATTEMPT_COLUMNS = ("attempts_retried", "attempts_fallback", "attempts_shadow")
_SUMMED = (
    "turns", "successes", "attempts", *_ATTEMPT_COLUMNS, *_TOKEN_COLUMNS, "tokens_cached",
    "gpu_used_ms", "gpu_reserved_ms", "used_nusd", "reserved_nusd",
)  # fmt: skip
assert (len(_ATTEMPT_COLUMNS) + 1, len(_TOKEN_COLUMNS)) == (len(ATTEMPTS), len(TOKENS))


@dataclass(frozen=True, slots=True)
class CostCells:
    """Two periods over the same cells: `cells` has the columns of `CELL`, one row each, in the order of the arrays."""

    cells: pl.DataFrame
    old: Uses
    new: Uses


Routes = Collection[str] | None
"""Some of a period's routes, or all."""


def cost_cells(
    old: pl.DataFrame,
    new: pl.DataFrame,
    basis: Basis = "reserved",
    of_routes: tuple[Routes, Routes] = (None, None),
) -> CostCells:
    """Priced rows of two periods as a pair of `Uses`; further dimensions are summed over.

    Columns: those of `CELL`, the measures of family `costs`, and what `Pricing.priced` adds; an empty period has no rows.
    `of_routes`: those of each period whose cells are wanted. Rows are of all routes still: replicas are shared among them.
    """
    both = tuple(zip((old, new), of_routes, strict=True))
    periods = [_of(_completed(_summed(rows), basis), routes) for rows, routes in both]
    cells = pl.concat([each.select(CELL) for each in periods]).unique().sort(CELL)
    served = (_of(rows, routes) for rows, routes in both)
    return CostCells(cells, *(_uses(cells, each, rows) for each, rows in zip(periods, served, strict=True)))


def nusd_by_cell(rows: pl.DataFrame) -> pl.DataFrame:
    """What each cell of one period caused to be paid, idle included: columns of `CELL` and `nusd`, which is not rounded."""
    return _shared_out(_summed(rows)).select(*CELL, "nusd")


def _of(rows: pl.DataFrame, routes: Routes) -> pl.DataFrame:
    return rows if routes is None else rows.filter(pl.col("route").is_in(list(routes)))


def _summed(rows: pl.DataFrame) -> pl.DataFrame:
    first = pl.col("attempts") - pl.sum_horizontal(_ATTEMPT_COLUMNS)
    return (
        rows.group_by(CELL)
        .agg(pl.col(_SUMMED).cast(pl.Float64).sum())
        .with_columns(attempts_first=first.clip(lower_bound=0), tokens=pl.sum_horizontal(_TOKEN_COLUMNS))
    )


def _completed(cells: pl.DataFrame, basis: Basis) -> pl.DataFrame:
    """With `paid_ms` and `nusd`, what the cell's turns caused to be paid; turns, attempts and tokens where it told none."""
    paid = _shared_out(cells) if basis == "reserved" else cells.with_columns(paid_ms="gpu_used_ms", nusd="used_nusd")
    turns = pl.when((pl.col("turns") > 0) | ~_is_of_use()).then("turns").otherwise(pl.col("turns").sum().over(_SERVED))
    has_attempts = pl.col("attempts_first") + pl.sum_horizontal(_ATTEMPT_COLUMNS) > 0
    attempts = pl.when(has_attempts).then("attempts_first").otherwise("turns")
    work = pl.when(pl.col("tokens") > 0).then("tokens_audio").otherwise(_attempts())
    untold = (pl.col("gpu_used_ms") == 0) & (pl.col("tokens") > 0)
    return (
        paid.with_columns(turns=turns)
        .with_columns(attempts_first=attempts)
        .with_columns(tokens_audio=work, gpu_used_ms=pl.when(untold).then("paid_ms").otherwise("gpu_used_ms"))
    )


def _shared_out(cells: pl.DataFrame) -> pl.DataFrame:
    """What was paid for, where it was used: by GPU time, or by tokens where none of the replicas' routes told any."""
    tells_time = pl.col("gpu_used_ms").sum().over(_REPLICAS) > 0
    use = pl.when(tells_time).then("gpu_used_ms").otherwise("tokens")
    whole = pl.col("use").sum().over(_REPLICAS)
    share = pl.when(whole > 0).then(pl.col("use") / whole)
    columns = {"paid_ms": "gpu_reserved_ms", "nusd": "reserved_nusd"}
    loose = {name: pl.when(_is_of_use()).then(0.0).otherwise(told) for name, told in columns.items()}
    shared = {
        name: pl.when(whole > 0)
        .then(pl.col(told) - loose[name] + share * loose[name].sum().over(_REPLICAS))
        .otherwise(told)
        for name, told in columns.items()
    }
    return cells.with_columns(use=use).with_columns(**shared).drop("use")


def _is_of_use() -> pl.Expr:
    """Cells that did some work for turns, told here or with another model."""
    return (pl.col("gpu_used_ms") > 0) | (pl.col("tokens") > 0) | (pl.col("attempts") > 0)


def _attempts() -> pl.Expr:
    return pl.sum_horizontal("attempts_first", *_ATTEMPT_COLUMNS)


def _uses(cells: pl.DataFrame, period: pl.DataFrame, rows: pl.DataFrame) -> Uses:
    """The period's arrays, in the order of `cells`; 0 of cells that it does not have."""
    placed = cells.join(period, on=CELL, how="left", maintain_order="left").fill_null(0.0)
    return Uses(
        successes=float(rows["successes"].sum()),
        turns=_array(placed, "turns"),
        attempts=_arrays(placed, "attempts_first", *_ATTEMPT_COLUMNS),
        tokens=_arrays(placed, *_TOKEN_COLUMNS),
        gpu_used_s=_array(placed, "gpu_used_ms") / 1_000,
        gpu_paid_s=_array(placed, "paid_ms") / 1_000,
        dollars=_array(placed, "nusd") / NANO,
        efficiencies=_efficiencies(placed),
        turns_served=float(rows["turns"].sum()),
    )


def _efficiencies(placed: pl.DataFrame) -> Floats:
    """The share of the prompt that no cache had; what rows of costs do not tell is not a number."""
    prompt = _arrays(placed, *_TOKEN_COLUMNS[:3]).sum(axis=1)
    known = np.full((len(placed), len(EFFICIENCIES)), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        known[:, EFFICIENCIES.index("cache")] = 1 - _array(placed, "tokens_cached") / prompt
    return np.where(known > 0, known, np.nan)


def _array(placed: pl.DataFrame, name: str) -> Floats:
    return placed[name].to_numpy().astype(np.float64)


def _arrays(placed: pl.DataFrame, *names: str) -> Floats:
    return np.column_stack([_array(placed, name) for name in names])
