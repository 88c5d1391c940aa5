"""Invoiced beside metered: which bucket belongs to which line, and when a line agrees."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from stream_jobs.operators.cost.reconciliation import compared, matched, overlapping

HOUR_MS = 3_600_000
SKU = {"sku": "gpu_hour/h100/reserved", "region": "eu-west-1"}


def charges(*told: dict[str, Any]) -> pl.DataFrame:
    rows = [
        {"line": line, **SKU, "invoiced_nusd": 0, "invoiced_quantity": None, **row} for line, row in enumerate(told)
    ]
    types = {"line": pl.UInt32, "invoiced_nusd": pl.Int64, "invoiced_quantity": pl.Float64}
    return pl.DataFrame(rows, schema_overrides=types)


def buckets(*told: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([{**SKU, "quantity": 0, "uncosted": 0, "reserved_nusd": 1, **row} for row in told])


FIRST, THIRD = {"from_ms": 0, "to_ms": HOUR_MS}, {"from_ms": 2 * HOUR_MS, "to_ms": 3 * HOUR_MS}


def test_a_bucket_belongs_to_the_line_in_whose_period_it_begins() -> None:
    """Between lines and of another region it belongs to none; before the first and after the last it is not looked at."""
    at = (0, HOUR_MS - 600_000, HOUR_MS, 2 * HOUR_MS, 3 * HOUR_MS, -600_000)
    rows = [{"bucket_start_ms": at_ms} for at_ms in at]
    elsewhere = {"bucket_start_ms": 0, "region": "ap-south-1"}
    found = matched(buckets(*rows, elsewhere), charges(FIRST, THIRD))
    sums = {(row["line"], row["region"]): row["ours_nusd"] for row in found.to_dicts()}
    assert sums == {(0, "eu-west-1"): 2, (1, "eu-west-1"): 1, (None, "eu-west-1"): 1, (None, "ap-south-1"): 1}


def test_what_is_invoiced_without_regions_is_metered_in_all_of_them() -> None:
    told = buckets({"bucket_start_ms": 0}, {"bucket_start_ms": 0, "region": "ap-south-1"})
    (row,) = matched(told, charges({**FIRST, "region": ""})).to_dicts()
    assert (row["line"], row["ours_nusd"]) == (0, 2)


def test_stretches_may_be_matched_one_by_one() -> None:
    lines = charges({**FIRST, "invoiced_nusd": 3})
    stretches = [matched(buckets({"bucket_start_ms": at_ms}), lines) for at_ms in (0, 600_000, 1_200_000)]
    (row,) = compared(lines, pl.concat(stretches), Decimal(0)).to_dicts()
    assert (row["ours_nusd"], row["difference_nusd"], row["status"]) == (3, 0, "agrees")


def test_periods_overlap_where_one_begins_before_another_has_ended() -> None:
    assert overlapping(charges(FIRST, THIRD, {"from_ms": HOUR_MS, "to_ms": 2 * HOUR_MS})).is_empty()
    assert overlapping(charges(FIRST, {"from_ms": HOUR_MS - 1, "to_ms": 2 * HOUR_MS})).height == 1
    assert overlapping(charges(FIRST, {**FIRST, "region": "ap-south-1"})).is_empty()


@pytest.mark.parametrize(
    ("invoiced", "ours", "tolerance", "status"),
    [
        (10**12, 99 * 10**10, "0.01", "agrees"),
        (10**12, 99 * 10**10 - 1, "0.01", "differs"),
        (10**12, 101 * 10**10, "0.01", "agrees"),
        (10**12, 101 * 10**10 + 1, "0.01", "differs"),
        (5, 5, "0", "agrees"),
        (-(10**9), 0, "0.5", "only_invoiced"),
        (0, 0, "0", "agrees"),
    ],
)
def test_exactly_on_the_tolerance_agrees(invoiced: int, ours: int, tolerance: str, status: str) -> None:
    lines = charges({**FIRST, "invoiced_nusd": invoiced})
    told = matched(buckets({"bucket_start_ms": 0, "reserved_nusd": ours}), lines)
    (row,) = compared(lines, told, Decimal(tolerance)).to_dicts()
    assert row["status"] == status


@pytest.mark.parametrize(
    ("invoiced", "hours", "uncosted", "because"),
    [(20, 1, 0, "price"), (20, 2, 0, "quantity"), (60, 2, 0, "quantity_and_price"), (20, 1, 9, "no_price"), (20, None, 0, None)],
)  # fmt: skip
def test_a_difference_is_of_price_or_quantity(invoiced: int, hours: int | None, uncosted: int, because: str) -> None:
    quantity = None if hours is None else hours * HOUR_MS
    lines = charges({**FIRST, "invoiced_nusd": invoiced, "invoiced_quantity": quantity})
    ours = buckets({"bucket_start_ms": 0, "reserved_nusd": 10, "quantity": HOUR_MS, "uncosted": uncosted})
    (row,) = compared(lines, matched(ours, lines), Decimal("0.01")).to_dicts()
    assert (row["status"], row["because"]) == ("differs", because)
