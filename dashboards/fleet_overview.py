"""The board of an incident's first minute: the first five questions in the order in which they are asked.

What burns now, and what pages say of it (the slice, the stage, the release); how much budget is left and until when; which
slice spends it; which stage of the turn grew; what traffic does. Then what else was found, and whether the data under all of
it is complete. Every threshold comes from the SLOs and policy rows that the board is rendered for.
"""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.boards import Board
from dashboards.marks import marks
from dashboards.panels import Panel
from dashboards.queries.burn_rate import Watched
from dashboards.sections import budgets, burn_rate, findings, pipeline, privacy, stage_latency, traffic
from dashboards.variables import OVERVIEW_UID, choices

TITLE = "Fleet overview and burn"
_DESCRIPTION = (
    "What burns, what is left, which slice, which stage, what traffic: an incident's first questions, in order."
)


def fleet_overview(watched: Watched) -> Board:
    """The board for these objectives and their policy rows."""
    chosen = choices(watched)
    return Board(OVERVIEW_UID, TITLE, _DESCRIPTION, _sections(watched), chosen, marks(chosen))


def _sections(watched: Watched) -> dict[str, Sequence[Panel]]:
    by_dimension = (burn_rate.bad_by(name, watched) for name in ("bundle", "region", "route"))
    return {
        "1 · What burns now": [
            burn_rate.worst(watched),
            burn_rate.pages(),
            burn_rate.burning(watched),
            pipeline.shown(width=24),
            burn_rate.nearness(watched),
            burn_rate.burn(watched),
        ],
        "2 · How much budget is left, and until when": [
            burn_rate.budget(),
            burn_rate.exhaustion(watched),
            budgets.budgets(),
        ],
        "3 · Which slice": [*by_dimension, burn_rate.bad_over_time(watched)],
        "4 · Which stage grew": [stage_latency.growth(), stage_latency.stages(0.99), stage_latency.stages(0.5)],
        "5 · What traffic does": [
            traffic.turns(),
            traffic.streams(),
            traffic.replicas(),
            traffic.tokens(),
            traffic.audio(),
        ],
        "What else was found": [findings.open_findings()],
        "Can this be trusted": [pipeline.completeness(), pipeline.age(), pipeline.producers(), pipeline.dropped()],
        "What the edge withheld": [privacy.given_up(), privacy.withheld()],
    }
