"""`turnwatch drift why`: which slice got worse from one period to another, whether traffic only moved, and what began with it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import polars as pl

from schemas.failures import BadInput
from schemas.instants import utc_text
from schemas.rates import RATES
from turnwatch.answers.printing import Format, print_answer
from turnwatch.drift.began_with import Began
from turnwatch.drift.dating import Dated, dated
from turnwatch.drift.pictures import BILLION, CutPicture, Limits, RatePicture, pictures
from turnwatch.drift.printing import print_why
from turnwatch.drift.saying import sentences, verdict
from turnwatch.drift.sides import Asked, Side, read_sides

SLICES_MAX = 50
"""Slices of a cut that are told one by one, besides those that got worse or better; the others as one sum."""

ALONE_MAX = 5


@dataclass(frozen=True, slots=True)
class Why:
    old: Side
    new: Side
    asked: Asked
    found: list[tuple[RatePicture, Dated]]


def run_drift_why(asked: Asked, output: Format) -> int:
    """Prints what became of the rates; as tables with sentences, or as one JSON document."""
    why = explain(asked, int(time.time() * 1_000))
    if output == "json":
        print_answer(told(why), (), output)
    else:
        print_why(told(why))
    return 0


def explain(asked: Asked, now_ms: int) -> Why:
    """Reads both sides and compares them; raises `BadInput` where there is nothing to be compared."""
    for name in asked.rates:
        if name not in RATES:
            close = get_close_matches(name, RATES, n=1)
            meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(RATES)}."
            raise BadInput(f"--rate {name[:100]!r} is no rate that is told: {meant}")
    old, new = read_sides(asked, now_ms)
    limits = Limits(asked.share, asked.least, asked.samples_min)
    found = pictures(_of_rates(old.told, asked.rates), _of_rates(new.told, asked.rates), limits)
    if not found:
        raise BadInput(_nothing_in_common(old, new))
    return Why(old, new, asked, [(each, dated(old, new, each)) for each in found])


def _nothing_in_common(old: Side, new: Side) -> str:
    """Why nothing can be compared: no rate that both told, or none that both told by the same cut."""
    rates = set(old.told["rate"]) & set(new.told["rate"])
    cuts = [sorted({*side.told["cut"]}) for side in (old, new)]
    if not rates or set(cuts[0]) & set(cuts[1]):
        return f"{old.name} and {new.name} have no rate in common: name periods, or files, that told the same."
    by = [f"{'; '.join(each[:ALONE_MAX])}{' and others' if len(each) > ALONE_MAX else ''}" for each in cuts]
    return (
        f"{old.name} and {new.name} have no cut in common: the one tells {min(rates)} by {by[0]}, the other by {by[1]}: name the "
        "same dimensions on both sides."
    )


def _of_rates(told: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    return told.filter(pl.col("rate").is_in(list(names))) if names else told


def told(why: Why) -> dict[str, Any]:
    """The answer as one JSON document. Parts are whole billionths of the rate's unit, and sum to the change of their cut."""
    return {
        "old": why.old.name,
        "new": why.new.name,
        "share": why.asked.share,
        "least_relative_change": why.asked.least,
        "samples_min": why.asked.samples_min,
        "rates": [_rate(found, since, why.asked.share) for found, since in why.found],
        "notes": [
            *dict.fromkeys((*why.old.notes, *why.new.notes)),
            *_alone(why.old, why.new),
            *_alone(why.new, why.old),
        ],
    }


def _alone(side: Side, other: Side) -> list[str]:
    """What one side told and the other did not, which is compared with nothing."""
    keys = ["rate", "cut"]
    alone = side.told.join(other.told, on=keys, how="anti").select(keys).unique().sort(keys)
    named = [f"{rate} by {cut}" for rate, cut in alone.head(ALONE_MAX).iter_rows()]
    more = f" and {len(alone) - ALONE_MAX} more" if len(alone) > ALONE_MAX else ""
    return [f"{side.name}: the other side did not tell {', '.join(named)}{more}: left out"] if named else []


def _rate(found: RatePicture, since: Dated, share: float) -> dict[str, Any]:
    return {
        "rate": found.rate.name,
        "meaning": found.rate.meaning,
        "unit": found.rate.unit or None,
        "verdict": verdict(found),
        "sentences": list(sentences(found, share)),
        "overall": {name: value for name, value in found.overall.items() if name not in ("slice", "evidence")},
        "is_mix": found.is_mix,
        "is_everywhere": found.is_everywhere,
        "began": None if since.began_ms is None else utc_text(since.began_ms),
        "is_begun_between": since.is_between,
        "began_with": None if since.with_it is None else [_began(each, since) for each in since.with_it],
        "began_with_unknown": since.unknown,
        "cuts": [cut_answer(each) for each in found.cuts],
    }


def _began(each: Began, since: Dated) -> dict[str, Any]:
    assert since.began_ms is not None
    said = {name: getattr(each, name) or None for name in ("what", "kind", "slice", "bundle", "artifact", "version")}
    ways = {"owner": each.owner, "rollback_to": each.rollback_to}
    return {"at": utc_text(each.at_ms), "before_s": (since.began_ms - each.at_ms) // 1_000, **said, **ways}


def cut_answer(cut: CutPicture) -> dict[str, Any]:
    """One cut; its slices, first those that got worse, from the one that added most; the smallest as `others`."""
    parts = cut.in_billionths()
    size = pl.col("rate").abs() + pl.col("mix").abs()
    is_told = pl.col("state").is_in(["worse", "better"]) | (size.rank("ordinal", descending=True) <= SLICES_MAX)
    ordered = parts.sort(
        pl.col("state") == "worse", pl.col("rate") + pl.col("mix"), descending=True, maintain_order=True
    )
    others = ordered.filter(~is_told)
    return {
        "cut": cut.name,
        "change_billionths": round(cut.change * BILLION),
        "rate_billionths": parts["rate"].sum(),
        "mix_billionths": parts["mix"].sum(),
        "undivided": cut.undivided,
        "worse": len(cut.worse),
        "not_enough": cut.not_enough,
        "empty": cut.empty,
        "explained_by": list(cut.explained_by),
        "moved_by": list(cut.moved_by),
        "slices": ordered.filter(is_told).drop("evidence").rename(_NAMES).to_dicts(),
        "others": {
            "slices": len(others),
            "rate_billionths": others["rate"].sum(),
            "mix_billionths": others["mix"].sum(),
        },
    }


_NAMES = {"rate": "rate_billionths", "mix": "mix_billionths"}
