"""What does observing cost: on the serving thread, in the collector, and on the wire?

Recording a turn with five stages is measured beside its peers (`turnwatch/bench/recording.py`): the limit is absolute, and each
peer's line has how many times ours it takes, for a machine is not equally fast at all hours. Then a minute of a large
fleet goes through one collector, as recorders would send it: batches are decoded, judged, gated and framed in one process,
and its whole CPU time counts, threads of the column engine included. Rows on the wire are the rows of frames, with everything that Kafka
is sent besides.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
from rich.console import Console

from producers.collector import Collector, Frame
from producers.observation_batches import BATCH_ROWS_MAX, KINDS, BatchHeader, decode_batch, decode_header, encode_batch
from producers.observations import LATENCIES
from producers.recorder.turns import IS_COMPILED
from schemas.dimensions import DIMENSIONS
from schemas.instants import MINUTE_MS
from turnwatch.bench.recording import STAGES, Cost, Sent, recording_costs

RECORD_US_MEAN_MAX, RECORD_US_P99_MAX = 3.0, 20.0
TURNS_PER_MIN_MIN = 1_000_000
ROW_BYTES_MAX = 30.0
START_MS = 1_790_000_000_000 // MINUTE_MS * MINUTE_MS
SESSIONS = 20_000
VALUES: dict[str, tuple[tuple[str, ...], tuple[float, ...]]] = {
    "region": (("eu-west-1",), (1.0,)),
    "pool": (("realtime", "batch"), (0.95, 0.05)),
    "route": (("support", "sales", "booking"), (0.6, 0.3, 0.1)),
    "bundle": (("v1", "v2"), (0.9, 0.1)),
    "language": (("en", "de", "fr", "es", "is", "cy"), (0.6, 0.2, 0.1, 0.08, 0.015, 0.005)),
    "device_class": (("phone", "mobile_app", "browser", "speaker", "car"), (0.5, 0.3, 0.15, 0.04, 0.01)),
    "connection": (("cellular", "wifi", "wired", "pstn"), (0.5, 0.3, 0.1, 0.1)),
    "codec": (("opus", "pcmu", "amr_wb"), (0.7, 0.2, 0.1)),
    "client_version": (("4.2.0", "4.1.7", "3.9"), (0.7, 0.25, 0.05)),
    "tenant": (tuple(f"t-{number:016x}" for number in range(60)), (1 / 60,) * 60),
}
"""Of each call: values and their shares."""
COUNTED_ONCE = ("audio_in_ms", "audio_out_ms", "tokens_in", "tokens_out")


@dataclass(frozen=True, slots=True)
class Passed:
    """A minute's turns through one collector."""

    turns: int
    cpu_s: float
    rows: int
    row_bytes: float
    sent_bytes: float
    """Of one turn on its way from recorder to collector."""

    @property
    def turns_per_min(self) -> float:
        """Of one core."""
        return self.turns / self.cpu_s * 60


def run_producer(turns: int, rounds: int, seed: int) -> int:
    """Prints a line for each figure; 1 when one is beyond its limit."""
    console = Console(highlight=False)
    with console.status("recording turns"):
        costs, sent = recording_costs(rounds)
    with console.status(f"putting {turns:,} turns through a collector"):
        passed = through_collector(turns, seed)
    return 0 if all([*_told_recording(costs, sent), *_told_collector(passed)]) else 1


def through_collector(turns: int, seed: int) -> Passed:
    """A minute of event time: six windows, and one of the partitions that protect identifying dimensions."""
    batches = list(_batches(turns, seed))
    collector = Collector("bench-collector-0", VALUES["region"][0][0], 1, START_MS)
    frames: list[Frame] = []
    began = time.process_time()
    for headers, body in batches:
        collector.observe_turns(decode_batch(decode_header(headers), body).rows)
    frames += collector.close(START_MS + MINUTE_MS)
    cpu_s = time.process_time() - began
    rows = sum(frame.rows for frame in frames)
    counted = sum(_turns_in(frame) for frame in frames)
    assert counted == turns, "the collector did not count every turn once"
    return Passed(
        turns, cpu_s, rows, sum(map(_bytes_on_wire, frames)) / rows, sum(len(body) for _, body in batches) / turns
    )


def _bytes_on_wire(frame: Frame) -> int:
    """Key, headers and payload as the Kafka client sends them: in lz4 once more, for a schema is not compressed in Arrow."""
    headers = b"".join(key.encode() + value for key, value in frame.headers)
    return len(pa.compress(frame.header.producer.encode() + headers + frame.payload, codec="lz4", asbytes=True))


def _turns_in(frame: Frame) -> int:
    if (frame.header.family.name, frame.header.partition.name) != ("turns", "operational"):
        return 0
    rows = pl.read_ipc_stream(frame.payload)
    return int(rows["turns"].sum())


def _batches(turns: int, seed: int) -> Iterator[tuple[dict[str, str], bytes]]:
    """The fleet's turns as recorders send them, in the order in which they ended."""
    rng = np.random.default_rng(seed)
    calls = _calls(rng)
    ended_at_ms = np.sort(START_MS + rng.integers(0, MINUTE_MS, turns))
    for sequence, first in enumerate(range(0, turns, BATCH_ROWS_MAX)):
        rows = _turns(rng, calls, ended_at_ms[first : first + BATCH_ROWS_MAX])
        yield encode_batch(BatchHeader("turns", "bench", 1, sequence, first + len(rows), 0), rows)


def _calls(rng: np.random.Generator) -> pl.DataFrame:
    columns = {
        name: pl.Series(rng.choice(values, SESSIONS, p=np.array(shares) / sum(shares)))
        for name, (values, shares) in VALUES.items()
    }
    return pl.DataFrame({"session": pl.Series(rng.integers(0, 2**64, SESSIONS, dtype=np.uint64)), **columns})


def _turns(rng: np.random.Generator, calls: pl.DataFrame, ended_at_ms: np.ndarray) -> pl.DataFrame:
    """Turns of random calls: five stages that share a lognormal latency, amounts, and some errors."""
    count = len(ended_at_ms)
    turn_ms = 1_500 * np.exp(0.5 * rng.standard_normal(count))
    shares = rng.dirichlet((1, 8, 4, 12, 6, 20), count)
    latencies = {LATENCIES[stage]: turn_ms * shares[:, place] for place, stage in enumerate(STAGES)}
    told = {
        "ended_at_ms": ended_at_ms,
        **latencies,
        LATENCIES["turn"]: turn_ms,
        LATENCIES["first_audio"]: np.sum(list(latencies.values()), axis=0),
        **{name: rng.integers(1, 3_000, count) for name in COUNTED_ONCE},
        "is_error": rng.random(count) < 0.002,
        "is_abandoned": rng.random(count) < 0.02,
        "is_success": rng.random(count) < 0.9,
    }
    rows = calls[rng.integers(0, SESSIONS, count)].hstack(pl.DataFrame(told))
    return rows.select(_column(name, dtype, rows.columns) for name, dtype in KINDS["turns"].items())


def _column(name: str, dtype: pl.DataType, told: list[str]) -> pl.Expr:
    """As a recorder sends what nobody told: no amount, an identifying dimension as `*`, and anything else as null."""
    if name in told:
        return pl.col(name).cast(dtype)
    unsaid: object = 0 if dtype == pl.Int64() else "*" if name in DIMENSIONS else None
    return pl.lit(unsaid, dtype).alias(name)


def _told_recording(costs: dict[str, Cost], sent: Sent) -> Iterator[bool]:
    ours = costs["recorder"]
    yield _told("record_us_mean", ours.mean_us, RECORD_US_MEAN_MAX, f" hot_path={'c' if IS_COMPILED else 'python'}")
    yield _told("record_us_p99", ours.p99_us, RECORD_US_P99_MAX)
    for name in ("prometheus_client", "opentelemetry"):
        cost = costs[name]
        print(
            f"{name}_us_mean={cost.mean_us:.2f} {name}_us_p99={cost.p99_us:.2f} ratio={cost.mean_us / ours.mean_us:.1f}"
        )
    print(f"sending_us_per_turn={sent.sending_ns / sent.turns / 1_000:.2f} turns={sent.turns} batches={sent.batches}")


def _told_collector(passed: Passed) -> Iterator[bool]:
    rate = passed.turns_per_min
    print(
        f"turns_per_min_per_core={rate:.0f} limit={TURNS_PER_MIN_MIN} ratio={rate / TURNS_PER_MIN_MIN:.2f} "
        f"turns={passed.turns} cpu_s={passed.cpu_s:.2f}"
    )
    yield rate >= TURNS_PER_MIN_MIN
    yield _told("bytes_per_row", passed.row_bytes, ROW_BYTES_MAX, f" rows={passed.rows}")
    print(f"bytes_per_observed_turn={passed.sent_bytes:.1f}")


def _told(name: str, value: float, limit: float, more: str = "") -> bool:
    print(f"{name}={value:.2f} limit={limit:g} ratio={value / limit:.2f}{more}")
    return value <= limit
