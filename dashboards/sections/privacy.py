"""Panels about what the edge withheld before anything left it."""

from __future__ import annotations

from dashboards.panels import CALM, PAGE, Bars, Chart, Column, Grid, Place
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


def by_dimension() -> Bars:
    meaning = (
        "Of each dimension that identifies, how many observations left with its value and how many without, the one that gives "
        "way most first. A dimension that is nearly always given up is too fine for this traffic: coarser values would say "
        "more."
    )
    parts = {"left with a value": CALM, "left without": PAGE}
    title, axis = "Kept and generalised, by dimension", "observations"
    return Bars(privacy.BY_DIMENSION, title, meaning, "short", Place(12, 8), "dimension", parts, axis=axis)


def refused() -> Chart:
    meaning = (
        "Observations that the edge refused per second, by reason: content, identifiers and malformed rows. A reason that "
        "begins with a release is a release that began to send what must not leave; roll it back or fix it, nothing of it got out."
    )
    title, unit = "Refused at the edge", "count:observations/s"
    return Chart(privacy.REFUSED, title, meaning, unit, Place(12, 8), axis="observations per second")


def waiting() -> Chart:
    meaning = (
        f"Observations that began to wait until {K_SESSIONS_MIN} sessions shared their cell, and those that left after it, per second. "
        "Where more is held than released for long, sparse slices come late or not at all."
    )
    title, unit = "Held and released", "count:observations/s"
    return Chart(privacy.WAITING, title, meaning, unit, Place(12, 8), axis="observations per second")
