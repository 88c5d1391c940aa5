"""What a period would have cost, had it had as many turns as the one before it: what fewer turns explain, and what they do not.

More turns use more, as much each as now: of GPU time and of hosted tokens. What was idle takes them first, so capacity costs
as much as it does until they use more than all of it. Replicas that routes share are charged to each by what it uses then.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from schemas.slices import slice_text
from stream_jobs.operators.cost.cells import CELL, CostCells
from stream_jobs.operators.cost.pricing import NANO
from stream_jobs.operators.cost.spend_hours import NUSD_MAX, ROUTE

_KIND = ("model_version", "gpu_type", "purchase")
"""What takes turns in the place of another that is idle: one model on one kind of GPU."""
_REPLICAS = ("pool", *_KIND)


def told_with_as_many_turns(old: pl.DataFrame, new: pl.DataFrame, cut: Sequence[str]) -> pl.DataFrame:
    """Of slices by what their rows say: slice, nusd_as_many."""
    costs = new.group_by(*cut, *_KIND).agg(pl.col("reserved_nusd", "used_nusd").sum())
    used = pl.col("growth") * pl.min_horizontal("used_nusd", "reserved_nusd")
    cost = pl.when(used > pl.col("reserved_nusd")).then(_nusd(used)).otherwise("reserved_nusd")
    grown = costs.join(_growth(old, new, cut), on=cut)
    return grown.group_by(cut).agg(nusd_as_many=cost.sum()).select(slice_text(tuple(cut)), "nusd_as_many")


def routes_with_as_many_turns(old: pl.DataFrame, new: pl.DataFrame, shared: CostCells) -> pl.DataFrame:
    """Of routes, with their share of the replicas: slice, nusd_as_many. What routes that are gone used is used then."""
    own = new.group_by(CELL).agg(own=pl.col("reserved_nusd").sum(), used=pl.col("used_nusd").sum())
    uses = {"nusd": shared.new.dollars * NANO, "use": shared.new.gpu_used_s, "use_old": shared.old.gpu_used_s}
    cells = (
        shared.cells.with_columns(**{name: pl.Series(values) for name, values in uses.items()})
        .join(own, on=CELL, how="left")
        .with_columns(pl.col("own", "used").fill_null(0))
        .join(_growth(old, new, ROUTE), on=ROUTE, how="left")
    )
    use_then = pl.when(pl.col("growth").is_null()).then("use_old").otherwise(pl.col("use") * pl.col("growth"))
    diluted = (pl.col("use").sum() / use_then.sum()).over(_REPLICAS)
    by_itself = pl.min_horizontal("own", "nusd")
    of_shared = (pl.col("nusd") - by_itself) * pl.col("growth") * diluted.fill_nan(1.0)
    used = pl.col("growth") * pl.min_horizontal("used", "nusd")
    is_as_now = (pl.col("growth") == 1) & (diluted == 1)
    cost = pl.when(is_as_now).then("nusd").otherwise(pl.max_horizontal(by_itself + of_shared, used))
    told = cells.with_columns(cost=cost).filter(pl.col("growth").is_not_null())
    return told.group_by(ROUTE).agg(nusd_as_many=_nusd(pl.col("cost").sum())).select(slice_text(ROUTE), "nusd_as_many")


def _growth(old: pl.DataFrame, new: pl.DataFrame, cut: Sequence[str]) -> pl.DataFrame:
    """How many times its turns of now each slice had then, at least 1; no row of what has turns no more."""
    turns = [rows.group_by(cut).agg(pl.col("turns").sum()) for rows in (new, old)]
    both = turns[0].join(turns[1], on=cut, how="left", suffix="_old").with_columns(pl.col("turns_old").fill_null(0))
    has_some = (pl.col("turns") > 0) | (pl.col("turns_old") == 0)
    is_fewer = pl.col("turns_old") > pl.col("turns")
    growth = pl.when(is_fewer).then(pl.col("turns_old") / pl.col("turns")).otherwise(1.0)
    return both.filter(has_some).select(*cut, growth=growth)


def _nusd(cost: pl.Expr) -> pl.Expr:
    return cost.clip(0, NUSD_MAX).round().cast(pl.Int64)
