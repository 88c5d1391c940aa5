"""What is said about money: findings in sentences, with what to do, and the figures behind them."""

from __future__ import annotations

from math import floor, log10

from schemas.counted import counted
from schemas.findings import Figure, Finding
from schemas.instants import DAY_MS, WEEK_MS
from schemas.slices import EVERYTHING
from schemas.spend_policies import Budget, SpendPolicy
from stream_jobs.operators.cost.budget_outlook import Outlook, Rule, day_text
from stream_jobs.operators.cost.drivers import Driver, main_drivers
from stream_jobs.operators.cost.periods import Explained
from stream_jobs.operators.cost.regressions import Regression

REGRESSED, WITHOUT_SUCCESS, ABOVE_BUDGET = "CostRegressed", "CostWithoutSuccess", "SpendAboveBudget"
RUNBOOK = "docs/runbooks/cost.md"

_BEFORE = {WEEK_MS: "a week", DAY_MS: "a day"}
_ACTIONS = {
    "success_rate": "Find out why fewer turns succeed: outcomes and objectives of the slice say where.",
    "mix": "Look at which route or model took traffic over, and whether it succeeds more often for its price.",
    "attempts_first": "Find what asks models more often for each turn.",
    "attempts_retry": "Find what is retried and why: errors and timeouts of the models of this slice.",
    "attempts_fallback": "Find why the first choice fails: every fallback is paid for besides.",
    "attempts_shadow": "Lower the share of shadow traffic, or end it.",
    "tokens_prompt": "Shorten prompts, or undo the change that made them longer.",
    "tokens_carried": "Carry less context over from turn to turn: cut it, or summarise it.",
    "tokens_retrieved": "Retrieve fewer or shorter chunks.",
    "tokens_generated": "Limit the length of answers, or undo the change that made them longer.",
    "tokens_audio": "Find what makes audio longer in tokens: codec, sampling, or silence that is sent along.",
    "gpu_per_token_cache": "Find why caches miss: prompts that begin differently, or replicas that do not share a session.",
    "gpu_per_token_batch_occupancy": "Fill batches: fewer replicas, or a longer wait for a batch.",
    "gpu_per_token_acceptance": "Look at the draft model: rejected tokens are computed twice.",
    "gpu_per_token_unexplained": "Compare engine, model version and batches with those of before.",
    "price": "Compare purchases and regions: dearer capacity serves what cheaper capacity did.",
    "utilisation": "Take replicas away, or give them work: more of what is paid for is idle.",
    "idle": "Take away what serves nothing.",
}
"""Driver → what to do about it."""
_FORECASTS: dict[Rule, str] = {
    "week_profile": "as the weeks before",
    "recent_days": "at the mean of the last whole days",
    "none": "not forecast within the first day of history",
}


def regressed(
    found: Regression, before_ms: int, explained: Explained | None, policy: SpendPolicy, since_ms: int
) -> Finding:
    """A success that costs more. Without `explained` it says how much, and not why."""
    why = [] if explained is None else main_drivers(explained.decomposition)
    sentences = [_cost(found, before_ms, policy), *_why(why, explained)]
    look = f"`turnwatch cost why` shows all parts of the change in {found.slice}."
    return Finding(
        alert=REGRESSED,
        slice=found.slice,
        severity="ticket",
        since_ms=since_ms,
        summary=_short(" ".join(sentences)),
        action=f"{_ACTIONS[why[0].name]} {look}" if why else look,
        runbook=RUNBOOK,
        labels={"owner": policy.owner},
        facts={
            "usd_per_1000_successes": 1_000 * found.new,
            "usd_per_1000_successes_before": 1_000 * found.old,
            "successes": float(found.successes),
            "successes_before": float(found.successes_old),
            "success_rate": found.success_rate,
            "success_rate_before": found.success_rate_old,
            "added_usd": found.added_usd,
            "window_h": float(policy.window_h),
            "before_h": before_ms / 3_600_000,
            **({} if found.relative is None else {"relative_change": found.relative}),
            **_driver_facts(why, explained),
        },
    )


def still_regressed(slice_text: str, policy: SpendPolicy, since_ms: int) -> Finding:
    """What regressed and cannot be compared with anything now: it has not been seen to end."""
    return Finding(
        alert=REGRESSED,
        slice=slice_text,
        severity="ticket",
        since_ms=since_ms,
        summary=_short(
            f"A success of {slice_text} cost more than before when that was known last. It cannot be judged now: of the hours "
            f"that the last {policy.window_h} h are compared with not all are known."
        ),
        action="Go on with its cause; it is judged again, and may end, with the first hours that have whole ones to compare with.",
        runbook=RUNBOOK,
        labels={"owner": policy.owner},
        facts={"window_h": float(policy.window_h), "reference": "none"},
    )


def without_success(slice_text: str, usd: float, turns: int, policy: SpendPolicy, since_ms: int) -> Finding:
    """A route with cost and no success."""
    return Finding(
        alert=WITHOUT_SUCCESS,
        slice=slice_text,
        severity="ticket",
        since_ms=since_ms,
        summary=(
            f"{slice_text} cost {_sum(usd)} in the last {policy.window_h} h and none of its {counted(turns, 'turn')} did what its "
            "user wanted: its cost per success is infinite."
        ),
        action="Send its traffic to another route or turn it off, unless nobody reports whether its turns succeed.",
        runbook=RUNBOOK,
        labels={"owner": policy.owner},
        facts={"usd": usd, "turns": float(turns), "window_h": float(policy.window_h)},
    )


def above_budget(budget: Budget, found: Outlook, policy: SpendPolicy, since_ms: int) -> Finding:
    """A month that will cost, or has cost, more than its budget; one finding a month."""
    limit = float(budget.usd_month)
    return Finding(
        alert=ABOVE_BUDGET,
        slice=budget.slice,
        severity="ticket",
        since_ms=since_ms,
        summary=" ".join((_total(budget, found), _spent(found, limit))),
        action="Cut what drives the spend, or agree on another budget; `turnwatch cost bill` shows who it is for.",
        runbook=RUNBOOK,
        labels={"owner": policy.owner, "month": found.month},
        facts={
            "budget_usd": limit,
            "spent_usd": found.spent_usd,
            "forecast_usd": found.forecast_usd,
            "total_usd": found.total_usd,
            "hours_known": float(found.hours_known),
            "hours_left": float(found.hours_left),
            "forecast_rule": found.rule,
        },
    )


def _cost(found: Regression, before_ms: int, policy: SpendPolicy) -> str:
    more = "more" if found.relative is None else f"{found.relative:.0%} more"
    gain = found.success_rate - found.success_rate_old
    success = "fell" if gain < -float(policy.success_gain) else "is flat"
    return (
        f"A success of {found.slice} cost {_unit(found.new)} in the last {policy.window_h} h, {more} than the "
        f"{_unit(found.old)} of the same hours {_BEFORE[before_ms]} before, while the success rate {success} "
        f"({found.success_rate_old:.1%} to {found.success_rate:.1%})."
    )


def _why(why: list[Driver], explained: Explained | None) -> list[str]:
    if explained is None or not why:
        return []
    first, *others = why
    change = explained.decomposition.new - explained.decomposition.old
    besides = "".join(f", {other.meaning} {_unit(other.dollars)}" for other in others)
    is_less = sum(driver.dollars for driver in why) > 1.005 * change
    added = f"{first.meaning} added {_unit(first.dollars)} (most in {_place(first, explained)}){besides}"
    return [f"It rose by {_unit(change)}: {added}{'; the rest made it cheaper' if is_less else ''}."]


def _place(driver: Driver, explained: Explained) -> str:
    cell = explained.cells.row(driver.cell, named=True)
    return f"route {cell['route']}, {cell['model_version'] or 'no model'}"


def _driver_facts(why: list[Driver], explained: Explained | None) -> dict[str, Figure]:
    facts: dict[str, Figure] = {}
    if explained is not None:
        for place, driver in enumerate(why, start=1):
            cell = explained.cells.row(driver.cell, named=True)
            facts |= {f"driver_{place}": driver.name, f"driver_{place}_usd_per_1000": 1_000 * driver.dollars}
            facts |= {f"driver_{place}_route": cell["route"], f"driver_{place}_model": cell["model_version"]}
    return facts


def _total(budget: Budget, found: Outlook) -> str:
    what = "All that is paid for" if budget.slice == EVERYTHING else budget.slice
    limit = float(budget.usd_month)
    above = found.total_usd / limit - 1
    beyond = f"{above:.0%} above its budget" if above > 0 else "hardly less than its budget"
    return f"{what} will cost {_sum(found.total_usd)} in {found.month}, {beyond} of {_sum(limit)}."


def _spent(found: Outlook, limit: float) -> str:
    when = "" if found.spent_at_ms is None else f" on {day_text(found.spent_at_ms)}"
    spent = f"Spent are {_sum(found.spent_usd)}; the {counted(found.hours_left, 'hour left is', 'hours left are')} {_forecast(found)}."
    return f"{spent} The budget {'was' if found.spent_usd > limit else 'will be'} passed{when}." if when else spent


def _forecast(found: Outlook) -> str:
    if found.rule == "none":
        return _FORECASTS["none"]
    return f"forecast at {_sum(found.forecast_usd)}, {_FORECASTS[found.rule]}"


def _unit(usd: float) -> str:
    """Dollars of one success, with four significant places.

    >>> _unit(0.0000777289), _unit(12.5), _unit(1234.5)
    ('$0.00007773', '$12.50', '$1234')
    """
    places = 2 if usd >= 1 else 3 - floor(log10(usd)) if usd > 0 else 2
    return f"${usd:.{places}f}" if usd < 1_000 else f"${usd:.0f}"


def _sum(usd: float) -> str:
    """Dollars of many turns.

    >>> _sum(12.3456), _sum(12_345.6)
    ('$12.35', '$12,346')
    """
    return f"${usd:,.2f}" if usd < 1_000 else f"${usd:,.0f}"


def _short(text: str) -> str:
    """What fits into a summary; names of slices may be long."""
    return text if len(text) <= 600 else f"{text[:599]}…"
