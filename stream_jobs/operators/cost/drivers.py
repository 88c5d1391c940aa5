"""What drove the cost of a success, the strongest first: factors of a decomposition, and their parts where they have any."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from schemas.arrays import Floats
from stream_jobs.operators.cost.decomposition import FACTORS, MICRO, PARTS, Decomposition, Uses, rounded

MEANINGS = {
    "success_rate": "turns for each success",
    "mix": "the mix of pools, routes and models",
    "attempts_first": "first attempts for each turn",
    "attempts_retry": "retries",
    "attempts_fallback": "fallbacks",
    "attempts_shadow": "shadow traffic",
    "tokens_prompt": "the size of prompts",
    "tokens_carried": "context carried over from turn to turn",
    "tokens_retrieved": "retrieved context",
    "tokens_generated": "generated tokens",
    "tokens_audio": "audio tokens",
    "gpu_per_token_cache": "prompts that no cache had",
    "gpu_per_token_batch_occupancy": "room that is left in batches",
    "gpu_per_token_acceptance": "speculative tokens that were not accepted",
    "gpu_per_token_unexplained": "GPU time for each token",
    "price": "prices",
    "utilisation": "paid GPU time for each hour that is used",
    "idle": "GPU time that served nothing",
}
"""Driver → what dearer successes have more of, or what there is less of where they are cheaper. They add up to the change."""
VOLUME = "volume"
"""What more successes add to a bill, and not to the cost of one."""
CENTS = 100


@dataclass(frozen=True, slots=True)
class Driver:
    """What one thing added to the cost of a success.

    `micro_dollars` of all drivers sum to the rounded change. `cell` is the place of the cell in which it added most in its
    own direction, `of_cell` the dollars that it added there.
    """

    name: str
    dollars: float
    micro_dollars: int
    cell: int
    of_cell: float

    @property
    def meaning(self) -> str:
        return MEANINGS[self.name]


def drivers(decomposition: Decomposition) -> list[Driver]:
    """Everything that the change is shared out to: what moved it most in its own direction first, what held it up last.

    The sum of their micro-dollars is `round(new) - round(old)`, in micro-dollars.
    """
    falls = decomposition.new < decomposition.old
    found = [driver for factor in FACTORS for driver in _of(decomposition, factor)]
    return sorted(found, key=lambda driver: driver.dollars if falls else -driver.dollars)


def main_drivers(decomposition: Decomposition, most: int = 3, share_min: float = 0.05) -> list[Driver]:
    """The first of `drivers`, at most `most`: those that moved the cost its way by at least that share of its change."""
    change = decomposition.new - decomposition.old
    least = max(share_min * abs(change), 0.5 / MICRO)
    direction = 1 if change >= 0 else -1
    return [driver for driver in drivers(decomposition) if direction * driver.dollars >= least][:most]


def bill_cents(told: list[Driver], old: Uses, new: Uses) -> dict[str, int]:
    """What each of all `drivers`, and `VOLUME`, added to the bill: cents that sum to the change of the bill in cents.

    bill1 - bill0 = (cost1 - cost0) × successes1 + cost0 × (successes1 - successes0)
    """
    volume = old.cost_per_success * (new.successes - old.successes)
    parts = np.array([volume, *(driver.dollars * new.successes for driver in told)])
    whole = round(float(new.dollars.sum()) * CENTS) - round(float(old.dollars.sum()) * CENTS)
    names = [VOLUME, *(driver.name for driver in told)]
    return dict(zip(names, rounded(parts, whole, CENTS), strict=True))


def _of(decomposition: Decomposition, factor: str) -> list[Driver]:
    """A factor's parts as drivers, or the factor where it has none."""
    if factor not in PARTS:
        effects = decomposition.effects[:, FACTORS.index(factor)]
        return [_driver(factor, effects, decomposition.in_micro_dollars()[factor])]
    micro = decomposition.parts_in_micro_dollars(factor)
    return [
        _driver(f"{factor}_{part}", effects, micro[part])
        for part, effects in zip(PARTS[factor], decomposition.parts[factor].T, strict=True)
    ]


def _driver(name: str, effects: Floats, micro_dollars: int) -> Driver:
    dollars = float(effects.sum())
    strongest = int(np.argmax(effects if dollars >= 0 else -effects))
    return Driver(name, dollars, micro_dollars, strongest, float(effects[strongest]))
