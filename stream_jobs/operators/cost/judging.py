"""What holds about money at the end of an hour: budgets that will be passed, slices that regressed, routes without success."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from schemas.findings import Finding
from schemas.instants import HOUR_MS
from schemas.spend_policies import SpendPolicy
from stream_jobs.operators.cost.budget_outlook import outlook
from stream_jobs.operators.cost.findings import REGRESSED, above_budget, regressed, still_regressed, without_success
from stream_jobs.operators.cost.periods import CostPeriods, Explained, useless_routes
from stream_jobs.operators.cost.pricing import NANO
from stream_jobs.operators.cost.regressions import Regression, reference_before_ms, regressions
from stream_jobs.operators.cost.spend_hours import ROUTES_KEPT_MS, SpendHours

EXPLAINED_MAX = 20
"""Regressed slices whose change is decomposed: those that added most."""
BUDGET_SLACK = 0.05
"""The share of a budget by which a month that was above it has to fall below it, so that nothing flaps on the edge."""


def judged(hours: SpendHours, policy: SpendPolicy, since: Mapping[str, int], end_ms: int) -> list[Finding]:
    """All that holds of the hours before `end_ms`, the most important first. `since`: what held last, by name, and since when."""
    found = [*_above_budget(hours, policy, since, end_ms), *_of_window(hours, policy, since, end_ms)]
    return [each.model_copy(update={"since_ms": since.get(each.name, end_ms)}) for each in found]


def _above_budget(hours: SpendHours, policy: SpendPolicy, since: Mapping[str, int], end_ms: int) -> Iterator[Finding]:
    if not policy.budgets:
        return
    route_hours = hours.route_hours(end_ms - ROUTES_KEPT_MS)
    for budget in policy.budgets:
        found = outlook(budget, route_hours, end_ms)
        said = above_budget(budget, found, policy, end_ms)
        slack = BUDGET_SLACK if said.name in since else 0  # Its name says the month: another one's gives none.
        if found.total_usd > float(budget.usd_month) * (1 - slack):
            yield said


def _of_window(hours: SpendHours, policy: SpendPolicy, since: Mapping[str, int], end_ms: int) -> Iterator[Finding]:
    """What the last whole hours say: by themselves, and beside those that they are compared with."""
    begins_ms = end_ms - policy.window_h * HOUR_MS
    new = hours.between(begins_ms, end_ms)
    if new.is_empty():
        return
    before_ms = reference_before_ms(end_ms, policy.window_h, hours.known(), hours.began_ms())
    old = new.clear() if before_ms is None else hours.between(begins_ms - before_ms, end_ms - before_ms)
    periods = CostPeriods(old, new)
    held = _slices(REGRESSED, since)
    if before_ms is None:
        yield from (still_regressed(each, policy, end_ms) for each in held)
    else:
        for place, found in enumerate(regressions(periods, policy, held)):
            why = _explained(periods, found) if place < EXPLAINED_MAX else None
            yield regressed(found, before_ms, why, policy, end_ms)
    for row in useless_routes(periods, new, policy).iter_rows(named=True):
        yield without_success(row["slice"], row["nusd"] / NANO, row["turns"], policy, end_ms)


def _explained(periods: CostPeriods, found: Regression) -> Explained | None:
    """Why it costs more; nothing where the cells that its cost is shared out to say nothing of it."""
    try:
        return periods.explain(found.slice)
    except ValueError:
        return None


def _slices(alert: str, since: Mapping[str, int]) -> Collection[str]:
    """The slices of which this held last, the most important first."""
    return dict.fromkeys(name.split("|")[1] for name in since if name.startswith(f"{alert}|"))
