"""Series: whether a figure of a slice drifts, since when, and when that is over. One array for all of a family in a shard.

Each hour brings a standardised excess; an e-detector (`change_points.py`) adds up the evidence that some hour began a
change, of what of it the hours before did not foretell (`drift_wander.py`). Over all series at once a change is found by e-d-BH: the k series with the most evidence, for the largest k for which each of
those has at least `limit` / k (Dandapanthula and Ramdas, "Multiple testing in multi-stream sequential change detection",
2025). With a limit of n series x 168 hours ÷ f that is f false alarms a week at most where nothing changes, however
the series depend on each other; where many change, the next one needs less.

A change is found once, and lasts until the hours since speak 150 to 1 for the reference and against the shift by which it was
found (Page, 1954): the slice is back, or the change has become its reference. Those are whole excesses, as what lasts is foretold;
since they are alike, each speaks as many times less. What has not served for a day is over, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from schemas.arrays import Flags, Floats
from stream_jobs.operators.drift import wander as drift_wander
from stream_jobs.operators.drift.change_points import EFFECTS, Detectors, updated
from stream_jobs.operators.drift.wander import Excess

NAMES = (
    *(f"detector_{place}" for place in range(len(EFFECTS))),
    "page", "since_ms", "spread", "weight", "information",
    *(f"pending_{place}" for place in range(6)), "waited",
    *(f"since_{place}" for place in range(4)), "excess_sum", "excesses",
    "found_ms", "began_ms", "shift", "over", "seen_ms",
    *drift_wander.NAMES,
)  # fmt: skip
"""What is kept of a series, and how a block of state calls it."""
_DETECTORS = slice(0, len(EFFECTS))
_PAGE, _SINCE_MS, _SPREAD, _WEIGHT, _INFORMATION = range(len(EFFECTS), len(EFFECTS) + 5)
_LEARNT = slice(_SPREAD, _INFORMATION + 1)
_PENDING = slice(_INFORMATION + 1, _INFORMATION + 7)
_WAITED = _INFORMATION + 7
_SINCE = slice(_WAITED + 1, _WAITED + 7)
_FOUND_MS, _BEGAN_MS, _SHIFT, _OVER, _SEEN_MS = range(_WAITED + 7, _WAITED + 12)
_WANDER = slice(_SEEN_MS + 1, _SEEN_MS + 1 + len(drift_wander.NAMES))
_WANDER_LEARNT = range(_WANDER.start + drift_wander.LEARNT.start, _WANDER.start + drift_wander.LEARNT.stop)
assert len(NAMES) == _WANDER.stop

OVER_MIN = float(np.log(150))
UNSEEN_MS_MAX = 24 * 3_600_000
SHIFT_MIN, SHIFT_MAX = 0.5, 1.0
"""Of what hours speak against, in standard deviations: no more, or the nights of a change that shows by day would end it."""
SINCE_SUMS = 4
"""Sums since a change began: bad, total, and those of the reference."""


@dataclass(frozen=True, slots=True)
class Series:
    """State of measures x slices, as one array of shape (`NAMES`, measures, slices). Rows of it may be changed in place."""

    values: Floats

    @classmethod
    def quiet(cls, measures: int, slices: int) -> Series:
        """Before the first hour."""
        return cls(np.zeros((len(NAMES), measures, slices)))

    def grown(self, slices: int) -> Series:
        """With so many slices; new ones are quiet."""
        missing = slices - self.values.shape[2]
        return replace(self, values=np.pad(self.values, ((0, 0), (0, 0), (0, missing)))) if missing else self

    def copied(self) -> Series:
        """To go on with, without changing what this one knows."""
        return replace(self, values=self.values.copy())

    def forget(self, numbers: list[int]) -> None:
        """Makes these slices quiet: whoever has the number next begins anew."""
        self.values[:, :, numbers] = 0.0

    def inherit(self, numbers: NDArray[np.int64]) -> None:
        """A slice of which nothing was compared yet strays as the one does that it is compared with, by number."""
        is_new = (self.weight == 0) & (numbers != np.arange(len(numbers)))
        for place in (_SPREAD, _WEIGHT, _INFORMATION, *_WANDER_LEARNT):
            self.values[place] = np.where(is_new, self.values[place][:, numbers], self.values[place])

    @property
    def evidence(self) -> Floats:
        """The e-detectors, to be held against a limit."""
        return np.asarray(self.values[_DETECTORS].mean(axis=0), dtype=np.float64)

    def evidence_of(self, which: Flags) -> Floats:
        """The same of some of them."""
        return np.asarray(self.values[_DETECTORS][:, which].mean(axis=0), dtype=np.float64)

    @property
    def learnt(self) -> Floats:
        """What is known of how the series stray: squares of their deviations, how many, and their information, summed."""
        return self._of(_LEARNT)

    @property
    def wander(self) -> Floats:
        """What is known of how they wander, as `drift_wander.py` has it."""
        return self._of(_WANDER)

    @property
    def weight(self) -> Floats:
        return self._of(_WEIGHT)

    @property
    def pending(self) -> Floats:
        return self._of(_PENDING)

    @property
    def waited(self) -> Floats:
        return self._of(_WAITED)

    @property
    def is_drifted(self) -> Flags:
        return np.asarray(self.values[_FOUND_MS] > 0, dtype=np.bool_)

    @property
    def is_learning(self) -> Flags:
        """Where an hour may tell how a series strays: not while a change may have begun, which would teach what hides it."""
        return np.asarray(~self.is_drifted & (self.values[_PAGE] == 0), dtype=np.bool_)

    def see(self, is_served: Flags, start_ms: int) -> None:
        """Notes which of what drifts served in an hour, whether that was enough to compare or not."""
        self.values[_SEEN_MS] = np.where(is_served & self.is_drifted, start_ms, self.values[_SEEN_MS])

    @property
    def found_ms(self) -> Floats:
        return self._of(_FOUND_MS)

    @property
    def began_ms(self) -> Floats:
        return self._of(_BEGAN_MS)

    @property
    def since(self) -> Floats:
        """Of shape (4, measures, slices): bad, total, bad and total of the reference, since the change began."""
        return self._of(_SINCE)[:SINCE_SUMS]

    def _of(self, place: int | slice) -> Floats:
        """A view: what is written into it is written here."""
        found: Floats = self.values[place]
        return found


def follow(series: Series, excess: Excess, sums: Floats, start_ms: int, limit: float) -> None:
    """Takes in one hour of all series; its excess is not a number where there is nothing to say. Changes `series`.

    `sums`: bad, total, and those of the reference, of what the excess is of. `limit`: as in the module's paragraph.
    """
    values = series.values
    was_drifted, is_seen = series.is_drifted, np.isfinite(excess.whole)
    series.see(is_seen, start_ms)
    z = np.where(is_seen, excess.whole, 0.0)
    former = Detectors(values[_DETECTORS], values[_PAGE], values[_SINCE_MS])
    now = updated(former, excess.surprise, start_ms)
    begins = is_seen & (former.page == 0) & ~was_drifted
    values[_DETECTORS], values[_PAGE], values[_SINCE_MS] = now.values, now.page, now.since_ms
    _add_since(values[_SINCE], sums, z, is_seen, begins)
    shift = values[_SHIFT]
    against = np.where(is_seen & was_drifted, (shift**2 / 2 - shift * z) / excess.inflation, 0.0)
    values[_OVER] = np.maximum(values[_OVER] + against, 0.0)
    is_over = was_drifted & ((values[_OVER] >= OVER_MIN) | (start_ms - values[_SEEN_MS] >= UNSEEN_MS_MAX))
    _end(values, is_over)
    _begin(values, found(series.evidence, is_seen & ~was_drifted, limit), start_ms)


def found(evidence: Floats, may_be: Flags, limit: float) -> Flags:
    """e-BH: the series of which a change is found, among those of which it may be.

    >>> found(np.array([6.0, 5.0, 3.0]), np.ones(3, dtype=bool), limit=10.0).tolist()
    [True, True, False]
    """
    named = np.zeros(evidence.shape, dtype=bool)
    considered = np.where(may_be, evidence, 0.0)
    large = considered[considered * considered.size >= limit]
    if len(large):
        ordered = np.sort(large)[::-1]
        enough = np.flatnonzero(ordered * np.arange(1, len(ordered) + 1) >= limit)
        if len(enough):
            named = considered >= ordered[enough[-1]]
    return named


def _add_since(since: Floats, sums: Floats, z: Floats, is_seen: Flags, begins: Flags) -> None:
    since[:, begins] = 0.0
    for place in range(SINCE_SUMS):
        since[place] += np.where(is_seen, sums[place], 0.0)
    since[SINCE_SUMS] += z
    since[SINCE_SUMS + 1] += is_seen


def _end(values: Floats, is_over: Flags) -> None:
    """Begins anew, but for what is known of how the series strays."""
    for place in (*range(*_DETECTORS.indices(len(NAMES))), _PAGE, *range(*_SINCE.indices(len(NAMES)))):
        values[place, is_over] = 0.0
    for place in (_FOUND_MS, _BEGAN_MS, _SHIFT, _OVER, _SEEN_MS):
        values[place, is_over] = 0.0


def _begin(values: Floats, is_found: Flags, start_ms: int) -> None:
    if not is_found.any():
        return
    mean, count = values[_SINCE][SINCE_SUMS], values[_SINCE][SINCE_SUMS + 1]
    shift = np.clip(mean / np.maximum(count, 1.0), SHIFT_MIN, SHIFT_MAX)
    for place in (_FOUND_MS, _SEEN_MS):
        values[place] = np.where(is_found, start_ms, values[place])
    values[_BEGAN_MS] = np.where(is_found, values[_SINCE_MS], values[_BEGAN_MS])
    values[_SHIFT] = np.where(is_found, shift, values[_SHIFT])
