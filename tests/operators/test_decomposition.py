"""The decomposition adds up to the change, whatever came, vanished or stayed idle; and it names what was changed."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import Generator

from stream_jobs.operators.cost.decomposition import FACTORS, MICRO, PARTS, Decomposition, Uses, decompose


def period(rng: Generator, cells: int, empty_share: float = 0.0) -> Uses:
    """A fleet of cells, some hosted, some that serve nothing, some that are not there."""
    is_there = rng.random(cells) >= empty_share
    is_used = is_there & (rng.random(cells) >= empty_share / 2)
    turns = np.where(is_used, rng.integers(1, 10_000, cells), 0).astype(float)
    attempts = turns[:, None] * np.column_stack([np.ones(cells), *rng.random((3, cells)) * 0.2])
    tokens = attempts.sum(axis=1)[:, None] * rng.gamma(2.0, 100.0, (cells, 5))
    is_hosted = rng.random(cells) < 0.3
    used_s = np.where(is_hosted, 0.0, tokens.sum(axis=1) * rng.uniform(1e-4, 1e-3, cells))
    paid_s = np.where(is_hosted, 0.0, np.where(is_used, used_s / rng.uniform(0.2, 1, cells), 3_600.0 * is_there))
    dollars = np.where(is_hosted, tokens.sum(axis=1) * 2e-6, paid_s * rng.uniform(5e-4, 2e-3, cells))
    efficiencies = np.where(rng.random((cells, 3)) < 0.2, np.nan, rng.uniform(0.2, 3, (cells, 3)))
    return Uses(
        float(turns.sum() * 0.9) or 1.0, turns, attempts, tokens, used_s, paid_s, dollars * is_there, efficiencies
    )


def added(found: Decomposition, factor: str) -> float:
    return float(found.effects[:, FACTORS.index(factor)].sum())


@given(seed=st.integers(0, 2**32), cells=st.integers(1, 30), empty=st.sampled_from((0.0, 0.3, 0.9)))
def test_factors_add_up_to_the_change_to_the_micro_dollar_and_parts_to_their_factor(
    seed: int, cells: int, empty: float
) -> None:
    rng = np.random.default_rng(seed)
    old, new = period(rng, cells, empty), period(rng, cells, empty)
    found = decompose(old, new)
    assert found.effects.sum() == pytest.approx(found.new - found.old, abs=1e-9 * (found.new + found.old) + 1e-12)
    micro = found.in_micro_dollars()
    assert sum(micro.values()) == round(found.new * MICRO) - round(found.old * MICRO)
    for factor, names in PARTS.items():
        assert found.parts[factor].sum() == pytest.approx(
            added(found, factor), abs=1e-9 * (found.new + found.old) + 1e-12
        )
        assert list(parts := found.parts_in_micro_dollars(factor)) == list(names)
        assert sum(parts.values()) == micro[factor]


@given(seed=st.integers(0, 2**32))
def test_the_other_way_round_it_is_the_negative(seed: int) -> None:
    rng = np.random.default_rng(seed)
    old, new = period(rng, 12, 0.2), period(rng, 12, 0.2)
    there, back = decompose(old, new), decompose(new, old)
    np.testing.assert_allclose(there.effects, -back.effects, atol=1e-9)


@given(seed=st.integers(0, 2**32))
def test_every_factor_is_what_the_formula_says_cell_by_cell(seed: int) -> None:
    rng = np.random.default_rng(seed)
    old, new = period(rng, 5), period(rng, 5)
    found = decompose(old, new)
    for cell in range(5):
        hosted = [bool(each.gpu_paid_s[cell] == 0) for each in (old, new)]
        if hosted[0] == hosted[1]:
            ratio = [each.turns[cell] / each.turns.sum() for each in (new, old)]
            values = [each.dollars[cell] / each.successes for each in (new, old)]
            weight = values[0] if values[0] == values[1] else (values[0] - values[1]) / math.log(values[0] / values[1])
            expected = weight * math.log(ratio[0] / ratio[1])
            assert found.effects[cell, FACTORS.index("mix")] == pytest.approx(expected, rel=1e-6, abs=1e-12)


def change(factor: str, uses: Uses, by: float) -> Uses:
    """The same period with one factor of every cell multiplied, and the cost that follows from it."""
    changes: dict[str, dict[str, Any]] = {
        "success_rate": {"successes": uses.successes / by},
        "attempts": {"attempts": uses.attempts * by, "tokens": uses.tokens * by, "gpu_used_s": uses.gpu_used_s * by},
        "tokens": {"tokens": uses.tokens * by, "gpu_used_s": uses.gpu_used_s * by},
        "gpu_per_token": {"gpu_used_s": uses.gpu_used_s * by},
        "price": {},
        "utilisation": {"gpu_used_s": uses.gpu_used_s / by},
    }
    grown = changes[factor]
    costs_more: dict[str, Any] = {} if factor == "success_rate" else {"dollars": uses.dollars * by}
    paid: dict[str, Any] = (
        {"gpu_paid_s": uses.gpu_paid_s * by} if factor in ("attempts", "tokens", "gpu_per_token") else {}
    )
    if factor == "utilisation":
        grown, paid = {}, {"gpu_paid_s": uses.gpu_paid_s * by}
    return replace(uses, **grown, **paid, **costs_more)


@pytest.mark.parametrize("factor", ["success_rate", "attempts", "tokens", "gpu_per_token", "price", "utilisation"])
def test_what_alone_was_changed_is_all_of_it(factor: str) -> None:
    rng = np.random.default_rng(5)
    old = period(rng, 20)
    old = replace(old, gpu_used_s=np.where(old.gpu_paid_s == 0, 1.0, old.gpu_used_s))
    old = replace(old, gpu_paid_s=np.where(old.gpu_paid_s == 0, 2.0, old.gpu_paid_s))
    found = decompose(old, change(factor, old, 1.45))
    assert found.new == pytest.approx(found.old * 1.45)
    assert added(found, factor) == pytest.approx(found.new - found.old)
    assert sum(abs(added(found, other)) for other in FACTORS if other != factor) < 1e-9


def test_retries_alone_are_the_part_of_attempts_that_grew() -> None:
    old = period(np.random.default_rng(6), 8)
    attempts = old.attempts.copy()
    attempts[:, 1] += old.turns
    by = attempts.sum(axis=1) / old.attempts.sum(axis=1)
    new = replace(
        old, attempts=attempts, tokens=old.tokens * by[:, None], gpu_used_s=old.gpu_used_s * by,
        gpu_paid_s=old.gpu_paid_s * by, dollars=old.dollars * by,
    )  # fmt: skip
    parts = decompose(old, new).parts_in_micro_dollars("attempts")
    assert parts["retry"] > 0
    assert {parts[name] for name in ("first", "fallback", "shadow")} == {0}


def test_a_route_that_came_is_mix_and_a_pool_that_idles_is_idle() -> None:
    old = period(np.random.default_rng(7), 3)
    gone: dict[str, Any] = {
        name: np.where(np.arange(3)[:, None] == 2, 0.0, getattr(old, name)) for name in ("attempts", "tokens")
    } | {name: np.where(np.arange(3) == 2, 0.0, getattr(old, name)) for name in ("turns", "gpu_used_s", "dollars")}
    without = replace(old, **gone, gpu_paid_s=np.where(np.arange(3) == 2, 0.0, old.gpu_paid_s))
    came = decompose(without, old)
    assert came.effects[2, FACTORS.index("mix")] == pytest.approx(old.dollars[2] / old.successes)
    idling = replace(without, gpu_paid_s=old.gpu_paid_s + 9.0, dollars=without.dollars + np.array([0.0, 0.0, 70.0]))
    assert added(decompose(without, idling), "idle") == pytest.approx(70.0 / old.successes)


@pytest.mark.parametrize("name", ["old", "new"])
def test_a_period_without_a_success_is_refused(name: str) -> None:
    some = period(np.random.default_rng(8), 2)
    none = replace(some, successes=0.0)
    with pytest.raises(ValueError, match=f"The {name} period has no successful turn"):
        decompose(*((none, some) if name == "old" else (some, none)))
