"""How worlds are drawn. Whatever is drawn shrinks towards one producer, one window, one worker, and nothing that breaks."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.worlds.sendings import FAULTS, KINDS, Disturbance, Fault, World

_SEEDS = st.integers(0, 2**32 - 1)
_GAPS_S = st.sampled_from([10, 20, 60, 150, 300])
_PAUSES_S = st.sampled_from([900, 7_200])
_DISTURBANCES = st.builds(Disturbance, st.sampled_from(KINDS), st.integers(0, 60), st.integers(1, 15))
_FAULTS = st.builds(Fault, st.sampled_from(FAULTS), st.integers(1, 500), st.integers(0, 2))
_FEW_SLICES = st.sampled_from([5_000, 3, 2])


@st.composite
def _gaps_s(draw: st.DrawFn) -> tuple[int, ...]:
    """A few windows; now and then with a pause after which most of what was open is closed."""
    gaps_s = draw(st.lists(_GAPS_S, min_size=1, max_size=6))
    if draw(st.integers(0, 7)) == 7:
        gaps_s.insert(draw(st.integers(0, len(gaps_s))), draw(_PAUSES_S))
    return tuple(gaps_s)


def worlds(faults_max: int = 6) -> SearchStrategy[World]:
    return st.builds(
        World,
        seed=_SEEDS,
        partitions=st.integers(1, 3),
        producers=st.integers(1, 3),
        gaps_s=_gaps_s(),
        disturbances=st.lists(_DISTURBANCES, max_size=6).map(tuple),
        faults=st.lists(_FAULTS, max_size=faults_max).map(tuple),
        workers=st.integers(1, 2 if faults_max else 1),
        slices_max=_FEW_SLICES,
        compacts=st.booleans(),
        is_live=st.booleans(),
        is_split=st.booleans(),
    )
