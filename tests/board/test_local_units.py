"""Figures are written as Grafana writes them, in HTML and in charts alike."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
import vl_convert
from hypothesis import given
from hypothesis import strategies as st

from dashboards.local.specs import VEGA_LITE
from dashboards.local.units import axis_expression, expression, formatted
from tests.board.scenes import texts

UNITS = ("", "none", "short", "percent", "percentunit", "s", "ms", "m", "h", "bytes", "decbytes", "currencyUSD",
         "suffix: ×", "si: turns/s", "count: turns", "currency:€", "prefix:#", "turns")  # fmt: skip

FIGURES = (
    0.0,
    0.5,
    -0.1234,
    1.0,
    59.0,
    3_600.0,
    93_600.0,
    1e-7,
    1_234.5,
    12_345_678.0,
    999.999,
    -5.0,
    3e8,
    1.234e-5,
    700_000.0,
)


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "expected"),
    [
        (0, "s", 0, "0 s"),
        (93_600, "s", 0, "1 day"),
        (93_600, "s", None, "1.08 day"),
        (0.25, "s", None, "250 ms"),
        (3_700, "s", 1, "1.0 hour"),
        (9 * 86_400, "s", None, "1.29 week"),
        (1_500, "ms", None, "1.50 s"),
        (999, "ms", 0, "999 ms"),
        (9 * 86_400_000, "ms", None, "9 day"),
        (0.12345, "percentunit", 1, "12.3%"),
        (0.12345, "percentunit", None, "12.3%"),
        (-0.4, "percentunit", 1, "-40.0%"),
        (12.5, "percent", None, "12.5%"),
        (1_234, "short", None, "1.23 K"),
        (999, "short", None, "999"),
        (12_345_678, "short", 1, "12.3 Mil"),
        (2.016, "suffix: × threshold", 2, "2.02 × threshold"),
        (0.5, "si: turns/s", None, "500 mturns/s"),
        (2_500, "si: tokens/s", None, "2.50 ktokens/s"),
        (1_234.5, "currencyUSD", 2, "$1.23K"),
        (-3.5, "currencyUSD", 2, "-$3.50"),
        (1_536, "bytes", None, "1.50 KiB"),
        (2_000, "count: turns", None, "2K turns"),
        (5, "turns", None, "5 turns"),
        (0.5, "none", 0, "1"),
        (Decimal("1.5"), "none", None, "1.50"),
        (1e-12, "none", None, "0.00000000000100"),
        (math.inf, "s", 1, "∞"),
        (-math.inf, "s", 1, "-∞"),
        (math.nan, "none", None, "NaN"),
        (None, "s", 1, ""),
        (True, "none", None, "True"),
        ("as it is", "s", 1, "as it is"),
        (datetime(2026, 10, 1, 12, 30, 5, tzinfo=UTC), "dateTimeAsIso", None, "2026-10-01 12:30:05"),
        (date(2026, 10, 1), "", None, "2026-10-01"),
    ],
)
def test_figures_read_as_in_grafana(value: object, unit: str, decimals: int | None, expected: str) -> None:
    assert formatted(value, unit, decimals) == expected


def _in_chart(written: str) -> list[str]:
    """What Vega makes of an expression of `datum.value`, for every one of `FIGURES`."""
    spec = {
        "data": {"values": [{"place": place, "value": value} for place, value in enumerate(FIGURES)]},
        "transform": [{"calculate": written, "as": "told"}],
        "mark": "text",
        "encoding": {"y": {"field": "place", "type": "ordinal", "axis": None}, "text": {"field": "told"}},
    }
    return texts(vl_convert.vegalite_to_scenegraph(spec, vl_version=VEGA_LITE))


@pytest.mark.parametrize("decimals", [None, 0, 2])
@pytest.mark.parametrize("unit", UNITS)
def test_charts_and_tables_write_the_same(unit: str, decimals: int | None) -> None:
    """But halves: what is between two figures is rounded by each as its language does."""
    told = _in_chart(expression(unit, decimals))
    for value, seen in zip(FIGURES, told, strict=True):
        nudged = {formatted(value * (1 + nudge), unit, decimals) for nudge in (-1e-12, 0, 1e-12)}
        assert seen in nudged | {formatted(value, unit, decimals)}, value


@pytest.mark.parametrize("unit", UNITS)
def test_ticks_have_as_many_digits_as_they_need(unit: str) -> None:
    ticks = dict(zip(FIGURES, _in_chart(axis_expression(unit)), strict=True))
    assert all(not text.strip("-").startswith(".") for text in ticks.values())
    if unit in ("", "none"):
        assert [ticks[value] for value in (0.5, 1_234.5, 1.0, 999.999, -5.0)] == ["0.5", "1234.5", "1", "999.999", "-5"]
    if unit == "s":
        assert [ticks[value] for value in (0.0, 0.5, 59.0, 3_600.0)] == ["0 s", "500 ms", "59 s", "1 hour"]


@given(value=st.floats(1e-6, 1e12))
def test_three_digits_are_within_half_of_the_last(value: float) -> None:
    assert float(formatted(value)) == pytest.approx(value, rel=0.005)
    assert formatted(-value) == f"-{formatted(value)}"
