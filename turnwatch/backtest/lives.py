"""Lives of alerts over the decided instants, as `alerts/life.py` has them live, from what is said at each of them.

An alert begins where a row is exceeded on enough evidence and has been, on whatever evidence, for as long as the policy
has it pending. It is open while anything speaks for it, and ends with the first decision that comes `keep_firing_s` after
the last instant at which something did.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from schemas.arrays import Flags
from turnwatch.backtest.instants import Sums

FROZEN_AFTER_MS = 60_000


@dataclass(frozen=True, slots=True)
class Statements:
    """What is said of one alert at each decided instant, which are at `ends_ms`.

    `burns`: a row is exceeded on enough evidence; `exceeds`: on any. `is_open`: that, or what is near enough to a row to keep
    an alert, or silence where it was bad; `is_known`: not silence alone.
    """

    ends_ms: Sums
    burns: Flags
    exceeds: Flags
    is_open: Flags
    is_known: Flags


def lives(said: Statements, pending_s: int, keep_firing_s: int) -> Iterator[tuple[int, int]]:
    """Places of the instants at which alerts begin and end; an end behind the last one is beyond the data."""
    begins = np.flatnonzero(said.burns & _is_due(said, pending_s))
    spoken = np.flatnonzero(said.is_open)
    if not len(begins):
        return
    waited = np.searchsorted(said.ends_ms, said.ends_ms[spoken] + keep_firing_s * 1_000)
    ends = np.maximum(waited, spoken + 1)
    lasts = np.flatnonzero(ends < np.append(spoken[1:], len(said.ends_ms) + 1))
    for first, last in zip(np.append(0, lasts[:-1] + 1), lasts, strict=True):
        begin = np.searchsorted(begins, spoken[first])
        if begin < len(begins) and begins[begin] <= spoken[last]:
            yield int(begins[begin]), int(ends[last])


def frozen(said: Statements, start: int, stop: int) -> Iterator[tuple[int, int | None]]:
    """Stretches of a life that nothing confirmed for a minute, from there to what did, or its end."""
    confirmed = [*(start + np.flatnonzero(said.is_known[start:stop])).tolist(), stop]
    for place, following in pairwise(confirmed):
        first = int(np.searchsorted(said.ends_ms, said.ends_ms[place] + FROZEN_AFTER_MS))
        if first < following:
            yield int(said.ends_ms[first]), int(said.ends_ms[following]) if following < len(said.ends_ms) else None


def _is_due(said: Statements, pending_s: int) -> Flags:
    """Where a row has been exceeded for so long without a gap."""
    begins = said.exceeds & ~np.append(False, said.exceeds[:-1])
    since = np.maximum.accumulate(np.where(begins, np.arange(len(begins)), 0))
    lasting_ms = said.ends_ms - said.ends_ms[since]
    return np.asarray(said.exceeds & (lasting_ms >= pending_s * 1_000), dtype=np.bool_)
