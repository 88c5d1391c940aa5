"""Lines become frames once, by event time or by the clock, whatever their order; what nobody would take is refused here."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Iterable
from typing import Any

import polars as pl
import pytest

from producers import ingesting
from producers.collector import Frame
from producers.ingesting import Ingested, Ingestion, ingest
from producers.kinds import KINDS
from producers.line_tidings import TOLD_MAX
from producers.observation_lines import COLUMNS, ObservationLines
from producers.transport import NotDelivered
from schemas.families import REPORTED_FAMILIES
from schemas.instants import DAY_MS
from schemas.refusals import Refusal
from tests.producers.test_observation_lines import TURN
from tests.producers.worlds import rows_of
from turnwatch.ingest import _tell_how_far

NOW_MS = 1_700_000_000_000


PLACE = {
    "region": "eu-west-1",
    "pool": "realtime",
    "route": "voice",
    "bundle": "v2",
    "model_version": "m-7b",
    "gpu_type": "h100",
}
LINES: dict[str, dict[str, Any]] = {
    "turns": TURN,
    "streams": {"session": 7, "is_start": True},
    "duplex": {"duplex_event": "micro_turn", "context_age_ms": 30.0},
    "queues": {"host": "gpu-1", "queue": "vad", "depth": 3},
    "quality": {"session": 7, "consent": "granted", "words": 120, "word_errors": 6},
    "costs": {"purchase": "spot", "gpu_reserved_ms": 1_000},
    "releases": {"host": "gpu-1", "artifact_kind": "llm", "artifact": "m-7b", "is_start": True},
}
"""A sound line of every kind, but for its time."""


class Clock:
    def __init__(self) -> None:
        self.at_ms = NOW_MS

    def now_ms(self) -> int:
        return self.at_ms

    async def sleep_until(self, at_ms: int) -> None:
        self.at_ms = max(self.at_ms, at_ms)


class Kafka:
    def __init__(self) -> None:
        self.frames: list[Frame] = []

    async def send(self, frames: Iterable[Frame]) -> None:
        self.frames += frames

    def sum(self, family: str, measure: str, **where: Any) -> int:
        rows = rows_of(self.frames, family)
        matching = [pl.col(name) == value for name, value in where.items()]
        return int(rows.filter(*matching)[measure].sum()) if len(rows) else 0


def turn(before_now_ms: int, session: int = 0, **changed: Any) -> bytes:
    return json.dumps({**TURN, "ended_at_ms": NOW_MS - before_now_ms, "session": session, **changed}).encode()


async def ingested(*chunks: list[bytes], is_live: bool = False, moment_ms: int = 0) -> tuple[Ingested, Kafka]:
    clock, kafka = Clock(), Kafka()

    async def coming() -> AsyncIterator[list[bytes]]:
        for lines in chunks:
            yield lines
            clock.at_ms += moment_ms

    ingestion = Ingestion("ingest", "eu-west-1", ObservationLines(b"key"), clock, is_live)
    return await ingest(ingestion, coming(), kafka), kafka


async def test_every_sound_line_counts_once_in_any_order() -> None:
    lines = [turn(before_now_ms=300_000 - 2_413 * (place * 37 % 100), session=place) for place in range(100)]
    told, kafka = await ingested(lines[:30], lines[30:31], lines[31:])
    assert told.tidings.taken == {"turns": 100} and not +told.tidings.refused
    assert kafka.sum("turns", "turns") == 100 and kafka.sum("turns", "tokens_in") == 30_000
    assert kafka.sum("stages", "observations", stage="turn") == 100
    windows = {frame.header.window_start_ms for frame in kafka.frames if frame.header.family.name == "turns"}
    assert min(windows) >= NOW_MS - 360_000 and len(windows) > 20
    assert sum(told.frames.values()) == len(kafka.frames)


class Leaving(Kafka):
    """Takes so many batches, and then nothing."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        self.batches = batches

    async def send(self, frames: Iterable[Frame]) -> None:
        self.batches -= 1
        if self.batches < 0:
            raise NotDelivered("Kafka is away.")
        await super().send(frames)


@pytest.mark.parametrize("batches", [2, 3])
async def test_who_goes_on_with_the_line_that_is_named_counts_every_line_once(
    batches: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of windows of ten seconds: of longer ones that were not over nothing was sent."""
    lines = [turn(before_now_ms=600_000 - 2_413 * place, session=place) for place in range(120)]
    lines[7] = b"{"

    async def coming() -> AsyncIterator[list[bytes]]:
        for start in range(0, 120, 40):
            yield lines[start : start + 40]

    kafka = Leaving(batches)
    ingestion = Ingestion("ingest", "eu-west-1", ObservationLines(b"key"), Clock(), is_live=False)
    with pytest.raises(NotDelivered):
        await ingest(ingestion, coming(), kafka)
    told = ingestion.ingested
    first = told.progress.first_waiting
    assert first is not None and told.in_doubt > 0 and sum(told.frames.values()) == len(kafka.frames)
    there = told.tidings.taken.total() - told.progress.waiting
    assert there == first - 1 - sum(each == b"{" for each in lines[: first - 1])
    _tell_how_far(told, "turns.ndjson")
    said = capsys.readouterr()
    assert f"Go on with line {first} of turns.ndjson" in said.err
    assert f"the windows of {there} lines" in said.err and f"sent {len(kafka.frames)} frames" in said.out
    _, rest = await ingested(lines[first - 1 :])
    counted = [one.sum("turns", "turns") if one.frames else 0 for one in (kafka, rest)]
    assert counted[0] == there and sum(counted) == 119


async def test_of_lines_out_of_order_it_is_told_how_many_behind_the_one_to_go_on_with_would_count_twice(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seeded = random.Random(7)
    places = sorted(range(200), key=lambda place: place + seeded.randrange(20))
    lines = [turn(before_now_ms=1_200_000 - 2_413 * place, session=place) for place in places]

    async def coming() -> AsyncIterator[list[bytes]]:
        for start in range(0, 200, 50):
            yield lines[start : start + 50]

    kafka = Leaving(3)
    ingestion = Ingestion("ingest", "eu-west-1", ObservationLines(b"key"), Clock(), is_live=False)
    with pytest.raises(NotDelivered):
        await ingest(ingestion, coming(), kafka)
    first, ahead = ingestion.ingested.progress.first_waiting, ingestion.ingested.progress.arrived_ahead
    assert first is not None and ahead is not None and ahead[1] > first
    _tell_how_far(ingestion.ingested, "turns.ndjson")
    said = capsys.readouterr().err
    assert (
        f"Go on with line {first} of turns.ndjson: what comes before it counts, and {ahead[0]} lines behind it, up to "
        in said
    )
    assert f"line {ahead[1]}, have arrived and count twice if told again. Windows of a minute and longer" in said
    windows = {frame.header.window_start_ms for frame in kafka.frames if frame.header.family.name == "turns"}
    ended_ms = [json.loads(line)["ended_at_ms"] for line in lines]
    there = {line for line, at_ms in enumerate(ended_ms, 1) if at_ms // 10_000 * 10_000 in windows}
    assert kafka.sum("turns", "turns") == len(there)
    assert set(range(1, first)) <= there and len([line for line in there if line > first]) == ahead[0]
    assert max(there) == ahead[1]


async def test_lines_that_are_two_minutes_out_of_order_are_not_late() -> None:
    _, kafka = await ingested([turn(200_000)], [turn(100_000)], [turn(210_000)], [turn(40_000)])
    of_turns = [frame.header for frame in kafka.frames if frame.header.family.name == "turns"]
    operational = [each.window_start_ms for each in of_turns if each.partition.name == "operational"]
    assert operational == sorted(operational) and len(set(operational)) == 4


async def test_a_live_pipe_ends_windows_by_the_clock() -> None:
    clock, kafka = Clock(), Kafka()
    ingestion = Ingestion("ingest", "eu-west-1", ObservationLines(b"key"), clock, is_live=True)
    await kafka.send(ingestion.take([turn(0)]))
    assert kafka.sum("turns", "turns") == 0
    clock.at_ms += 12_000
    await kafka.send(ingestion.take([]))
    assert kafka.sum("turns", "turns") == 1


async def test_a_pipe_that_is_quiet_at_first_does_not_begin_event_time() -> None:
    _, kafka = await ingested([], [b"nope"], [turn(3_600_000)], moment_ms=1_000)
    (operational,) = [
        frame.header
        for frame in kafka.frames
        if (frame.header.family.name, frame.header.partition.name) == ("turns", "operational")
    ]
    beats = [frame.header.window_start_ms for frame in kafka.frames if frame.header.family.name == "heartbeats"]
    assert min(beats) == operational.window_start_ms == (NOW_MS - 3_600_000) // 10_000 * 10_000
    assert kafka.sum("heartbeats", "observations_dropped") == 0
    assert kafka.sum("privacy", "observations", reported_family="unknown", because="malformed") == 1


async def test_the_first_lines_are_told_whatever_they_are_refused_for() -> None:
    """Shapes are looked at before values."""
    lines = [turn(0), turn(9 * DAY_MS), *[b"{" for _ in range(2 * TOLD_MAX)]]
    told, _ = await ingested(lines, [b"{"])
    assert [line for line, _ in told.tidings.first] == list(range(2, TOLD_MAX + 2))
    assert told.tidings.sentences()[0].startswith(
        "Line 2 is refused (inconsistent): its time is more than 167 hours ago"
    )


async def test_days_without_a_line_are_passed_over_at_once_and_nothing_of_what_is_around_them_is_lost() -> None:
    """A window of an hour is told when it is over, so heartbeats go on until then, and not for six days."""
    starts, ends = (
        {"kind": "streams", "session": 7, "at_ms": NOW_MS - before_ms, "is_start": is_start, **PLACE}
        for before_ms, is_start in ((6 * DAY_MS, True), (6 * DAY_MS - 40_000, False))
    )
    lines = [turn(6 * DAY_MS), turn(6 * DAY_MS - 500_000), json.dumps(starts).encode(), json.dumps(ends).encode()]
    told, kafka = await ingested(lines, [turn(3 * DAY_MS)], [turn(60_000)])
    assert kafka.sum("turns", "turns") == told.tidings.taken["turns"] == 4
    assert kafka.sum("heartbeats", "observations_seen", reported_family="turns") == 4
    windows = [frame.header.window_start_ms for frame in kafka.frames if frame.header.family.name == "heartbeats"]
    assert windows == sorted(windows) and 10 < len(windows) < 4 * 360


async def test_in_a_hurry_nothing_is_waited_for_and_short_windows_are_told() -> None:
    clock, kafka = Clock(), Kafka()
    ingestion = Ingestion("ingest", "eu-west-1", ObservationLines(b"key"), clock, is_live=True)
    await kafka.send(ingestion.take([turn(0)]))
    await kafka.send([frame async for frame in ingestion.finish(is_hurried=True)])
    assert clock.now_ms() == NOW_MS and kafka.sum("turns", "turns") == 1
    assert max(frame.header.window_end_ms for frame in kafka.frames) <= NOW_MS + 10_000


async def test_what_is_from_the_future_or_too_old_is_refused_here() -> None:
    """Intake would refuse whole frames for it, and others in them."""
    told, kafka = await ingested([turn(-3_600_000), turn(8 * 86_400_000), turn(60_000)])
    assert (told.tidings.refused, kafka.sum("turns", "turns")) == ({Refusal.INCONSISTENT: 2}, 1)
    assert max(frame.header.window_end_ms for frame in kafka.frames) <= NOW_MS + 60_000
    assert told.tidings.sentences() == [
        "Line 1 is refused (inconsistent): its time is more than 10 s from now; column: ended_at_ms.",
        "Line 2 is refused (inconsistent): its time is more than 167 hours ago, and intake takes nothing as old; column: ended_at_ms.",
    ]
    assert kafka.sum("heartbeats", "observations_dropped", reported_family="turns") == 2
    assert kafka.sum("privacy", "observations", fate="refused") == 2


@pytest.mark.parametrize("kind", COLUMNS)
async def test_a_line_of_any_kind_is_told_by_its_number_where_its_time_is_why(kind: str) -> None:
    time = KINDS[kind].time
    sound = {"kind": kind} | PLACE | LINES[kind]
    lines = [json.dumps({**sound, time: at_ms}).encode() for at_ms in (NOW_MS - 60_000, NOW_MS - 8 * DAY_MS)]
    told, _ = await ingested([lines[0], b"", lines[1]])
    assert (told.tidings.taken, told.tidings.first) == ({kind: 1}, [(3, Refusal.INCONSISTENT)])


async def test_every_line_is_blank_taken_or_refused() -> None:
    lines = [
        b"",
        turn(60_000),
        b"  \t",
        b"nope",
        turn(8 * DAY_MS),
        turn(-DAY_MS),
        turn(60_000, turn_ms=-1.0),
        b"\r",
        turn(9),
    ]
    told, _ = await ingested(lines[:4], lines[4:])
    tidings = told.tidings
    assert (tidings.lines, tidings.blank, tidings.taken.total(), tidings.refused.total()) == (9, 3, 2, 4)
    assert [line for line, _ in tidings.first] == [4, 5, 6, 7]


async def test_refused_lines_are_in_heartbeats_and_in_the_tally() -> None:
    told, kafka = await ingested(
        [turn(60_000), turn(60_000, tokens_in="many"), turn(60_000, turn_ms=-1.0), turn(60_000, route="a@example.com")]
    )
    assert told.tidings.refused.total() == 3
    assert kafka.sum("heartbeats", "observations_dropped", reported_family="turns") == 3
    assert kafka.sum("heartbeats", "observations_seen", reported_family="turns") == 4
    for reason in ("malformed", "negative", "email"):
        assert kafka.sum("privacy", "observations", reported_family="turns", because=reason) == 1
        assert kafka.sum("privacy", "observations", because=reason) == 1, (
            "a turn is refused once, whoever would have counted it"
        )


def test_the_family_of_a_kind_is_the_first_that_counts_it() -> None:
    assert all(kind.families[0].name == name.removeprefix("rows.") for name, kind in KINDS.items() if kind.families)


async def test_private_fields_of_lines_that_go_on_are_in_the_tally_at_the_time_and_pool_of_their_line() -> None:
    """And in no heartbeat: no observation was dropped. What is only unknown is nobody's secret."""
    lines = [
        turn(3 * DAY_MS, prompt="what she said", mood="calm"),
        turn(4 * DAY_MS, caller="ana@example.com", pool="batch"),
        turn(60_000, trace={"input": {"messages": ["hi"]}}, caller="+49 170 1234567", turn_ms=-1.0),
        turn(9 * DAY_MS, prompt="too old"),
    ]
    told, kafka = await ingested([turn(5 * DAY_MS)], lines, [turn(30_000, mood="calm")])
    columns = ["window_start_ms", "pool", "because", "observations"]
    of_turns = rows_of(kafka.frames, "privacy").filter(fate="refused", reported_family="turns")
    at = {ago_ms: (NOW_MS - ago_ms) // 10_000 * 10_000 for ago_ms in (4 * DAY_MS, 3 * DAY_MS, 60_000, 0)}
    assert set(of_turns.select(columns).rows()) == {
        (at[3 * DAY_MS], "realtime", "content_field", 1),
        (at[4 * DAY_MS], "batch", "email", 1),
        (at[60_000], "realtime", "content_field", 1),
        (at[60_000], "realtime", "phone", 1),
        (at[60_000], "realtime", "negative", 1),
        (at[0], "realtime", "content_field", 1),
        (at[0], "realtime", "inconsistent", 1),
    }
    assert kafka.sum("heartbeats", "observations_dropped", reported_family="turns") == told.tidings.refused.total() == 2
    assert told.tidings.dropped[Refusal.UNKNOWN_FIELD] == 2


async def test_a_refused_line_counts_in_the_families_of_its_kind_and_in_none_where_it_says_none() -> None:
    """A bad sample of an engine is no dropped turn, and neither is half a line."""
    sample = {"kind": "queues", "at_ms": NOW_MS - 60_000, "region": "eu-west-1", "pool": "batch", "bundle": "v1"}
    bad = [
        {**sample, "host": "gpu-1", "queue": "vad", "depth": -1},
        {**sample, "host": "gpu-1", "queue": "no such stage"},
    ]
    unknown = [b'{"kind":"queues","depth":', b'{"kind":"prompts"}', b"{}", b" " * 70_000 + b"{}"]
    told, kafka = await ingested([turn(60_000), *(json.dumps(each).encode() for each in bad), *unknown])
    assert told.tidings.refused.total() == 6
    dropped = {
        family: kafka.sum("heartbeats", "observations_dropped", reported_family=family) for family in REPORTED_FAMILIES
    }
    assert {family: count for family, count in dropped.items() if count} == {"queues": 2}
    assert kafka.sum("privacy", "observations", reported_family="queues", fate="refused") == 2
    assert kafka.sum("privacy", "observations", reported_family="unknown", because="malformed") == 2
    assert kafka.sum("privacy", "observations", reported_family="unknown", because="outside_vocabulary") == 1
    assert kafka.sum("privacy", "observations", reported_family="unknown", because="too_large") == 1
    assert kafka.sum("privacy", "observations", fate="refused") == 6


async def test_a_host_that_changes_its_bundle_within_a_window_has_the_gauges_of_its_last_sample_and_counts_in_both() -> (
    None
):
    sample = {"kind": "queues", **PLACE, "host": "gpu-1", "queue": "vad"}
    start_ms = (NOW_MS - 60_000) // 10_000 * 10_000
    lines = [
        {**sample, "at_ms": start_ms + 1_000, "bundle": "v1", "depth": 3, "arrivals": 2},
        {**sample, "at_ms": start_ms + 4_000, "bundle": "v2", "depth": 5, "arrivals": 4},
    ]
    _, kafka = await ingested([json.dumps(each).encode() for each in lines])
    told = [
        (kafka.sum("queues", "depth", bundle=name), kafka.sum("queues", "arrivals", bundle=name))
        for name in ("v1", "v2")
    ]
    assert told == [(0, 2), (5, 4)]


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_line_without_a_region_is_of_the_one_that_is_named_and_others_keep_theirs(kind: str) -> None:
    said = {"kind": kind, KINDS[kind].time: NOW_MS} | PLACE | LINES[kind]
    lines = [json.dumps({**said, "region": region}).encode() for region in (None, "us-east-1")]
    lines += [json.dumps({name: value for name, value in said.items() if name != "region"}).encode()]
    ((_, rows),) = ObservationLines(b"key", region="eu-west-1").read(lines)
    assert rows["region"].to_list() == ["eu-west-1", "us-east-1", "eu-west-1"]


async def test_where_the_kind_is_said_once_for_all_half_a_line_is_one_of_it() -> None:
    clock, kafka = Clock(), Kafka()
    ingestion = Ingestion("ingest", "eu-west-1", ObservationLines(b"key", "turns"), clock, is_live=True)
    await kafka.send(ingestion.take([turn(0), b'{"turn_ms":']))
    await kafka.send([frame async for frame in ingestion.finish()])
    assert kafka.sum("heartbeats", "observations_dropped", reported_family="turns") == 1
    assert kafka.sum("privacy", "observations", reported_family="turns", because="malformed") == 1


@pytest.mark.parametrize("is_live", [False, True])
async def test_a_refusal_stands_at_the_time_of_its_own_line_and_else_at_now(is_live: bool) -> None:
    """Whichever stage refuses it: the shape, the type, the value or the clock."""
    begins_ms = NOW_MS - 5 * DAY_MS
    dated = {
        b"malformed": turn(3 * DAY_MS, tokens_in="many"),
        b"negative": turn(4 * DAY_MS, turn_ms=-1.0, pool="batch"),
        b"email": turn(60_000, route="a@example.com"),
    }
    undated = [b'{"kind":"turns","ended_at_ms":', turn(9 * DAY_MS), turn(-DAY_MS)]
    _, kafka = await ingested([turn(5 * DAY_MS), *dated.values(), *undated], is_live=is_live, moment_ms=1_000)
    columns = ["window_start_ms", "pool", "because", "observations"]
    told = rows_of(kafka.frames, "privacy").filter(fate="refused").select(columns).rows()
    window_ms = {ago_ms: (NOW_MS - ago_ms) // 10_000 * 10_000 for ago_ms in (4 * DAY_MS, 3 * DAY_MS, 60_000, 0)}
    assert set(told[:3]) == {
        (window_ms[4 * DAY_MS], "batch", "negative", 1),
        (window_ms[3 * DAY_MS], "realtime", "malformed", 1),
        (window_ms[60_000], "realtime", "email", 1),
    }
    (now_ms,) = {each[0] for each in told[3:]}
    assert NOW_MS - 10_000 < now_ms <= NOW_MS + 60_000 and sum(each[3] for each in told[3:]) == 3
    assert kafka.sum("heartbeats", "observations_dropped", reported_family="turns") == 5
    beats = [frame.header.window_start_ms for frame in kafka.frames if frame.header.family.name == "heartbeats"]
    assert is_live or (min(beats) == begins_ms // 10_000 * 10_000 and max(beats) <= NOW_MS)


async def test_refusals_wait_once_for_each_window_and_beyond_so_many_they_are_of_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many lines are refused ahead of the sound ones: none is forgotten, and memory is bounded."""
    monkeypatch.setattr(ingesting, "PLACES_MAX", 2)
    ahead = [turn(3 * DAY_MS - 10_000 * place, turn_ms=-1.0) for place in range(4)]
    told, kafka = await ingested([turn(5 * DAY_MS)], ahead, ahead)
    refused = (
        rows_of(kafka.frames, "privacy").filter(fate="refused").group_by("window_start_ms").agg(pl.sum("observations"))
    )
    by_window = dict(sorted(refused.rows()))
    assert by_window.pop(NOW_MS) == 4 and told.tidings.refused.total() == 8
    start_ms = (NOW_MS - 3 * DAY_MS) // 10_000 * 10_000
    assert list(by_window.values()) == [2, 2] and start_ms <= min(by_window) < max(by_window) <= start_ms + 30_000


class Ticking(Clock):
    """Later whenever somebody looks."""

    def now_ms(self) -> int:
        self.at_ms += 1
        return self.at_ms


@pytest.mark.parametrize("edge_ms", [NOW_MS + ingesting.AHEAD_MS_MAX, NOW_MS - ingesting.AGE_MS_MAX])
def test_a_line_at_the_edge_of_what_is_timely_is_taken_or_refused_and_never_both_or_neither(edge_ms: int) -> None:
    reader = ObservationLines(b"key")
    list(
        Ingestion("ingest", "eu-west-1", reader, Ticking(), is_live=True).take(
            [turn(NOW_MS - edge_ms - place) for place in range(8)]
        )
    )
    assert 0 < reader.tidings.refused.total() < 8
    assert reader.tidings.taken.total() + reader.tidings.refused.total() == 8


async def test_nothing_is_sent_of_nothing() -> None:
    told, kafka = await ingested()
    assert (told.tidings.lines, kafka.frames) == (0, [])


@pytest.mark.parametrize("is_live", [False, True])
async def test_lines_of_which_all_are_refused_are_told_all_the_same(is_live: bool) -> None:
    told, kafka = await ingested([b"{", turn(5_000, turn_ms=-1.0)], [turn(-3_600_000)], is_live=is_live)
    assert told.tidings.refused == {Refusal.MALFORMED: 1, Refusal.NEGATIVE: 1, Refusal.INCONSISTENT: 1}
    assert [kafka.sum("privacy", "observations", because=each.value) for each in told.tidings.refused] == [1, 1, 1]
    assert kafka.sum("privacy", "observations", fate="refused") == 3
    assert kafka.sum("heartbeats", "observations_dropped", reported_family="turns") == 2
