"""Since when a rate is worse, as far as windows tell it, and what began with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from schemas.slices import EVERYTHING, slice_dimensions
from stream_jobs.operators.drift.rate_changes import onset
from turnwatch.drift.began_with import Began, began_with
from turnwatch.drift.pictures import RatePicture
from turnwatch.drift.sides import Side, StoredSide
from turnwatch.drift.told import WINDOW

OF_FILES = "a file tells nothing of deployments: what began with it is not known"
UNTOLD = "nobody told of deployments there in the hour before: what began with it is not known"


@dataclass(frozen=True, slots=True)
class Dated:
    """When what explains a rate best began, and what began `with_it`; `None` where that is not known, or nothing got worse.
    `unknown` says why, where it is known since when and not what began with it.

    `is_between`: it began after the last window of the one period and before the first of the other, with time between them.
    """

    began_ms: int | None = None
    is_between: bool = False
    with_it: list[Began] | None = None
    unknown: str | None = None


def dated(old: Side, new: Side, found: RatePicture) -> Dated:
    """Of the slice that explains most, or of all where traffic moved; only where one period comes after the other."""
    text = "" if found.is_mix else next(iter(found.best.explained_by), None)
    follows = old.stretch and new.stretch and old.stretch.to_ms <= new.stretch.from_ms
    if text is None or not follows:
        return Dated()
    sides = [side.series(found.best.name, text, found.rate) for side in (old, new)]
    above, below, starts_ms = (pl.concat(sides)[name].to_numpy() for name in ("numerator", "denominator", WINDOW))
    began_ms = onset(above, below, starts_ms)
    steps_ms = np.diff(starts_ms)
    if began_ms is None or sides[0].is_empty() or sides[1].is_empty():
        return Dated()
    if began_ms == sides[1][WINDOW][0] and steps_ms[len(sides[0]) - 1] > steps_ms.min():
        return Dated(is_between=True)
    if not isinstance(new, StoredSide):
        return Dated(began_ms, unknown=OF_FILES)
    cutting = new.cuts[found.rate.family, found.best.name]
    window_ms = cutting.family.partition(cutting.cut.partition).k_window_s * 1_000
    where = text or shared(found.best.slices["slice"].to_list())
    with_it = began_with(new.period.address, began_ms, window_ms, where)
    return Dated(began_ms, with_it=with_it, unknown=UNTOLD if with_it is None else None)


def shared(texts: Sequence[str]) -> str:
    """The slice that all of these lie in.

    >>> shared(["pool=realtime,accent=us", "pool=realtime,accent=scottish"])
    'pool=realtime'
    """
    several = [slice_dimensions(text).items() for text in texts]
    common = [f"{name}={value}" for name, value in several[0] if all((name, value) in each for each in several)]
    return ",".join(common) or EVERYTHING
