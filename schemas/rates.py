"""Rates that may have drifted between two periods: those watched while it happens, and others that are asked about afterwards.

A rate is a quotient of sums, so that it can be reckoned for any slice and period: Σ of its numerator ÷ Σ of its denominator.
Each of them is worse when it rises. Where the numerator is a part of the denominator it is a share; otherwise it may exceed
1, as word errors do, or has a unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from schemas.drift_measures import RATIOS, DriftMeasure
from schemas.families import FAMILIES, INDICATORS, OUTCOMES, QUALITY, TURNS, Family

Kind = Literal["share", "count", "mean"]

_SQUARES = {
    "word_errors": ("word_errors_sumsq", "words_sumsq", "word_errors_by_words"),
    "jitter_ms_sum": ("jitter_ms_sumsq", "jitter_turns", "jitter_ms_sum"),
}
"""By numerator. Of turns that are each divided by 1, squares and products are sums again."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`numerator` ÷ `denominator`, measures of one family; `samples` is the measure that says on how much it rests.

    With `is_complement` it is what of the denominator is not of the numerator: turns without success.

    `squares` name the sums over calls, or turns, of the squared numerator, the squared denominator and their product, where the
    family has them: the words of one call are not independent.
    """

    name: str
    family: str
    meaning: str
    numerator: str
    denominator: str
    samples: str
    squares: tuple[str, str, str] | None = None
    unit: str = ""
    is_complement: bool = False

    @property
    def kind(self) -> Kind:
        """What is counted above the line: a part of what is below it, things of their own, or a quantity with a unit."""
        measures = {measure.name: measure for measure in FAMILIES[self.family].measures}
        if measures[self.numerator].part_of == self.denominator:
            return "share"
        return "mean" if self.unit else "count"


def _watched(measure: DriftMeasure) -> Rate:
    """What drift is watched in while it happens, under the same name."""
    samples = "calls" if measure.family is QUALITY else measure.total
    return Rate(
        measure.name, measure.family.name, measure.words, measure.bad, measure.total, samples,
        _SQUARES.get(measure.bad), measure.unit, measure.complement,
    )  # fmt: skip


def _share(family: Family, name: str, meaning: str, numerator: str, denominator: str) -> Rate:
    return Rate(name, family.name, meaning, numerator, denominator, denominator)


_DECLARED = (
    *map(_watched, RATIOS.values()),
    _share(OUTCOMES, "error_rate", "share of turns that ended in an error", "errors", "outcomes"),
    _share(OUTCOMES, "interruption_rate", "share of interrupted turns", "interruptions", "outcomes"),
    *(_share(TURNS, each.name, f"turns outside of: {each.meaning}", each.bad, each.total) for each in INDICATORS),
)  # fmt: skip

RATES: dict[str, Rate] = {rate.name: rate for rate in _DECLARED}
assert len(RATES) == len(_DECLARED), "a rate's name is its own"


def rates_of(family: Family) -> tuple[Rate, ...]:
    """Those that a family counts, in the order in which they are declared."""
    return tuple(rate for rate in RATES.values() if rate.family == family.name)
