"""The boards' uids: their names in addresses, for pages to link to and for boards to have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

OVERVIEW_UID: Final = "turnwatch-fleet-overview"
BUDGETS_UID: Final = "turnwatch-slos-and-budgets"
BURN_UID: Final = "turnwatch-burn-by-slice"
STAGES_UID: Final = "turnwatch-stage-waterfall"
RELEASES_UID: Final = "turnwatch-release-comparison"
QUEUES_UID: Final = "turnwatch-queues-and-capacity"
DUPLEX_UID: Final = "turnwatch-duplex-quality"
DRIFT_UID: Final = "turnwatch-drift-by-slice"
COST_UID: Final = "turnwatch-cost"
PIPELINE_UID: Final = "turnwatch-privacy-and-pipeline"

BOARD_OF_QUESTION: Mapping[str, str] = {
    "saturation": QUEUES_UID,
    "drift": DRIFT_UID,
    "cost": COST_UID,
    "privacy": PIPELINE_UID,
}
"""The board that looks into what a question found; a newer worker's question leads to the overview."""

LABELS_CHOSEN = ("queue", "measure")
"""Labels of findings, besides their slice, that a board lets its reader choose."""
