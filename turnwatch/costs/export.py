"""`turnwatch cost export`: the bill as a file in the columns of FOCUS 1.2."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from schemas.failures import BadInput, Foreseen
from schemas.instants import HOUR_MS, utc_text
from schemas.prices import PriceList
from stream_jobs.operators.cost.metering import METER
from stream_jobs.operators.cost.pricing import Pricing
from stream_jobs.operators.cost.showback import by_day
from turnwatch.costs.bill import warehouse
from turnwatch.costs.bill_rows import NOT_TOLD
from turnwatch.costs.cost_rows import read_costs
from turnwatch.costs.focus_lines import LINE, Issuer, focus_lines, metered_days
from turnwatch.price_choice import chosen_prices
from turnwatch.printable import printable

NAME_MAX = 200


def run_export(data: Sequence[str], prices: Path | None, provider: str | None, account: str, out: Path | None) -> int:
    """Writes the lines to a file or to standard output, says what has no price, and returns the exit code."""
    chosen = chosen_prices(prices)
    pricing, issuer = Pricing(chosen.prices), _issuer(chosen.prices, provider, account)
    costs = read_costs(data, warehouse)
    days = by_day(pl.concat(list(metered_days(costs, pricing))), LINE)
    if days.is_empty():
        raise BadInput(
            f"Nothing is told of costs between {utc_text(costs.from_ms)} and {utc_text(costs.to_ms)}: there is no bill."
        )
    _write(focus_lines(days, pricing, issuer, costs.from_ms, costs.to_ms).write_csv(), out)
    for note in _notes(days):
        print(printable(f"turnwatch: {note}"), file=sys.stderr)
    chosen.tell()
    return 0


def _issuer(prices: PriceList, provider: str | None, account: str) -> Issuer:
    issuer = Issuer(provider if provider is not None else prices.name, account)
    for option, name in (("--provider", issuer.provider), ("--account", issuer.account)):
        if not name.strip() or len(name) > NAME_MAX or not name.isprintable():
            raise BadInput(f"{option} has to be one line of 1 to {NAME_MAX} characters: FOCUS has no bill without it.")
    return issuer


def _write(text: str, out: Path | None) -> None:
    if out is None:
        sys.stdout.write(text)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Foreseen(f"{out}: the bill cannot be written: {error.strerror}.") from None


def _notes(days: pl.DataFrame) -> list[str]:
    """What the lines do not have, in sentences."""
    is_gpu = pl.col(METER) == "gpu_hour"
    gpu_ms, tokens = (int(days.filter(of)["uncosted"].sum()) for of in (is_gpu, ~is_gpu))
    notes = []
    if gpu_ms or tokens:
        notes.append(
            f"{gpu_ms / HOUR_MS:,.1f} GPU hours and {tokens:,} tokens have no price and no line: add their prices to the list."
        )
    if days["used_nusd"].sum() > days["reserved_nusd"].sum():
        notes.append(NOT_TOLD)
    return notes
