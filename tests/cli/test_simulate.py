"""`turnwatch scenarios`, and the truth and refusals of `turnwatch simulate` that need no Kafka."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from io import StringIO
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from producers.collector import Frame
from producers.drive import Progress
from producers.fleet.choice import chosen
from producers.simulation import planned, simulate_aggregates_into, simulate_into
from schemas.failures import BadInput
from tests.producers.fleets import START_MS, at_once, small
from tests.producers.worlds import rows_of
from turnwatch.traffic_in import list_scenarios, run_simulation, tell_unfinished


class Kept:
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []

    async def send(self, frames: Iterable[Frame]) -> None:
        self.frames += frames


class Instant:
    """A clock on which nobody waits."""

    def now_ms(self) -> int:
        return START_MS

    async def sleep_until(self, at_ms: int) -> None:
        assert at_ms >= 0


def test_scenarios_are_listed_for_people_and_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    assert list_scenarios("table") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 13 and all(line.endswith(".") for line in lines)
    assert list_scenarios("json") == 0
    found = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert found["dead_region"]["minutes"] == 40 and found["quiet"]["minutes"] is None


async def test_a_plan_tells_its_truth_and_both_ways_send_frames_of_every_window() -> None:
    plan = planned(small("quiet_month", calls=60), 7, 1_000.0, 60, START_MS + 600_000)
    told = json.loads(json.dumps(plan.told_truth()))
    assert (told["scenario"], told["events"], told["ends_ms"] - told["begins_ms"]) == ("quiet_month", [], 60_000)
    turn_by_turn, drawn = Kept(), Kept()
    sent: Progress = await simulate_into(plan, turn_by_turn, lambda progress: None, Instant())
    other: Progress = await simulate_aggregates_into(plan, drawn, lambda progress: None, Instant())
    for progress, kept in ((sent, turn_by_turn), (other, drawn)):
        assert progress.turns > 0 and progress.event_ms == plan.start_ms + 60_000
        starts = {frame.header.window_start_ms for frame in kept.frames if frame.header.family.name == "turns"}
        assert {plan.start_ms + step * 10_000 for step in range(6)} <= starts


async def test_collectors_take_in_every_kind_and_refuse_nothing() -> None:
    kept = Kept()
    await simulate_into(
        planned(small("quiet_month", calls=60), 7, 1_000.0, 60, START_MS), kept, lambda progress: None, Instant()
    )
    said = rows_of(kept.frames, "heartbeats").group_by("reported_family").agg(pl.col("^observations_.*$").sum())
    seen = dict(zip(said["reported_family"], said["observations_seen"], strict=True))
    assert said["observations_dropped"].sum() == 0
    assert all(seen[family] > 0 for family in ("turns", "streams", "duplex", "queues", "quality", "costs", "releases"))


async def test_a_dead_regions_collectors_are_silent_to_the_end() -> None:
    kept = Kept()
    scenario = at_once(small("dead_region", calls=60, regions=("eu-west-1", "us-east-1")))
    await simulate_into(planned(scenario, 7, 1_000.0, 60, START_MS), kept, lambda progress: None, Instant())
    assert {frame.header.producer for frame in kept.frames} == {"us-east-1-collector-0"}


@pytest.mark.parametrize(
    ("name", "said"), [("quiet", "leave --aggregates out"), ("abuse_burst", "without --aggregates")]
)
def test_what_is_not_drawn_directly_is_told_before_anything_starts(name: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        run_simulation(name, 1.0, 1.0, 7, aggregates=True)


def test_what_was_not_sent_is_told_with_how_long_a_run_has_to_be() -> None:
    console = Console(file=StringIO(), width=400)
    tell_unfinished(console, Progress(unfinished=Counter(costs=50_056, quality=50, turns=0)))
    tell_unfinished(console, Progress(unfinished=Counter(turns=0)))
    assert isinstance(console.file, StringIO) and console.file.getvalue() == (
        "Not sent, for it ended before their windows did: 50,056 observations of costs (by 10 min), 50 observations of "
        "quality (by 60 min). Windows end by the clock, in event time: 120 min hold a whole one of each.\n"
    )


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="could not be read"):
        chosen(str(tmp_path / "nothing.yaml"))
