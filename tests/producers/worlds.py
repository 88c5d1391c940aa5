"""Seeded observations, and what tests need to read frames back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import environ
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from producers.collector import Frame
from producers.duplex import DUPLEX_COLUMNS
from producers.observations import LATENCIES, STREAM_COLUMNS, TURN_COLUMNS
from schemas.dimensions import DIMENSIONS
from schemas.frame_rows import decode_rows
from schemas.frames import decode_header
from schemas.rejections import Rejected
from schemas.rows import violations

START_MS = 1_700_000_040_000 // 60_000 * 60_000
DATA = Path(environ.get("TURNWATCH_DATA", "../shared/data"))


def turns_world(
    seed: int, count: int = 400, sessions: int = 120, span_ms: int = 60_000, start_ms: int = START_MS
) -> pl.DataFrame:
    """Turns whose latencies lie on and around thresholds, with stages that did not happen and skewed audiences."""
    rng = np.random.default_rng(seed)

    def some(values: list[str], weights: list[float] | None = None) -> list[str]:
        return [str(value) for value in rng.choice(values, count, p=weights)]

    turn_ms = rng.choice([0.0, 1.0, 3_999.4, 3_999.5, 4_000.0, 4_000.5, 8_192.0], count)
    turn_ms = np.where(rng.random(count) < 0.5, turn_ms, rng.lognormal(7.5, 0.6, count))
    columns = {
        "ended_at_ms": start_ms + rng.integers(0, span_ms, count),
        "session": rng.integers(0, sessions, count).astype(np.uint64),
        "region": some(["eu-west-1", "us-east-1"]),
        "pool": some(["realtime", "batch"], [0.9, 0.1]),
        "route": some(["support", "sales"]),
        "bundle": some(["v1", "v2"]),
        "language": some(["en", "de", "is", "cy"], [0.7, 0.2, 0.06, 0.04]),
        "device_class": some(["phone", "browser", "car"], [0.7, 0.2, 0.1]),
        **{name: rng.integers(0, 5_000, count) for name in ("audio_in_ms", "audio_out_ms", "tokens_in", "tokens_out")},
        "queue_wait_ms": np.minimum(turn_ms, rng.choice([0.0, 249.9, 250.0, 250.1], count)),
        "asr_first_partial_ms": np.where(turn_ms > 900, rng.choice([499.9, 500.0], count), np.nan),
        "first_audio_ms": np.where(rng.random(count) < 0.8, turn_ms * 0.45, np.nan),
        "turn_ms": turn_ms,
        "is_error": rng.random(count) < 0.1,
        "is_abandoned": rng.random(count) < 0.1,
        "is_retrieval_stale": rng.choice(np.array([True, False, None], dtype=object), count).tolist(),
        "is_privacy_error": rng.choice(np.array([True, False, None], dtype=object), count).tolist(),
    }
    frame = pl.DataFrame(columns).with_columns(pl.col(pl.Float64).fill_nan(None))
    absent = [pl.lit(None).alias(name) for name in TURN_COLUMNS if name not in frame.columns]
    return frame.with_columns(absent).select(pl.col(name).cast(dtype) for name, dtype in TURN_COLUMNS.items())


def duplex_world(seed: int, count: int = 200, span_ms: int = 60_000, start_ms: int = START_MS) -> pl.DataFrame:
    """Full-duplex events of every kind on and around their thresholds, some of which never came."""
    rng = np.random.default_rng(seed)

    def some(values: Sequence[object]) -> list[Any]:
        return [values[place] for place in rng.integers(0, len(values), count)]

    latencies: dict[str, Sequence[object]] = {
        "cue_to_backchannel_ms": [199.9, 200.0, 500.0, 800.0, 800.1, None],
        "stopped_after_ms": [0.0, 300.0, 300.1, None],
        "resolved_after_ms": [1_500.0, 1_500.1, None],
        "detected_after_ms": [200.0, 200.1, None],
        "context_age_ms": [400.0, 400.1, None],
        "safety_lead_ms": [-1.0, 0.0, 0.1, None],
        "gaps_ms": [[], [60.0], [60.1, 20.0], [61.0, 300.0]],
    }
    columns: dict[str, Any] = {
        "at_ms": start_ms + rng.integers(0, span_ms, count),
        "region": some(["eu-west-1", "us-east-1"]),
        "pool": some(["realtime", "batch"]),
        "route": some(["support", "sales"]),
        "bundle": some(["v1", "v2"]),
        "duplex_event": some(DIMENSIONS["duplex_event"].vocabulary),
        **{name: rng.random(count) < 0.5 for name in ("was_stopped", "answered_new_intent", "was_interrupted")},
        **{name: some(values) for name, values in latencies.items()},
        "frames_played": rng.integers(2, 400, count),
    }
    return pl.DataFrame(columns, schema_overrides=DUPLEX_COLUMNS).select(list(DUPLEX_COLUMNS))


def stream_changes(changes: Iterable[tuple[int, int, bool]], start_ms: int = START_MS) -> pl.DataFrame:
    """Changes as (ms after the start, session, is_start), all of one cell."""
    cell = {"region": "eu-west-1", "pool": "realtime", "route": "support", "bundle": "v1"}
    rows = [
        {"at_ms": start_ms + at, "session": session, "is_start": is_start, **cell} for at, session, is_start in changes
    ]
    return pl.DataFrame(rows, schema=STREAM_COLUMNS)


def rows_of(frames: Iterable[Frame], family: str, partition: str = "operational") -> pl.DataFrame:
    """The rows of these frames as intake reads and checks them, with producer and start of window."""
    read = [
        _read(frame)
        for frame in frames
        if (frame.header.family.name, frame.header.partition.name) == (family, partition)
    ]
    return pl.concat(read) if read else pl.DataFrame()


def _read(frame: Frame) -> pl.DataFrame:
    header = decode_header(frame.header.family.name, frame.headers)
    assert not isinstance(header, Rejected), header
    assert header == frame.header
    decoded = decode_rows(header, dict(frame.headers), frame.payload)
    assert not isinstance(decoded, Rejected), decoded
    rows = pl.DataFrame(pl.from_arrow(decoded[0]))
    assert violations(rows.with_columns(frame=pl.lit(0)), rows, header.family, header.partition) == {}
    return rows.with_columns(producer=pl.lit(header.producer), window_start_ms=pl.lit(header.window_start_ms))


def latency_columns() -> tuple[str, ...]:
    return tuple(LATENCIES.values())
