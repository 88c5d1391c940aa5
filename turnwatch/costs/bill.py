"""`turnwatch cost bill`: what was used and paid for, and whose it is. Its rows sum to the bill, to the nano-dollar.

Prices are applied when the bill is asked for. A price that was corrected since corrects the bill.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import polars as pl

from alerts.price_document import load_prices
from schemas.failures import BadInput
from schemas.prices import PriceList
from schemas.warehouse import ClickHouseAddress
from stream_jobs.operators.pricing import HOUR_MS, PRICED, UNCOSTED, Pricing
from stream_jobs.operators.showback import OPERATIONAL, TENANCY, TENANT, UNATTRIBUTED, by_day, of_tenants, shared_out
from turnwatch.answers.printing import print_answer
from turnwatch.costs.cost_rows import Costs, read_costs
from turnwatch.costs.money import CURRENCY, dollars
from turnwatch.places import clickhouse
from turnwatch.settings import load

By = Literal["tenant", "route", "pool", "bundle", "region"]
Format = Literal["table", "csv", "json"]
MINUTE_MS = 60_000
_TURNS = ("turns", "successes", "success_audio_ms")
_TOLD = ("turns", "successes", "used_usd", "reserved_usd", "share", "usd_per_success", "usd_per_success_minute")
_TOLD_UNCOSTED = ("uncosted_gpu_hours", "uncosted_tokens")


@dataclass(frozen=True, slots=True)
class Bill:
    """What each value of a dimension cost, dearest first and what is nobody's last; money in nano-dollars.

    `rows` and the one row of `total` have turns, successes, success_audio_ms, used_nusd, reserved_nusd; uncosted_gpu_ms and
    uncosted_tokens unless it is of tenants, whose uses are told without what says so.
    """

    by: By
    from_ms: int
    to_ms: int
    rows: pl.DataFrame
    total: pl.DataFrame


def run_bill(data: Sequence[str], by: By, prices: Path | None, output: Format) -> int:
    """Prints the bill, and on standard error what it does not have; returns the exit code."""
    price_list = prices_of(prices)
    bill = billed(read_costs(data, warehouse, by == TENANT), by, Pricing(price_list))
    notes = _notes(bill)
    if output == "json":
        print(json.dumps(_document(bill, price_list, notes), ensure_ascii=False))
        return 0
    columns = (by, *_TOLD, *(() if by == TENANT else _TOLD_UNCOSTED))
    rows = [*_told(bill.rows, by), {by: "total", **_told(bill.total, by)[0]}]
    if output == "csv":
        writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        print_answer(rows, columns, "table")
    for note in notes:
        print(f"turnwatch: {note}", file=sys.stderr)
    return 0


def billed(costs: Costs, by: By, pricing: Pricing) -> Bill:
    """Prices bucket by bucket, and shares out day by day."""
    paid_days, seen_days = [], []
    for each in costs.stretches:
        paid_days.append(by_day(pricing.priced(each.operational), OPERATIONAL.dimensions))
        if by == TENANT:
            seen_days.append(by_day(each.tenancy, TENANCY.dimensions))
    paid = shared_out(by_day(pl.concat(paid_days), OPERATIONAL.dimensions))
    if paid.is_empty():
        raise BadInput(
            f"Nothing is told of costs between {instant(costs.from_ms)} and {instant(costs.to_ms)}: there is no bill."
        )
    numbers = [*_TURNS, *PRICED, *UNCOSTED]
    total = paid.select(pl.col(numbers).sum())
    if by == TENANT:
        rows = of_tenants(paid, by_day(pl.concat(seen_days), TENANCY.dimensions), pricing)
    else:
        rows = paid.group_by(by).agg(pl.col(numbers).sum())
    is_nobodys = pl.col(by) == UNATTRIBUTED
    ranked = rows.sort(is_nobodys, pl.col("reserved_nusd"), by, descending=[False, True, False])
    return Bill(by, costs.from_ms, costs.to_ms, ranked, total)


def prices_of(file: Path | None) -> PriceList:
    """The price list that was given, or the shipped one."""
    return load_prices() if file is None else load_prices(file)


def instant(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _document(bill: Bill, prices: PriceList, notes: Sequence[str]) -> Mapping[str, Any]:
    return {
        "from": instant(bill.from_ms),
        "to": instant(bill.to_ms),
        "currency": CURRENCY,
        "prices": prices.name,
        "by": bill.by,
        "rows": _told(bill.rows, bill.by),
        "total": _told(bill.total, bill.by)[0],
        "notes": list(notes),
    }


def _told(rows: pl.DataFrame, by: str) -> list[dict[str, Any]]:
    whole = int(rows["reserved_nusd"].sum())
    return [_row(row, by, whole) for row in rows.to_dicts()]


def _row(row: Mapping[str, Any], by: str, whole_nusd: int) -> dict[str, Any]:
    reserved = row["reserved_nusd"]
    told = {
        **({by: row[by]} if by in row else {}),
        "turns": row["turns"],
        "successes": row["successes"],
        "used_usd": dollars(row["used_nusd"]),
        "reserved_usd": dollars(reserved),
        "share": round(reserved / whole_nusd, 6) if whole_nusd else None,
        "usd_per_success": _per(reserved, row["successes"], 1),
        "usd_per_success_minute": _per(reserved, row["success_audio_ms"], MINUTE_MS),
    }
    if by == TENANT:
        return told
    hours = round(row["uncosted_gpu_ms"] / HOUR_MS, 6)
    return {**told, "uncosted_gpu_hours": hours, "uncosted_tokens": row["uncosted_tokens"]}


def _per(nusd: int, amount: int, unit: int) -> str | None:
    """Dollars per unit, to the nano-dollar; `None` where there is none of it: no value, or infinite."""
    return dollars(int((Decimal(nusd) * unit / amount).to_integral_value())) if amount > 0 else None


def _notes(bill: Bill) -> list[str]:
    """What the bill does not have, in sentences."""
    total = bill.total.row(0, named=True)
    notes = []
    if total["uncosted_gpu_ms"] or total["uncosted_tokens"]:
        notes.append(
            f"{total['uncosted_gpu_ms'] / HOUR_MS:,.1f} GPU hours and {total['uncosted_tokens']:,} tokens have no price "
            "and are not in the bill: add their prices to the list."
        )
    if total["used_nusd"] > total["reserved_nusd"]:
        notes.append(
            "More was used than was told as paid for: some replicas do not tell `gpu_reserved_ms`, so reserved cost is too low."
        )
    return notes


def warehouse() -> ClickHouseAddress:
    """The ClickHouse of the settings."""
    return clickhouse(load())
