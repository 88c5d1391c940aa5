"""Whoever sees every frame of every partition and window cannot single out fewer than k sessions."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

from producers.kinds import KINDS
from schemas.families import K_SESSIONS_MIN
from tests.privacy import broken_gates
from tests.privacy.attacker import COUNTS, PLAIN, Attacker, Isolated, View
from tests.privacy.fleets import POOL, behind, fleet, frames_of
from tests.privacy.whereabouts import marked, whereabouts

SEEDS = range(16)
TELLING = (1, 7)
"""Fleets in which each of the broken gates gives somebody away."""


def attacks(seed: int) -> list[tuple[Isolated, pl.DataFrame]]:
    """What the attacker finds out about each planted session of a fleet, and the turns that it is about."""
    under_attack = fleet(seed)
    turns, out = marked(under_attack.turns, contract(), POOL), []
    frames = frames_of(turns)
    counted_in = whereabouts(turns, frames, contract(), POOL)
    for attacker in (Attacker(frames, contract(), POOL, counted_in, holds_cells) for holds_cells in (False, True)):
        for target in under_attack.targets:
            found = attacker.isolate(target)
            if found is not None:
                out.append((found, behind(turns, found.classes, attacker.class_of)))
    return out


def contract() -> dict[View, tuple[str, ...]]:
    """The views of the same turns; what `outcomes` says to whoever runs the fleet, `turns` says too."""
    views = {
        (family.name, partition.name): partition.dimensions
        for family in KINDS["turns"].families
        for partition in family.partitions
        if family.name in COUNTS
    }
    return {view: dimensions for view, dimensions in views.items() if view == PLAIN or view[1] != "operational"}


@pytest.mark.parametrize("seed", SEEDS)
def test_no_combination_of_frames_is_about_fewer_than_k_sessions(seed: int) -> None:
    """Groups of k and more it does find, to the turn: it fails for the gate, not for want of trying."""
    found = attacks(seed)
    assert found
    assert all((each.turns, each.errors) == (len(turns), turns["is_error"].sum()) for each, turns in found)
    assert all(turns["session"].n_unique() >= K_SESSIONS_MIN for _, turns in found)


@pytest.mark.parametrize(
    "break_it",
    [
        broken_gates.without_siblings,
        broken_gates.without_siblings_at_the_root,
        broken_gates.counting_turns,
        broken_gates.with_a_dimension_in_two_partitions,
    ],
)
def test_a_broken_gate_or_contract_gives_few_people_away(
    break_it: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without siblings it even learns that the turn of the planted session, and of nobody else, ended in an error."""
    break_it(monkeypatch)
    found = [each for seed in TELLING for each in attacks(seed)]
    assert any(turns["session"].n_unique() < K_SESSIONS_MIN for _, turns in found)
