"""What recording one turn costs the serving thread: ours, prometheus_client and the OpenTelemetry SDK, side by side.

Each is told the same facts of the same turns in the way its documentation shows: that a turn with these dimensions took so
long, and how long each of its five stages took. What is measured is the CPU time of the serving thread alone; rounds of the
three take turns, so that whatever else the machine does meets all of them. Ours is the whole recorder with its sending
thread, whose CPU time is told apart.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter, thread_time_ns
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Histogram

from producers.observation_batches import Answer, decode_batch, decode_header
from producers.recorder import Recorder
from schemas.failures import Foreseen

STAGES = ("queue_wait", "asr_first_partial", "retrieval", "llm_first_token", "tts_first_audio")
HOST = {"region": "eu-west-1", "pool": "realtime", "bundle": "v2026.11.3"}
CALLS = [
    {"route": route, "language": language, "device_class": device}
    for route in ("support", "sales", "booking")
    for language in ("en", "de", "fr", "es")
    for device in ("phone", "browser")
]
TURNS_A_ROUND = 500
FLUSH_INTERVAL_S = 0.2
PATIENCE_S = 30.0

Call = dict[str, str]
Record = Callable[[Call], None]
"""Records a turn with these dimensions."""


@dataclass(slots=True)
class Cost:
    """CPU time of the serving thread, in ns: of every round, and of single turns."""

    rounds: list[float] = field(default_factory=list)
    turns: list[int] = field(default_factory=list)

    @property
    def mean_us(self) -> float:
        return float(np.mean(self.rounds)) / 1_000

    @property
    def p99_us(self) -> float:
        return float(np.percentile(self.turns, 99)) / 1_000


@dataclass(slots=True)
class Sent:
    """What became of our own: turns that arrived, and the CPU time of all threads but the serving one, decoding included."""

    turns: int = 0
    batches: int = 0
    sending_ns: int = 0

    def post(self, address: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Answer:
        """A collector that is there, and costs nothing beside what it takes to count."""
        self.batches += 1
        rows = len(decode_batch(decode_header(headers), body).rows)
        self.turns += rows
        return Answer(200, rows)


def recording_costs(rounds: int) -> tuple[dict[str, Cost], Sent]:
    """By recorder; a round to warm up is not counted."""
    sent, prometheus, opentelemetry = Sent(), _prometheus(), _opentelemetry()
    costs = {name: Cost() for name in ("recorder", "prometheus_client", "opentelemetry")}
    with tempfile.TemporaryDirectory() as spool:
        recorder = Recorder(
            ["http://127.0.0.1:9471"],
            b"the key of a bench",
            spool,
            HOST,
            flush_interval_s=FLUSH_INTERVAL_S,
            post=sent.post,
        )
        others_ns = _others_ns()
        with recorder:
            records = dict(zip(costs, (_ours(recorder), prometheus, opentelemetry), strict=True))
            for number in range(rounds + 1):
                for name, record in records.items():
                    _measure(record, costs[name], is_counted=number > 0)
                    _drained(recorder)
                if number == 0:
                    _set_aside_what_is_loaded()
    gc.unfreeze()
    sent.sending_ns = _others_ns() - others_ns
    told = recorder.totals()
    assert told["turns_taken"] == told["turns_seen"] == sent.turns, "something of the bench was dropped"
    return costs, sent


def _set_aside_what_is_loaded() -> None:
    """Collections go on, over what is recorded: to scan all that this process has imported is no recorder's cost."""
    gc.collect()
    gc.freeze()


def _measure(record: Record, cost: Cost, is_counted: bool) -> None:
    """A round as a whole, then as many turns one by one: reading the clock takes as long as a part of a turn."""
    calls = [CALLS[number % len(CALLS)] for number in range(TURNS_A_ROUND)]
    began = thread_time_ns()
    for call in calls:
        record(call)
    of_round = (thread_time_ns() - began) / TURNS_A_ROUND
    singles = []
    for call in calls:
        began = thread_time_ns()
        record(call)
        singles.append(thread_time_ns() - began)
    if is_counted:
        cost.rounds.append(of_round)
        cost.turns += singles


def _drained(recorder: Recorder) -> None:
    """Waits until the sending thread has taken everything."""
    deadline = time.monotonic() + PATIENCE_S
    while recorder.totals()["waiting"]:
        if time.monotonic() > deadline:
            raise Foreseen(f"The recorder did not take what it was told within {PATIENCE_S:g} s.")
        time.sleep(0.01)


def _others_ns() -> int:
    """CPU time of all threads but this one: of the sending thread and of those that work on its columns."""
    return time.process_time_ns() - thread_time_ns()


def _ours(recorder: Recorder) -> Record:
    def record(call: Call) -> None:
        with recorder.turn("call-7", **call) as turn:
            with turn.stage("queue_wait"):
                pass
            with turn.stage("asr_first_partial"):
                pass
            with turn.stage("retrieval"):
                pass
            with turn.stage("llm_first_token"):
                pass
            with turn.stage("tts_first_audio"):
                pass

    return record


def _prometheus() -> Record:
    names, registry = [*HOST, *CALLS[0]], CollectorRegistry()
    turns = Counter("turns", "turns", names, registry=registry)
    whole = Histogram("turn_seconds", "whole turn", names, registry=registry)
    stages = Histogram("stage_seconds", "stage", [*names, "stage"], registry=registry)

    def record(call: Call) -> None:
        with whole.labels(**HOST, **call).time():
            with stages.labels(**HOST, **call, stage="queue_wait").time():
                pass
            with stages.labels(**HOST, **call, stage="asr_first_partial").time():
                pass
            with stages.labels(**HOST, **call, stage="retrieval").time():
                pass
            with stages.labels(**HOST, **call, stage="llm_first_token").time():
                pass
            with stages.labels(**HOST, **call, stage="tts_first_audio").time():
                pass
        turns.labels(**HOST, **call).inc()

    return record


def _opentelemetry() -> Record:
    try:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    except ImportError:
        raise Foreseen("The bench needs the OpenTelemetry SDK: install turnwatch with its extra `dev`.") from None
    meter = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False).get_meter("turnwatch-bench")
    turns, whole = meter.create_counter("turns"), meter.create_histogram("turn", "s")
    stages = meter.create_histogram("stage", "s")

    def stage(attributes: dict[str, Any], name: str, began: float) -> None:
        stages.record(perf_counter() - began, {**attributes, "stage": name})

    def record(call: Call) -> None:
        attributes = {**HOST, **call}
        began = perf_counter()
        for name in STAGES:
            stage(attributes, name, perf_counter())
        whole.record(perf_counter() - began, attributes)
        turns.add(1, attributes)

    return record
