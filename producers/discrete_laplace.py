"""Draws of the discrete Laplace distribution by OpenDP: exact integers from the system's entropy, without floating point.

OpenDP is an extra: whoever does not ask for noise does not need it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from producers.noising import Sampler
from schemas.failures import BadInput
from schemas.noise import Noise


def opendp_sampler() -> Sampler:
    """A sampler whose measurements OpenDP has shown to keep the declared epsilon. Raises `BadInput` without OpenDP."""
    try:
        import opendp.prelude as dp
    except ImportError:
        raise BadInput(
            "Noise is asked for (TURNWATCH_COLLECTOR__NOISE), and OpenDP is not installed: "
            "run `pip install 'turnwatch[privacy]'`, or leave the setting out."
        ) from None
    dp.enable_features("contrib")

    @cache
    def mechanism(noise: Noise) -> Any:
        space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l1_distance(T="i64")
        made: Any = dp.m.make_laplace(*space, scale=noise.scale)
        if made.map(noise.clip) > noise.epsilon * (1 + 1e-9):
            raise BadInput(f"OpenDP adds too little noise for epsilon {noise.epsilon:g} of one window.")
        return made

    def draw(noise: Noise, count: int) -> Sequence[int]:
        drawn: list[int] = mechanism(noise)([0] * count) if count else []
        return drawn

    return draw
