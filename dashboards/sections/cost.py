"""Panels about money: what a success costs, what it is paid for, what moved it, and what the month will come to."""

from __future__ import annotations

from dashboards.panels import CALM, HIDDEN, OKABE_ITO, TICKET, Bars, Chart, Column, Figures, Grid, Place, Steps
from dashboards.queries import cost_drivers, spend, spend_budgets
from dashboards.queries.selection import SLICE_VARIABLES
from dashboards.sections.findings import findings
from dashboards.variables import COST_UID, drill_down
from schemas.dimensions import DIMENSIONS
from schemas.spend_policies import SpendPolicy

_POOLS = DIMENSIONS["pool"].vocabulary
_USD = "currencyUSD"
_BEFORE = "the same hours a whole number of weeks before (one week for up to a week)"


def _dearer(policy: SpendPolicy) -> Steps:
    return Steps(ticket=float(policy.tolerance))


def worst(policy: SpendPolicy) -> Figures:
    columns: dict[str, Column] = {
        "1,000 successes": Column(_USD, 2),
        "1,000 successes before": Column(_USD, 2),
        "change": Column("percentunit", 1, steps=_dearer(policy)),
        "success rate": Column("percentunit", 1),
        "paid": Column(_USD, 2),
        "idle share": Column("percentunit", 0),
        "GPU time without a price": Column("percentunit", 1, steps=Steps(ticket=0.001)),
    }
    meaning = (
        f"What 1,000 successes cost in the range, idle included, and in {_BEFORE}. Above {policy.tolerance:.0%} dearer a ticket is "
        "written, unless the success rate rose for it. What has no price costs nothing here: look at that share before you "
        "trust a sum."
    )
    return Figures(spend.WORST, "What a success costs", meaning, Place(24, 4), columns)


def alerts(policy: SpendPolicy) -> Grid:
    facts: dict[str, Column] = {
        "usd_per_1000_successes": Column(_USD, 2),
        "usd_per_1000_successes_before": Column(_USD, 2),
        "relative_change": Column("percentunit", 0, steps=_dearer(policy)),
        "driver_1": Column(width=150),
        "driver_1_usd_per_1000": Column(_USD, 2),
        "driver_1_route": Column(width=110),
        "driver_1_model": Column(width=110),
        "budget_usd": Column(_USD, 0),
        "total_usd": Column(_USD, 0),
        "forecast_rule": Column(width=110),
    }
    meaning = (
        "Costs that rose beyond the tolerance, routes that cost and never succeed, and months that will be above their budget. "
        "'driver_1' is what added most to 1,000 successes, 'total_usd' what the month is expected to come to."
    )
    narrowed = drill_down(*SLICE_VARIABLES, to=COST_UID)
    return findings("cost_findings", "cost", "Alerts about money", facts, Place(24, 7), meaning=meaning, to=narrowed)


def per_success(policy: SpendPolicy) -> Chart:
    meaning = (
        f"Dollars for 1,000 successes, by pool, and in {_BEFORE}. A line that leaves its 'before' and passes the dashed "
        f"one, {policy.tolerance:.0%} above that, got dearer; look at what moved it below. Little traffic makes it jump."
    )
    series = tuple(f"{pool}{when}" for pool in _POOLS for when in ("", " before"))
    query = spend.per_success_over_time(float(policy.tolerance))
    return Chart(
        query,
        "Cost of 1,000 successes",
        meaning,
        _USD,
        Place(12, 9),
        axis="US dollars for 1,000 successes",
        series=series,
        limits={"tolerated ": TICKET},
    )


def per_success_by() -> Chart:
    meaning = (
        "Dollars for 1,000 successes of each slice of the chosen breakdown, the eight dearest. Routes are charged their share of "
        "replicas by the GPU time that they used; models, GPUs and purchases are told for each success of all."
    )
    title = "Cost of 1,000 successes by ${by}"
    return Chart(spend.BY_OVER_TIME, title, meaning, _USD, Place(12, 9), axis="US dollars for 1,000 successes")


def parts_over_time() -> Chart:
    meaning = (
        "What is spent by the hour: GPU time that turns used, GPU time that was paid for and idle, and tokens of hosted models. "
        "Idle that stays while use falls is capacity to give back."
    )
    title, axis = "Spending", "US dollars per hour"
    return Chart(spend.PARTS_OVER_TIME, title, meaning, _USD, Place(12, 9), axis=axis, series=spend.PARTS)


def parts_by_model() -> Bars:
    parts = dict(zip(spend.PARTS, (OKABE_ITO[0], OKABE_ITO[4], OKABE_ITO[1]), strict=True))
    meaning = (
        "What each model cost in the range: recognition, language, speech and retrieval have models of their own, so a bar is a "
        "component of the pipeline. A long idle part is a model with more replicas than it needs."
    )
    return Bars(
        spend.PARTS_BY_MODEL,
        "By component",
        meaning,
        _USD,
        Place(12, 9),
        "model",
        parts,
        axis="US dollars in the range",
    )


def moved() -> Bars:
    parts = {"dearer": TICKET, "cheaper": CALM}
    meaning = (
        f"What each factor of the cost of 1,000 successes added to it (to the right) or took from it (to the left) against {_BEFORE}; the "
        "bars sum to the change. Look at the longest first. Models, GPUs and purchases do not apply, and what shifts between routes is "
        "within the factors: `turnwatch cost why` tells it apart."
    )
    title, axis = "What moved it", "US dollars for 1,000 successes"
    return Bars(cost_drivers.MOVED, title, meaning, _USD, Place(12, 9), "driver", parts, axis=axis)


def rates() -> Grid:
    columns: dict[str, Column] = {
        "rate": Column(width=190),
        "unit": Column(width=140),
        "before": Column("none", 3),
        "now": Column("none", 3),
        "change": Column("percentunit", 1),
    }
    meaning = (
        f"What a turn takes, in the range ('now') and in {_BEFORE}, what changed most first. Carried context, shadow traffic and "
        "retries are what costs grow by most often; a cache that answers less shows as GPU time as well."
    )
    return Grid(cost_drivers.RATES, "Drivers, before and now", meaning, Place(12, 9), columns)


def by_slice(policy: SpendPolicy) -> Grid:
    narrowed = drill_down(*spend.VARIABLES, to=COST_UID)
    columns: dict[str, Column] = {
        "value": Column(width=200, link=narrowed),
        "usd": Column(_USD, 2),
        "share_of_cost": Column(bar=OKABE_ITO[0]),
        "successes": Column("short"),
        "success_rate": Column("percentunit", 1),
        "usd_per_1000": Column(_USD, 2),
        "usd_per_1000_before": Column(_USD, 2),
        "change": Column("percentunit", 1, steps=_dearer(policy)),
        "idle_share": Column("percentunit", 0),
        **dict.fromkeys(spend.VARIABLES, HIDDEN),
    }
    meaning = (
        "What each slice of the chosen breakdown cost in the range, dearest first, and what 1,000 successes of it cost then and "
        f"in {_BEFORE}. Routes are charged their share of replicas by the GPU time that they used; what nobody used stays on the "
        "route that replicas are told on."
    )
    return Grid(spend.BY_SLICE, "By ${by}", meaning, Place(24, 9), columns)


def uncosted() -> Grid:
    columns: dict[str, Column] = {
        "gpu_ms": Column("ms", 1),
        "share_of_gpu_time": Column("percentunit", 1, steps=Steps(ticket=0.001)),
        "tokens": Column("short"),
    }
    meaning = (
        "GPU time and hosted tokens for which the price list has no price, by what they were bought as: add these prices. Until then "
        "their cost counts as nothing. Empty: everything has a price."
    )
    return Grid(spend.UNCOSTED, "Without a price", meaning, Place(12, 8), columns)


def month(policy: SpendPolicy) -> Grid:
    spent = Steps(ticket=1.0)
    columns: dict[str, Column] = {
        "slice": Column(width=200, link=drill_down("pool", "route", to=COST_UID)),
        "usd": Column(_USD, 0),
        "budget_usd": Column(_USD, 0),
        "share_of_budget": Column("percentunit", 0, steps=spent),
        "share_of_month": Column("percentunit", 0),
        "usd_at_this_pace": Column(_USD, 0),
        "pool": HIDDEN,
        "route": HIDDEN,
    }
    meaning = (
        "The calendar month (UTC) of the range's end so far: everything, each pool, and routes with a budget, by what they used. Where "
        "'share_of_budget' runs ahead of 'share_of_month' money runs out early. Budgets are those of the policy "
        f"`{policy.name}`; tickets forecast better than this pace does."
    )
    return Grid(spend_budgets.month(policy), "The month and its budgets", meaning, Place(12, 8), columns)
