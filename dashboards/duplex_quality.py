"""The board of full-duplex conversations: interruptions, barge-ins, overlaps, backchannels, micro-turns, playback, by slice."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.boards import Board, Choice
from dashboards.marks import marks
from dashboards.panels import Panel
from dashboards.queries.burn_rate import Watched
from dashboards.queries.duplex import BREAKDOWNS, EVENT, OF_DUPLEX
from dashboards.sections import duplex, pipeline
from dashboards.variables import DUPLEX_UID, slices
from schemas.dimensions import DIMENSIONS

TITLE = "Duplex conversation quality"
_DESCRIPTION = (
    "Whether conversations flow where both may speak at once: which objective is missed, since when, in which slice."
)


def duplex_quality(watched: Watched) -> Board:
    """The board for those of the objectives that are about full-duplex events."""
    event = DIMENSIONS[EVENT]
    choices = [
        *slices(),
        Choice(EVENT, "kind of event", event.meaning, event.vocabulary),
        Choice("by", "break down by", "the dimension that slices are cut by", BREAKDOWNS, False, BREAKDOWNS[-1]),
    ]
    return Board(DUPLEX_UID, TITLE, _DESCRIPTION, _sections(watched), choices, marks(choices))


def _sections(watched: Watched) -> dict[str, Sequence[Panel]]:
    return {
        "1 · Which objective is missed": [
            duplex.worst(watched),
            pipeline.shown(OF_DUPLEX),
            duplex.by_objective(watched),
        ],
        "2 · Since when": duplex.topics(watched),
        "3 · Which slice": [duplex.burn_by_slice(watched), duplex.by_slice(watched)],
        "4 · What happens how often": [duplex.events(), duplex.kinds_per_turn()],
    }
