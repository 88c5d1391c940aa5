"""Noise of differential privacy: what a measure declares of it, and how far what is told can be from what was counted.

A collector adds a draw of the discrete Laplace distribution, P(x) = (1 - a) / (1 + a) * a^|x| with a = e^(-1 / scale), to a
measure of every cell of a window (Ghosh, Roughgarden and Sundararajan 2009: the geometric mechanism). With scale =
clip / epsilon, what one window tells is epsilon-differentially private in what a session contributed to the measure, as long
as no session contributes more than `clip`. Windows add up: a day's windows to `epsilon_per_day`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Noise:
    """`clip`: the most that one session counts in one window, over all cells. A day has a budget of `windows_per_day`
    windows that are told, each at the same share of `epsilon_per_day`; beyond them the measure is told as 0."""

    epsilon_per_day: float
    windows_per_day: int
    clip: int

    def __post_init__(self) -> None:
        if not (0 < self.epsilon_per_day < math.inf and self.windows_per_day > 0 and self.clip > 0):
            raise ValueError("Noise needs an epsilon above 0, and a window and a contribution at least.")

    @property
    def epsilon(self) -> float:
        """What one window spends of the day's budget."""
        return self.epsilon_per_day / self.windows_per_day

    @property
    def scale(self) -> float:
        return self.clip / self.epsilon

    def within(self, confidence: float = 0.95) -> int:
        """The least t with P(|x| <= t) >= `confidence`: P(|x| > t) = 2 a^(t + 1) / (1 + a)."""
        a = math.exp(-1 / self.scale)
        return max(0, math.ceil(math.log((1 - confidence) * (1 + a) / 2) / math.log(a)) - 1)

    @property
    def mean_of_zero(self) -> float:
        """What a cell tells on average that counted nothing, as nothing below 0 is told: E[max(0, x)] = a / (1 - a^2)."""
        a = math.exp(-1 / self.scale)
        return a / (1 - a * a)

    @property
    def said(self) -> str:
        """For whoever reads the numbers."""
        return (
            f"noised where the collector is told to: epsilon {self.epsilon:g} a window and {self.epsilon_per_day:g} a day, "
            f"at most {self.clip} of a session and window, ± {self.within()} at 95 % in each collector's cell and window, "
            f"{self.mean_of_zero:.1f} on average where there was nothing"
        )
