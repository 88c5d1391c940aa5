"""Judgement: pages against what is known to have happened, and what became of the budget.

An incident is found by the first page that began while it lasted, or while a page's short window still held some of it,
on a slice that does not contradict its own: a page of the whole fleet finds an incident of one region, one of another
region does not. A page that no incident explains is false.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.instants import HOUR_MS
from schemas.slices import EVERYTHING, may_overlap
from schemas.slos import WatchedSlo
from stream_jobs.operators.burn_rate.arithmetic import shares
from turnwatch.backtest.engine import Alerted, slice_at
from turnwatch.backtest.exclusions import Excluded, taken
from turnwatch.backtest.series import Series
from turnwatch.backtest.stretches import Kind, read_stretches

_INCIDENT = Kind("incident", ("from", "to", "slice"))


@dataclass(frozen=True, slots=True)
class Incident:
    """What is known to have been wrong, on a slice; `all` is the whole fleet."""

    from_ms: int
    to_ms: int
    slice: str = EVERYTHING


@dataclass(frozen=True, slots=True)
class Detection:
    """An incident with the page that found it, if one did. A page that was open before it began took no time."""

    incident: Incident
    page: Alerted | None

    @property
    def delay_s(self) -> float | None:
        return None if self.page is None else max(0.0, (self.page.from_ms - self.incident.from_ms) / 1_000)


def read_incidents(path: Path) -> tuple[Incident, ...]:
    """A CSV of from, to and, if wanted, slice; raises `BadInput` with the line of what cannot be meant."""
    return tuple(Incident(row.from_ms, row.to_ms, row.slice) for row in read_stretches(path, _INCIDENT))


def detections(alerts: Sequence[Alerted], incidents: Sequence[Incident]) -> list[Detection]:
    """Every incident with its first page."""
    pages = sorted((each for each in alerts if each.severity == "page"), key=lambda page: page.from_ms)
    return [
        Detection(incident, next((page for page in pages if _finds(page, incident)), None)) for incident in incidents
    ]


def false_pages(alerts: Sequence[Alerted], incidents: Sequence[Incident]) -> list[Alerted]:
    """Pages that no incident explains."""
    return [page for page in alerts if page.severity == "page" and not any(_explains(page, each) for each in incidents)]


def _finds(page: Alerted, incident: Incident) -> bool:
    """Whether the page came of the incident, or was open when it began."""
    was_open = page.from_ms < incident.from_ms and (page.to_ms is None or page.to_ms > incident.from_ms)
    return _explains(page, incident) or (was_open and may_overlap(page.slice, incident.slice))


def _explains(page: Alerted, incident: Incident) -> bool:
    still_seen_ms = page.row.short_s * 1_000
    is_then = incident.from_ms <= page.from_ms <= incident.to_ms + still_seen_ms
    return is_then and may_overlap(page.slice, incident.slice)


def budget_curve(
    series: Series, watched: WatchedSlo, place: int, exclusions: Sequence[Excluded] | None = None
) -> pl.DataFrame:
    """What was left of one slice's budget at every whole hour (instant_ms, left): 1 less what the trailing period spent.

    With exclusions, `corrected` has what would be left without them; null where that cannot be told.
    """
    of_slice, instants = slice_at(series, place, watched)
    hours = np.flatnonzero(instants.ends_ms % HOUR_MS == 0)
    last = len(instants.ends_ms) - 1
    places = hours if len(hours) and hours[-1] == last else np.append(hours, last)
    period_s = watched.slo.period_s
    counts = of_slice.counts(period_s, places)
    curve = pl.DataFrame({"instant_ms": instants.ends_ms[places], "left": _left(counts, watched)})
    if exclusions is None:
        return curve
    told = taken(series, place, watched.slo, exclusions)
    charged = of_slice.without(told.bad, told.total).counts(period_s, places)
    unknown = instants.sums(np.append(0, np.cumsum(told.is_unknown)), period_s, places)
    corrected = pl.Series("corrected", _left(charged, watched))
    return curve.with_columns(corrected.set(pl.Series(unknown > 0), None))


def _left(counts: NDArray[np.int64], watched: WatchedSlo) -> NDArray[np.float64]:
    left: NDArray[np.float64] = 1 - shares(counts) / float(watched.slo.budget_rate)
    return left
