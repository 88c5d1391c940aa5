"""The words for what became of a rate: one sentence each, with figures in the rate's own unit."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.rates import Rate
from turnwatch.drift.pictures import JUDGED_SHARE_MIN, RatePicture

_OVERALL = {
    "worse": "worse overall",
    "better": "better overall",
    "flat": "flat overall",
    "not_enough": "not enough was told overall",
}
NAMED_MAX = 3


def figure(rate: Rate, value: float | None) -> str:
    """A value of a rate: a share or a quotient with four decimals, a mean with its unit."""
    if value is None:
        return "-"
    return f"{value:,.1f} {rate.unit}" if rate.unit else f"{value:.4f}"


def change(rate: Rate, value: float) -> str:
    return f"{value:+,.1f} {rate.unit}" if rate.unit else f"{value:+.4f}"


def verdict(found: RatePicture) -> str:
    """What there is in a few words: "flat overall, one slice worse", "worse overall, no slice worse", and so on.

    Where every cut was looked through, slices are of the one whose slice got worse most surely.
    """
    count = len(found.best.worse)
    slices = {0: "no slice worse", 1: "one slice worse"}.get(count, f"{count} slices worse")
    if count == 0 and found.best.judged_share < JUDGED_SHARE_MIN:
        is_none = found.best.judged_share == 0
        slices = "not enough was told of any slice" if is_none else f"{slices} of those that could be judged"
    if found.best.not_enough and found.best.judged_share:
        slices = f"{slices}, {found.best.not_enough:,} could not be judged"
    where = ": traffic moved between them" if found.is_mix else ": about everywhere" if found.is_everywhere else ""
    return f"{_OVERALL[str(found.overall['state'])]}, {slices}{where}"


def sentences(found: RatePicture, share: float) -> Iterator[str]:
    """The verdict with its figures, then which slices explain it."""
    rate, whole = found.rate, found.overall
    bounds = ""
    if whole["low"] is not None:
        bounds = f" ({change(rate, float(whole['low']))} to {change(rate, float(whole['high']))})"
    levels = " → ".join(figure(rate, whole[side]) for side in ("old", "new"))  # type: ignore[arg-type]
    yield f"{rate.name}: {verdict(found)}; {levels}{bounds}"
    if found.is_mix:
        yield _of_mix(found)
    elif found.best.explained_by:
        yield _of_slices(found, share)


def _of_slices(found: RatePicture, share: float) -> str:
    """The smallest set that explains, the worst first, with what it is of the traffic."""
    best = found.best
    rows = {row["slice"]: row for row in best.slices.iter_rows(named=True)}
    chosen = [rows[name] for name in best.explained_by]
    named = "; ".join(
        f"{row['slice']} {figure(found.rate, row['old'])} → {figure(found.rate, row['new'])}"
        for row in chosen[:NAMED_MAX]
    )
    more = f" and {len(chosen) - NAMED_MAX} more" if len(chosen) > NAMED_MAX else ""
    weight = sum(row["new_weight"] for row in chosen)
    added = sum(row["rate"] for row in chosen)
    of_worse = "all" if len(chosen) == len(best.worse) else f"{share:.0%}"
    return (
        f"{named}{more}: {weight:.1%} of {found.rate.denominator} in the new period, {change(found.rate, added)} of the whole; "
        f"{of_worse} of what slices of {best.name} that got worse added"
    )


def _of_mix(found: RatePicture) -> str:
    best = found.best
    rows = {row["slice"]: row for row in best.slices.iter_rows(named=True)}
    named = "; ".join(
        f"{name} {rows[name]['old_weight']:.1%} → {rows[name]['new_weight']:.1%} of {found.rate.denominator}"
        for name in best.moved_by[:NAMED_MAX]
    )
    return (
        f"{change(found.rate, best.mix_of_known)} of {change(found.rate, best.change)} is mix over {best.name}: {named}"
    )
