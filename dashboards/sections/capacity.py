"""Panels about capacity: replicas that serve beside those it takes, and what is warm beyond the peak."""

from __future__ import annotations

from dashboards.panels import Chart, Column, Grid, Place, Steps
from dashboards.queries import capacity
from dashboards.variables import STAGES_UID, drill_down
from schemas.dimensions import DIMENSIONS

_POOLS = DIMENSIONS["pool"].vocabulary
_SHORT = Steps(calm=0.0)
"""Headroom below nothing is missing."""


def replicas() -> Chart:
    meaning = (
        "Replicas that serve, of all stages together, and those that the upper bound of concurrent streams takes at the "
        "deployment's capacity figures (nothing where none are configured). Where 'needed' comes near 'serving', or above, add "
        "replicas; far below for days, take some away."
    )
    series = tuple(f"{pool} {kind}" for pool in _POOLS for kind in ("needed", "serving"))
    title = "Replicas needed and serving"
    return Chart(capacity.REPLICAS, title, meaning, "count:replicas", Place(8, 8), axis="replicas", series=series)


def warm() -> Chart:
    meaning = (
        "Streams that warm replicas could serve at once (of the stage with the fewest, at the worst minute of each step) and "
        "the upper bound of the peak. Where the peak is above what is warm, streams waited for a replica to start."
    )
    series = tuple(f"{pool} {kind}" for pool in _POOLS for kind in ("peak at most", "warm"))
    return Chart(
        capacity.WARM, "Peak and warm streams", meaning, "count:streams", Place(8, 8), axis="streams", series=series
    )


def least_warm() -> Grid:
    columns: dict[str, Column] = {
        "pool": Column(width=90, link=drill_down("pool", "region", "bundle", to=STAGES_UID)),
        "region": Column(width=130),
        "bundle": Column(width=130),
        "least_headroom": Column("count:streams", steps=_SHORT),
        "bounded_by": Column(width=160),
        "peak_at_most": Column("count:streams"),
        "warm": Column("count:streams"),
        "minute": Column("dateTimeAsIso"),
        "minutes_short": Column("none", 0),
    }
    meaning = (
        "Of each slice of the shown cut the minute of the range with the least warm streams beyond its peak, and the stage "
        "that bounds it: warm that one up first. Below 0 so many streams were missing, for 'minutes_short' minutes in all. "
        "`turnwatch capacity` forecasts next week's peak and the replicas that it takes."
    )
    return Grid(capacity.LEAST_WARM, "Least warm headroom", meaning, Place(24, 7), columns)
