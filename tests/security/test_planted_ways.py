"""Secrets are planted in what recorders, OTLP exporters and scraped engines send; nothing on the way repeats them.

Looked at: what leaves a host (headers, bodies, its spool), every answer, logs, metrics, the collector's disk, and frames.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from prometheus_client import generate_latest

from producers.observation_batches import Answer, BatchHeader, encode_batch
from producers.scraping.exposition import Unreadable, read_exposition
from schemas.refusals import Refusal
from tests.producers.scraping.engines import TEXT
from tests.producers.test_collecting_server import batch, headed, running
from tests.producers.worlds import START_MS, turns_world
from tests.recorder.hosts import FakeCollector, Host
from tests.security.planted import PRIVATE
from tests.security.test_planted import unsaid

each_reason = pytest.mark.parametrize("secret", [values[0] for values in PRIVATE.values()], ids=list(PRIVATE))


class Wire(FakeCollector):
    """Keeps everything that leaves a host."""

    left: bytes = b""

    def __call__(self, address: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Answer:
        self.left += repr(dict(headers)).encode() + body
        return super().__call__(address, headers, body, timeout_s)


@each_reason
def test_nothing_planted_leaves_the_host_of_a_recorder(
    secret: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wire = Wire()
    host = Host(tmp_path, wire)
    with host.turn(secret, prompt=secret, **{secret: secret}) as turn:
        told: dict[str, Any] = {"transcript": secret, secret: 1}
        turn.note(**told)
        with turn.stage(secret):
            pass
    for dimension in ("route", "bundle", "region", "language", "tenant", "client_version"):
        with host.turn(**{dimension: secret}):
            pass
    host.event("queues", host="vllm-0", queue=secret, depth=secret)
    host.event("duplex", secret, duplex_event=secret, note=secret)
    wire.answer = Answer(503, error="away")
    host.cycle()
    spooled = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    wire.answer = None
    host.close()
    said = (wire.left + spooled).decode("utf-8", "replace") + caplog.text + repr(host.tally.totals())
    assert unsaid(secret, said) and wire.left
    assert len(wire.rows()) == 1, "the turn goes on without what was planted; those with a planted dimension do not"


@each_reason
async def test_a_collector_answers_logs_counts_and_sends_nothing_planted(
    secret: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with running(tmp_path) as collector:
        headers, body = batch()
        said: list[object] = []
        # A recorder is called as its host is, at random if need be, and a number may be any; both stay with the collector.
        may_stand = {"tw-recorder"} if secret in PRIVATE[Refusal.HIGH_ENTROPY] else set()
        may_stand |= {name for name, value in headers.items() if value.isdigit()} if secret.isdigit() else set()
        for name in sorted(headers.keys() - may_stand):
            said.append(await collector.raw(headed(headers | {name: secret.encode("utf-8").decode("latin-1")}, body)))
        said.append(await collector.raw(headed(headers, secret.encode())))
        said += [await collector.get(f"/{path}") for path in ("v1/observations", "nowhere")]
        for sequence, column in enumerate(("route", "bundle", "client_version", "tenant", "region")):
            turns = turns_world(sequence, count=40, start_ms=START_MS - 5_000, span_ms=5_000)
            planted = pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit(secret)).otherwise(pl.col(column))
            turns = turns.with_columns(planted.alias(column))
            turns = turns.with_columns(pl.lit(secret).alias("transcript"), pl.lit(1, pl.Int64).alias(secret))
            answer = await collector.post(*encode_batch(BatchHeader("turns", "host-2", 1, sequence, 1_000, 0), turns))
            assert answer.taken == 20 and sum(answer.refused.values()) == 20
            said.append(answer)
        written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        said.append(written.decode("utf-8", "replace"))
        collector.hands.at_ms += 12_000
        async with asyncio.timeout(10):
            while not collector.hands.sent:
                await asyncio.sleep(0.01)
        shown = generate_latest(collector.engine.metrics.registry).decode()
        frames = b"".join(frame.payload for frame in collector.hands.sent).decode("utf-8", "replace")
    assert unsaid(secret, repr(said) + shown + frames + repr(collector.hands.sent) + caplog.text)


@each_reason
@pytest.mark.parametrize(
    "text",
    [
        'vllm:num_requests_waiting{{model_name="{0}",prompt="{0}"}} 3\n',
        '# HELP vllm:num_requests_waiting {0}\nvllm:num_requests_waiting{{engine="{0}"}} three\n',
        "vllm:num_requests_waiting 3\n{0} 5\n",
        "{0}\n",
        "<html>{0}</html>\n",
    ],
)
def test_what_an_engine_shows_is_repeated_nowhere(secret: str, text: str, caplog: pytest.LogCaptureFixture) -> None:
    try:
        read = read_exposition(text.format(secret).encode(), TEXT, "vllm")
        said = repr(read.refused)
    except Unreadable as error:
        said = f"{error!r} {error.reason} {error.__cause__}"
    assert unsaid(secret, said + caplog.text)
