"""OTLP to frames: what came aggregated passes the real collector over HTTP, and counts once when that is killed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import polars as pl
import pytest
from aiohttp import ClientSession

from producers.aggregated import ROW_KINDS, sift_rows, summed
from producers.collector import Collector
from producers.otlp.delivery import CollectorOverHttp, Delivery
from producers.otlp.gateway import Gateway
from producers.otlp.receiver import Receiver
from producers.otlp.requests import PROTOBUF
from schemas.families import COUNT_MAX, TURNS
from schemas.refusals import Refusal
from tests.otlp.exports import counter, exponential, gauge, request
from tests.producers.test_collecting_server import Running, running
from tests.producers.worlds import START_MS, rows_of

SENT = request(
    [
        counter("turnwatch.turns.turns", 5, START_MS + 4_000),
        counter("turnwatch.costs.attempts", 3, START_MS + 4_000, turnwatch__purchase="spot", turnwatch__pool="cheap"),
        exponential("gen_ai.server.time_to_first_token", "s", START_MS + 4_000, 3, -8, [4, 0, 3], sum=3.9),
        gauge("turnwatch.queues.depth", 7, START_MS + 4_000, turnwatch__queue="llm_first_token"),
    ]
)


def gateway_of(collector: Running, session: ClientSession) -> Gateway:
    now_ms = collector.hands.at_ms
    to = CollectorOverHttp(str(collector.server.make_url("/")), session)
    return Gateway(Receiver("eu-west-1", now_ms), Delivery(to, "otlp-a", now_ms), collector.hands)


async def frames_of(collector: Running, after_ms: int) -> None:
    """Lets so much time pass, and waits for what is sent then."""
    collector.hands.at_ms += after_ms
    async with asyncio.timeout(10):
        while not any(frame.header.family.name == "heartbeats" for frame in collector.hands.sent):
            await asyncio.sleep(0.01)


async def test_what_an_exporter_was_told_is_taken_becomes_frames_once_through_a_crash(tmp_path: Path) -> None:
    async with running(tmp_path) as collector, ClientSession() as session:
        collector.hands.at_ms += 5_000
        taken = await gateway_of(collector, session).take(SENT.SerializeToString(), PROTOBUF, "http")
        assert taken.refused == {"outside_vocabulary": 1}
        assert not collector.hands.sent  # Nothing is closed yet, and nothing but the journal knows of it.
    async with running(tmp_path) as collector:
        await frames_of(collector, 13_000)
        sent = collector.hands.sent
    assert rows_of(sent, "turns")["turns"].sum() == 5
    turns = rows_of(sent, "turns")
    assert turns.select("region", "pool", "route", "bundle").unique().rows() == [
        ("eu-west-1", "realtime", "other", "unversioned")
    ]
    stages = rows_of(sent, "stages")
    assert (set(stages["stage"]), set(stages["scale"])) == ({"llm_first_token"}, {3})
    assert (stages["observations"].sum(), stages["latency_ms_sum"].sum()) == (7, 3_900)
    assert rows_of(sent, "queues")["depth"].sum() == 7
    privacy = rows_of(sent, "privacy").select("reported_family", "because", "observations").rows()
    assert {("turns", "no_session", 5), ("costs", "outside_vocabulary", 1)} <= set(privacy)


async def test_rows_of_windows_that_are_longer_wait_for_their_end() -> None:
    """A frame of a window that is not over would be refused as from the future."""
    collector = Collector("eu-0", "eu-west-1", 1, START_MS)
    taken = Receiver("eu-west-1", START_MS - 1).take(
        request(
            [
                counter("turnwatch.turns.turns", 5, START_MS + 4_000),
                counter(
                    "turnwatch.costs.attempts",
                    3,
                    START_MS + 4_000,
                    turnwatch__model_version="m1",
                    turnwatch__gpu_type="h100",
                    turnwatch__purchase="spot",
                ),
            ]
        ),
        START_MS + 5_000,
    )
    for kind, rows in taken.tables.items():
        assert collector.observe(kind, rows) == len(rows)
    assert {frame.header.family.name for frame in collector.close(START_MS + 10_000)} >= {"turns"}
    assert collector.waiting_rows == 1
    ended_ms = START_MS // 600_000 * 600_000 + 600_000
    late = list(collector.close(ended_ms))
    assert rows_of(late, "costs")["attempts"].sum() == 3
    assert {frame.header.window_end_ms for frame in late if frame.header.family.name == "costs"} == {ended_ms}


def row(**others: object) -> pl.DataFrame:
    """One row of `rows.turns`, with other values than 5 turns."""
    columns = ROW_KINDS["rows.turns"]
    said = {"region": "eu-west-1", "pool": "realtime", "route": "chat", "bundle": "v1", "at_ms": START_MS, "turns": 5}
    return pl.DataFrame({name: [(said | others).get(name, 0)] for name in columns}, schema=columns)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (row(pool="cheap"), Refusal.OUTSIDE_VOCABULARY),
        (row(turns=-1), Refusal.NEGATIVE),
        (row(turns=COUNT_MAX + 1), Refusal.TOO_LARGE),
        (row(turn_error_bad=2, turn_error_total=1), Refusal.INCONSISTENT),
        (row(at_ms=None), Refusal.MALFORMED),
    ],
)
def test_a_row_that_intake_would_refuse_is_refused_alone(broken: pl.DataFrame, reason: Refusal) -> None:
    sifted = sift_rows("rows.turns", pl.concat([row(), broken]))
    assert (len(sifted.sound), sifted.reasons.as_dict()) == (1, {reason.value: 1})


def test_sums_that_no_row_may_hold_stay_apart() -> None:
    large = pl.concat([row(turns=COUNT_MAX), row(turns=COUNT_MAX)])
    assert summed(TURNS, large)["turns"].to_list() == [COUNT_MAX, COUNT_MAX]
    assert summed(TURNS, pl.concat([row(), row()]))["turns"].to_list() == [10]
