"""The prices that a question about money is answered at; where nobody set any, it is said once there is an answer."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from alerts.price_document import SHIPPED_PRICES, load_prices
from schemas.prices import PriceList
from turnwatch.settings import load


@dataclass(frozen=True, slots=True)
class Chosen:
    """A price list; the shipped example where it is nobody's choice."""

    prices: PriceList
    is_example: bool

    def tell(self) -> None:
        """Says on standard error that these are nobody's prices, if so. After the answer: beside an error it is noise."""
        if self.is_example:
            which = f"these are the prices of the shipped one, {self.prices.name}, which are nobody's"
            print(
                f"turnwatch: No price list is set, so {which}: set TURNWATCH_PRICES or give --prices.", file=sys.stderr
            )


def chosen_prices(file: Path | None) -> Chosen:
    """The price list that was given, that of the settings, or the shipped example."""
    meant = file or load().prices
    return Chosen(load_prices(meant or SHIPPED_PRICES), is_example=meant is None)
