"""Panels about labelled calls: how well each kind of speaker is understood."""

from __future__ import annotations

from dashboards.panels import HIDDEN, Chart, Column, Grid, Place
from dashboards.queries import labelled_quality
from dashboards.variables import DRIFT_UID, drill_down
from schemas.drift_policies import DriftPolicy
from schemas.families import K_SESSIONS_MIN, QUALITY

_SHARES = ("character_errors", "entity_errors", "endpoint_errors", "rewritten", "corrected", "ungrounded", "stale")


def over_time() -> Chart:
    meaning = (
        "Word error rate of labelled calls by slice of the chosen breakdown, for the eight slices with most words. Compare a "
        "bundle with the one before it in the same kind of speech: one that rises alone is understood worse by that release. "
        f"Labels come up to {QUALITY.lateness_s // 86_400} days late, so the newest hours may still move."
    )
    title, axis = "Word error rate by ${by}", "wrong ÷ spoken words"
    return Chart(labelled_quality.OVER_TIME, title, meaning, "percentunit", Place(24, 9), axis=axis)


def by_slice(policy: DriftPolicy) -> Grid:
    dimensions = tuple(dict.fromkeys(name for cut in QUALITY.cuts for name in cut.dimensions))
    columns: dict[str, Column] = {
        "slice": Column(width=300, link=drill_down(*dimensions, to=DRIFT_UID)),
        "labelled_calls": Column("short"),
        "heard_words": Column("short"),
        "wer": Column("percentunit", 2),
        "wer_plus_minus": Column("percentunit", 2),
        **{f"{name}_share": Column("percentunit", 2) for name in _SHARES},
        "index_age_s": Column("s", 0),
        **dict.fromkeys(dimensions, HIDDEN),
    }
    enough = next((each.samples_min for each in policy.measures if each.name == "word_error_rate"), 0)
    meaning = (
        "Labelled calls of each slice of the chosen breakdown over the range, worst first: two slices differ where their word error rates are "
        "further apart than 'plus_minus' (19 of 20) of both together. Drift asks for "
        f"{enough:,} words an hour; '*' is speech whose kind fewer than {K_SESSIONS_MIN} sessions shared."
    )
    return Grid(labelled_quality.BY_SLICE, "Labelled quality by ${by}", meaning, Place(24, 9), columns)
