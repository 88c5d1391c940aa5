"""Rows of costs as cells: no rule changes a sum, and what a cell did not tell is what its route or replicas told."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.families import COSTS
from stream_jobs.operators.cost.cells import CELL, Basis, cost_cells
from stream_jobs.operators.cost.decomposition import FACTORS, MICRO, Decomposition, Uses, decompose
from stream_jobs.operators.cost.drivers import MEANINGS, drivers, main_drivers
from stream_jobs.operators.cost.pricing import NANO, PRICED, UNCOSTED

LLM = {"model_version": "talk-1", "gpu_type": "h100", "purchase": "reserved"}
ASR = {"model_version": "listen-1", "gpu_type": "l4", "purchase": "reserved"}
ZEROS = dict.fromkeys((*COSTS.measure_names, *PRICED, *UNCOSTED), 0)


def row(**told: Any) -> dict[str, Any]:
    return {"region": "eu-west-1", "pool": "realtime", "bundle": "v1", "route": "agent", **LLM, **ZEROS, **told}


def replicas(ms: int, dollars: float, **of: Any) -> dict[str, Any]:
    return row(route="shared", gpu_reserved_ms=ms, reserved_nusd=round(dollars * NANO), **of)


def turns(count: int, used_ms: int, shadows: int = 0, **told: Any) -> dict[str, Any]:
    """Turns that the model answered: each has one attempt of 100 tokens, and `shadows` of them another one."""
    attempts = count + shadows
    return row(
        turns=count, successes=count, attempts=attempts, attempts_shadow=shadows, tokens_prompt=60 * attempts,
        tokens_carried=20 * attempts, tokens_out=20 * attempts, gpu_used_ms=used_ms, used_nusd=used_ms * 10**6, **told,
    )  # fmt: skip


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema_overrides=dict.fromkeys(ZEROS, pl.Int64))


def one(*rows: dict[str, Any], basis: Basis = "reserved") -> tuple[list[dict[str, Any]], Uses]:
    found = cost_cells(frame(*rows), frame(*rows), basis)
    return found.cells.to_dicts(), found.new


def test_what_replicas_were_paid_for_goes_to_the_routes_that_used_it() -> None:
    cells, uses = one(
        turns(10, 3_000), turns(10, 1_000, route="search"), replicas(8_000, 8.0), replicas(4_000, 4.0, region="us-east-1")
    )  # fmt: skip
    assert [cell["route"] for cell in cells] == ["agent", "search", "shared"]
    assert uses.dollars.tolist() == [9.0, 3.0, 0.0]
    assert uses.gpu_paid_s.tolist() == [9.0, 3.0, 0.0]
    assert (uses.cost_per_success, uses.turns_served) == (0.6, 20)


def test_what_nobody_used_stays_idle_where_it_is() -> None:
    cells, uses = one(turns(10, 3_000), replicas(8_000, 8.0), replicas(1_000, 2.5, pool="spare"))
    assert [cell["pool"] for cell in cells] == ["realtime", "realtime", "spare"]
    assert uses.dollars.tolist() == [8.0, 0.0, 2.5]
    assert uses.has_served.tolist() == [True, False, False]


def test_without_gpu_time_by_turn_tokens_share_it_and_all_of_it_counts_as_used() -> None:
    _, uses = one(turns(30, 0), turns(10, 0, route="search"), replicas(8_000, 8.0))
    assert uses.dollars.tolist() == [6.0, 2.0, 0.0]
    assert uses.gpu_used_s.tolist() == uses.gpu_paid_s.tolist() == [6.0, 2.0, 0.0]


def test_a_route_that_told_what_was_paid_for_it_keeps_that() -> None:
    own = turns(10, 0, route="search", gpu_reserved_ms=500, reserved_nusd=NANO)
    _, uses = one(turns(10, 2_000), own, replicas(8_000, 8.0))
    assert uses.dollars.tolist() == [8.0, 1.0, 0.0]
    assert uses.gpu_used_s.tolist() == [2.0, 0.5, 0.0]


def test_recognition_serves_the_turns_of_its_route_whatever_the_model_tried() -> None:
    hearing = row(gpu_used_ms=500, used_nusd=500, **ASR)
    before = frame(turns(100, 4_000), hearing)
    shadowed = frame(turns(100, 6_000, shadows=50), hearing)
    found = cost_cells(before, shadowed, "used")
    (place,) = (number for number, cell in enumerate(found.cells.to_dicts()) if cell["model_version"] == "listen-1")
    assert (found.new.turns[place], found.new.attempts[place].tolist()) == (100, [100, 0, 0, 0])
    assert found.new.turns_served == 100
    effects = decompose(found.old, found.new).effects[place]
    assert not effects.any()


def test_hosted_tokens_are_paid_by_the_token_and_not_shared() -> None:
    hosted = turns(10, 0, model_version="hosted-1", gpu_type="", purchase="hosted", reserved_nusd=2 * NANO)
    _, uses = one(turns(10, 1_000), hosted, replicas(8_000, 8.0))
    assert uses.dollars.tolist() == [2.0, 8.0, 0.0]
    assert uses.is_hosted.tolist() == [True, False, False]


def test_a_cache_that_has_half_of_the_prompt_halves_and_one_of_which_nothing_is_known_is_unexplained() -> None:
    _, uses = one(turns(10, 1_000, tokens_cached=400), row(gpu_used_ms=5, **ASR), replicas(5, 1.0))
    assert uses.efficiencies[1].tolist()[0] == 0.5
    assert np.isnan(uses.efficiencies[0]).all()


def world(seed: int) -> pl.DataFrame:
    """Any rows: routes with and without turns, models that tell tokens or none, replicas used and idle, hosted ones."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 60))
    picked = {
        "region": ("eu-west-1", "us-east-1"), "pool": ("realtime", "batch"), "bundle": ("v1", "v2"),
        "route": ("agent", "search", "shared"), "model_version": ("talk-1", "listen-1"), "gpu_type": ("h100", "l4"),
        "purchase": ("reserved", "hosted"),
    }  # fmt: skip
    measures = {name: rng.integers(0, 1_000, count) * (rng.random(count) < 0.6) for name in ZEROS}
    measures["successes"] = measures["turns"] = measures["turns"] + 1
    return pl.DataFrame({name: rng.choice(values, count) for name, values in picked.items()} | measures)


@given(seed=st.integers(0, 2**32), basis=st.sampled_from(("reserved", "used")))
def test_cells_cost_what_rows_cost_and_drivers_add_up_to_the_change_to_the_micro_dollar(
    seed: int, basis: Basis
) -> None:
    old, new = world(seed), world(seed + 1)
    found = cost_cells(old, new, basis)
    for rows, uses in ((old, found.old), (new, found.new)):
        assert uses.dollars.sum() * NANO == pytest.approx(rows[f"{basis}_nusd"].sum())
        assert (uses.successes, uses.turns_served) == (rows["successes"].sum(), rows["turns"].sum())
    change = decompose(found.old, found.new)
    assert change.effects.sum() == pytest.approx(change.new - change.old, abs=1e-12)
    told = drivers(change)
    assert {driver.name for driver in told} == set(MEANINGS)
    assert sum(driver.micro_dollars for driver in told) == round(change.new * MICRO) - round(change.old * MICRO)


@given(seed=st.integers(0, 2**32))
def test_the_order_of_rows_and_a_row_told_in_two_halves_do_not_matter(seed: int) -> None:
    rows = world(seed)
    doubled = rows.with_columns(pl.col(list(ZEROS)) * 2)
    twice = pl.concat([rows, rows]).sample(fraction=1.0, shuffle=True, seed=seed)
    one_way, other_way = cost_cells(doubled, twice), cost_cells(twice, doubled)
    assert one_way.cells.equals(other_way.cells)
    for name in ("turns", "attempts", "tokens", "gpu_used_s", "gpu_paid_s", "dollars"):
        np.testing.assert_allclose(getattr(one_way.old, name), getattr(other_way.old, name), rtol=1e-9, atol=1e-12)


def test_a_period_without_rows_has_cells_of_nothing() -> None:
    some = frame(turns(10, 3_000))
    found = cost_cells(some.clear(), some, "used")
    assert found.cells.columns == list(CELL)
    assert (found.old.dollars.tolist(), found.old.successes) == ([0.0], 0.0)


def test_shadow_traffic_that_was_left_on_is_the_first_driver_and_says_where() -> None:
    both = [turns(100, 1_000, route="search"), row(gpu_used_ms=900, used_nusd=900 * 10**6, **ASR)]
    found = cost_cells(frame(turns(100, 4_000), *both), frame(turns(108, 6_920, shadows=65), *both), "used")
    (first, *_) = main_drivers(decompose(found.old, found.new))
    assert first.name == "attempts_shadow"
    assert found.cells.row(first.cell, named=True)["route"] == "agent"
    assert first.of_cell == pytest.approx(first.dollars)


def test_of_a_cost_that_fell_the_first_driver_is_what_lowered_it() -> None:
    found = cost_cells(frame(turns(100, 6_000, shadows=50)), frame(turns(100, 4_000)), "used")
    told = drivers(decompose(found.old, found.new))
    assert (told[0].name, told[0].dollars < 0) == ("attempts_shadow", True)


def test_what_did_not_change_has_no_main_driver() -> None:
    some = frame(turns(100, 4_000))
    found = cost_cells(some, some, "used")
    assert main_drivers(decompose(found.old, found.new)) == []


def test_drivers_are_the_leaves_of_the_factors() -> None:
    effects = np.zeros((1, len(FACTORS)))
    effects[0, FACTORS.index("price")] = 1.0
    parts = {"attempts": np.zeros((1, 4)), "tokens": np.zeros((1, 5)), "gpu_per_token": np.zeros((1, 4))}
    (only,) = main_drivers(Decomposition(1.0, 2.0, effects, parts))
    assert (only.name, only.micro_dollars, only.meaning) == ("price", MICRO, "prices")


@given(seed=st.integers(0, 2**32), basis=st.sampled_from(("reserved", "used")))
def test_cells_of_a_route_are_those_that_it_has_among_all(seed: int, basis: Basis) -> None:
    rows = world(seed)
    whole, part = cost_cells(rows, rows, basis), cost_cells(rows, rows, basis, (None, ["agent"]))
    is_meant = (whole.cells["route"] == "agent").to_numpy()
    assert part.cells.equals(whole.cells)
    np.testing.assert_array_equal(part.new.dollars, np.where(is_meant, whole.new.dollars, 0))
    np.testing.assert_array_equal(part.new.gpu_paid_s, np.where(is_meant, whole.new.gpu_paid_s, 0))
    assert part.new.turns_served == rows.filter(route="agent")["turns"].sum()
    np.testing.assert_array_equal(part.old.dollars, whole.old.dollars)
