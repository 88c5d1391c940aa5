"""Reconciliation: an invoice beside what was metered, line by line.

An invoice line is of one SKU, in one region unless it names none, for a charge period. Metered buckets belong to the line in
whose period they begin. The differences of all lines, of what only one side has and of what cannot be compared, sum to the
difference of the totals exactly.
"""

from __future__ import annotations

from decimal import Decimal

import polars as pl

from stream_jobs.operators.cost.pricing import BUCKET

LINE = "line"
SKU, REGION = ("sku", "region")
STATUSES = ("agrees", "differs", "only_invoiced", "only_ours", "not_compared")
"""`not_compared`: taxes, credits, purchases, corrections of earlier invoices, which nobody meters; and what is owned, which
nobody invoices."""
_OWNED = "/owned"
"""How a SKU ends that is bought from nobody."""
_OURS = ("ours_nusd", "our_quantity", "our_uncosted")


def overlapping(charges: pl.DataFrame) -> pl.DataFrame:
    """Charges of a SKU and region whose period begins before that of another one of them has ended."""
    before = pl.col("to_ms").shift().over(SKU, REGION, order_by=["from_ms", "to_ms"])
    return charges.filter(pl.col("from_ms") < before)


def matched(metered: pl.DataFrame, charges: pl.DataFrame) -> pl.DataFrame:
    """What was metered, by the `line` of the charge that it belongs to, null where there is none.

    `metered` has bucket_start_ms, sku, region, reserved_nusd, quantity, uncosted; `charges` line, sku, region, from_ms,
    to_ms, none of them overlapping. Where a SKU is invoiced without regions, it is metered as a whole. What begins before
    the first charge or after the last one is left out. Columns: line, sku, region, and the sums in `_OURS`.
    """
    is_global = pl.col(SKU).is_in(charges.filter(pl.col(REGION) == "")[SKU].unique().to_list())
    within = pl.col(BUCKET).is_between(charges["from_ms"].min(), charges["to_ms"].max(), closed="left")
    rows = metered.filter(within).with_columns(region=pl.when(is_global).then(pl.lit("")).otherwise(REGION))
    found = rows.sort(BUCKET).join_asof(
        charges.select(LINE, SKU, REGION, "from_ms", "to_ms").sort("from_ms"),
        left_on=BUCKET, right_on="from_ms", by=[SKU, REGION], strategy="backward", check_sortedness=False,
    )  # fmt: skip
    line = pl.when(pl.col(BUCKET) < pl.col("to_ms")).then(LINE)
    sums = zip(_OURS, ("reserved_nusd", "quantity", "uncosted"), strict=True)
    return found.group_by(line.alias(LINE), SKU, REGION).agg(pl.col(name).sum().alias(ours) for ours, name in sums)


def compared(charges: pl.DataFrame, ours: pl.DataFrame, tolerance: Decimal) -> pl.DataFrame:
    """Every line with both sides, their difference (invoiced - ours) and its status.

    `ours` are rows of `matched`, of any number of stretches. A line agrees when it differs by no more than `tolerance`, a
    share of what is invoiced, to the millionth; exactly on it agrees.
    """
    ours = ours.group_by(LINE, SKU, REGION).agg(pl.col(_OURS).sum())
    lines = charges.join(ours.filter(pl.col(LINE).is_not_null()).drop(SKU, REGION), on=LINE, how="left")
    alone = ours.filter(pl.col(LINE).is_null() & (pl.sum_horizontal(_OURS) > 0))
    both = pl.concat([lines, alone], how="diagonal").with_columns(
        pl.col("invoiced_nusd").fill_null(0), *(pl.col(name).fill_null(0) for name in _OURS)
    )
    return both.with_columns(difference_nusd=pl.col("invoiced_nusd") - pl.col("ours_nusd")).with_columns(
        status=_status(tolerance), because=_because(float(tolerance))
    )


def _status(tolerance: Decimal) -> pl.Expr:
    difference, invoiced = (pl.col(name).abs().cast(pl.Int128) for name in ("difference_nusd", "invoiced_nusd"))
    is_near = difference * 1_000_000 <= invoiced * int(tolerance.scaleb(6))
    has_ours = pl.sum_horizontal(_OURS) > 0
    return (
        pl.when(pl.col(LINE).is_null())
        .then(pl.when(pl.col(SKU).str.ends_with(_OWNED)).then(pl.lit("not_compared")).otherwise(pl.lit("only_ours")))
        .when(is_near)
        .then(pl.lit("agrees"))
        .when(has_ours)
        .then(pl.lit("differs"))
        .otherwise(pl.lit("only_invoiced"))
    )


def _because(tolerance: float) -> pl.Expr:
    """What a difference is of: `no_price` of ours, the `quantity`, the `price`, or both; null where that is not known."""

    def is_off(one: pl.Expr, other: pl.Expr) -> pl.Expr:
        return (one - other).abs() > tolerance * one.abs()

    invoiced, ours = pl.col("invoiced_quantity"), pl.col("our_quantity")
    is_known = (invoiced != 0) & (ours > 0)
    of_quantity = is_off(invoiced, ours)
    of_price = is_off(pl.col("invoiced_nusd") / invoiced, pl.col("ours_nusd") / ours)
    told = (
        pl.when(of_quantity & of_price).then(pl.lit("quantity_and_price"))
        .when(of_quantity).then(pl.lit("quantity"))
        .when(of_price).then(pl.lit("price"))
    )  # fmt: skip
    return pl.when(pl.col("our_uncosted") > 0).then(pl.lit("no_price")).when(is_known).then(told)
