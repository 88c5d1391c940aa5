"""river's change detectors on the figures that our own sees: as they are set by default, and as they are set best afterwards.

ADWIN (Bifet and Gavalda, 2007) and Page-Hinkley (Page, 1954) follow one number each, so each figure of each slice gets a
detector of its own. Only what rises counts, as with ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from schemas.failures import Foreseen
from stream_jobs.operators.drift.change_points import EFFECTS

Make = Callable[[], Any]
ALARMS = {"measure": pl.String, "slice": pl.String, "hour": pl.Int64}
"""Columns of alarms: those that each detector raises, by the hour at whose end it does."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A detector and what it follows, by default and from its most to its least sensitive setting.

    `series`: "value", the figure itself, or "excess", what our own detector adds up.
    """

    name: str
    series: str
    default: Make
    settings: tuple[Make, ...]


def peers() -> tuple[Peer, ...]:
    """Both detectors on both series. Raises: `Foreseen` where river is not installed."""
    try:
        from river.drift import ADWIN, PageHinkley
    except ImportError:
        raise Foreseen(
            "The peers of this bench are river's: install turnwatch with its extra `dev`, or say `--without-river`."
        ) from None

    def page(threshold: float, delta: float) -> Make:
        return lambda: PageHinkley(threshold=threshold, delta=delta, mode="up")

    def adwin(delta: float) -> Make:
        return lambda: ADWIN(delta=delta, clock=1)

    adwins = tuple(adwin(10 ** (-place / 2)) for place in range(1, 61))
    slack = {"value": 0.005, "excess": float(EFFECTS[0]) / 2}  # Its default, and as much as our own sum of Page's has.
    return tuple(
        peer
        for series in ("value", "excess")
        for peer in (
            Peer("ADWIN", series, ADWIN, adwins),
            Peer(
                "PageHinkley",
                series,
                lambda: PageHinkley(mode="up"),
                tuple(page(10 ** (place / 10), slack[series]) for place in range(-20, 31)),
            ),
        )
    )


def alarms(make: Make, rows: pl.DataFrame, series: str) -> pl.DataFrame:
    """What detectors raise of each figure of each slice, one alarm for each time that they begin anew.

    `rows`: measure, slice, hour and the series, in the order of hours.
    """
    found = list(_raised(make, rows.select(*ALARMS, series).drop_nulls()))
    return pl.DataFrame(found, schema=ALARMS, orient="row")


def set_best(peer: Peer, rows: pl.DataFrame, alarms_max: int) -> Make:
    """The most sensitive setting that raises no more than so many alarms on rows in which nothing changed.

    The least sensitive one where none does.
    """
    fitting = (each for each in peer.settings if len(alarms(each, rows, peer.series)) <= alarms_max)
    return next(fitting, peer.settings[-1])


def _raised(make: Make, rows: pl.DataFrame) -> Iterator[tuple[str, str, int]]:
    for (measure, text), one in rows.partition_by("measure", "slice", as_dict=True, maintain_order=True).items():
        detector = make()
        for hour, value in zip(one["hour"].to_list(), one[:, -1].to_list(), strict=True):
            before = getattr(detector, "estimation", None)
            detector.update(value)
            if detector.drift_detected and (before is None or detector.estimation > before):
                yield str(measure), str(text), hour
