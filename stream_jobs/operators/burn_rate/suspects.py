"""Suspects: the slices that have more bad turns than allowed where something burns, for whoever explains the burn.

The slices of one cut live in different shards, so no shard can tell which of them explain a burn. Each states its own
worst ones; `alerts/attribution.py` joins them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.burns import Burn, Suspect
from schemas.instants import HOUR_MS
from stream_jobs.operators.burn_rate.windows import Watch, Windows
from stream_jobs.operators.totals.slice_numbers import SliceNumbers

SUSPECTS_MAX = 50
"""Of one objective, cut and window in one shard: those with the most bad turns beyond the allowed ones."""


def suspects(watch: Watch, burns: Sequence[Burn], windows: Windows, slices: SliceNumbers) -> Iterator[Suspect]:
    """What may explain these burns of one objective, in each of their long windows; nothing where nothing burns."""
    for long_s in sorted({burn.long_s for burn in burns}):
        counts = windows.of(long_s)[watch.slices, watch.turns]
        is_any_too_many = any(burn.factor == 0 for burn in burns if burn.long_s == long_s)
        allowed = 0.0 if is_any_too_many else float(watch.watched.slo.turns_allowed)
        worst = _worst(watch, counts[:, 0] - counts[:, 1] * allowed)
        numbers = [int(number) for number in watch.slices[worst]]
        seen = slices.first_seen_since(HOUR_MS, numbers)
        for number, (bad, total), first_ms in zip(numbers, counts[worst].tolist(), seen, strict=True):
            yield Suspect(
                slo=watch.watched.slo.name,
                slice=slices.texts[number],
                long_s=long_s,
                bad=bad,
                total=total,
                first_seen_ms=first_ms,
            )


def _worst(watch: Watch, excess: NDArray[np.float64]) -> NDArray[np.int64]:
    """Places of the slices with the largest excess of each cut."""
    found = []
    for cut in range(len(watch.watched.slo.cuts)):
        places = np.flatnonzero((watch.cuts == cut) & (excess > 0))
        found.append(places[np.argsort(-excess[places], kind="stable")[:SUSPECTS_MAX]])
    return np.concatenate(found)
