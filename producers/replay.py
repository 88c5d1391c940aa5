"""Replays a recorded trace as if it happened up to now: every request becomes one turn, one session and one stream.

A turn ends when its answer did: at its arrival plus its whole time, which the trace says or the service model supplies.
What a trace does not tell is not made up: language and device are `*`, there is no audio, no error and no abandonment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from producers.collector import Collector
from producers.drive import Clock, OnProgress, Progress, WallClock, drive
from producers.observations import LATENCIES, STREAM_COLUMNS, TURN_COLUMNS, with_unsaid
from producers.service_model import ServiceModel, load_model
from producers.simulator import ALIGNMENT_MS, Chunk
from producers.traces import Trace, read_trace
from producers.transport import KafkaTransport, Transport
from schemas.dimensions import GENERALISED
from schemas.failures import BadInput
from schemas.frames import ARROW, ContentType
from schemas.kafka import KafkaAddress

REGION = "us-east-1"
STEP_MS = 10_000


@dataclass(frozen=True, slots=True)
class Recording:
    """A trace with all its latencies, and on how many GPUs they were modelled (0: they were recorded)."""

    trace: Trace
    requests: pl.DataFrame
    gpus: int

    @property
    def duration_ms(self) -> int:
        """From the first arrival to the end of the last answer."""
        return int(np.ceil(np.max(_ended_ms(self.requests).to_numpy())))

    @property
    def producer(self) -> str:
        return f"replay-{self.trace.format.replace('_', '-')}"


def complete(trace: Trace, seed: int, model: ServiceModel | None = None, gpus: int | None = None) -> Recording:
    """The trace with latencies: its own, or those of the service model on `gpus` GPUs (as many as its load needs)."""
    if trace.has_latencies:
        return Recording(trace, trace.requests, 0)
    model = model or load_model()
    arrived_ms, prompt_tokens, tokens_out = (
        trace.requests.select("arrived_ms", fresh=pl.col("tokens_in") - pl.col("tokens_cached"), out="tokens_out")
        .cast(pl.Float64)
        .to_numpy()
        .T
    )
    gpus = gpus or model.gpus_needed(arrived_ms, prompt_tokens, tokens_out)
    served = model.sample(arrived_ms, prompt_tokens, tokens_out, gpus, seed)
    columns = {"first_token_ms": pl.Series(served.first_token_ms), "total_ms": pl.Series(served.total_ms)}
    return Recording(trace, trace.requests.with_columns(**columns), gpus)


def turns_of(recording: Recording, start_ms: int, seed: int) -> pl.DataFrame:
    """One turn per request, in order of their ends, with event time running from `start_ms`."""
    requests = recording.requests
    latencies = {"llm_first_token": requests["first_token_ms"], "turn": requests["total_ms"]}
    count = len(requests)
    turns = pl.DataFrame(
        {
            "ended_at_ms": start_ms + _ended_ms(requests).floor().cast(pl.Int64),
            "session": _sessions(count, seed),
            "tokens_in": requests["tokens_in"],
            "tokens_out": requests["tokens_out"],
            **{LATENCIES[stage]: values for stage, values in latencies.items()},
        }
    )
    said = {
        "region": REGION,
        "pool": "realtime",
        "route": recording.trace.route,
        "bundle": recording.trace.format.replace("_", "-"),
        "language": GENERALISED,
        "device_class": GENERALISED,
        "audio_in_ms": 0,
        "audio_out_ms": 0,
        "is_error": False,
        "is_abandoned": False,
    }
    known = turns.with_columns(pl.lit(value).alias(name) for name, value in said.items())
    typed = [pl.col(name).cast(dtype) for name, dtype in TURN_COLUMNS.items()]
    return with_unsaid(known, TURN_COLUMNS).select(typed).sort("ended_at_ms", maintain_order=True)


def streams_of(recording: Recording, turns: pl.DataFrame, start_ms: int, seed: int) -> pl.DataFrame:
    """A start at each arrival, an end at each answer's end."""
    arrived_ms = start_ms + recording.requests["arrived_ms"].floor().cast(pl.Int64)
    arrivals = pl.DataFrame({"session": _sessions(len(arrived_ms), seed), "at_ms": arrived_ms})
    keys = list(STREAM_COLUMNS)
    starts = turns.join(arrivals, on="session").with_columns(is_start=True).select(keys)
    ends = turns.with_columns(at_ms="ended_at_ms", is_start=False).select(keys)
    return pl.concat([starts, ends]).sort("at_ms", maintain_order=True)


def chunks_of(recording: Recording, start_ms: int, seed: int) -> Iterator[Chunk]:
    """The replay in steps of event time, to the end of the last answer: nothing is lost there."""
    turns = turns_of(recording, start_ms, seed)
    streams = streams_of(recording, turns, start_ms, seed)
    first_ms = start_ms // STEP_MS * STEP_MS
    for begin_ms in range(first_ms, start_ms + recording.duration_ms + 1, STEP_MS):
        yield Chunk(
            begin_ms,
            begin_ms + STEP_MS,
            {recording.producer: _within(turns, "ended_at_ms", begin_ms)},
            {recording.producer: _within(streams, "at_ms", begin_ms)},
        )


async def replay(
    trace_path: Path,
    speed: float,
    seed: int,
    address: KafkaAddress,
    on_progress: OnProgress = lambda progress: None,
    clock: Clock | None = None,
    gpus: int | None = None,
    content_type: ContentType = ARROW,
) -> Progress:
    """Replays a trace into Kafka. Its last event lands at the present; every request is there when this returns."""
    recording = complete(read_trace(trace_path), seed, gpus=gpus)
    async with KafkaTransport(address) as transport:
        return await replay_into(recording, speed, seed, transport, on_progress, clock or WallClock(), content_type)


async def replay_into(
    recording: Recording,
    speed: float,
    seed: int,
    transport: Transport,
    on_progress: OnProgress,
    clock: Clock,
    content_type: ContentType = ARROW,
) -> Progress:
    """The same, into any transport and by any clock."""
    now_ms = clock.now_ms()
    start_ms = replay_start_ms(now_ms, recording.duration_ms, speed)
    collector = Collector(
        recording.producer, REGION, incarnation=now_ms, opens_at_ms=start_ms, content_type=content_type
    )
    chunks = chunks_of(recording, start_ms, seed)
    return await drive(chunks, {recording.producer: collector}, transport, clock, speed, on_progress)


def replay_start_ms(now_ms: int, duration_ms: int, speed: float) -> int:
    """When the first request arrives, in event time: the last window, a minute long, ends at the present at the latest.

    >>> replay_start_ms(now_ms=7_200_000, duration_ms=3_500_000, speed=1_000.0)
    3639999
    """
    if not speed > 0:
        raise BadInput(f"The speed has to be above 0; {speed:g} is not.")
    last_minute_ms = int(now_ms + duration_ms / speed) // ALIGNMENT_MS * ALIGNMENT_MS
    return last_minute_ms - duration_ms - 1


def _ended_ms(requests: pl.DataFrame) -> pl.Series:
    return requests["arrived_ms"] + requests["total_ms"]


def _sessions(count: int, seed: int) -> pl.Series:
    """Opaque session keys: a request of these traces knows no session but its own."""
    return pl.Series(np.random.default_rng((seed, count)).integers(0, 2**64, count, dtype=np.uint64))


def _within(rows: pl.DataFrame, time: str, begin_ms: int) -> pl.DataFrame:
    low, high = (rows[time].search_sorted(bound, side="left") for bound in (begin_ms, begin_ms + STEP_MS))
    return rows.slice(low, high - low)
