"""What a shard counted for its objectives, frozen, so that another thread can read it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class SloCounts:
    """Bad and total events, of shape (slices, indicators, 2), of the slices with these texts.

    `watched`: an objective's name, the place of its indicator, and the places of the slices that it watches.
    """

    texts: tuple[str, ...] = ()
    watched: tuple[tuple[str, int, NDArray[np.int64]], ...] = ()
    counts: NDArray[np.int64] | None = None

    def __iter__(self) -> Iterator[tuple[str, str, int, int]]:
        """Objective, slice, bad and total events."""
        if self.counts is None:
            return
        for slo, indicator, places in self.watched:
            for place, (bad, total) in zip(places.tolist(), self.counts[places, indicator].tolist(), strict=True):
                yield slo, self.texts[place], bad, total
