"""Why the cost of a successful turn moved: an exact additive decomposition of the change between two periods.

The identity, summed over cells i (a route and model, on one kind of GPU or hosted), with totals in capitals:

    dollars ÷ successes = (TURNS ÷ SUCCESSES) × Σ (turns_i ÷ TURNS) × (attempts_i ÷ turns_i) × (tokens_i ÷ attempts_i)
                          × (GPU s used_i ÷ tokens_i) × (dollars_i ÷ GPU s paid_i) × (GPU s paid_i ÷ GPU s used_i)

Of a hosted model the GPU factors are 1 and the price is one of tokens. Each cell's change is shared out by logarithmic
means, L(a, b) = (a - b) ÷ ln(a ÷ b): a factor x that goes from x0 to x1 adds L(V1, V0) × ln(x1 ÷ x0), and the factors add
up to V1 - V0 exactly. A factor that is a sum (attempts, tokens) gives each of its parts p the share
L(V1, V0) × (p1 - p0) ÷ L(x1, x0). Source: Ang, "The LMDI approach to decomposition analysis" (Energy Policy, 2005); for
zeros Ang and Liu (Energy Policy, 2007): what came or vanished is mix, and cost that no turn used is idle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.arrays import Floats

FACTORS = ("success_rate", "mix", "attempts", "tokens", "gpu_per_token", "price", "utilisation", "idle")
"""What a change is shared out to. `idle` is cost of cells that served nothing."""
ATTEMPTS = ("first", "retry", "fallback", "shadow")
TOKENS = ("prompt", "carried", "retrieved", "generated", "audio")
EFFICIENCIES = ("cache", "batch_occupancy", "acceptance")
"""Known multipliers of GPU seconds per token; the rest of that factor is `unexplained`."""
PARTS = {"attempts": ATTEMPTS, "tokens": TOKENS, "gpu_per_token": (*EFFICIENCIES, "unexplained")}

MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Uses:
    """What one period used and paid, cell by cell; arrays of length n, and in both periods of the same cells in that order.

    `attempts` has the shape (n, 4), as `ATTEMPTS`, `tokens` (n, 5), as `TOKENS`. `gpu_used_s` is 0 of hosted models.
    `efficiencies`, of shape (n, 3), multiply GPU seconds per token (a cache that has half of the prompt 0.5, batches half
    full 2); not a number where unknown. None is negative. `successes` are those of all cells, and so are `turns_served`:
    the sum of `turns` unless given, because a turn that several models serve is a turn of several cells.
    """

    successes: float
    turns: Floats
    attempts: Floats
    tokens: Floats
    gpu_used_s: Floats
    gpu_paid_s: Floats
    dollars: Floats
    efficiencies: Floats
    turns_served: float | None = None

    @property
    def cost_per_success(self) -> float:
        return float(self.dollars.sum()) / self.successes

    @property
    def is_hosted(self) -> NDArray[np.bool_]:
        """Paid by the token."""
        return np.asarray((self.gpu_paid_s == 0) & (self.dollars > 0), dtype=np.bool_)

    @property
    def has_served(self) -> NDArray[np.bool_]:
        """Cells whose cost has every factor of the identity."""
        used = (self.turns > 0) & (self.attempts.sum(axis=1) > 0) & (self.tokens.sum(axis=1) > 0) & (self.dollars > 0)
        return np.asarray(used & (self.is_hosted | (self.gpu_used_s > 0)), dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class Decomposition:
    """Dollars per success that each factor added, by cell: `effects` (n, factors), and the `parts` of some of them.

    Everything adds up to `new - old`.
    """

    old: float
    new: float
    effects: Floats
    parts: dict[str, Floats]

    def in_micro_dollars(self) -> dict[str, int]:
        """Factor → micro-dollars per success; they sum to the rounded change, the largest one takes the remainder."""
        change = round(self.new * MICRO) - round(self.old * MICRO)
        return dict(zip(FACTORS, rounded(self.effects.sum(axis=0), change), strict=True))

    def parts_in_micro_dollars(self, factor: str) -> dict[str, int]:
        """The parts of one factor, summing to what `in_micro_dollars` says of it."""
        whole = self.in_micro_dollars()[factor]
        return dict(zip(PARTS[factor], rounded(self.parts[factor].sum(axis=0), whole), strict=True))


def decompose(old: Uses, new: Uses) -> Decomposition:
    """The change of cost per success from one period to another.

    Raises `ValueError` where a period has no success: its cost per success is infinite, or has no value.
    """
    for period, name in ((old, "old"), (new, "new")):
        if not period.successes > 0:
            raise ValueError(f"The {name} period has no successful turn: its cost has nothing to be divided by.")
    before, after = old.dollars / old.successes, new.dollars / new.successes
    weight = _log_mean(after, before)
    is_whole = old.has_served & new.has_served & (old.is_hosted == new.is_hosted)
    effects = np.zeros((len(before), len(FACTORS)))
    factors_old, factors_new = _factors(old), _factors(new)
    with np.errstate(divide="ignore", invalid="ignore"):
        effects[:, :-1] = weight[:, None] * np.log(factors_new / factors_old)
    effects[~is_whole] = 0.0
    is_idle = ~is_whole & ~(old.has_served | new.has_served)
    effects[~is_whole & ~is_idle, FACTORS.index("mix")] = (after - before)[~is_whole & ~is_idle]
    effects[is_idle, FACTORS.index("idle")] = (after - before)[is_idle]
    return Decomposition(
        old.cost_per_success, new.cost_per_success, effects, _parts(old, new, weight, effects, is_whole)
    )


def rounded(parts: Floats, whole: int, per_dollar: int = MICRO) -> list[int]:
    """Dollars as micro-dollars (or cents) that sum to `whole`; the largest takes the remainder, of equal ones the first.

    >>> rounded(np.array([0.000_000_4, 0.000_002_4]), 3)
    [0, 3]
    """
    units = [round(part * per_dollar) for part in parts.tolist()]
    largest = int(np.argmax(np.abs(parts)))
    units[largest] += whole - sum(units)
    return units


def _factors(uses: Uses) -> Floats:
    """The factors of each cell, in the order of `FACTORS`, without `idle`; not a number where a cell has none."""
    attempts, tokens = uses.attempts.sum(axis=1), uses.tokens.sum(axis=1)
    hosted = uses.is_hosted
    used_s, paid_s = np.where(hosted, tokens, uses.gpu_used_s), np.where(hosted, tokens, uses.gpu_paid_s)
    turns = float(uses.turns.sum()) if uses.turns_served is None else uses.turns_served
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.column_stack(
            [
                np.full(len(tokens), turns / uses.successes),
                uses.turns / turns if turns else np.full(len(tokens), np.nan),
                attempts / uses.turns,
                tokens / attempts,
                used_s / tokens,
                uses.dollars / paid_s,
                paid_s / used_s,
            ]
        )


def _parts(old: Uses, new: Uses, weight: Floats, effects: Floats, is_whole: NDArray[np.bool_]) -> dict[str, Floats]:
    weight = np.where(is_whole, weight, 0.0)
    return {
        "attempts": _of_sum(old.attempts, old.turns, new.attempts, new.turns, weight),
        "tokens": _of_sum(old.tokens, old.attempts.sum(axis=1), new.tokens, new.attempts.sum(axis=1), weight),
        "gpu_per_token": _of_gpu(old, new, weight, effects[:, FACTORS.index("gpu_per_token")]),
    }


def _of_sum(old: Floats, per_old: Floats, new: Floats, per_new: Floats, weight: Floats) -> Floats:
    """What each summand of a factor added, of shape (n, summands)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        before, after = old / per_old[:, None], new / per_new[:, None]
        shares = (after - before) / _log_mean(after.sum(axis=1), before.sum(axis=1))[:, None]
    return np.where((weight > 0)[:, None], weight[:, None] * shares, 0.0)


def _of_gpu(old: Uses, new: Uses, weight: Floats, effect: Floats) -> Floats:
    """What the known multipliers of GPU seconds per token added, and what they leave unexplained, of shape (n, 4)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(new.efficiencies / old.efficiencies)
    hosted = (old.is_hosted | new.is_hosted)[:, None]
    known = weight[:, None] * np.where(np.isfinite(ratio) & ~hosted, ratio, 0.0)
    return np.column_stack([known, effect - known.sum(axis=1)])


def _log_mean(one: Floats, other: Floats) -> Floats:
    """L(a, b), a where both are equal, 0 where one is 0; near equality by its series, where the quotient loses digits."""
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = (one - other) / other
        quotient = (one - other) / np.log1p(relative)
        series = other * (1 + relative / 2 - relative * relative / 12)
    mean = np.where(np.abs(relative) < 1e-5, series, quotient)
    return np.where((one > 0) & (other > 0), mean, 0.0)
