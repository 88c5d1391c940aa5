"""The privacy gate: nothing below k leaves, nothing is lost, and no small remainder can be subtracted out."""

from __future__ import annotations

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.aggregate import turn_rows
from producers.gate import Cells, Gated, gate, identifying, sessions_of
from producers.observations import TURN_COLUMNS
from schemas.families import AUDIENCE, TURNS
from tests.producers.worlds import START_MS, turns_world

K = 20


def cells_of(turns: pl.DataFrame) -> Cells:
    return Cells(turn_rows(turns, AUDIENCE), sessions_of(turns, AUDIENCE))


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
    assert released(gate(cells_of(audience(("en", "phone", 20), ("de", "phone", 20))), AUDIENCE)) == {
        ("en", "phone"): 20,
        ("de", "phone"): 20,
    }


def test_small_cells_merge_under_a_star_when_together_they_reach_k() -> None:
    gated = gate(cells_of(audience(("en", "phone", 50), ("de", "phone", 12), ("fr", "phone", 8))), AUDIENCE)
    assert released(gated) == {("en", "phone"): 50, ("*", "phone"): 20}


def test_a_remainder_below_k_takes_its_smallest_sibling_along() -> None:
    gated = gate(cells_of(audience(("en", "phone", 50), ("de", "phone", 30), ("fr", "phone", 3))), AUDIENCE)
    assert released(gated) == {("en", "phone"): 50, ("*", "phone"): 33}


def test_a_cell_without_siblings_gives_up_the_next_dimension() -> None:
    gated = gate(cells_of(audience(("en", "phone", 50), ("de", "car", 15), ("fr", "headset", 15))), AUDIENCE)
    assert released(gated) == {("en", "phone"): 50, ("*", "*"): 30}


def test_what_has_nothing_left_to_give_up_is_held_and_joins_the_next_window() -> None:
    first = gate(cells_of(audience(("en", "phone", 50), ("de", "car", 15))), AUDIENCE)
    assert released(first) == {("en", "phone"): 50}
    assert first.held.measures["turns"].to_list() == [15]
    second = gate(
        first.held.joined_by(cells_of(audience(("fr", "car", 5), first_session=100)), AUDIENCE.dimensions), AUDIENCE
    )
    assert released(second) == {("*", "*"): 20}


def test_sessions_are_united_not_added() -> None:
    """The same 15 people on two devices are 15 people."""
    same = pl.concat([audience(("de", "phone", 15)), audience(("de", "car", 15))])
    gated = gate(cells_of(same), AUDIENCE)
    assert len(gated.released) == 0
    assert gated.held.measures["turns"].to_list() == [30]


@given(seed=st.integers(0, 2**32), count=st.integers(1, 500), sessions=st.integers(1, 200))
@settings(max_examples=40, deadline=None)
def test_totals_are_unchanged_once_holds_are_released(seed: int, count: int, sessions: int) -> None:
    """Over three windows with holds carried on: what was released and what is still held is what went in."""
    windows = [turns_world(seed + number, count, sessions) for number in range(3)]
    out, held = gated_in_turn(windows)
    parts = pl.concat([*out, held.measures])
    wholes = pl.concat([turn_rows(turns, AUDIENCE) for turns in windows])
    for pool in ("realtime", "batch"):
        for measure in TURNS.measure_names:
            of_pool = pl.col("pool") == pool
            assert parts.filter(of_pool)[measure].sum() == wholes.filter(of_pool)[measure].sum()


@given(seed=st.integers(0, 2**32), count=st.integers(1, 500))
@settings(max_examples=40, deadline=None)
def test_no_released_cell_has_fewer_than_k_sessions(seed: int, count: int) -> None:
    """With one turn per session, the turns of a released cell are its people."""
    windows = [
        turns_world(seed + number, count).with_columns(session=pl.int_range(pl.len(), dtype=pl.UInt64) + number * count)
        for number in range(3)
    ]
    out, held = gated_in_turn(windows)
    assert all(turns >= K for turns in pl.concat(out)["turns"])
    assert all(turns < K for turns in held.measures["turns"])


@given(seed=st.integers(0, 2**32), people=st.integers(1, K - 1))
@settings(max_examples=20, deadline=None)
def test_many_turns_of_few_people_are_never_released(seed: int, people: int) -> None:
    out, held = gated_in_turn([turns_world(seed, 400, sessions=people), turns_world(seed + 1, 400, sessions=people)])
    assert sum(map(len, out)) == 0
    assert held.measures["turns"].sum() == 800


def gated_in_turn(windows: list[pl.DataFrame]) -> tuple[list[pl.DataFrame], Cells]:
    """What each window released, holds joining the next, and what is held after the last."""
    none = windows[0].clear()
    held, out = cells_of(none), []
    for turns in windows:
        gated = gate(held.joined_by(cells_of(turns), AUDIENCE.dimensions), AUDIENCE, K)
        out.append(gated.released)
        held = gated.held
    return out, held
