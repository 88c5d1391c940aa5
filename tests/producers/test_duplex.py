"""Full-duplex events: each indicator on both sides of its threshold, and rows against a scalar twin that reads one event at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.collector import Collector, Frame
from producers.duplex import DUPLEX_COLUMNS, duplex_rows, sift_duplex
from producers.scenarios import quiet
from producers.simulator import Chunk, simulate
from schemas.dimensions import DIMENSIONS
from schemas.families import DUPLEX, DUPLEX_INDICATORS
from tests.producers.worlds import START_MS, duplex_world, rows_of

Event = dict[str, Any]
DIMENSIONS_OF_ALL = {"region": "eu-west-1", "pool": "realtime", "route": "support", "bundle": "v1"}

_JUDGED: dict[str, tuple[str, Callable[[Event], tuple[int, int]]]] = {
    "interruption_success": (
        "interruption",
        lambda each: (1, int(not (each["was_stopped"] and each["answered_new_intent"]))),
    ),
    "false_interruption": (
        "assistant_turn",
        lambda each: (1, int(each["was_stopped"] and not each["was_interrupted"])),
    ),
    "backchannel_timing": (
        "backchannel",
        lambda each: (1, int(not 200 <= (each["cue_to_backchannel_ms"] or 0) <= 800)),
    ),
    "assistant_stop_300ms": ("barge_in", lambda each: (1, int(later(each["stopped_after_ms"], 300)))),
    "overlap_recovery_1500ms": ("overlap", lambda each: (1, int(later(each["resolved_after_ms"], 1_500)))),
    "barge_in_latency_200ms": ("barge_in", lambda each: (1, int(later(each["detected_after_ms"], 200)))),
    "micro_turn_freshness_400ms": ("micro_turn", lambda each: (1, int(later(each["context_age_ms"], 400)))),
    "action_safety": ("action", lambda each: (1, int(not (each["safety_lead_ms"] or 0) > 0))),
    "speech_continuity_60ms": (
        "playback",
        lambda each: (each["frames_played"], sum(later(gap, 60) for gap in each["gaps_ms"])),
    ),
}


def later(latency_ms: float | None, threshold_ms: float) -> bool:
    return latency_ms is None or latency_ms > threshold_ms


def counted_one_by_one(events: pl.DataFrame) -> dict[tuple[str, ...], Counter[str]]:
    cells: dict[tuple[str, ...], Counter[str]] = {}
    for event in events.to_dicts():
        cell = cells.setdefault(tuple(event[name] for name in DUPLEX.dimensions), Counter())
        cell["events"] += 1
        for name, (kind, judge) in _JUDGED.items():
            if event["duplex_event"] == kind:
                total, bad = judge(event)
                cell[f"{name}_total"] += total
                cell[f"{name}_bad"] += bad
    return cells


@given(seed=st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_every_measure_is_what_counting_one_by_one_gives(seed: int) -> None:
    events = duplex_world(seed)
    assert sift_duplex(events).refused == 0
    wanted = counted_one_by_one(events)
    rows = duplex_rows(events.sample(fraction=1.0, shuffle=True, seed=seed % 1_000)).to_dicts()
    assert {tuple(row[name] for name in DUPLEX.dimensions): row for row in rows}.keys() == wanted.keys()
    for row in rows:
        cell = wanted[tuple(row[name] for name in DUPLEX.dimensions)]
        assert {name: row[name] for name in DUPLEX.measure_names} == {name: cell[name] for name in DUPLEX.measure_names}


@pytest.mark.parametrize(
    ("indicator", "good", "bad"),
    [
        (
            "interruption_success",
            [{"was_stopped": True, "answered_new_intent": True}],
            [{"was_stopped": True, "answered_new_intent": False}, {"was_stopped": False, "answered_new_intent": True}],
        ),
        (
            "false_interruption",
            [{"was_stopped": False, "was_interrupted": False}, {"was_stopped": True, "was_interrupted": True}],
            [{"was_stopped": True, "was_interrupted": False}],
        ),
        (
            "backchannel_timing",
            [{"cue_to_backchannel_ms": ms} for ms in (200.0, 431.5, 800.0)],
            [{"cue_to_backchannel_ms": ms} for ms in (0.0, 199.9, 800.1, None)],
        ),
        (
            "assistant_stop_300ms",
            [{"stopped_after_ms": ms} for ms in (0.0, 300.0)],
            [{"stopped_after_ms": ms} for ms in (300.1, None)],
        ),
        (
            "overlap_recovery_1500ms",
            [{"resolved_after_ms": ms} for ms in (3.0, 1_500.0)],
            [{"resolved_after_ms": ms} for ms in (1_500.01, None)],
        ),
        (
            "barge_in_latency_200ms",
            [{"detected_after_ms": ms} for ms in (0.0, 200.0)],
            [{"detected_after_ms": ms} for ms in (200.1, None)],
        ),
        (
            "micro_turn_freshness_400ms",
            [{"context_age_ms": ms} for ms in (0.0, 400.0)],
            [{"context_age_ms": ms} for ms in (400.1, None)],
        ),
        (
            "action_safety",
            [{"safety_lead_ms": ms} for ms in (0.1, 80.0)],
            [{"safety_lead_ms": ms} for ms in (0.0, -5.0, None)],
        ),
        (
            "speech_continuity_60ms",
            [{"frames_played": 1, "gaps_ms": [60.0]}, {"frames_played": 1, "gaps_ms": []}],
            [{"frames_played": 1, "gaps_ms": [60.1]}],
        ),
    ],
)
def test_an_indicator_is_judged_on_both_sides_of_its_threshold(
    indicator: str, good: list[Event], bad: list[Event]
) -> None:
    (kind,) = [each.duplex_event for each in DUPLEX_INDICATORS if each.name == indicator]
    counted = [_counts(indicator, {"duplex_event": kind, **event}) for event in (*good, *bad)]
    assert counted == [(1, 0)] * len(good) + [(1, 1)] * len(bad)
    other = next(each for each in DIMENSIONS["duplex_event"].vocabulary if each != kind)
    known = {"was_stopped": True, "was_interrupted": False, "answered_new_intent": False}
    assert _counts(indicator, {**known, **bad[0], "duplex_event": other}) == (0, 0), "another kind is not judged by it"


def test_frames_are_counted_and_not_playbacks() -> None:
    assert _counts("speech_continuity_60ms", _playback(500, [61.0, 20.0, 200.0])) == (500, 2)
    assert _counts("speech_continuity_60ms", _playback(0, [])) == (0, 0)


@pytest.mark.parametrize(
    "broken",
    [
        {"at_ms": -1},
        {"at_ms": None},
        {"pool": "gold"},
        {"region": None},
        {"duplex_event": "sneeze"},
        {"duplex_event": None},
        {"stopped_after_ms": -0.1},
        {"stopped_after_ms": float("nan")},
        {"detected_after_ms": 86_400_001.0},
        {"duplex_event": "interruption", "was_stopped": True},
        {"duplex_event": "assistant_turn", "was_stopped": True},
        {"duplex_event": "action", "safety_lead_ms": float("inf")},
        {"duplex_event": "playback", "frames_played": 9},
        {"duplex_event": "playback", "frames_played": None, "gaps_ms": []},
        {"duplex_event": "playback", "frames_played": -1, "gaps_ms": []},
        {"duplex_event": "playback", "frames_played": 1, "gaps_ms": [70.0, 80.0]},
        {"duplex_event": "playback", "frames_played": 2, "gaps_ms": [70.0, float("nan")]},
        {"duplex_event": "playback", "frames_played": 2, "gaps_ms": [None]},
    ],
    ids=str,
)
def test_what_cannot_be_right_is_refused_and_counted(broken: Event) -> None:
    sound, wrong = _event({"duplex_event": "barge_in"}), _event({"duplex_event": "barge_in", **broken})
    sifted = sift_duplex(pl.concat([sound, wrong, sound]))
    assert (sifted.refused, sifted.sound.height) == (1, 2)
    collector = _collector()
    collector.observe_duplex(pl.concat([sound, wrong]))
    said = rows_of(collector.flush(START_MS + 60_000), "heartbeats").filter(reported_family="duplex")
    assert said.select("observations_seen", "observations_dropped").sum().row(0) == (2, 1)


def test_events_that_wait_for_their_window_are_bounded_and_the_rest_is_counted() -> None:
    collector = _collector(observations_max=10)
    collector.observe_duplex(duplex_world(1, count=25))
    out = list(collector.flush(START_MS + 60_000))
    assert rows_of(out, "duplex")["events"].sum() == 10
    said = rows_of(out, "heartbeats").filter(reported_family="duplex")
    assert said.select("observations_seen", "observations_dropped").sum().row(0) == (25, 15)


@pytest.mark.parametrize("cuts", [1, 3])
def test_a_collector_counts_every_event_once_in_its_own_window_however_late(cuts: int) -> None:
    events = duplex_world(3, count=300)
    collector, out = _collector(), list[Frame]()
    for number in range(cuts):
        collector.observe_duplex(events[number::cuts])
        out += collector.close(START_MS + 20_000 * (number + 1))
    out += collector.flush(START_MS + 60_000)
    found = rows_of(out, "duplex")
    window = pl.col("at_ms") // 10_000 * 10_000
    wanted = events.group_by(window_start_ms=window).agg(events=pl.len().cast(pl.Int64)).sort("window_start_ms")
    assert found.group_by("window_start_ms").agg(pl.col("events").sum()).sort("window_start_ms").equals(wanted)
    sent = rows_of(out, "heartbeats").filter(reported_family="duplex")["rows_sent"].sum()
    assert sent == len(found) > 0
    assert [frame.header.sequence for frame in out if frame.header.family is DUPLEX] == list(
        range(sum(frame.header.family is DUPLEX for frame in out))
    )


def test_the_healthy_fleet_has_events_of_every_kind_well_within_every_objective() -> None:
    parts = [part for chunk in simulate(quiet(), 7, START_MS, 60_000) for part in chunk.duplex.values()]
    events = pl.concat(parts)
    assert sift_duplex(events).refused == 0
    assert set(events["duplex_event"].unique()) == set(DIMENSIONS["duplex_event"].vocabulary)
    assert events["pool"].unique().to_list() == ["realtime"]
    counted = duplex_rows(events).sum()
    allowed = {"action_safety": 0.001, "speech_continuity_60ms": 0.01, "false_interruption": 0.02}
    for indicator in DUPLEX_INDICATORS:
        bad, total = counted[indicator.bad].item(), counted[indicator.total].item()
        assert total > 200
        assert bad / total <= allowed.get(indicator.name, 0.05) / 2, indicator.name


def test_events_have_dice_of_their_own() -> None:
    """Whether anybody is on a full-duplex call changes no turn: what scenarios promise of turns stays as it is."""
    some, none = (_first(duplex) for duplex in (0.05, 0.0))
    assert none.duplex == {}
    assert {name: len(rows) for name, rows in some.turns.items()} == {
        name: len(rows) for name, rows in none.turns.items()
    }
    assert all(some.turns[name].equals(none.turns[name]) for name in some.turns)
    again = _first(0.05)
    assert all(some.duplex[name].equals(again.duplex[name]) for name in some.duplex)


def _first(duplex_share: float) -> Chunk:
    scenario = quiet()
    workloads = tuple(replace(each, duplex_share=min(each.duplex_share, duplex_share)) for each in scenario.workloads)
    return next(iter(simulate(replace(scenario, workloads=workloads), 7, START_MS, 10_000)))


def _collector(observations_max: int = 1_000) -> Collector:
    return Collector("eu-west-1-collector-0", "eu-west-1", 1, START_MS, observations_max=observations_max)


def _playback(frames: int, gaps_ms: list[float]) -> Event:
    return {"duplex_event": "playback", "frames_played": frames, "gaps_ms": gaps_ms}


def _event(said: Event) -> pl.DataFrame:
    return pl.DataFrame([{"at_ms": START_MS, **DIMENSIONS_OF_ALL, **said}], schema=DUPLEX_COLUMNS)


def _counts(indicator: str, said: Event) -> tuple[int, int]:
    rows = duplex_rows(_event(said))
    return rows[f"{indicator}_total"].item(), rows[f"{indicator}_bad"].item()


def test_no_events_make_no_rows() -> None:
    rows = duplex_rows(pl.DataFrame(schema=DUPLEX_COLUMNS))
    assert rows.columns == [*DUPLEX.dimensions, *DUPLEX.measure_names] and rows.is_empty()
