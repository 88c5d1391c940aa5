"""What a success cost in two periods, slice by slice: pools, routes of a pool, bundles of a pool.

Cost is of all that was paid for, idle included. Of a pool and of a bundle it is what their rows say. A route is charged its
share of the replicas that served it as well (`cost_cells.py`): what is paid for is told without a route.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.arrays import Floats
from schemas.slices import slice_dimensions, slice_text
from schemas.spend_policies import SpendPolicy
from stream_jobs.operators.cost.as_many_turns import routes_with_as_many_turns, told_with_as_many_turns
from stream_jobs.operators.cost.cells import CostCells, cost_cells
from stream_jobs.operators.cost.decomposition import Decomposition, Uses, decompose
from stream_jobs.operators.cost.pricing import NANO
from stream_jobs.operators.cost.spend_hours import NUSD_MAX, ROUTE

_CUTS = (("pool",), ("pool", "bundle"))
_COUNTED = ("turns", "successes")


@dataclass(frozen=True, slots=True)
class Explained:
    """The decomposition of one slice's change, and the cells that it is of, one row each."""

    decomposition: Decomposition
    cells: pl.DataFrame


class CostPeriods:
    """Two periods of equal length, as `SpendHours.between` has them."""

    def __init__(self, old: pl.DataFrame, new: pl.DataFrame) -> None:
        self._old, self._new = old, new
        self._of_all = cost_cells(old, new)
        self._of_pool: dict[str, CostCells] = {}

    @cached_property
    def by_slice(self) -> pl.DataFrame:
        """One row a slice: slice, then nusd, turns, successes of the new period, and the same of the old one ending in `_old`.

        What a period does not have is 0. `nusd_as_many` is what the new one would have cost with as many turns as the old one.
        """
        costs = [
            self._costs(rows, uses) for rows, uses in ((self._old, self._of_all.old), (self._new, self._of_all.new))
        ]
        joined = costs[1].join(costs[0], on="slice", how="full", suffix="_old", coalesce=True)
        return joined.join(self._as_many(), on="slice", how="left").fill_null(0).sort("slice")

    def explain(self, slice_text_: str) -> Explained:
        """Why the cost of a success moved in one slice; raises `ValueError` where one period has none there."""
        said = slice_dimensions(slice_text_)
        if "bundle" in said:
            of_bundle = cost_cells(_within(self._old, said), _within(self._new, said))
            return Explained(decompose(of_bundle.old, of_bundle.new), of_bundle.cells)
        found = self._cells_of(said["pool"])
        if "route" not in said:
            return Explained(decompose(found.old, found.new), found.cells)
        places = (found.cells["route"] == said["route"]).to_numpy()
        old, new = (_of_route(*each, places, said) for each in ((found.old, self._old), (found.new, self._new)))
        return Explained(decompose(old, new), found.cells.filter(places))

    def _cells_of(self, pool: str) -> CostCells:
        if pool not in self._of_pool:
            said = {"pool": pool}
            self._of_pool[pool] = cost_cells(_within(self._old, said), _within(self._new, said))
        return self._of_pool[pool]

    def _as_many(self) -> pl.DataFrame:
        told = [told_with_as_many_turns(self._old, self._new, cut) for cut in _CUTS]
        return pl.concat([*told, routes_with_as_many_turns(self._old, self._new, self._of_all)])

    def _costs(self, rows: pl.DataFrame, uses: Uses) -> pl.DataFrame:
        by_use = self._of_all.cells.with_columns(nusd=pl.Series(uses.dollars) * NANO)
        of_routes = by_use.group_by(ROUTE).agg(pl.col("nusd").sum().clip(0, NUSD_MAX).round().cast(pl.Int64))
        counted = rows.group_by(ROUTE).agg(pl.col(_COUNTED).sum())
        told = [_told(rows, cut) for cut in _CUTS]
        routes = of_routes.join(counted, on=ROUTE, how="inner").select(slice_text(ROUTE), "nusd", *_COUNTED)
        return pl.concat([*told, routes])


def useless_routes(periods: CostPeriods, hours: pl.DataFrame, policy: SpendPolicy) -> pl.DataFrame:
    """Routes that had turns in every hour of the window and no success in any, the dearest first; columns as `by_slice`.

    What nobody took a turn to has no success to have: it is idle.
    """
    served = hours.filter(pl.col("turns") > 0).group_by(ROUTE).agg(pl.col("hour_ms").n_unique().alias("served_h"))
    throughout = served.filter(pl.col("served_h") >= policy.window_h).select(slice_text(ROUTE))
    is_useless = (
        (pl.col("successes") == 0)
        & (pl.col("turns") >= policy.turns_min)
        & (pl.col("nusd") >= int(policy.usd_min * NANO))
        & (pl.col("nusd") > 0)
    )
    found = periods.by_slice.join(throughout, on="slice", how="semi").filter(is_useless)
    return found.sort("nusd", "slice", descending=[True, False])


def _told(rows: pl.DataFrame, cut: Sequence[str]) -> pl.DataFrame:
    summed = rows.group_by(cut).agg(pl.col("reserved_nusd").sum().alias("nusd"), pl.col(_COUNTED).sum())
    return summed.select(slice_text(tuple(cut)), "nusd", *_COUNTED)


def _within(rows: pl.DataFrame, said: dict[str, str]) -> pl.DataFrame:
    return rows.filter(**said)


def _of_route(uses: Uses, rows: pl.DataFrame, places: NDArray[np.bool_], said: dict[str, str]) -> Uses:
    """What one route of a pool used and paid."""
    counted = _within(rows, said)
    arrays: dict[str, Floats] = {
        name: getattr(uses, name)[places]
        for name in ("turns", "attempts", "tokens", "gpu_used_s", "gpu_paid_s", "dollars", "efficiencies")
    }
    return replace(
        uses, successes=float(counted["successes"].sum()), turns_served=float(counted["turns"].sum()), **arrays
    )
