"""Capacity from ClickHouse: the view beside the tables it reads, and what the command says of rows that are known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from clickhouse_connect.driver.client import Client
from typer.testing import CliRunner

from schemas.failures import BadInput
from schemas.tables import TABLES
from schemas.warehouse import ClickHouseAddress
from stack.clickhouse import ClickHouseServer
from stream_jobs.sinks.clickhouse import connect
from stream_jobs.sinks.migrate import migrate
from tests.stack_fixtures import own_database
from tests.warehouse.rows import START, Row, arrow_of
from turnwatch.cli import app

MINUTES = 40
SLICES = ("pool=realtime", "pool=realtime,region=eu-west-1", "pool=realtime,route=support")


def of(text: str, table: str, start: datetime, **values: Any) -> Row:
    """A row of a slice: its dimensions, 0 for what is not said."""
    said = dict(part.split("=") for part in text.split(","))
    columns = {column.name: "" if column.type.startswith(("LowC", "String")) else 0 for column in TABLES[table].columns}
    named = {"cut": ",".join(said), "slice": text, **said}
    return columns | named | {"bucket_start": start, "version": 1} | values


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def served(text: str) -> Iterator[tuple[str, Row]]:
    """40 minutes: 60 streams at the start of each, 70 to 80 at its peak, and 90 to 110 in minute 25; half of the time audio."""
    for minute in range(MINUTES):
        low, high = (90, 110) if minute == 25 else (70, 80)
        streams = {"active_at_start": 60, "peak_lower": low, "peak_upper": high}
        yield "concurrency_1m", of(text, "concurrency_1m", at(minute), **streams)
        audio = {"audio_in_ms": 1_000_000, "audio_out_ms": 800_000, "tokens_in": 5_000, "tokens_out": 1_000}
        yield "traffic_1m", of(text, "traffic_1m", at(minute), **audio)


def queued(text: str) -> Iterator[tuple[str, Row]]:
    """Streams that are warm: 500 at the first stage, 120 at the second and in minute 25 100; none are said of the third."""
    for minute in range(MINUTES):
        for queue, warm, busy_ms in (
            ("asr_first_partial", 500, 6_000),
            ("llm_first_token", 100 if minute == 25 else 120, 45_000),
            ("tts_first_audio", 0, 3_000),
        ):
            figures = {"queue": queue, "warm_streams": warm, "busy_ms": busy_ms, "available_ms": 60_000}
            yield "queues_1m", of(text, "queues_1m", at(minute), **figures)


def billed() -> Iterator[tuple[str, Row]]:
    """30 of the 40 minutes, of two routes of which one is half of the other, by the cuts that hold them."""
    for minute in (0, 10, 20):
        for text, share in (("pool=realtime", 3), ("pool=realtime,route=support", 2)):
            yield "costs_10m", of(text, "costs_10m", at(minute), gpu_used_ms=share * 600_000)
        for route, share in (("support", 2), ("sales", 1)):
            text = f"region=eu-west-1,pool=realtime,route={route},bundle=v2,model_version=m1,gpu_type=l4,purchase=on_demand"
            yield "costs_10m", of(text, "costs_10m", at(minute), gpu_used_ms=share * 600_000)


def weeks(text: str) -> Iterator[tuple[str, Row]]:
    """Six weeks before: by hour 30 streams, and 100 at the hour of the day at which the first row is."""
    for hour in range(1, 6 * 7 * 24 + 1):
        many = 100 if hour % 24 == 0 else 30
        streams = {"active_at_start": 20, "peak_lower": many - 10, "peak_upper": many}
        yield "concurrency_1m", of(text, "concurrency_1m", START - timedelta(hours=hour), **streams)


@pytest.fixture(scope="module")
def address(clickhouse_server: ClickHouseServer) -> Iterator[ClickHouseAddress]:
    """A database with those rows; what tests add of other times or slices changes no answer of others."""
    with own_database(clickhouse_server) as address:
        migrate(address)
        yield address


@pytest.fixture(scope="module")
def filled(address: ClickHouseAddress) -> Iterator[Client]:
    rows: dict[str, list[Row]] = {}
    told = [
        *(each for text in SLICES for each in served(text)),
        *(each for text in SLICES[:2] for each in queued(text)),
    ]
    for table, row in (*told, *billed(), *weeks("pool=realtime")):
        rows.setdefault(table, []).append(row)
    client = connect(address)
    final = {"stage": "final_transcript", "scale": 5, "bucket_index": 224, "observations": 50}  # (128, 130.8] ms
    rows["stage_latency_1m"] = [of("pool=realtime", "stage_latency_1m", at(3), **final)]
    for table, each in rows.items():
        client.insert_arrow(table, arrow_of(TABLES[table], each))
    yield client
    client.close()


@pytest.fixture
def asked(address: ClickHouseAddress, filled: Client, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command on the filled database, by default of the 40 minutes."""
    monkeypatch.setenv("TURNWATCH_CLICKHOUSE__URL", address.url)

    def ask(*words: str, data: str = f"{at(0).isoformat()}..{at(MINUTES).isoformat()}") -> Any:
        ended = CliRunner().invoke(app, ["capacity", "--data", data, *words, "--format", "json"])
        if ended.exit_code:
            raise ended.exception or AssertionError(ended.output)
        return json.loads(ended.stdout)

    return ask


def test_the_view_says_what_the_tables_hold_minute_by_minute(filled: Client) -> None:
    columns = "streams_peak_lower, streams_peak_upper, audio_seconds_per_s, tokens_per_s, warm_streams, warm_headroom, warm_least_at"
    ask = (
        f"SELECT {columns} FROM capacity WHERE slice = {{slice:String}} AND bucket_start = {{at:DateTime64(3, 'UTC')}}"
    )
    found = {text: filled.query(ask, {"slice": text, "at": at(25)}).result_rows for text in SLICES}
    assert found["pool=realtime"] == [(90, 110, 30.0, 100.0, 100, -10, "llm_first_token")]
    assert found["pool=realtime,region=eu-west-1"] == found["pool=realtime"]
    assert found["pool=realtime,route=support"] == [(90, 110, 30.0, 100.0, None, None, None)]


def test_replicas_follow_from_what_was_measured(asked: Any) -> None:
    """30 billed minutes: 5,400 GPU seconds for 54,000 s of audio in 108,000 s of streams."""
    found = asked()
    assert (found["slice"], found["streams_peak_lower"], found["streams_peak_upper"]) == ("pool=realtime", 90, 110)
    assert found["peak_at"] == at(25).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert (found["gpu_seconds_per_audio_second"], found["vad_savings"]) == (0.1, 0.5)
    assert found["replicas"] == 8 == int(np.ceil(110 * 0.5 * 0.1 / 0.7))
    assert found["audio_seconds_per_s"] == {"mean": 30.0, "most": 30.0}
    assert found["warm"] == {
        "at": found["peak_at"], "headroom_least": -10, "streams": 100, "queue": "llm_first_token"
    }  # fmt: skip
    assert [(row["queue"], row["utilisation"]) for row in found["queues"]] == [
        ("llm_first_token", 0.75), ("asr_first_partial", 0.1), ("tts_first_audio", 0.05)
    ]  # fmt: skip
    assert found["final_transcript_ms"]["p95_ms"] == pytest.approx(129.4, abs=0.1)
    assert (found["notes"], found["saturated"], found["replicas_are_lower_bound"]) == ([], [], False)


def test_minutes_in_which_requests_waited_and_batch_work_are_told_with_the_figures(asked: Any, filled: Client) -> None:
    """Of 40 minutes an hour later 12 were saturated: in three nothing was served, in the others each waited for 19 s."""
    text, rows = "pool=realtime", []
    for minute in range(60, 100):
        is_slow = 70 <= minute < 82
        served = {
            "served": 0 if minute > 78 and is_slow else 100,
            "waited_ms_sum": 100 * 19_000 * (is_slow and minute <= 78),
        }
        deep = {
            "depth": 4_769 - minute if is_slow else 24,
            "arrivals": 100,
            "batch_arrivals": 34,
            "queue": "llm_first_token",
        }
        rows.append(of(text, "queues_1m", at(minute), **served, **deep, busy_ms=30_000, available_ms=60_000))
    filled.insert_arrow("queues_1m", arrow_of(TABLES["queues_1m"], rows))
    streams = [of(text, "concurrency_1m", at(minute), peak_upper=60, active_at_start=60) for minute in range(60, 100)]
    filled.insert_arrow("concurrency_1m", arrow_of(TABLES["concurrency_1m"], streams))
    hour = f"{at(60).isoformat()}..{at(100).isoformat()}"
    found = asked(data=hour)
    span = {name: at(minute).strftime("%Y-%m-%dT%H:%M:%SZ") for name, minute in (("from", 70), ("to", 82))}
    worst = {"queue": "llm_first_token", "minutes": 12, "depth_most": 4_699, "waited_ms_most": 19_000.0}
    assert found["saturated"] == [worst | span]
    assert [(row["queue"], row["batch_share"]) for row in found["queues"]] == [("llm_first_token", 0.34)]


def test_given_figures_take_the_place_of_measured_ones(asked: Any) -> None:
    found = asked("--vad-savings", "0", "--utilization", "1", "--streams", "100")
    assert (found["gpu_seconds_per_audio_second"], found["replicas"]) == (0.1, 10)
    found = asked("--gpu-seconds-per-audio-second", "0.7")
    assert (found["vad_savings"], found["replicas"], found["notes"]) == (0.5, 55, [])
    unbilled = f"{at(30).isoformat()}..{at(40).isoformat()}"
    found = asked("--gpu-seconds-per-audio-second", "0.7", data=unbilled)
    assert (found["vad_savings"], found["replicas"]) == (0.5, 40), "what was said is known without a bill"
    assert asked(data=unbilled)["replicas"] is None
    assert asked("--gpu-seconds-per-audio-second", "0.7", "--vad-savings", "0")["replicas"] == 110


def test_a_slice_is_billed_by_the_cut_that_names_its_dimensions(asked: Any) -> None:
    assert asked("--slice", "pool=realtime,route=support")["gpu_seconds_per_audio_second"] == pytest.approx(
        1 / 15, rel=1e-5
    )
    of_region = asked("--slice", "region=eu-west-1,pool=realtime")
    assert (of_region["slice"], of_region["gpu_seconds_per_audio_second"]) == ("pool=realtime,region=eu-west-1", 0.1)
    assert of_region["final_transcript_ms"] is None and len(of_region["queues"]) == 3


def test_next_week_is_forecast_from_the_weeks_before(asked: Any) -> None:
    week = asked(data=f"{at(-60).isoformat()}..{at(0).isoformat()}")["next_week"]
    assert (week["from"], week["weeks"], week["streams_expected"], week["streams_high"]) == (
        START.strftime("%Y-%m-%dT%H:%M:%SZ"), 6, 100, 100,
    )  # fmt: skip
    expected = [hour["expected"] for hour in week["hours"]]
    np.testing.assert_allclose(expected, [100 if place % 24 == 0 else 30 for place in range(168)])
    assert week["replicas_high"] is None, "nothing was billed in that hour"


def test_hours_without_streams_of_the_slice_are_known_where_somebody_reported(asked: Any, filled: Client) -> None:
    """A day is lost, and told by heartbeats only: no stream then, instead of nobody knows."""
    lost = START - timedelta(days=21), START - timedelta(days=20)
    kept = [row for _, row in weeks("pool=batch") if not lost[0] <= row["bucket_start"] < lost[1]]
    filled.insert_arrow("concurrency_1m", arrow_of(TABLES["concurrency_1m"], kept))
    data = f"{at(-60).isoformat()}..{at(0).isoformat()}"
    filled_in = asked("--slice", "pool=batch", data=data)
    assert any("Nobody told of 24 hours" in note for note in filled_in["notes"])
    rows = [
        of("region=eu-west-1", "heartbeats_1m", lost[0] + timedelta(hours=hour), reported_family="streams")
        for hour in range(24)
    ]
    filled.insert_arrow("heartbeats_1m", arrow_of(TABLES["heartbeats_1m"], rows))
    known = asked("--slice", "pool=batch", data=data)
    assert not any("Nobody told of 24 hours" in note for note in known["notes"])
    served_then, served_else = (
        sum(hour["expected"] for hour in each["next_week"]["hours"]) for each in (known, filled_in)
    )
    assert served_then < served_else * 0.995


def test_a_slice_or_a_range_without_streams_is_refused_with_what_there_is(asked: Any) -> None:
    with pytest.raises(BadInput, match=r"no streams of slice 'pool=realtyme' from .*: did you mean pool=realtime\?"):
        asked("--slice", "pool=realtyme")
    with pytest.raises(BadInput, match="has no streams from 2020-01-01 00:00:00 to 2020-01-02 00:00:00"):
        asked(data="2020-01-01..2020-01-01")


def test_bills_that_may_still_grow_are_left_out_where_others_are_there(asked: Any, filled: Client) -> None:
    """A bill of ten minutes that ended an hour ago, for streams of then, changes nothing until its lateness is over."""
    recent = START + timedelta(hours=29)
    rows = of("pool=realtime", "costs_10m", recent, gpu_used_ms=10**9)
    filled.insert_arrow("costs_10m", arrow_of(TABLES["costs_10m"], [rows]))
    row = of("pool=realtime", "concurrency_1m", recent, active_at_start=60, peak_upper=60)
    filled.insert_arrow("concurrency_1m", arrow_of(TABLES["concurrency_1m"], [row]))
    audio = of("pool=realtime", "traffic_1m", recent, audio_in_ms=1_800_000)
    filled.insert_arrow("traffic_1m", arrow_of(TABLES["traffic_1m"], [audio]))
    later = (recent + timedelta(minutes=10)).isoformat()
    assert asked(data=f"{at(0).isoformat()}..{later}")["gpu_seconds_per_audio_second"] == 0.1
    alone = asked(data=f"{recent.isoformat()}..{later}")
    assert alone["gpu_seconds_per_audio_second"] == pytest.approx(10**9 / 1_800_000, rel=1e-5)
    assert any("bills that may still grow" in note for note in alone["notes"])
