"""Observations that are no turns: streams, duplex events, samples, labels, bills."""

from __future__ import annotations

from collections import Counter
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl
import pytest

from producers.collector import Collector
from producers.duplex import sift_duplex
from producers.observation_batches import KINDS
from producers.refusing import LIST_LENGTH_MAX
from schemas.families import UNKNOWN
from tests.producers.worlds import rows_of
from tests.recorder.hosts import START_S, FakeCollector, Host

START_MS = int(START_S * 1_000)


@pytest.fixture
def host() -> Host:
    return Host(None, FakeCollector())


def rows(host: Host, kind: str) -> list[dict[str, Any]]:
    host.cycle()
    table = host.collector.rows(kind)
    assert table.schema == KINDS[kind]
    return table.to_dicts()


def test_a_stream_has_its_dimensions_when_it_starts_and_needs_none_when_it_ends(host: Host) -> None:
    host.event("streams", "call-1", is_start=True)
    host.time.pass_s(2)
    host.event("streams", "call-1", is_start=False, route="No Such Route!")
    started, ended = rows(host, "streams")
    assert (started["is_start"], started["route"], started["at_ms"]) == (True, "support", START_MS)
    assert (ended["is_start"], ended["route"], ended["at_ms"]) == (False, None, START_MS + 2_000)
    assert started["session"] == ended["session"]


def test_a_collector_counts_the_streams_that_a_recorder_tells_it_of(host: Host) -> None:
    host.event("streams", "call-1", is_start=True)
    host.event("streams", "call-2", is_start=True)
    host.event("streams", "call-1", is_start=False)
    host.cycle()
    regional = Collector("c", "eu-west-1", 1, START_MS)
    regional.observe_streams(host.collector.rows("streams"))
    told = rows_of(regional.close(START_MS // 10_000 * 10_000 + 20_000), "streams")
    assert (told["starts"].sum(), told["ends"].sum()) == (2, 1)
    assert told.filter(pl.col("window_start_ms") > START_MS)["active_at_start"].sum() == 1


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("barge_in", {"stopped_after_ms": 250.0, "detected_after_ms": 90}),
        ("interruption", {"was_stopped": True, "answered_new_intent": False}),
        ("playback", {"frames_played": 40, "gaps_ms": [10.0, 61.5]}),
        ("action", {"safety_lead_ms": -3.0}),
        ("micro_turn", {}),
    ],
)
def test_a_duplex_event_is_one_that_a_collector_takes(host: Host, kind: str, values: dict[str, Any]) -> None:
    host.event("duplex", "call-1", duplex_event=kind, **values)
    (row,) = rows(host, "duplex")
    assert row["duplex_event"] == kind
    assert {name: row[name] for name in values} == values
    assert sift_duplex(host.collector.rows("duplex")).refused == 0


def test_a_sample_of_an_engine_names_its_host_and_needs_no_session(host: Host) -> None:
    host.event("queues", queue="llm_first_token", depth=7, kv_blocks=100, kv_blocks_used=float("nan"))
    host.event("queues", queue="llm_first_token", depth=2, host="engine-2")
    host.event("queues", queue="what the user said", depth=2)
    first, second = rows(host, "queues")
    assert (first["host"], first["depth"], first["kv_blocks"], first["kv_blocks_used"]) == ("host-1", 7, None, None)
    assert second["host"] == "engine-2"
    totals = host.tally.totals()
    assert (totals["queues_dropped_outside_vocabulary"], totals["values_not_finite"]) == (1, 1)


def test_what_may_not_leave_a_host_is_refused_for_what_it_is(host: Host) -> None:
    host.event("streams", "call-1", is_start=True, route="ana@example.org")
    host.event("streams", "call-1", is_start=False, route="ana@example.org")
    host.event("duplex", duplex_event="micro_turn", pool="nowhere")
    (end,) = rows(host, "streams")
    assert (end["is_start"], end["route"]) == (False, None)
    totals = host.tally.totals()
    assert totals["streams_dropped_email"] == totals["duplex_dropped_outside_vocabulary"] == 1
    assert "streams_dropped_outside_vocabulary" not in totals


def test_a_gauge_that_cannot_be_refuses_its_sample_for_it_is_not_none(host: Host) -> None:
    """A counter that cannot be is dropped by itself."""
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"depth": float("nan")}, "not_finite"),
        ({"running": -1}, "negative"),
        ({"depth": None, "running": 3}, "malformed"),
        ({"depth": 2**54}, "inconsistent"),
        ({"kv_blocks": 2.0**31}, "inconsistent"),
        ({"depth": 1.5}, "malformed"),
        ({"servers": True}, "malformed"),
        ({"depth": "7"}, "malformed"),
    ]
    for told in [{"depth": 7.0, "served": float("inf")}, *(told for told, _ in wrong)]:
        host.event("queues", queue="vad", **told)
    (row,) = rows(host, "queues")
    assert (row["depth"], row["running"], row["served"]) == (7, None, None)
    totals = host.tally.totals()
    dropped = {name.rpartition("dropped_")[2]: totals[name] for name in totals if "_dropped_" in name}
    assert dropped == Counter(reason for _, reason in wrong)
    assert host.collector.withheld("queues") == {"realtime:not_finite": totals["values_not_finite"]}


def test_of_a_cache_whose_use_is_not_known_nothing_is_told(host: Host) -> None:
    for used in (None, float("nan"), 40):
        host.event("queues", queue="vad", depth=1, kv_blocks=100, kv_blocks_used=used)
    assert [row["kv_blocks"] for row in rows(host, "queues")] == [None, None, 100]


def test_a_kind_that_there_is_not_is_refused_and_told_of_no_family(host: Host) -> None:
    for kind, pool in (("nonsense", "batch"), ("ana@example.com", "realtime"), ("nonsense", "batch")):
        host.event(UNKNOWN, "call-1", pool=pool, what=kind)
    host.cycle()
    assert host.tally.totals()["unknown_dropped_outside_vocabulary"] == 3
    assert host.collector.withheld() == {
        "unknown:batch:outside_vocabulary": 2,
        "unknown:realtime:outside_vocabulary": 1,
    }
    assert host.collector.told() == (0, 0), "no heartbeat of turns has them"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"words": 1.5}, "malformed"),
        ({"words": True}, "malformed"),
        ({"at_ms": True}, "malformed"),
        ({"at_ms": 0.5}, "malformed"),
    ],
)
def test_what_counts_is_whole_and_no_truth(host: Host, values: dict[str, Any], reason: str) -> None:
    """One such label costs one conversion more, not one for every halving."""
    for each in ({"at_ms": float(START_MS), "words": np.int64(9)}, values, {"index_age_s_sum": 1.6, "words": 8.0}):
        host.event("quality", "call-1", **{"consent": "granted", **each})
    with patch.object(host.sender, "_converted", side_effect=host.sender._converted) as conversions:
        first, second = rows(host, "quality")
    assert conversions.call_count == 2
    assert (first["at_ms"], first["words"], second["words"], second["index_age_s_sum"]) == (START_MS, 9, 8, 2)
    assert host.tally.totals()[f"quality_dropped_{reason}"] == 1


def test_a_label_of_yesterday_keeps_its_time_and_needs_a_session(host: Host) -> None:
    host.event("quality", "call-1", at_ms=START_MS - 86_400_000, consent="granted", words=120, word_errors=6)
    host.event("quality", None, consent="granted", words=120, word_errors=6)
    (row,) = rows(host, "quality")
    assert (row["at_ms"], row["words"], row["accent"]) == (START_MS - 86_400_000, 120, "*")
    assert host.tally.totals()["quality_dropped_no_session"] == 1


def test_a_cost_may_be_of_no_session_at_all(host: Host) -> None:
    place = {"model_version": "m-7b", "gpu_type": "h100", "purchase": "spot"}
    host.event("costs", None, gpu_reserved_ms=1_000, **place)
    host.event("costs", "call-1", gpu_used_ms=300, **place)
    idle, used = rows(host, "costs")
    assert (idle["session"], idle["gpu_reserved_ms"]) == (None, 1_000)
    assert used["session"] is not None


@pytest.mark.parametrize(
    "values",
    [
        {"duplex_event": "barge_in", "stopped_after_ms": "soon"},
        {"duplex_event": "barge_in", "stopped_after_ms": "250"},
        {"duplex_event": "interruption", "was_stopped": "yes"},
        {"duplex_event": "playback", "frames_played": 3, "gaps_ms": 5},
        {"duplex_event": "micro_turn", "at_ms": "now"},
        {"duplex_event": "micro_turn", "at_ms": "2026-11-22T17:00:00Z"},
        {"duplex_event": "micro_turn", "at_ms": "1732294800000"},
        {"duplex_event": ["a list"]},
        {"duplex_event": "playback", "frames_played": 3, "gaps_ms": ["a list"]},
        {"duplex_event": "playback", "frames_played": 3, "gaps_ms": ["5"]},
        {"duplex_event": "playback", "frames_played": 3, "gaps_ms": [True]},
    ],
)
def test_an_observation_of_which_nothing_can_be_made_drops_alone(host: Host, values: dict[str, Any]) -> None:
    host.event("duplex", duplex_event="micro_turn")
    host.event("duplex", **values)
    host.event("duplex", duplex_event="micro_turn", context_age_ms=30.0)
    assert len(rows(host, "duplex")) == 2
    totals = host.tally.totals()
    assert totals["duplex_dropped_malformed"] == 1
    assert totals["duplex_seen"] == 3


class Broken:
    """Fails at being looked at, even at being asked what it is."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("a secret")


def test_an_object_that_fails_at_being_looked_at_drops_its_observation_alone(host: Host) -> None:
    broken = Broken()
    for told in ({"context_age_ms": broken}, {"gaps_ms": broken}, {"duplex_event": broken}, {"at_ms": broken}, {}):
        host.event("duplex", "call-1", **{"duplex_event": "micro_turn", **told})
    host.event("duplex", broken, duplex_event="micro_turn")
    assert len(rows(host, "duplex")) == 1
    assert host.tally.totals()["duplex_dropped_malformed"] == 5


@pytest.mark.parametrize("is_alone", [True, False])
@pytest.mark.parametrize(
    "values",
    [
        {"duplex_event": [0.5] * 8},
        {"duplex_event": "barge_in", "stopped_after_ms": [0.5] * 192},
        {"duplex_event": "barge_in", "stopped_after_ms": np.zeros(192)},
        {"duplex_event": "barge_in", "stopped_after_ms": np.zeros(192, "V2")},
        {"duplex_event": "barge_in", "stopped_after_ms": np.array([0.5] * 192, object)},
        {"duplex_event": "barge_in", "at_ms": [0.5]},
        {"duplex_event": "playback", "frames_played": [[0.5, 0.25]]},
        {"duplex_event": "playback", "gaps_ms": [[0.5, 0.25]]},
        {"duplex_event": "barge_in", "session": [0.5] * 8},
    ],
)
def test_a_list_of_numbers_is_an_embedding_wherever_an_observation_has_it(
    host: Host, values: dict[str, Any], is_alone: bool
) -> None:
    if not is_alone:
        host.event("duplex", duplex_event="barge_in", stopped_after_ms=200.0)
    host.event(
        "duplex", values.get("session", "call-1"), **{name: values[name] for name in values if name != "session"}
    )
    host.cycle()
    totals = host.tally.totals()
    dropped = {name: totals[name] for name in totals if "_dropped_" in name}
    assert dropped == {"duplex_dropped_embedding": 1} and not any(name.startswith("values_") for name in totals)
    assert totals.get("duplex_taken", 0) == (0 if is_alone else 1)


def test_a_list_as_long_as_an_embedding_does_not_leave_the_host_and_the_event_goes_on(host: Host) -> None:
    for length in (LIST_LENGTH_MAX, LIST_LENGTH_MAX + 1):
        host.event("duplex", duplex_event="playback", frames_played=3, gaps_ms=[70.0] * length)
    whole, without = rows(host, "duplex")
    assert (len(whole["gaps_ms"]), without["gaps_ms"]) == (LIST_LENGTH_MAX, None)
    assert host.tally.totals()["values_embedding"] == 1
