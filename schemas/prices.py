"""Prices as values: what a GPU hour or a million tokens costs, where, from when to when.

A price list is declared by a file (`alerts/price_document.py`) and applied by `stream_jobs/operators/cost/pricing.py`. Of one
thing there is one price at a moment; what has none is `uncosted`, never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Literal

Resource = Literal["gpu_hour", "tokens_in", "tokens_cached", "tokens_out", "tokens_audio"]
RESOURCES: tuple[Resource, ...] = ("gpu_hour", "tokens_in", "tokens_cached", "tokens_out", "tokens_audio")
TOKENS_PRICED = 1_000_000
"""Tokens are priced by the million."""
HOSTED = "hosted"
"""The purchase of what is paid for by the token."""
NANO_PER_USD = 10**9
PRICED = ("used_nusd", "reserved_nusd")
"""Cost of what was used, and of what was paid for, idle included, in whole nano-dollars; hosted tokens are both."""
UNCOSTED = ("uncosted_gpu_ms", "uncosted_tokens")
"""Paid GPU time and hosted tokens that have no price."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for one GPU hour, or for a million tokens, from an instant on and until another, which is excluded.

    A GPU hour is bought (`purchase`) of a kind (`gpu_type`); tokens are those of a hosted model (`model_version`). Without
    a `region` it holds in each that has none of its own.
    """

    resource: Resource
    usd: Decimal
    from_ms: int
    until_ms: int | None = None
    region: str | None = None
    gpu_type: str | None = None
    purchase: str | None = None
    model_version: str | None = None

    @property
    def thing(self) -> tuple[str, str, str, str, str]:
        """What it is the price of; empty where that does not matter."""
        return self.resource, self.region or "", self.gpu_type or "", self.purchase or "", self.model_version or ""


@dataclass(frozen=True, slots=True)
class PriceList:
    name: str
    prices: tuple[Price, ...]


NO_PRICES = PriceList("none", ())


def overlap(prices: tuple[Price, ...]) -> tuple[Price, Price] | None:
    """The first two prices of one thing at one moment, if there are any."""
    for earlier, later in pairwise(sorted(prices, key=lambda price: (price.thing, price.from_ms))):
        if earlier.thing == later.thing and (earlier.until_ms is None or later.from_ms < earlier.until_ms):
            return earlier, later
    return None
