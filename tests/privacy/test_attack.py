"""Whoever sees every frame of every partition and window cannot single out fewer than k sessions."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

from producers.cells import identifying
from schemas.families import FAMILIES, K_SESSIONS_MIN
from tests.privacy import broken_gates
from tests.privacy.attacker import Attacker, Isolated
from tests.privacy.fleets import POOL, Fleet, behind, fleet, frames_of
from tests.privacy.slow_fleets import costs, labels
from tests.privacy.studies import OF_COSTS, OF_LABELS, OF_TURNS, Study
from tests.privacy.whereabouts import marked, whereabouts

SEEDS = range(16)
SLOW_SEEDS = range(4)
"""Of kinds whose frames pass the same gate."""
TELLING = (1, 7)
"""Fleets in which each of the broken gates gives somebody away."""
FLEETS: list[tuple[Study, Callable[[int], Fleet], range]] = [
    (OF_TURNS, fleet, SEEDS),
    (OF_LABELS, labels, SLOW_SEEDS),
    (OF_COSTS, costs, SLOW_SEEDS),
]


def attacks(study: Study, under_attack: Fleet) -> list[tuple[Isolated, pl.DataFrame]]:
    """What the attacker finds out about each planted session of a fleet, and the observations that it is about."""
    observed, out = marked(under_attack.observed, study, POOL), []
    frames = frames_of(observed, study)
    counted_in = whereabouts(observed, frames, study, POOL)
    for attacker in (Attacker(frames, study, POOL, counted_in, holds_cells) for holds_cells in (False, True)):
        for target in under_attack.targets:
            found = attacker.isolate(target)
            if found is not None:
                out.append((found, behind(observed, found.classes, attacker.class_of, study)))
    return out


def people(observed: pl.DataFrame) -> int:
    """Distinct sessions; what an idle replica cost is nobody's."""
    return observed["session"].drop_nulls().n_unique()


def test_every_kind_with_a_partition_that_identifies_is_attacked() -> None:
    kinds = {family.kind for family in FAMILIES.values() for each in family.partitions if identifying(each)}
    assert kinds == {study.kind for study, _, _ in FLEETS}
    told = {view for study, _, _ in FLEETS for view in study.partitions}
    assert told >= {
        (family.name, each.name) for family in FAMILIES.values() for each in family.partitions if identifying(each)
    }


@pytest.mark.parametrize(
    ("study", "drawn", "seed"),
    [pytest.param(study, drawn, seed, id=f"{study.kind}-{seed}") for study, drawn, seeds in FLEETS for seed in seeds],
)
def test_no_combination_of_frames_is_about_fewer_than_k_sessions(
    study: Study, drawn: Callable[[int], Fleet], seed: int
) -> None:
    """Groups of k and more it does find, to the observation: it fails for the gate, not for want of trying."""
    found = attacks(study, drawn(seed))
    assert found
    assert all((each.count, each.secrets) == (len(of), of[study.secret].sum()) for each, of in found)
    assert all(people(of) >= K_SESSIONS_MIN for _, of in found)


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
    found = [each for seed in TELLING for each in attacks(OF_TURNS, fleet(seed))]
    assert any(people(turns) < K_SESSIONS_MIN for _, turns in found)


@pytest.mark.parametrize(("study", "drawn"), [(OF_LABELS, labels), (OF_COSTS, costs)], ids=["labels", "costs"])
def test_without_siblings_few_are_given_away_of_every_kind(
    study: Study, drawn: Callable[[int], Fleet], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_gates.without_siblings(monkeypatch)
    found = [each for seed in TELLING for each in attacks(study, drawn(seed))]
    assert any(people(of) < K_SESSIONS_MIN for _, of in found)
