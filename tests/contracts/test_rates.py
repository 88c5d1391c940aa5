"""Every rate that may drift is made of measures that its family counts."""

from __future__ import annotations

from schemas.families import FAMILIES
from schemas.rates import RATES, rates_of


def test_rates_are_quotients_of_counters_of_their_family() -> None:
    for rate in RATES.values():
        counters = {each.name for each in FAMILIES[rate.family].measures if each.merge == "counter"}
        assert {rate.numerator, rate.denominator, rate.samples, *(rate.squares or ())} <= counters, rate.name
    kinds = {name: RATES[name].kind for name in ("entity_error_rate", "word_error_rate", "jitter_ms", "turn_4000ms")}
    assert kinds == {
        "entity_error_rate": "share",
        "word_error_rate": "count",
        "jitter_ms": "mean",
        "turn_4000ms": "share",
    }
    told = [each.name for family in FAMILIES.values() for each in rates_of(family)]
    assert sorted(told) == sorted(RATES)
