"""Panels about conversations in which both may speak at once."""

from __future__ import annotations

from dashboards.panels import OKABE_ITO, TICKET, TIMES, Chart, Column, Figures, Grid, HeatMap, Place, Steps
from dashboards.queries import duplex
from dashboards.queries.burn_rate import Watched
from dashboards.queries.duplex import duplex_objectives, words
from dashboards.sections.burn_rate import NARROWED
from dashboards.variables import BURN_UID, RELEASES_UID, drill_down
from schemas.dimensions import DIMENSIONS

_MISSED = Steps(ticket=1.0)
"""From here on more is missed than the objective allows."""
_KINDS = DIMENSIONS["duplex_event"].vocabulary

TOPICS: dict[str, tuple[tuple[str, ...], str]] = {
    "Interruptions": (
        ("interruption_success", "false_interruption"),
        "Share of interruptions after which the assistant did not stop and answer the new intent, and share of its turns that were "
        "stopped without one. Where the first rises users are talked over; where the second rises noise or backchannels are taken "
        "for interruptions.",
    ),
    "Barge-in": (
        ("barge_in_latency_200ms", "assistant_stop_300ms"),
        "Share of barge-ins that were not detected within 200 ms, and after which the assistant's audio did not stop within 300 ms. "
        "If only the second rises, playback or the network is slow; if both rise, detection is.",
    ),
    "Overlap and backchannels": (
        ("overlap_recovery_1500ms", "backchannel_timing"),
        "Share of overlaps of both speakers that took longer than 1.5 s, and of backchannels not placed 200 to 800 ms after their "
        "cue. Rising together they say that turn-taking is off, not one feature.",
    ),
    "Micro-turns, playback and actions": (
        ("micro_turn_freshness_400ms", "speech_continuity_60ms", "action_safety"),
        "Share of micro-turns whose context was older than 400 ms, of audio frames played with a gap above 60 ms, and of actions "
        "that were emitted before their safety was decided. Stale micro-turns point at orchestration, gaps at synthesis or the network; an action "
        "before its decision is never fine.",
    ),
}
"""By what a chart is about: its indicators, and what to conclude."""


def worst(watched: Watched) -> Figures:
    columns: dict[str, Column] = {
        "objectives missed": Column("none", 0, steps=Steps(ticket=1)),
        "worst, times allowed": Column(TIMES, 2, steps=_MISSED),
        "judged": Column("short"),
    }
    meaning = (
        "Objectives of which more was missed over the whole range than they allow, by how many times in the worst of them, and how "
        "much was judged at all. Nothing judged is silence, not success."
    )
    return Figures(duplex.worst(watched), "Over the range", meaning, Place(14, 4), columns)


def by_objective(watched: Watched) -> Grid:
    columns: dict[str, Column] = {
        "slo": Column(width=280, link=drill_down("slo", "pool", to=BURN_UID)),
        "kind": Column(width=120),
        "objective": Column("percentunit", 2),
        "judged": Column("short"),
        "missed": Column("short"),
        "good_share": Column("percentunit", 2),
        "good_share_first_half": Column("percentunit", 2),
        "good_share_second_half": Column("percentunit", 2),
        "burn": Column(TIMES, 2, steps=_MISSED),
        "pool": Column(width=90),
    }
    meaning = (
        "Each objective about full-duplex events over the range, worst first: what share was good, in its first half and in its "
        "second, and by how many times more was missed than allowed. Above 1 the budget shrinks."
    )
    return Grid(duplex.by_objective(watched), "By objective, worst first", meaning, Place(24, 9), columns)


def topics(watched: Watched) -> list[Chart]:
    """A chart for each of `TOPICS`."""
    return [_topic(title, watched, *about) for title, about in TOPICS.items()]


def _topic(title: str, watched: Watched, indicators: tuple[str, ...], meaning: str) -> Chart:
    name = f"duplex_{indicators[0]}_over_time"
    pools = dict.fromkeys(each.slo.pool for each in duplex_objectives(watched))
    series = tuple(f"{pool} {words(each)}" for pool in pools for each in indicators)
    return Chart(
        duplex.missed_over_time(name, watched, indicators),
        title,
        f"{meaning} Thin and dashed: what the objectives allow.",
        "percentunit",
        Place(12, 9),
        axis="share that missed the objective",
        series=series,
        limits={"allowed of": TICKET},
    )


def burn_by_slice(watched: Watched) -> HeatMap:
    meaning = (
        "How many times more was missed than allowed, by objective and slice of the chosen breakdown, for the two dozen that were "
        "worst at some time. A row that changes colour alone says which slice it is; all at once says it is what they share. "
        f"{NARROWED}"
    )
    query = duplex.burn_by_slice_over_time(watched)
    return HeatMap(
        query, "Missed, times allowed, by ${by}", meaning, TIMES, Place(24, 12), steps=_MISSED, high=5, decimals=1
    )


def by_slice(watched: Watched) -> Grid:
    columns: dict[str, Column] = {
        "slo": Column(width=280),
        "pool": Column(width=90),
        **{name: Column(width=120, link=drill_down("pool", name, to=_NEXT[name])) for name in duplex.BREAKDOWNS},
        "missed": Column("short"),
        "missed_share": Column("percentunit", 2),
        "burn": Column(TIMES, 2, steps=_MISSED),
        "share_of_missed": Column(bar=OKABE_ITO[1]),
        "share_of_judged": Column(bar=OKABE_ITO[0]),
    }
    meaning = (
        "Each objective in each slice of the chosen breakdown over the range, worst first, and which part of what was missed and of "
        "what was judged the slice has: a longer orange than blue bar explains more than its share. A bundle leads to its "
        f"comparison with others. {NARROWED}"
    )
    return Grid(duplex.by_slice(watched), "Slices that explain it", meaning, Place(24, 9), columns)


_NEXT = dict.fromkeys(duplex.BREAKDOWNS, BURN_UID) | {"bundle": RELEASES_UID}


def events() -> Chart:
    meaning = (
        "Full-duplex events of each kind per second, by pool: region, route and bundle do not apply. A kind that stops says that "
        "nobody reports it any more, or that it cannot happen."
    )
    title, unit = "Events", "count:events/s"
    return Chart(duplex.EVENTS_PER_SECOND, title, meaning, unit, Place(12, 9), axis="events per second", series=_KINDS)


def kinds_per_turn() -> Grid:
    columns: dict[str, Column] = {
        "pool": Column(width=90),
        "kind": Column(width=140),
        "happened": Column("short"),
        "per_assistant_turn": Column("none", 3),
        "per_turn_before": Column("none", 3),
        "per_turn_now": Column("none", 3),
        "growth": Column(TIMES, 2),
    }
    meaning = (
        "How often each kind happens for each turn of the assistant, by pool: in the last quarter of the range ('now') against its "
        "first half ('before'), what grew most first. More interruptions and overlaps for each turn are users who are not served, "
        "before any objective says so."
    )
    return Grid(duplex.KINDS_PER_TURN, "How conversations change", meaning, Place(12, 9), columns)
