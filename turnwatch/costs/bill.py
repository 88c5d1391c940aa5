"""`turnwatch cost bill`: what was used and paid for, and whose it is. Its rows sum to the bill, to the nano-dollar.

Prices are applied when the bill is asked for. A price that was corrected since corrects the bill.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from schemas.failures import BadInput
from schemas.instants import utc_text
from schemas.prices import PriceList
from schemas.warehouse import ClickHouseAddress
from stream_jobs.operators.cost.pricing import PRICED, UNCOSTED, Pricing
from stream_jobs.operators.cost.showback import (
    OPERATIONAL,
    TENANCY,
    TENANT,
    UNATTRIBUTED,
    by_day,
    of_tenants,
    shared_out,
)
from turnwatch.costs.bill_rows import TURNS, Bill, By, notes_of, told_rows, told_total
from turnwatch.costs.cost_rows import Costs, read_costs
from turnwatch.costs.money import CURRENCY
from turnwatch.costs.printing import Format, print_table
from turnwatch.places import clickhouse
from turnwatch.price_choice import chosen_prices
from turnwatch.printable import printable
from turnwatch.settings import load


def run_bill(data: Sequence[str], by: By, prices: Path | None, output: Format) -> int:
    """Prints the bill, and on standard error what it does not have; returns the exit code."""
    chosen = chosen_prices(prices)
    bill = billed(read_costs(data, warehouse, by == TENANT), by, Pricing(chosen.prices))
    notes = notes_of(bill)
    if output == "json":
        print(json.dumps(_document(bill, chosen.prices, notes), ensure_ascii=False))
    else:
        rows = [*told_rows(bill), {by: "total", **told_total(bill)}]
        print_table(rows, list(rows[0]), chosen.prices.name, output)
        for note in notes:
            print(printable(f"turnwatch: {note}"), file=sys.stderr)
    chosen.tell()
    return 0


def billed(costs: Costs, by: By, pricing: Pricing) -> Bill:
    """Prices bucket by bucket, shares out day by day, and keeps no more than sums of each stretch."""
    paid_rows, told = 0, []
    for each in costs.stretches:
        paid = shared_out(by_day(pricing.priced(each.operational), OPERATIONAL.dimensions))
        paid_rows += len(paid)
        told.append(_summed(paid, each.tenancy, by, pricing))
    if not paid_rows:
        raise BadInput(
            f"Nothing is told of costs between {utc_text(costs.from_ms)} and {utc_text(costs.to_ms)}: there is no bill."
        )
    rows, total = (pl.concat(each) for each in zip(*told, strict=True))
    is_nobodys = pl.col(by) == UNATTRIBUTED
    ranked = rows.group_by(by).sum().sort(is_nobodys, "reserved_nusd", by, descending=[False, True, False])
    return Bill(by, costs.from_ms, costs.to_ms, ranked, total.sum())


def _summed(paid: pl.DataFrame, tenancy: pl.DataFrame, by: By, pricing: Pricing) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of a stretch of whole days, and their total."""
    sums = pl.col(*TURNS, *PRICED, *UNCOSTED).sum()
    if by == TENANT:
        return of_tenants(paid, by_day(tenancy, TENANCY.dimensions), pricing), paid.select(sums)
    return paid.group_by(by).agg(sums), paid.select(sums)


def warehouse() -> ClickHouseAddress:
    """The ClickHouse of the settings."""
    return clickhouse(load())


def _document(bill: Bill, prices: PriceList, notes: Sequence[str]) -> Mapping[str, Any]:
    return {
        "from": utc_text(bill.from_ms),
        "to": utc_text(bill.to_ms),
        "currency": CURRENCY,
        "prices": prices.name,
        "by": bill.by,
        "rows": told_rows(bill),
        "total": told_total(bill),
        "notes": list(notes),
    }
