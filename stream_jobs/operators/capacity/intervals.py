"""Concurrency of intervals whose starts and ends are known one by one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Peak:
    """The most intervals that were open at once, and the first instant at which they were; `None` where none ever was."""

    streams: int
    at_ms: int | None


def peak(start_ms: NDArray[np.int64], end_ms: NDArray[np.int64]) -> Peak:
    """The peak of half-open intervals [start, end): ends come before starts at equal times, so touching ones do not
    overlap, and one of no length counts nothing.
    """
    lasts = end_ms > start_ms
    instants = np.concatenate([start_ms[lasts], end_ms[lasts]])
    changes = np.repeat(np.array([1, -1], dtype=np.int64), int(lasts.sum()))
    order = np.lexsort((changes, instants))
    running = np.cumsum(changes[order])
    if len(running) == 0:
        return Peak(0, None)
    place = int(np.argmax(running))
    return Peak(int(running[place]), int(instants[order][place]))
