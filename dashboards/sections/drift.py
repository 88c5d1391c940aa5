"""Panels about drift: which figure of which slice got worse, since when, against what, and what is not known."""

from __future__ import annotations

from dashboards.panels import HIDDEN, TIMES, Chart, Column, Figures, Grid, HeatMap, Place, Steps
from dashboards.queries import drift
from dashboards.queries.drift import DIMENSIONS_OF_DRIFT, MEASURE
from dashboards.sections.findings import findings
from dashboards.variables import DRIFT_UID, drill_down
from schemas.drift_policies import DriftPolicy

_THIS_ONE = drill_down(MEASURE, *DIMENSIONS_OF_DRIFT, to=DRIFT_UID)
_BEYOND = Steps(ticket=1.0)
"""From here on a figure is worse than the policy tolerates."""
_REFERENCES = {
    "previous_bundle": "the same hour of the week before, of the bundle that served then",
    "same_hour_of_week": "the same hour of the week before",
    "frozen": "a window that does not move on",
}


def worst(policy: DriftPolicy) -> Figures:
    columns: dict[str, Column] = {
        "drifting": Column("none", 0, steps=Steps(ticket=1)),
        "figures that drift": Column("none", 0),
        "worst, times tolerated": Column(TIMES, 1, steps=_BEYOND),
        "steady": Column("none", 0),
        "judged": Column("percentunit", 0),
    }
    meaning = (
        "Figures of slices that drift in their newest hour, how many kinds of figures those are, how far the worst is beyond what is "
        "tolerated, and how many are well. 'judged' is the share of which enough is known to say either: the rest is unknown, "
        "not well."
    )
    return Figures(drift.worst(policy), "Drift now", meaning, Place(24, 4), columns)


def drifting(policy: DriftPolicy) -> Grid:
    columns: dict[str, Column] = {
        "figure": Column(width=190),
        "slice": Column(width=300, link=_THIS_ONE),
        "now": Column(width=90),
        "then": Column(width=90),
        "change": Column("percentunit", 0),
        "times_tolerated": Column(TIMES, 1, steps=_BEYOND),
        "excess": Column("none", 1),
        "evidence": Column("none", 1),
        "since": Column("dateTimeAsIso", width=160),
        "lasts_s": Column("s", 0, 80),
        "reference": Column(width=110),
        "compared_with": Column(width=200),
        "samples": Column("short"),
        "reference_samples": Column("short"),
        "spread": Column(TIMES, 1),
        "divergence_bits": Column("bits", 3),
        "hour": Column("dateTimeAsIso", width=160),
        MEASURE: HIDDEN,
        **dict.fromkeys(DIMENSIONS_OF_DRIFT, HIDDEN),
    }
    meaning = (
        "What drifts in its newest hour, the most evident first: the figure now and then, by how much that is beyond what the policy "
        f"`{policy.name}` tolerates, and since when. It is compared with {_REFERENCES[policy.reference]}. 'excess' is in standard "
        "deviations beyond the tolerance, 'evidence' the decimal logarithm of how sure it is. `turnwatch drift why` says what began then."
    )
    return Grid(drift.drifting(policy), "What drifts", meaning, Place(24, 9), columns)


def tickets() -> Grid:
    facts: dict[str, Column] = {
        "relative_change": Column("percentunit", 0),
        "evidence_log10": Column("none", 1),
        "hours_until_found": Column("h", 0),
        "samples": Column("short"),
        "reference": Column(width=110),
    }
    meaning = "Changes that somebody was told of, each once while it lasts; their summaries say the figures."
    return findings(
        "drift_tickets", "drift", "Tickets", facts, Place(24, 7), meaning=meaning, label=MEASURE, to=_THIS_ONE,
        chosen=(*DIMENSIONS_OF_DRIFT, MEASURE),
    )  # fmt: skip


def times_tolerated(policy: DriftPolicy) -> HeatMap:
    meaning = (
        "How far each figure of a slice is above its reference, over what is tolerated, for the two dozen that came highest. From 1 on, "
        "coloured, it is worse than tolerated; one hour of it may be chance, a row that stays so is drift. Where rows begin in "
        "the same hour look for one cause."
    )
    query = drift.times_tolerated_over_time(policy)
    return HeatMap(query, "Times tolerated", meaning, TIMES, Place(24, 12), steps=_BEYOND, high=3, decimals=1)


def evidence(policy: DriftPolicy) -> Chart:
    meaning = (
        "Decimal logarithm of the evidence that a figure of a slice changed, for the eight with most. It climbs for as long as "
        f"hours are worse than tolerated, and is drift where it is more than {policy.false_alarms_per_week:g} false alarms a week allow, over "
        "all slices; how much that is depends on how many there are."
    )
    title, axis = "Evidence of a change", "log10 of the evidence"
    return Chart(drift.evidence_over_time(policy), title, meaning, "none", Place(12, 9), axis=axis)


def excess(policy: DriftPolicy) -> Chart:
    meaning = (
        "By how many standard deviations each hour was beyond what is tolerated, for the eight with the highest hour. Single hours above "
        "3 happen by chance among many slices; hours that stay above 0 add up to evidence."
    )
    title, axis = "Excess of each hour", "standard deviations beyond the tolerance"
    return Chart(
        drift.excess_over_time(policy), title, meaning, "none", Place(12, 9), axis=axis, steps=Steps(ticket=0.0)
    )


def states() -> Chart:
    meaning = (
        "Figures of slices by what is known of them: only 'steady' says that all is well. 'learning' lacks hours of its own, "
        "'not_enough' samples, 'no_reference' something to be compared with. Where 'not_enough' grows, labels or traffic are missing."
    )
    title, unit, axis = "What is known", "count:figures", "figures of slices"
    return Chart(drift.STATES_OVER_TIME, title, meaning, unit, Place(24, 8), axis=axis, series=drift.STATES)
