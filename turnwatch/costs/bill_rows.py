"""Rows of a bill as they are told: dollars, shares, what a success cost, and which routes are dear for nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

import polars as pl

from schemas.instants import HOUR_MS, MINUTE_MS
from schemas.prices import PRICED, UNCOSTED
from stream_jobs.operators.cost.pricing import NANO
from stream_jobs.operators.cost.showback import TENANT, UNATTRIBUTED
from stream_jobs.operators.cost.unit_cost import Route, rank
from turnwatch.costs.money import dollars

By = Literal["tenant", "route", "pool", "bundle", "region"]
TURNS = ("turns", "successes", "success_audio_ms")
NOT_TOLD = (
    "More was used than was told as paid for: some replicas do not tell `gpu_reserved_ms`, so reserved cost is too low."
)


@dataclass(frozen=True, slots=True)
class Bill:
    """What each value of a dimension cost, dearest first and what is nobody's last; money in nano-dollars.

    `rows` and the one row of `total` have turns, successes, success_audio_ms, used_nusd, reserved_nusd; uncosted_gpu_ms and
    uncosted_tokens besides, but rows of tenants not: their uses are told without what says so.
    """

    by: By
    from_ms: int
    to_ms: int
    rows: pl.DataFrame
    total: pl.DataFrame


def told_rows(bill: Bill) -> list[dict[str, Any]]:
    """Every row with its value first; routes with `infinite` and `flagged` besides."""
    whole = bill.total["reserved_nusd"].item()
    rows = [{bill.by: row[bill.by], **_told(row, whole)} for row in bill.rows.to_dicts()]
    if bill.by != "route":
        return rows
    judged = _judged(bill.rows)
    return [{**row, **judged.get(row["route"], {"infinite": None, "flagged": None})} for row in rows]


def told_total(bill: Bill) -> dict[str, Any]:
    """The total, in the fields of a row."""
    total = bill.total.drop(UNCOSTED) if bill.by == TENANT else bill.total
    return _told(total.row(0, named=True), bill.total["reserved_nusd"].item())


def notes_of(bill: Bill) -> list[str]:
    """What the bill does not have, in sentences."""
    total = bill.total.row(0, named=True)
    notes = []
    if total["uncosted_gpu_ms"] or total["uncosted_tokens"]:
        notes.append(
            f"{total['uncosted_gpu_ms'] / HOUR_MS:,.1f} GPU hours and {total['uncosted_tokens']:,} tokens have no price "
            "and are not in the bill: add their prices to the list."
        )
    used, reserved = (total[name] for name in PRICED)
    if used > reserved:
        notes.append(NOT_TOLD)
    return notes + _below_zero(bill)


def _below_zero(bill: Bill) -> list[str]:
    """A sentence where tenants are told of more turns than the operational slices are."""
    if bill.by != TENANT:
        return []
    rows = bill.rows.filter(pl.col(TENANT) == UNATTRIBUTED)
    told = [f"{-count:,} {name}" for name in ("turns", "successes") for count in rows[name] if count < 0]
    if not told:
        return []
    return [
        f"Tenants are told of {' and '.join(told)} more than routes and pools are, so `{UNATTRIBUTED}` is below zero there: "
        "what is withheld for privacy is withheld of each by itself."
    ]


def _told(row: Mapping[str, Any], whole_nusd: int) -> dict[str, Any]:
    reserved = row["reserved_nusd"]
    told = {
        "turns": row["turns"],
        "successes": row["successes"],
        "used_usd": dollars(row["used_nusd"]),
        "reserved_usd": dollars(reserved),
        "share": round(reserved / whole_nusd, 6) if whole_nusd else None,
        "usd_per_success": _per(reserved, row["successes"], 1),
        "usd_per_success_minute": _per(reserved, row["success_audio_ms"], MINUTE_MS),
    }
    if "uncosted_gpu_ms" in row:
        told["uncosted_gpu_hours"] = round(row["uncosted_gpu_ms"] / HOUR_MS, 6)
        told["uncosted_tokens"] = row["uncosted_tokens"]
    return told


def _per(nusd: int, amount: int, unit: int) -> str | None:
    """Dollars per unit, to the nano-dollar; `None` where there is none of it: no value, or infinite."""
    return dollars(int((Decimal(nusd) * unit / amount).to_integral_value())) if amount > 0 else None


def _judged(rows: pl.DataFrame) -> dict[str, dict[str, bool]]:
    """Of each route that had turns, and whose cost is known: whether it is infinite, and dearer than another without gain."""
    known = rows.filter((pl.col("turns") > 0) & (pl.sum_horizontal(UNCOSTED) == 0))
    routes = [
        Route(
            row["route"], row["turns"], Fraction(row["successes"], row["turns"]), Decimal(row["reserved_nusd"]) / NANO
        )
        for row in known.to_dicts()
    ]
    return {each.route.name: {"infinite": each.route.is_infinite, "flagged": each.is_flagged} for each in rank(routes)}
