"""`turnwatch cost reconcile`: an invoice beside what was metered, at our prices, with the difference of each line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import polars as pl

from schemas.instants import utc_text
from stream_jobs.operators.cost.metering import metered
from stream_jobs.operators.cost.pricing import BUCKET, Pricing
from stream_jobs.operators.cost.reconciliation import REGION, SKU, compared, matched
from turnwatch.answers.options import option
from turnwatch.costs.bill import warehouse
from turnwatch.costs.cost_rows import Costs, of_files, stored
from turnwatch.costs.focus_lines import priced_sku, sku_price
from turnwatch.costs.invoice import INVOICED_SKU, Invoice, read_invoice, read_skus, refuse_unknown, unused
from turnwatch.costs.money import CURRENCY, dollars
from turnwatch.costs.printing import Format, print_table
from turnwatch.price_choice import chosen_prices
from turnwatch.printable import printable

Cost = Literal["BilledCost", "EffectiveCost", "ContractedCost", "ListCost"]
AGREES, DIFFERS = 0, 1
_TOLD = ("status", "sku", INVOICED_SKU, "region", "from", "to", "invoiced_usd", "ours_usd", "difference_usd", "because")
_QUANTITIES = ("invoiced_quantity", "our_quantity", "our_uncosted")
_ORDER = ("only_invoiced", "only_ours", "differs", "agrees", "not_compared")
"""What is missing on a side first; within each status the largest difference."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which cost of the invoice is compared, and which share of it a line may differ by."""

    cost: Cost
    tolerance: Decimal


def run_reconcile(
    invoice: Path,
    data: Sequence[str],
    prices: Path | None,
    skus: Path | None,
    cost: Cost,
    tolerance: str,
    output: Format,
) -> int:
    """Prints every line with its difference, and returns 1 where one does not agree, once it is really printed."""
    asked = Asked(cost, option("--tolerance", tolerance, most=Decimal(1)))
    chosen = chosen_prices(prices)
    named = {} if skus is None else read_skus(skus)
    read = read_invoice(invoice, cost, named)
    lines = reconciled(read, _costs(read, data), Pricing(chosen.prices), asked)
    if skus is not None:
        refuse_unknown(skus, named, _metered_skus(lines) | {priced_sku(price) for price in chosen.prices.prices})
    _print(lines, read, asked, chosen.prices.name, output)
    sys.stdout.flush()
    for note in () if skus is None else unused(skus, named, read):
        print(printable(f"turnwatch: {note}"), file=sys.stderr)
    chosen.tell()
    return AGREES if set(lines["status"]) <= {"agrees", "not_compared"} else DIFFERS


def reconciled(invoice: Invoice, costs: Costs, pricing: Pricing, asked: Asked) -> pl.DataFrame:
    """Lines as `compared` has them, and what cannot be compared; what differs first."""
    ours = pl.concat([matched(each, invoice.charges) for each in _metered(costs, pricing)])
    lines = compared(invoice.charges, ours, asked.tolerance)
    others = invoice.others.with_columns(
        status=pl.lit("not_compared"), ours_nusd=pl.lit(0, pl.Int64), difference_nusd=pl.col("invoiced_nusd")
    )
    rank = pl.col("status").replace_strict(list(_ORDER), list(range(len(_ORDER))), return_dtype=pl.Int64)
    both = pl.concat([lines, others], how="diagonal")
    return both.sort(rank, -pl.col("difference_nusd").abs(), "from_ms", SKU, REGION)


def _costs(invoice: Invoice, data: Sequence[str]) -> Costs:
    """Files, or what ClickHouse has of the invoice's time."""
    if data:
        return of_files([Path(name) for name in data])
    charges = invoice.charges
    return stored(warehouse(), int(charges["from_ms"].min()), int(charges["to_ms"].max()))  # type: ignore[arg-type] # Some.


def _metered(costs: Costs, pricing: Pricing) -> Iterator[pl.DataFrame]:
    measures = ("reserved_nusd", "quantity", "uncosted")
    for each in costs.stretches:
        rows = metered(each.operational, pricing)
        yield rows.group_by(BUCKET, sku_price().alias(SKU), pl.col("region").alias(REGION)).agg(pl.col(measures).sum())


def _metered_skus(lines: pl.DataFrame) -> set[str]:
    ours = lines.filter(pl.sum_horizontal("ours_nusd", "our_quantity", "our_uncosted") > 0)
    return set(ours[SKU])


def _print(lines: pl.DataFrame, invoice: Invoice, asked: Asked, prices: str, output: Format) -> None:
    rows = [_told(row) for row in lines.to_dicts()]
    sums = {name: int(lines[f"{name}_nusd"].sum()) for name in ("invoiced", "ours", "difference")}
    total = {f"{name}_usd": dollars(value) for name, value in sums.items()}
    if output == "json":
        print(json.dumps(_document(rows, total, invoice, asked, prices), ensure_ascii=False))
        return
    columns = (*_TOLD, *_QUANTITIES) if output == "csv" else _TOLD
    print_table([*rows, {"status": "total", **total}], columns, prices, output)


def _document(
    rows: Sequence[Mapping[str, Any]], total: Mapping[str, str], invoice: Invoice, asked: Asked, prices: str
) -> Mapping[str, Any]:
    return {
        "from": utc_text(int(invoice.charges["from_ms"].min())),  # type: ignore[arg-type] # There is at least one.
        "to": utc_text(int(invoice.charges["to_ms"].max())),  # type: ignore[arg-type]
        "currency": CURRENCY,
        "prices": prices,
        "compared": asked.cost,
        "tolerance": float(asked.tolerance),
        "agrees": all(row["status"] in ("agrees", "not_compared") for row in rows),
        "lines": list(rows),
        "total": dict(total),
    }


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    is_charge = row["from_ms"] is not None
    return {
        "status": row["status"],
        "sku": row[SKU],
        INVOICED_SKU: row[INVOICED_SKU],
        "region": row[REGION] or None,
        "from": utc_text(row["from_ms"]) if is_charge else None,
        "to": utc_text(row["to_ms"]) if is_charge else None,
        **{f"{name}_usd": dollars(row[f"{name}_nusd"]) for name in ("invoiced", "ours", "difference")},
        "because": row["because"] if row["status"] in ("differs", "only_ours") else None,
        **{name: row[name] for name in _QUANTITIES},
    }
