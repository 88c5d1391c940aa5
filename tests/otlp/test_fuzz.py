"""Requests that are broken at random: each is taken, refused or counted, and the receiver goes on."""

from __future__ import annotations

import random

import polars as pl
import pytest

from producers.aggregated import ROW_KINDS, sift_rows
from producers.otlp.receiver import Receiver
from producers.otlp.requests import JSON, PROTOBUF, Refusable, decode
from tests.otlp.exports import CUMULATIVE, NOW_MS, counter, explicit, exponential, gauge, request

WORLD = request(
    [
        counter("turnwatch.turns.turns", 5, NOW_MS),
        counter("turnwatch.turns.tokens_in", 500, NOW_MS, NOW_MS - 9_000, CUMULATIVE, turnwatch__pool="batch"),
        counter("turnwatch.turns.turn_error_total", 5, NOW_MS),
        counter("turnwatch.turns.turn_error_bad", 2, NOW_MS),
        gauge("turnwatch.queues.depth", 7, NOW_MS, turnwatch__queue="vad"),
        exponential("lk.agents.turn.e2e_latency", "s", NOW_MS, 3, -2, [1, 2, 0, 5], sum=8.5, zero_count=1),
        explicit("gen_ai.server.time_to_first_token", "s", NOW_MS, [0.25, 0.5, 1.0], [1, 0, 2, 3], sum=9.0, min=0.1),
    ],
    {"turnwatch.region": "eu-west-1", "service.instance.id": "a"},
)


def damaged(body: bytes, dice: random.Random) -> bytes:
    """The same with some bytes changed, one time in ten cut short."""
    changed = bytearray(body)
    for _ in range(dice.randint(1, 5)):
        changed[dice.randrange(len(changed))] = dice.choice((0, 1, 127, 255, dice.randrange(256)))
    return bytes(changed[: dice.randrange(len(changed))] if dice.random() < 0.1 else changed)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_requests_add_only_rows_that_intake_would_take(seed: int) -> None:
    dice, read = random.Random(seed), 0
    whole = WORLD.SerializeToString()
    for _ in range(150):
        try:
            sent = decode(damaged(whole, dice), PROTOBUF)
        except Refusable:
            continue
        read += 1
        taken = Receiver("eu-west-1", NOW_MS - 60_000).take(sent, NOW_MS)
        for kind, rows in taken.tables.items():
            assert kind == "queues" or sift_rows(kind, rows).reasons.as_dict() == {}, f"seed {seed}"
            assert kind == "queues" or rows.schema == pl.Schema(ROW_KINDS[kind])
        assert sum(taken.refused.values()) + sum(taken.passed_over.values()) <= taken.points + 3, f"seed {seed}"
    assert read > 30


def test_json_of_any_shape_is_refused_or_taken() -> None:
    receiver = Receiver("eu-west-1", NOW_MS - 60_000)
    for body in (
        b"null",
        b"[]",
        b'{"resourceMetrics": 7}',
        b'{"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "x", "sum": {"dataPoints": [{}]}}]}]}]}',
        b'{"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "turnwatch.turns.turns", "sum": {"isMonotonic": true,'
        b'"aggregationTemporality": 99, "dataPoints": [{"asDouble": "NaN", "timeUnixNano": "1"}]}}]}]}]}',
    ):
        try:
            taken = receiver.take(decode(body, JSON), NOW_MS)
        except Refusable:
            continue
        assert not set(taken.tables) - {"rows.privacy"}
