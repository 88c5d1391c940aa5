"""`turnwatch capacity --data` of a file: replicas of the measured peak and of next week, the charts, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from schemas.failures import BadInput, Foreseen
from schemas.warehouse import ClickHouseAddress
from stream_jobs.operators.capacity.measured import Hours
from stream_jobs.operators.totals.traffic import Capacity
from turnwatch.capacity import command
from turnwatch.capacity.command import Given, reported
from turnwatch.capacity.report import lines
from turnwatch.capacity.terminal import HEIGHT, bars, day_chart
from turnwatch.capacity.told import BILLED_MS, Stretch, Told
from turnwatch.cli import app
from turnwatch.sentences import exit_code_for

FIRST_MINUTE = 29_000_160  # 2025-02-20 00:00 UTC
WEEK = 7 * 24 * 60
GPU = ("--gpu-seconds-per-audio-second", "0.05")
UNSAID = "VAD savings are taken as 0: no audio of streams was told of the range. Give --vad-savings."


@pytest.fixture(scope="module")
def peaks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six weeks by ten minutes: each day 100 at its lowest and 1,000 at 14:00; on the tenth day 2,000 at 15:20."""
    minute = FIRST_MINUTE + np.arange(0, 6 * WEEK, 10)
    streams = np.rint(550 + 450 * np.cos((minute % 1_440 - 840) / 1_440 * 2 * np.pi)).astype(int)
    streams[minute == FIRST_MINUTE + 9 * 1_440 + 920] = 2_000
    file = tmp_path_factory.mktemp("peaks") / "peaks.csv"
    file.write_text("minute,peak\n" + "\n".join(f"{at},{each}" for at, each in zip(minute, streams, strict=True)))
    return file


def answer(*words: str) -> Any:
    ended = CliRunner().invoke(app, ["capacity", *words, "--format", "json"])
    assert ended.exit_code == 0, ended.output
    return json.loads(ended.stdout)


def refused(*words: str) -> str:
    ended = CliRunner().invoke(app, ["capacity", *words])
    assert isinstance(ended.exception, BadInput), ended.output
    assert exit_code_for(ended.exception) == 2
    return str(ended.exception)


def test_the_peak_its_day_and_next_week_with_their_replicas(peaks: Path) -> None:
    found = answer("--data", str(peaks), *GPU, "--vad-savings", "0.3")
    assert (found["streams_peak_lower"], found["streams_peak_upper"]) == (2_000, 2_000)
    assert found["peak_at"] == "2025-03-01T15:20:00Z"
    assert (found["streams"], found["replicas"]) == (2_000, 100)
    assert [row["streams_peak_upper"] for row in found["day"]][13:17] == [1_000, 1_000, 2_000, 940]
    week = found["next_week"]
    assert (week["from"], week["weeks"], len(week["hours"])) == ("2025-04-03T00:00:00Z", 6, 168)
    assert week["streams_expected"] == np.ceil(max(hour["expected"] for hour in week["hours"])) == 1_096
    assert week["streams_high"] == 1_096, "no peak of the last four weeks was above what was expected of it"
    assert (week["coverage"], week["replicas_expected"], week["replicas_high"]) == (0.8, 55, 55)
    assert all(hour["low"] <= hour["expected"] <= hour["high"] for hour in week["hours"])


def test_streams_that_are_wanted_take_the_place_of_the_peak(peaks: Path) -> None:
    found = answer("--data", str(peaks), *GPU, "--streams", "7", "--utilization", "1")
    assert (found["streams"], found["replicas"], found["streams_peak_upper"]) == (7, 1, 2_000)


def test_without_a_figure_of_gpu_time_the_peak_is_told_and_replicas_are_unknown(peaks: Path) -> None:
    found = answer("--data", str(peaks))
    assert found["replicas"] is None and found["streams_peak_upper"] == 2_000
    assert "Give --gpu-seconds-per-audio-second." in " ".join(found["notes"])


def told(billed: list[tuple[int, int, int]]) -> Told:
    """One minute of streams, and ten minutes each of GPU time, audio and time of streams."""
    minutes = {name: [60 if "peak" in name else None] for name in Told.MINUTES} | {"at_ms": [0]}
    columns = zip(*[(at * BILLED_MS, *row) for at, row in enumerate(billed)], strict=True)
    rows = pl.DataFrame(dict(zip(Told.BILLED, columns, strict=True)), Told.BILLED)
    hours = Hours(0, np.zeros(0, np.int64), np.zeros(0, np.bool_))
    queues = pl.DataFrame(schema=Told.QUEUES)
    return Told("pool=realtime", Stretch(0, 60_000), pl.DataFrame(minutes, Told.MINUTES), hours, rows, queues, None)


@pytest.mark.parametrize(
    ("billed", "given", "savings", "is_noted"),
    [
        ([(1_000, 30, 100), (0, 20, 100)], None, "0.75", False),
        ([(0, 30, 100)], None, "0.7", False),
        ([(1_000, 30, 100)], "0.1", "0.1", False),
        ([(1_000, 0, 100)], None, "0", True),
    ],
)
def test_savings_are_measured_unless_given_whatever_gpu_time_is_given(
    billed: list[tuple[int, int, int]], given: str | None, savings: str, is_noted: bool
) -> None:
    found = reported(told(billed), Given(None, "0.5", "0.7", given), BILLED_MS)
    assert found.capacity == Capacity(Decimal("0.5"), Decimal("0.7"), Decimal(savings))
    assert any("VAD savings are taken as 0" in note for note in found.notes) == is_noted


def test_what_was_measured_while_requests_waited_is_a_lower_bound() -> None:
    saturated = pl.DataFrame(
        [["llm_first_token", 18, 780_000, 1_800_000, 4_769, 19_000.0]], Told.SATURATED, orient="row"
    )
    queues = pl.DataFrame([["llm_first_token", 0.502, 0.34]], Told.QUEUES, orient="row")
    waited = replace(told([(1_000, 30, 100)]), saturated=saturated, queues=queues)
    said = list(lines(reported(waited, Given(None, None, "0.7", None), BILLED_MS)))
    assert said[2].startswith("replicas: at least ")
    assert said[4:7] == [
        "saturated while it was measured: llm_first_token, in 18 minutes from 1970-01-01 00:13 to 1970-01-01 00:30: up to 4,769 "
        "requests waited, for 19.0 s on average of the worst minute",
        "what is measured then is a lower bound: more would have been served, and used, had there been more replicas",
        "GPU time is not of streams alone: 34.0% of the requests to llm_first_token were of batch work, whose time is in the figure",
    ]
    assert "utilisation of llm_first_token: 50.2% on average, though saturated in 18 minutes" in said
    calm = reported(told([(1_000, 30, 100)]), Given(None, None, "0.7", None), BILLED_MS)
    assert not any("at least" in line or "saturated" in line for line in lines(calm))
    assert not reported(waited, Given(None, "0.5", "0.7", None), BILLED_MS).is_bound, (
        "what is given was not measured then"
    )


def test_a_day_up_to_now_has_all_of_its_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Stretch] = []
    monkeypatch.setattr(command, "read_warehouse", lambda _, __, stretch: asked.append(stretch))
    for now_ms in (FIRST_MINUTE * 60_000, FIRST_MINUTE * 60_000 + 59_999):
        command.read("1d", None, now_ms, lambda: ClickHouseAddress("http://127.0.0.1/x"))
    assert asked == [Stretch((FIRST_MINUTE - 1_440) * 60_000, FIRST_MINUTE * 60_000)] * 2


def test_minutes_without_a_row_are_counted(peaks: Path, tmp_path: Path) -> None:
    assert answer("--data", str(peaks), *GPU)["notes"] == [UNSAID]
    rows = peaks.read_text().splitlines()
    (tmp_path / "gap.csv").write_text("\n".join([*rows[:2_995], *rows[3_007:]]))
    assert answer("--data", str(tmp_path / "gap.csv"), *GPU, "--vad-savings", "0")["notes"] == [
        "Nobody told of 2 hours: the forecast takes them for those of other weeks.",
        "120 minutes of the range have no row: no stream, or nobody told of any.",
    ]


def test_too_few_weeks_are_no_forecast(tmp_path: Path) -> None:
    (tmp_path / "day.csv").write_text("minute,peak\n" + "\n".join(f"{FIRST_MINUTE + at},5" for at in range(1_440)))
    found = answer("--data", str(tmp_path / "day.csv"), *GPU)
    assert found["next_week"] is None and found["replicas"] == 1
    assert found["notes"] == [
        UNSAID,
        "There is no forecast of next week. The series has no whole week of 168 hours: a forecast needs 2.",
    ]


def test_for_eyes_the_answer_comes_first_and_then_the_charts(peaks: Path) -> None:
    ended = CliRunner().invoke(app, ["capacity", "--data", str(peaks), *GPU])
    assert ended.exit_code == 0, ended.output
    lines = ended.stdout.splitlines()
    assert lines[1] == "peak: 2,000 streams at once, at 2025-03-01 15:20"
    assert lines[2] == "replicas: 143 for the peak"
    assert lines[3] == "replicas: 79 for next week's peak of 1,096 streams, as expected"
    assert lines[4] == "replicas: 79 for 1,096 streams: the peaks of 80% of weeks are lower"
    assert lines[5] == "at 0.05 GPU seconds per audio second, 0.0% of the time silent (assumed, not measured), 70% used"
    assert sum("┤" in line or "│" in line for line in lines) == 2 * HEIGHT
    assert max(map(len, lines)) <= 100


def test_the_picture_is_an_svg_with_both_panels(peaks: Path, tmp_path: Path) -> None:
    picture = tmp_path / "week.svg"
    answer("--data", str(peaks), *GPU, "--out", str(picture))
    read = ElementTree.parse(picture).getroot()
    drawn = [each.tag.rpartition("}")[2] for each in read.iter()]
    assert drawn.count("polyline") == 3 and drawn.count("polygon") == 1
    ended = CliRunner().invoke(app, ["capacity", "--data", str(peaks), *GPU, "--out", str(tmp_path / "none" / "x.svg")])
    assert isinstance(ended.exception, Foreseen) and "the picture cannot be written" in str(ended.exception)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ":1: the file is empty"),
        ("minute,peak\n", ": there are no minutes in the file."),
        ("minute,streams\n1,2\n", ":1: column 'streams' is unknown: the columns are minute, peak."),
        ("minute,peak\n1,-2\n", ":2: peak '-2' is below 0"),
        ("minute,peak\n-1,2\n", ":2: minute '-1' is before 1970"),
        ("minute,peak\n2,2\n2,3\n", ":3: minute '2' does not come after"),
        ("minute,peak\n2,2\n999999999,3\n", ":3: minute '999999999' lies more than ten years after"),
        ("minute,peak\n2,2.5\n", ":2: peak '2.5' is no whole number"),
    ],
)
def test_a_file_that_holds_no_peaks_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.csv").write_text(text)
    assert said in refused("--data", str(tmp_path / "bad.csv"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--data", "none.csv"), "none.csv: there is no such file."),
        (("--data", "last week"), "There is no file 'last week', and it is no range of time"),
        (("--data", "2099-01-01..2099-01-02"), "--data 2099-01-01..2099-01-02 holds no minute that is over"),
        (("--data", "7d"), "No ClickHouse is known: set TURNWATCH_CLICKHOUSE__URL"),
        (
            ("--data", "7d", "--slice", "language=de"),
            "--slice 'language=de': streams are not counted by that, but by pool;",
        ),
        (("--data", "7d", "--slice", "pool="), "--slice 'pool=': streams are not counted by that"),
        (("--data", "7d", "--slice", ""), "--slice '': streams are not counted by that"),
    ],
)
def test_what_cannot_be_meant_is_a_sentence(
    words: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in refused(*words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--slice", "pool=realtime"), "leave out --slice"),
        (("--utilization", "0"), "--utilization 0 has to be above 0 and at most 1."),
        (("--utilization", "1.01", *GPU), "--utilization 1.01 has to be above 0"),
        (("--vad-savings", "1", *GPU), "--vad-savings 1 has to be at least 0 and below 1."),
        (("--vad-savings", "1"), "--vad-savings 1 has to be at least 0 and below 1."),
        (("--vad-savings", ""), "--vad-savings '' is no decimal number"),
        (("--gpu-seconds-per-audio-second", "-1"), "--gpu-seconds-per-audio-second -1 has to be at least 0"),
    ],
)
def test_figures_that_cannot_be_meant_are_refused(peaks: Path, words: tuple[str, ...], said: str) -> None:
    assert said in refused("--data", str(peaks), *words)


@pytest.mark.parametrize("words", [(), ("--streams", "5"), ("--streams", "5", *GPU, "--slice", "pool=batch"), GPU])
def test_too_little_was_given(words: tuple[str, ...]) -> None:
    ended = CliRunner().invoke(app, ["capacity", *words])
    assert ended.exit_code == 2 and "--data" in ended.output


@pytest.mark.parametrize(
    ("every", "count", "columns", "second_label"),
    [(1, 1_440, 48, "03:00"), (1, 30, 30, "00:06"), (60, 24, 24, "06:00"), (10, 3, 3, None), (1, 1, 1, None)],
)
def test_the_day_is_drawn_in_steps_that_a_row_fills(
    every: int, count: int, columns: int, second_label: str | None
) -> None:
    at_ms = np.arange(count) * every * 60_000
    chart = list(day_chart(pl.DataFrame({"at_ms": at_ms, "streams_peak_upper": [5] * count}), every * 60_000))
    assert [line[11:] for line in chart[1 : HEIGHT + 1]] == ["█" * columns] * HEIGHT
    labels = chart[-1].split("└")[1].split()
    assert labels[0] == "00:00" and labels[1:2] == ([second_label] if second_label else [])


def test_bars_of_nothing_are_empty() -> None:
    assert all(line.endswith((" ┤  ", " │  ")) for line in bars(np.zeros(2), np.zeros(2)))
