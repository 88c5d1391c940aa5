"""The board of the data itself: what the edge withheld, and whether what arrived is complete, in time and all there."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.boards import Board
from dashboards.marks import marks
from dashboards.panels import Panel
from dashboards.queries.burn_rate import Watched
from dashboards.sections import freshness, pipeline, privacy
from dashboards.variables import PIPELINE_UID, slices, slo

TITLE = "Privacy and pipeline health"
_DESCRIPTION = "Whether the boards can be trusted, and what the edge withheld before anything left it."


def privacy_and_pipeline(watched: Watched) -> Board:
    """The board; decisions of these objectives tell how complete they were."""
    choices = [slo(watched), *slices()]
    return Board(PIPELINE_UID, TITLE, _DESCRIPTION, _sections(), choices, marks(choices))


def _sections() -> dict[str, Sequence[Panel]]:
    return {
        "1 · Can it be trusted": [
            freshness.trust(),
            freshness.tables(),
            freshness.told_after(),
            pipeline.completeness(),
            pipeline.producers(),
        ],
        "2 · What is missing": [pipeline.dropped(), freshness.late_over_time(), freshness.late(), privacy.refused()],
        "3 · What the edge withheld": [
            privacy.by_dimension(),
            privacy.given_up(),
            privacy.withheld(),
            privacy.waiting(),
        ],
        "4 · What only workers know": [freshness.elsewhere()],
    }
