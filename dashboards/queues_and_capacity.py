"""The board of a queue that breaks: what is saturated, which queue began it, what holds it back, and what room there is."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.boards import Board, Choice
from dashboards.marks import marks
from dashboards.panels import Panel
from dashboards.queries.queues import OF_QUEUES, QUEUE, QUEUE_NAMES
from dashboards.sections import capacity, pipeline, queues, traffic
from dashboards.variables import QUEUES_UID, slices

TITLE = "Queues and capacity"
_DESCRIPTION = (
    "What is saturated, which queue it began with, what holds it back, and how much room there is for more streams."
)


def queues_and_capacity() -> Board:
    choices = [*slices(), Choice(QUEUE, "queue", "the stage that is waited for", QUEUE_NAMES)]
    return Board(QUEUES_UID, TITLE, _DESCRIPTION, _sections(), choices, marks(choices))


def _sections() -> dict[str, Sequence[Panel]]:
    return {
        "1 · What is saturated": [queues.worst(), pipeline.shown(OF_QUEUES), queues.saturated()],
        "2 · Which queue began it": [
            queues.queues_now(),
            queues.depth(),
            queues.growth(),
            queues.mean_wait(),
            queues.stage_p95(),
        ],
        "3 · What holds it back": [
            queues.utilisation(),
            queues.batch_occupancy(),
            queues.kv_cache(),
            queues.batch_share(),
        ],
        "4 · How much room there is": [traffic.streams(), capacity.replicas(), capacity.warm(), capacity.least_warm()],
    }
