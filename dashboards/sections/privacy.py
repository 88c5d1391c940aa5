"""Panels about what the edge withheld before anything left it."""

from __future__ import annotations

from dashboards.panels import Chart, Column, Grid, Place
from dashboards.queries import privacy
from schemas.families import K_SESSIONS_MIN


def given_up() -> Chart:
    meaning = (
        "Share of observations that left without a value of the dimension, because fewer than "
        f"{K_SESSIONS_MIN} sessions shared their cell or nobody had said one; by family and dimension."
    )
    return Chart(
        privacy.GIVEN_UP,
        "Given up below k",
        meaning,
        "percentunit",
        Place(12, 8),
        axis="share of observations",
        low=0,
        high=1,
    )


def withheld() -> Grid:
    columns: dict[str, Column] = {
        "generalised_share": Column("percentunit", 2),
        **{name: Column("short") for name in ("kept", "generalised", "held", "released", "refused")},
    }
    meaning = (
        "Of each dimension that identifies, how many observations left with a value and how many without, began to wait "
        "for more sessions and left after they had; and what was refused, by reason. An observation counts once for each "
        "dimension."
    )
    return Grid(privacy.WITHHELD, "Withheld at the edge", meaning, Place(12, 8), columns)
