"""Queues as the saturation watch is told of them: whole minutes of totals, and how far a shard has come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from schemas.families import QUEUES, RELEASES, SCALE_OF_STAGE, Family
from schemas.findings import Finding, Findings, decode
from schemas.histograms import bucket_indexes
from stream_jobs.operators.saturation.watch import SaturationWatch
from tests.operators.worlds import START_MS

MINUTE_MS = 60_000
POOL = "pool=realtime"
LLM = "llm_first_token"
FAST, SLOW = [300.0] * 100, [300.0] * 90 + [1_300.0] * 10
"""Latencies of a minute in ms: below what counts as slow, and beyond it."""
CANARY = "pool=realtime,bundle=voice-2.5.0"
SATURATED, BATCH = "Saturated", "BatchOnRealtimePool"
Queue = Mapping[str, int]


def queue(depth: int, before: int | None = None, **measures: int) -> dict[str, int]:
    """A minute of four replicas that serve 600 requests of 200 ms, half of what they could."""
    served = measures.get("served", 600)
    change = 0 if before is None else depth - before
    usual = {
        "depth": depth,
        "depth_from": depth - change,
        "depth_to": depth,
        "servers": 4,
        "arrivals": served + change,
        "served": served,
        "busy_ms": 120_000,
        "available_ms": 240_000,
    }
    return dict.fromkeys(QUEUES.measure_names, 0) | usual | measures


def queue_minute(number: int, queues: Mapping[tuple[str, str], Queue]) -> pl.DataFrame:
    """Totals of one minute; `queues` by slice and queue."""
    start_ms = START_MS + number * MINUTE_MS
    rows = [
        {"bucket_start_ms": start_ms, "slice": text, "queue": name, **measures, "version": 1}
        for (text, name), measures in queues.items()
    ]
    schema = {"bucket_start_ms": pl.Int64, "slice": pl.String, "queue": pl.String}
    return pl.DataFrame(rows, schema={**schema, **dict.fromkeys((*QUEUES.measure_names, "version"), pl.Int64)})


def stage_minute(number: int, latencies: Mapping[tuple[str, str], np.ndarray | list[float]]) -> pl.DataFrame:
    """Totals of one minute; `latencies` in ms by slice and stage."""
    rows: list[dict[str, Any]] = []
    for (text, stage), values in latencies.items():
        scale = SCALE_OF_STAGE[stage]
        found, counts = np.unique(bucket_indexes(np.asarray(values, dtype=float), scale), return_counts=True)
        start = {"bucket_start_ms": START_MS + number * MINUTE_MS, "slice": text, "stage": stage, "scale": scale}
        for index, count in zip(found.tolist(), counts.tolist(), strict=True):
            rows.append({**start, "bucket_index": index, "observations": count, "latency_ms_sum": 0, "version": 1})
    return pl.DataFrame(rows)


def release_minute(number: int, slices: Mapping[str, tuple[int, int]]) -> pl.DataFrame:
    """Totals of one minute; hosts and deployments by slice."""
    rows = [
        {
            "bucket_start_ms": START_MS + number * MINUTE_MS,
            "slice": text,
            "artifact_kind": "bundle",
            "hosts": hosts,
            "deployments": deployments,
            "retirements": 0,
            "version": 1,
        }
        for text, (hosts, deployments) in slices.items()
    ]
    assert all(set(RELEASES.measure_names) <= row.keys() for row in rows)
    return pl.DataFrame(rows)


@dataclass
class Knowledge:
    """A shard that has decided everything up to `until_ms`."""

    until_ms: int = 0
    share: float = 1.0
    behind_ms: dict[str, int] = field(default_factory=dict)
    """By family, how far it is behind."""

    @property
    def now_ms(self) -> int:
        return self.until_ms

    def is_open(self, family: Family, bucket_start_ms: int) -> bool:
        return True

    def decidable_until_ms(self, family: Family) -> int:
        return self.until_ms - self.behind_ms.get(family.name, 0)

    def completeness(self, family: Family, bucket_end_ms: int) -> float:
        return self.share


def stated(watch: SaturationWatch, number: int, share: float = 1.0) -> list[Findings]:
    """What is stated once minute `number` is over."""
    known = Knowledge(START_MS + (number + 1) * MINUTE_MS, share)
    return [decode(each.payload) for each in watch.statements(known)]


def found(watch: SaturationWatch, number: int, share: float = 1.0) -> dict[tuple[str, str], Finding]:
    """The findings once minute `number` is over, by alert and slice."""
    (said,) = stated(watch, number, share)
    return {(each.alert, each.slice): each for each in said.findings}
