"""A recorded load test (`vllm_load_test`) as the saturation watch is told of it: one engine at twelve loads, each a slice.

The engine had been idle before, so two idle minutes come first. Depth is the last sample of pending requests in a minute,
latencies are times to the first token of those that got it in the minute; nothing else is told of an engine that nobody counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from producers.traces import detail_logs, read_detail_log, scale_of
from schemas.families import QUEUES, STAGE_LATENCIES
from schemas.findings import Finding
from stream_jobs.operators.saturation.watch import SaturationWatch
from tests.operators.queue_worlds import LLM, MINUTE_MS, found, queue_minute, stage_minute
from tests.operators.worlds import START_MS

IDLE_MINUTES = 2


@dataclass(frozen=True, slots=True)
class Load:
    """One load: samples (at_s, pending) and first tokens (at_s, first_token_ms), counted from its first request."""

    scale: int
    samples: pl.DataFrame
    firsts: pl.DataFrame

    @property
    def pending_max(self) -> int:
        return int(self.samples["pending"].max())  # type: ignore[arg-type]

    def first_at_s(self, pending: int) -> float | None:
        """When so many were pending first."""
        return self.samples.filter(pl.col("pending") >= pending)["at_s"].min()  # type: ignore[return-value]


def loads(directory: Path) -> Iterator[Load]:
    for log in detail_logs(directory):
        samples = pl.read_csv(
            directory / "vllm_log" / log.name.replace("detail_log", "vllm_log").replace("json", "csv")
        )
        at_s = (pl.col("timestamp") - pl.col("timestamp").first()).alias("at_s")
        first_s = ((pl.col("arrived_ms") + pl.col("first_token_ms")) / 1_000).alias("at_s")
        firsts = read_detail_log(log).select(first_s, "first_token_ms")
        yield Load(scale_of(log), samples.select(at_s, pending="num_pending"), firsts)


def slice_of(load: Load) -> str:
    return f"pool=realtime,bundle=scale-{load.scale}"


def found_by_minute(recorded: list[Load], phase_s: float, minutes: int = 9) -> list[dict[str, Finding]]:
    """What is found at the end of each minute, by slice; the loads begin `phase_s` into the third one."""
    watch, said = SaturationWatch(0), []
    depths = dict.fromkeys(map(slice_of, recorded), 0)
    for number in range(minutes):
        begin_s = (number - IDLE_MINUTES) * 60 - phase_s
        inside = pl.col("at_s").is_between(begin_s, begin_s + 60, closed="left")
        queues, stages = {}, {}
        for load in recorded:
            text, before = slice_of(load), depths[slice_of(load)]
            last = load.samples.filter(pl.col("at_s") < begin_s + 60).tail(1)["pending"].to_list()
            depths[text] = last[0] if last else 0
            firsts = load.firsts.filter(inside)["first_token_ms"].to_list()
            pair = {"depth_from": before, "depth_to": depths[text], "depth": depths[text]}
            change = depths[text] - before
            queues[text, LLM] = {**_EMPTY, **pair, "arrivals": max(0, len(firsts) + change), "served": len(firsts)}
            if firsts:
                stages[text, LLM] = firsts
        watch.tell(QUEUES, queue_minute(number, queues), START_MS)
        if stages:
            watch.tell(STAGE_LATENCIES, stage_minute(number, stages), START_MS)
        said.append({text: each for (_, text), each in found(watch, number).items()})
    return said


_EMPTY = dict.fromkeys(QUEUES.measure_names, 0)


def delay_s(load: Load, said: list[dict[str, Finding]], phase_s: float, pending: int = 25) -> float | None:
    """From when so many were pending to the end of the minute that finds it; `None` where it is not found."""
    numbers = [number for number, each in enumerate(said) if slice_of(load) in each]
    first_s = load.first_at_s(pending)
    if not numbers or first_s is None:
        return None
    return ((numbers[0] + 1 - IDLE_MINUTES) * MINUTE_MS) / 1_000 - phase_s - first_s
