"""What moved the cost of a success: each factor of it beside the same hours a whole number of weeks before.

Dollars ÷ successes is a product of six factors, and the change of a product is shared out to its factors by logarithmic
means (LMDI, as `stream_jobs/operators/cost/decomposition.py` does over cells): factor f adds L(now, before) × ln(f now ÷ f before),
where L(a, b) = (a - b) ÷ ln(a ÷ b). The parts sum to the change. What shifts between routes and models is within the factors;
`turnwatch cost why` tells it apart as mix.
"""

from __future__ import annotations

from dashboards.queries import Query
from dashboards.queries.spend import charged, opening

_FACTORS = {
    "turns for each success": ("turns", "successes"),
    "attempts for each turn": ("attempts", "turns"),
    "tokens for each attempt": ("tokens", "attempts"),
    "GPU time for each token": ("gpu_used_ms", "tokens"),
    "price of what is used": ("used_nusd", "gpu_used_ms"),
    "paid for what is used": ("charged_nusd", "used_nusd"),
}
"""By what grew: numerator and denominator. Each denominator is the numerator of the one before, so only the ends remain."""
DRIVERS = tuple(_FACTORS)
_SUMMED = (
    "successes", "turns", "attempts", "tokens", "gpu_used_ms", "used_nusd", "charged_nusd", "attempts_retried",
    "attempts_fallback", "attempts_shadow", "tokens_prompt", "tokens_carried", "tokens_retrieved", "tokens_cached",
    "tokens_out", "tokens_audio",
)  # fmt: skip

_BOTH = ",\n    ".join(
    f"sumIf({name}, NOT is_now) AS {name}_before, sumIf({name}, is_now) AS {name}_now" for name in _SUMMED
)


def _quotient(numerator: str, denominator: str, when: str) -> str:
    return f"{numerator}_{when} / nullIf({denominator}_{when}, 0)"


def _added(numerator: str, denominator: str) -> str:
    now, before = (_quotient(numerator, denominator, when) for when in ("now", "before"))
    return f"if({now} > 0 AND {before} > 0, mean * log(({now}) / ({before})), NULL)"


_ADDED = ", ".join(f"('{name}', {_added(*parts)})" for name, parts in _FACTORS.items())

MOVED = Query(
    "cost_moved_by",
    f"""{opening()}
SELECT added.1 AS driver, greatest(added.2, 0) AS dearer, least(added.2, 0) AS cheaper FROM (
  SELECT 1000 / 1e9 * {_quotient("charged_nusd", "successes", "now")} AS now_usd,
    1000 / 1e9 * {_quotient("charged_nusd", "successes", "before")} AS before_usd,
    if(now_usd = before_usd, now_usd, (now_usd - before_usd) / log(now_usd / before_usd)) AS mean,
    arrayJoin([{_ADDED}]) AS added
  FROM (
  SELECT {_BOTH}
  FROM {charged()}))
WHERE added.2 IS NOT NULL
ORDER BY abs(added.2) DESC, driver""",
)
"""US dollars that each factor added to 1,000 successes, or took from them."""

_PROMPT = ("tokens_prompt", "tokens_carried", "tokens_retrieved")
_RATES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "success rate": ("successes", ("turns",), "of turns"),
    "retries": ("attempts_retried", ("attempts",), "of attempts"),
    "fallbacks": ("attempts_fallback", ("attempts",), "of attempts"),
    "shadow traffic": ("attempts_shadow", ("attempts",), "of attempts"),
    "prompt written": ("tokens_prompt", ("attempts",), "tokens an attempt"),
    "prompt carried over": ("tokens_carried", ("attempts",), "tokens an attempt"),
    "prompt retrieved": ("tokens_retrieved", ("attempts",), "tokens an attempt"),
    "prompt from a cache": ("tokens_cached", _PROMPT, "of prompt tokens"),
    "answer": ("tokens_out", ("attempts",), "tokens an attempt"),
    "audio": ("tokens_audio", ("attempts",), "tokens an attempt"),
    "GPU time": ("gpu_used_ms", ("turns",), "ms a turn"),
    "used of what is paid for": ("used_nusd", ("charged_nusd",), "of dollars"),
}
"""By name: what is divided by the sum of what, and the unit of that."""


def _rate(numerator: str, denominators: tuple[str, ...], when: str) -> str:
    return f"{numerator}_{when} / nullIf({' + '.join(f'{name}_{when}' for name in denominators)}, 0)"


_EACH = ", ".join(
    f"('{name}', '{unit}', {_rate(of, over, 'before')}, {_rate(of, over, 'now')})"
    for name, (of, over, unit) in _RATES.items()
)

RATES = Query(
    "cost_rates",
    f"""{opening()}
SELECT told.1 AS rate, told.2 AS unit, told.3 AS before, told.4 AS now, now / nullIf(before, 0) - 1 AS change FROM (
  SELECT arrayJoin([{_EACH}]) AS told FROM (
  SELECT {_BOTH}
  FROM {charged()}))
WHERE now > 0 OR before > 0
ORDER BY abs(change) DESC NULLS FIRST, rate""",
)
"""What a turn takes, now and before, what changed most first: before all others what was not there before."""
