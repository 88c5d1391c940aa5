"""What a page says of causes: which stage grew, which slices explain the burn, and which release began before it.

Slices and release come from suspects, which every shard states of its own slices (`stream_jobs/operators/burn_rate/suspects.py`):
those of all shards are joined by objective and window. The stage comes from growths (`alerts/grown_stages.py`). What they
say moves, so it is annotations and never labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from alerts.attribution import Explanation, explain_burn
from alerts.policies import duration_text
from alerts.wording import lasting, latency, percent
from schemas.burns import Burn, StageGrowth, Suspect
from schemas.instants import utc_text
from schemas.slices import slice_dimensions
from schemas.slos import MINUTES

RELEASE_WITHIN_MS = 24 * 3_600_000
"""How long before an alert a bundle may have been first seen to be named as the release that began before it."""
NAMED_MAX = 3
"""Slices that a page names in its title; the annotation `explained_by` has all."""


@dataclass(frozen=True, slots=True)
class Release:
    """A bundle that was first seen within a slice before an alert of that slice began."""

    bundle: str
    first_seen_ms: int
    before_ms: int


@dataclass(frozen=True, slots=True)
class Causes:
    """What is known of why something burns; nothing of it has to be."""

    explanation: Explanation | None = None
    release: Release | None = None
    growth: StageGrowth | None = None


NO_CAUSES = Causes()


class Suspicions:
    """The suspects of all shards, found by objective, window and the slice that they lie within."""

    def __init__(self, suspects: Iterable[Suspect] = ()) -> None:
        self._of: dict[tuple[str, int], list[Suspect]] = {}
        for suspect in suspects:
            self._of.setdefault((suspect.slo, suspect.long_s), []).append(suspect)
        self._within: dict[tuple[str, int, tuple[str, ...]], dict[tuple[str, ...], list[Suspect]]] = {}

    def causes(self, burn: Burn, starts_ms: int, allowed: Decimal | None) -> Causes:
        """Why this burn may be, of an alert that began at `starts_ms`; `allowed` is the share of turns that may be bad."""
        within = self.within(burn)
        if not within:
            return NO_CAUSES
        root = _root(burn, within)
        finer = [each for each in within if each.slice != burn.slice]
        explanation = None if allowed is None or root is None else explain_burn(root, finer, allowed)
        return Causes(explanation, release_before(burn.slice, within, starts_ms))

    def within(self, burn: Burn) -> Sequence[Suspect]:
        """Suspects of the burn's objective and window that lie within its slice, itself included."""
        dimensions = slice_dimensions(burn.slice)
        key = (burn.slo, burn.long_s, tuple(dimensions))
        if key not in self._within:
            self._within[key] = _by_dimensions(self._of.get(key[:2], []), key[2])
        return self._within[key].get(tuple(dimensions.values()), [])


def _root(burn: Burn, within: Iterable[Suspect]) -> Suspect | None:
    """The burn as the turns that its finer slices are parts of; of minutes only what its own shard states of the turns."""
    if burn.unit == MINUTES:
        return next((each for each in within if each.slice == burn.slice), None)
    return Suspect(
        slo=burn.slo,
        slice=burn.slice,
        long_s=burn.long_s,
        bad=burn.long_bad,
        total=burn.long_total,
        first_seen_ms=None,
    )


def release_before(root: str, within: Iterable[Suspect], starts_ms: int) -> Release | None:
    """The bundle that was first seen last before `starts_ms`, within a day, in the slice `root` itself.

    A bundle's first turn is news only where there was an hour of history before it: shards state no other.
    """
    dimensions = slice_dimensions(root).keys() | {"bundle"}
    seen = [
        (each.first_seen_ms, slice_dimensions(each.slice)["bundle"])
        for each in within
        if each.first_seen_ms is not None
        and slice_dimensions(each.slice).keys() == dimensions
        and 0 <= starts_ms - each.first_seen_ms <= RELEASE_WITHIN_MS
    ]
    if not seen:
        return None
    first_ms, bundle = max(seen)
    return Release(bundle, first_ms, starts_ms - first_ms)


def named_causes(causes: Causes) -> dict[str, str]:
    """The causes on their own, for whoever routes or reads by them."""
    said = {}
    if causes.growth is not None:
        said["stage"] = causes.growth.stage
    if causes.explanation is not None:
        said["explained_by"] = "; ".join(causes.explanation.slices)
    if causes.release is not None:
        said["release"] = f"bundle={causes.release.bundle}, first seen at {utc_text(causes.release.first_seen_ms)}"
    return said


def sentences(burn: Burn, causes: Causes) -> list[str]:
    """The causes in words, with names as they are within the burn's slice."""
    said = []
    if causes.growth is not None:
        said.append(_grew(burn, causes.growth))
    if causes.explanation is not None:
        said.append(_explained(burn, causes.explanation))
    if causes.release is not None:
        release = causes.release
        said.append(f"bundle={release.bundle} was first seen {lasting(release.before_ms / 1_000)} before")
    return said


def paragraph(burn: Burn, causes: Causes) -> list[str]:
    """The causes as lines of a description, every slice named, and what their words mean."""
    said = []
    if causes.growth is not None:
        said += _grown(causes.growth)
    if (found := causes.explanation) is not None:
        unit = "turns" if burn.unit == MINUTES else burn.unit
        said.append(f"The excess is the bad {unit} beyond the allowed ones. Of it, {_share(found)} is in:")
        said += [f"  {text}" for text in found.slices]
    if (release := causes.release) is not None:
        began = utc_text(release.first_seen_ms)
        said.append(f"bundle={release.bundle} was first seen in this slice at {began}, before the alert began.")
    return said


def _grew(burn: Burn, growth: StageGrowth) -> str:
    where = "" if growth.slice == burn.slice else f" in {_within(burn.slice, growth.slice)}"
    return f"{growth.stage} grew by {latency(growth.added_ms)} a turn{where}"


def _grown(growth: StageGrowth) -> list[str]:
    now, before = duration_text(growth.now_s), duration_text(growth.before_s)
    return [
        f"{growth.stage} grew in {growth.slice}, first seen at {utc_text(growth.since_ms)}: on average it took "
        f"{latency(growth.mean_ms_now)} in the last {now}, and {latency(growth.mean_ms_before)} in {before} of reference.",
        f"{percent(growth.tail_now)} of its observations are above {latency(growth.tail_ms)}, of the reference's "
        f"{percent(growth.tail_before)}. It adds {latency(growth.added_ms)} to a turn, {percent(growth.of_added)} of what "
        "all parts added.",
    ]


def _share(found: Explanation) -> str:
    return "all" if found.explained >= 1 else percent(float(found.explained))


def _explained(burn: Burn, found: Explanation) -> str:
    names = [_within(burn.slice, each) for each in found.slices]
    several = len(names) > 1
    more = [f"{len(names) - NAMED_MAX} more"] if len(names) > NAMED_MAX else []
    *first, last = [*names[:NAMED_MAX], *more]
    where = f"{', '.join(first)} and {last}" if first else last
    traffic = percent(min(1.0, float(found.traffic)))
    return f"{_share(found)} of the excess is in {where}, which {'have' if several else 'has'} {traffic} of the traffic"


def _within(root: str, text: str) -> str:
    """What the slice has besides the root's dimensions."""
    known = slice_dimensions(root)
    return ",".join(f"{name}={value}" for name, value in slice_dimensions(text).items() if name not in known)


def _by_dimensions(suspects: Iterable[Suspect], names: tuple[str, ...]) -> dict[tuple[str, ...], list[Suspect]]:
    found: dict[tuple[str, ...], list[Suspect]] = {}
    for suspect in suspects:
        dimensions = slice_dimensions(suspect.slice)
        if all(name in dimensions for name in names):
            found.setdefault(tuple(dimensions[name] for name in names), []).append(suspect)
    return found
