"""Scenario files: what they may say, how they are chosen, and that the same seed gives the same fleet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from producers.duplex import DUPLEX_COLUMNS, sift_duplex
from producers.fleet.choice import chosen, chunks_of, listed, observations_of, truth_document
from producers.fleet.crowd import crowd_of
from producers.fleet.engine import FleetRun, fleet_hosts, simulate_fleet
from producers.fleet.scenario_file import load_scenario, names
from producers.observations import KINDS, LATENCIES, sift_turns
from schemas.dimensions import DIMENSIONS
from schemas.failures import BadInput
from schemas.families import PARTS
from tests.producers.fleets import START_MS, at_once, rows_of_kind, small

WANTED = [
    "abuse_burst",
    "batch_on_realtime",
    "canary_long_tail",
    "cost_spike_45",
    "cost_spike_70",
    "dead_region",
    "noisy_accent_drift",
    "quiet_month",
    "regional_regression",
    "slow_first_partial_mobile",
    "stale_index_one_tenant",
]


@pytest.fixture(scope="module")
def run() -> list:  # type: ignore[type-arg]
    """A minute of a small fleet in two regions."""
    return list(simulate_fleet(small("quiet_month", regions=("us-east-1", "eu-west-1")), 7, START_MS, 60_000))


def test_every_shipped_scenario_is_named_as_its_file_and_listed_with_a_sentence() -> None:
    assert list(names()) == WANTED
    assert [load_scenario(name).name for name in names()] == WANTED
    assert {each.name for each in listed()} == {*WANTED, "canary", "quiet"}
    assert all(each.sentence.endswith(".") for each in listed())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: x", "sentence, minutes: it is missing: add it"),
        ("[1, 2]", "a scenario file is a mapping of fields"),
        ("a: [", "is no YAML"),
        ("fleet: 3", "field by field"),
        ("fleet: {calls: -1}", "fleet.calls"),
        ("fleet: {calls: .nan}", "calls"),
        ("fleet: {prices: 3}", "fleet.prices: there is no such field"),
        ("fleet: {devices: {fridge: 1}}", "dimension device_class does not allow"),
        ("fleet: {languages: null}", "languages"),
        ("fleet: {regions: {Moon: {share: 1, collectors: 1, peak_shift_h: 0}}}", "dimension region does not allow"),
    ],
)
def test_a_file_with_a_mistake_ends_in_a_sentence_that_names_it(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(BadInput, match=said) as told:
        load_scenario(str(path))
    assert str(path) in str(told.value)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ("{from_min: 1, does: {kind: slow_stage, stage: asr, times: 2}}", "stage"),
        ("{from_min: 1, does: {kind: explode}}", "kind|tag"),
        ("{from_min: 5, to_min: 5, does: {kind: stale, share: 0.5}}", "to_min has to be after from_min"),
        ("{from_min: 1, where: {mood: [bad]}, does: {kind: stale, share: 0.5}}", "mood is none of"),
        ("{from_min: 1, where: {region: [mars-north-1]}, does: {kind: stale, share: 0.5}}", "no region mars-north-1"),
        ("{from_min: 1, where: {language: [en]}, does: {kind: calls, times: 2}}", "calls can only be narrowed by"),
        ("{from_min: 1, does: {kind: slow_tail, weight: 0.4, times: 3}}", "more than the whole mean"),
    ],
)
def test_an_event_that_cannot_happen_is_refused(tmp_path: Path, event: str, said: str) -> None:
    path = tmp_path / "mine.yaml"
    what = event.replace("{from_min", "{what: Something goes wrong., from_min", 1)
    path.write_text(f"name: mine\nsentence: A scenario of mine.\nminutes: 10\nevents: [{what}]\n")
    with pytest.raises(BadInput, match=said):
        load_scenario(str(path))


def test_a_scenario_is_chosen_by_name_or_file_and_an_unknown_one_is_answered_with_those_there_are(
    tmp_path: Path,
) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("name: mine\nsentence: A scenario of mine.\nminutes: 10\nfleet: {calls: 50}\n")
    assert (chosen(str(mine)).name, chosen("canary").name, chosen("dead_region").name) == (
        "mine",
        "canary",
        "dead_region",
    )
    with pytest.raises(BadInput, match=r"abuse_burst.*canary, .*quiet.*ends in \.yaml"):
        chosen("meteor")
    with pytest.raises(BadInput, match="could not be read"):
        chosen(str(tmp_path / "absent.yaml"))


def test_the_same_seed_gives_the_same_observations_of_every_kind_and_another_does_not() -> None:
    def first(seed: int) -> dict[str, dict[str, pl.DataFrame]]:
        return FleetRun.at(small("quiet_month"), seed, START_MS).next().kinds

    one, again, other = first(7), first(7), first(8)
    for kind, by_producer in one.items():
        assert by_producer.keys() == again[kind].keys()
        assert all(rows.equals(again[kind][name]) for name, rows in by_producer.items()), kind
    assert not one["turns"]["us-east-1-collector-0"].equals(other["turns"]["us-east-1-collector-0"])


def test_observations_have_their_kinds_columns_and_every_value_is_allowed(run: list) -> None:  # type: ignore[type-arg]
    for kind, columns in {**KINDS, "duplex": DUPLEX_COLUMNS}.items():
        rows = rows_of_kind(run, kind)
        assert len(rows) > 0, kind
        assert dict(rows.schema) == columns, kind
        for name in set(columns) & set(DIMENSIONS):
            said = rows[name].drop_nulls()
            assert said.str.contains(DIMENSIONS[name].full_pattern).all(), (kind, name)
            assert len(said) == len(rows) or DIMENSIONS[name].is_identifying, (kind, name)
        integers = [name for name, dtype in columns.items() if dtype == pl.Int64()]
        assert not integers or rows.select((pl.col(integers) >= 0).all()).row(0) == (True,) * len(integers), kind
    assert sift_turns(rows_of_kind(run, "turns")).refused == 0
    assert sift_duplex(rows_of_kind(run, "duplex")).refused == 0


def test_the_ten_parts_of_a_turn_sum_to_what_was_heard(run: list) -> None:  # type: ignore[type-arg]
    turns = rows_of_kind(run, "turns").filter(pool="realtime")
    parts = turns.select(pl.sum_horizontal(pl.col(LATENCIES[name]).fill_null(0.0) for name in PARTS)).to_series()
    assert (parts - turns["heard_ms"]).abs().max() < 1e-6  # type: ignore[operator]  # polars types max() for every dtype
    assert (turns["first_audio_ms"] <= turns["heard_ms"]).all() and (turns["heard_ms"] <= turns["turn_ms"]).all()
    without_audio = rows_of_kind(run, "turns").filter(pool="batch")
    assert without_audio["heard_ms"].null_count() == len(without_audio) > 0
    assert 0 < turns["is_interrupted"].mean() < 0.1  # type: ignore[operator]  # polars types mean() for every dtype


def test_turns_end_within_their_step_and_streams_say_who_is_there(run: list) -> None:  # type: ignore[type-arg]
    live: set[int] = set()
    ever: set[int] = set()
    for chunk in run:
        ended = rows_of_kind([chunk], "turns")["ended_at_ms"]
        assert ended.is_between(chunk.start_ms, chunk.end_ms, closed="left").all()
        changes = rows_of_kind([chunk], "streams")
        live |= set(changes.filter("is_start")["session"])
        gone = set(changes.filter(~pl.col("is_start"))["session"])
        assert gone <= live
        ever |= live
        late = set(rows_of_kind([chunk], "turns")["session"]) - ever
        # A turn may end a moment after its call did; in the first step that call may have ended before the run.
        assert not late or chunk is run[0]
        live -= gone
    assert {producer for chunk in run for producer in chunk.turns} == {
        host.producer for host in fleet_hosts(small("quiet_month", regions=("us-east-1", "eu-west-1")))
    }


def test_twenty_thousand_calls_are_on_the_line_and_shares_are_long_tailed() -> None:
    scenario = load_scenario("quiet_month")
    live = FleetRun.at(scenario, 1, START_MS).line.live
    assert 0.5 * 20_000 < len(live) < 1.5 * 20_000
    crowd = crowd_of(scenario)
    counts = np.bincount(live["tenant"], minlength=scenario.fleet.tenants.count) / len(live)
    largest = crowd.shares["tenant"][0]
    assert counts[0] == pytest.approx(largest, abs=5 * np.sqrt(largest / len(live)))
    assert counts[0] > 30 * np.sort(counts)[len(counts) // 10]
    cellular = crowd.vocabularies["connection"].names.index("cellular")
    share = crowd.share({"connection": ["cellular"]})
    assert (live["connection"][~live["is_batch"]] == cellular).mean() == pytest.approx(share, abs=0.02)


def test_shares_of_slices_add_up() -> None:
    crowd = crowd_of(load_scenario("quiet_month"))
    assert crowd.share({}) == pytest.approx(1.0)
    for name in ("tenant", "accent", "noise_class", "device_class", "connection", "codec", "client_version"):
        values = crowd.vocabularies[name].names
        assert sum(crowd.share({name: [value]}) for value in values) == pytest.approx(1.0), name
    assert crowd.share({"device_class": ["speaker"], "connection": ["pstn"]}) == 0.0


def test_a_scenario_in_closed_form_is_told_as_an_event_too() -> None:
    told = truth_document(chosen("canary"), 7, START_MS, 1_200_000)
    (event,) = told["events"]
    assert event["slice"] == {"pool": ["realtime"], "bundle": ["voice-2.5.0-canary"]}
    assert (event["from_ms"], event["to_ms"]) == (START_MS + 600_000, START_MS + 1_200_000)
    assert event["after"] == pytest.approx(8_400)
    assert truth_document(chosen("quiet"), 7, START_MS, 1_200_000)["events"] == []


def test_labels_without_turns_are_those_of_the_whole_fleet() -> None:
    """Also while a region is dead, and after what was drawn for turns would have made another world of it."""
    for name in ("noisy_accent_drift", "dead_region"):
        scenario = at_once(small(name, regions=("us-east-1", "eu-west-1")))
        alone = list(observations_of("quality", scenario, 7, START_MS, 60_000))
        chunks = list(chunks_of(scenario, 7, START_MS, 60_000))
        assert [begin_ms for begin_ms, _ in alone] == [chunk.start_ms for chunk in chunks]
        for (_, labels), chunk in zip(alone, chunks, strict=True):
            assert labels.keys() == chunk.kinds["quality"].keys()
            assert all(labels[producer].equals(rows) for producer, rows in chunk.kinds["quality"].items())
        assert any(labels for _, labels in alone)
