"""The privacy gate: nothing below k leaves, nothing is lost, and no small remainder can be subtracted out."""

from __future__ import annotations

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.aggregate import turn_rows
from producers.cells import OBSERVATIONS, SESSIONS, cells_of, identifying, joined, no_cells
from producers.gate import Gated, gate
from producers.observations import TURN_COLUMNS
from schemas.families import AUDIENCE, TURNS
from tests.producers.small_gate import Leaf, small_gate
from tests.producers.worlds import START_MS, turns_world

K = 20


def cells(turns: pl.DataFrame, k: int = K) -> pl.DataFrame:
    return cells_of(turns, turn_rows(turns, AUDIENCE), TURNS, AUDIENCE, k)


def gated(turns: pl.DataFrame, k: int = K) -> Gated:
    return gate(cells(turns, k), TURNS, AUDIENCE, k)


def audience(*groups: tuple[str, str, int], first_session: int = 0) -> pl.DataFrame:
    """One turn per session for each (language, device, sessions)."""
    rows, session = [], first_session
    for language, device, sessions in groups:
        for _ in range(sessions):
            rows.append({"session": session, "language": language, "device_class": device})
            session += 1
    said = {"ended_at_ms": START_MS, "region": "eu-west-1", "pool": "realtime", "route": "support", "bundle": "v1"}
    zeros = dict.fromkeys(("audio_in_ms", "audio_out_ms", "tokens_in", "tokens_out"), 0)
    turns = pl.DataFrame(
        [{**said, **zeros, "turn_ms": 1.0, "is_error": False, "is_abandoned": False, **row} for row in rows]
    )
    absent = [pl.lit(None).alias(name) for name in TURN_COLUMNS if name not in turns.columns]
    return turns.with_columns(absent).select(pl.col(name).cast(dtype) for name, dtype in TURN_COLUMNS.items())


def released(gated: Gated) -> dict[tuple[str, str], int]:
    return {
        (language, device): turns
        for language, device, turns in gated.released.select("language", "device_class", "turns").rows()
    }


def test_dimensions_give_way_in_the_declared_order() -> None:
    assert identifying(AUDIENCE) == ("language", "device_class")


def test_cells_of_k_sessions_pass_as_they_are() -> None:
    assert released(gated(audience(("en", "phone", 20), ("de", "phone", 20)))) == {
        ("en", "phone"): 20,
        ("de", "phone"): 20,
    }


def test_small_cells_merge_under_a_star_when_together_they_reach_k() -> None:
    turns = audience(("en", "phone", 50), ("de", "phone", 12), ("fr", "phone", 8))
    assert released(gated(turns)) == {("en", "phone"): 50, ("*", "phone"): 20}


def test_a_remainder_below_k_takes_its_smallest_sibling_along() -> None:
    turns = audience(("en", "phone", 50), ("de", "phone", 30), ("fr", "phone", 3))
    assert released(gated(turns)) == {("en", "phone"): 50, ("*", "phone"): 33}


def test_a_cell_without_siblings_gives_up_the_next_dimension() -> None:
    turns = audience(("en", "phone", 50), ("de", "car", 15), ("fr", "headset", 15))
    assert released(gated(turns)) == {("en", "phone"): 50, ("*", "*"): 30}


def test_a_remainder_that_gave_up_everything_takes_the_smallest_cell_of_its_pool_along() -> None:
    """Held, it would be what is missing from the pool's total: fifteen people, told."""
    turns = audience(("en", "phone", 50), ("en", "browser", 40), ("de", "car", 15))
    assert released(gated(turns)) == {("en", "phone"): 50, ("*", "*"): 55}


def test_of_equal_siblings_the_first_by_name_goes_along() -> None:
    turns = audience(("fr", "phone", 30), ("de", "phone", 30), ("is", "phone", 3))
    assert released(gated(turns)) == {("fr", "phone"): 30, ("*", "phone"): 33}


def test_a_pool_below_k_is_held_and_joins_the_next_window() -> None:
    first = gated(audience(("en", "phone", 10), ("de", "car", 5)))
    assert released(first) == {}
    assert first.held["turns"].to_list() == [5, 10]
    second = cells(audience(("en", "phone", 10), ("fr", "car", 5), first_session=100))
    both = joined([first.held, second], TURNS, AUDIENCE, K)
    assert released(gate(both, TURNS, AUDIENCE, K)) == {("*", "*"): 30}


def test_sessions_are_united_not_added() -> None:
    """The same 15 people on two devices are 15 people."""
    same = gated(pl.concat([audience(("de", "phone", 15)), audience(("de", "car", 15))]))
    assert len(same.released) == 0
    assert same.held["turns"].to_list() == [15, 15]


def test_a_set_of_sessions_stops_growing_at_k() -> None:
    many = cells(audience(("en", "phone", 500)))
    assert many[SESSIONS].list.len().to_list() == [K]
    twice = joined([many, cells(audience(("en", "phone", 500), first_session=500))], TURNS, AUDIENCE, K)
    assert twice[SESSIONS].list.len().to_list() == [K]
    assert twice[OBSERVATIONS].to_list() == [1_000]


@given(seed=st.integers(0, 2**32), count=st.integers(1, 400), sessions=st.integers(1, 200), k=st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_columns_and_the_rule_cell_by_cell_say_the_same(seed: int, count: int, sessions: int, k: int) -> None:
    turns = turns_world(seed, count, sessions)
    leaves: dict[tuple[str, str, str], Leaf] = {}
    for pool, language, device, session in turns.select("pool", "language", "device_class", "session").rows():
        cell = (pool, language, device)
        leaf = leaves.setdefault(cell, Leaf(cell, 0, set()))
        leaf.turns += 1
        leaf.sessions.add(session)
    under_test = gated(turns.sample(fraction=1.0, shuffle=True, seed=1), k)
    told = under_test.released.select("pool", "language", "device_class", "turns").rows()
    assert {(pool, language, device): number for pool, language, device, number in told} == small_gate(leaves, k)


@given(seed=st.integers(0, 2**32), count=st.integers(1, 500), sessions=st.integers(1, 200))
@settings(max_examples=40, deadline=None)
def test_totals_are_unchanged_once_holds_are_released(seed: int, count: int, sessions: int) -> None:
    """Over three windows with holds carried on: what was released and what is still held is what went in."""
    windows = [turns_world(seed + number, count, sessions) for number in range(3)]
    out, held = gated_in_turn(windows)
    parts = pl.concat([*out, held.drop(SESSIONS)])
    wholes = pl.concat([turn_rows(turns, AUDIENCE) for turns in windows])
    assert by_pool(parts).equals(by_pool(wholes))


@given(seed=st.integers(0, 2**32), count=st.integers(1, 500))
@settings(max_examples=40, deadline=None)
def test_no_released_cell_has_fewer_than_k_sessions_and_only_whole_pools_are_held(seed: int, count: int) -> None:
    """With one turn per session, the turns of a released cell are its people."""
    windows = [
        turns_world(seed + number, count).with_columns(session=pl.int_range(pl.len(), dtype=pl.UInt64) + number * count)
        for number in range(3)
    ]
    out, held = gated_in_turn(windows)
    assert all(turns >= K for turns in pl.concat(out)["turns"])
    assert all(turns < K for turns in held.group_by("pool").agg(pl.col("turns").sum())["turns"])
    assert not set(out[-1]["pool"]) & set(held["pool"])


@given(seed=st.integers(0, 2**32), people=st.integers(1, K - 1))
@settings(max_examples=20, deadline=None)
def test_many_turns_of_few_people_are_never_released(seed: int, people: int) -> None:
    out, held = gated_in_turn([turns_world(seed, 400, sessions=people), turns_world(seed + 1, 400, sessions=people)])
    assert sum(map(len, out)) == 0
    assert held["turns"].sum() == 800


def by_pool(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.group_by("pool").agg(pl.col(*TURNS.measure_names).sum()).sort("pool")


def gated_in_turn(windows: list[pl.DataFrame]) -> tuple[list[pl.DataFrame], pl.DataFrame]:
    """What each window released, holds joining the next, and what is held after the last."""
    held, out = no_cells(TURNS, AUDIENCE), []
    for turns in windows:
        window = gate(joined([held, cells(turns)], TURNS, AUDIENCE, K), TURNS, AUDIENCE, K)
        out.append(window.released)
        held = window.held
    return out, held
