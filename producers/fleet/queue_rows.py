"""What the engines of a group show at the first and last instant of a step: rows of kind `queues`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

from producers.fleet.engine_load import KV_BLOCKS_PER_GPU
from producers.fleet.fleet_file import Fleet, Station
from producers.fleet.pool_servers import QUEUE_OF, Group, Servers, mean_service_ms, slots_of
from producers.fleet.rows import producer_of
from producers.fleet.stations import Sample
from producers.fleet.timeline import STEP_MS
from producers.observations import QUEUE_COLUMNS

WARM_UTILISATION = 0.7
"""Of the lanes that are counted on when warm replicas are told as streams that they could serve."""


def queue_rows(
    servers: Mapping[Group, Servers], fleet: Fleet, start_ms: int, begin_ms: int, silent: set[str]
) -> pl.DataFrame:
    """Two samples of each station: gauges as the step begins, and gauges with the step's counters as it ends."""
    rows = [
        row
        for group, each in servers.items()
        for name, sample in each.samples(begin_ms - start_ms)
        if group[0] not in silent
        for row in _rows(fleet, each, name, sample, begin_ms)
    ]
    return pl.DataFrame(rows, schema={"producer": pl.String(), **QUEUE_COLUMNS}, orient="row", infer_schema_length=None)


def _rows(
    fleet: Fleet, servers: Servers, name: Station, sample: Sample, begin_ms: int
) -> Iterator[dict[str, str | int]]:
    region, pool, bundle = servers.group
    said: dict[str, str | int] = {name: 0 for name, dtype in QUEUE_COLUMNS.items() if dtype == pl.Int64()}
    said |= {
        "producer": producer_of(region, 0),
        "host": f"{region}-{bundle}-{name}",
        "region": region,
        "pool": pool,
        "bundle": bundle,
        "queue": QUEUE_OF[name],
    }
    gauges = _gauges(fleet, servers, name, sample)
    yield {**said, **gauges, "at_ms": begin_ms, "depth": sample.depth_from}
    counters = _counters(fleet, servers, name, sample)
    yield {**said, **gauges, **counters, "at_ms": begin_ms + STEP_MS - 1, "depth": sample.depth_to}


def _gauges(fleet: Fleet, servers: Servers, name: Station, sample: Sample) -> dict[str, int]:
    lanes = sample.servers * slots_of(fleet, name)
    lane_share = fleet.turns_per_call_s / 1_000 * mean_service_ms(fleet, name)
    gauges = {"servers": sample.servers, "warm_streams": round(lanes * WARM_UTILISATION / lane_share)}
    if name != "llm":
        return {**gauges, "running": sample.running}
    used = servers.engine.kv_blocks_used(servers.running, servers.prompt_tokens_mean)
    return {
        **gauges,
        "running": round(servers.running * sample.servers),
        "kv_blocks": KV_BLOCKS_PER_GPU * sample.servers,
        "kv_blocks_used": round(used * sample.servers),
    }


def _counters(fleet: Fleet, servers: Servers, name: Station, sample: Sample) -> dict[str, int]:
    counters = {
        "arrivals": sample.arrivals,
        "served": sample.served,
        "batch_arrivals": round(sample.arrivals * servers.batch_share),
        "waited_ms_sum": round(sample.waited_ms),
        "busy_ms": round(sample.busy_ms),
        "available_ms": sample.servers * STEP_MS,
    }
    if name != "llm":
        service_ms = float(getattr(fleet.servers, name).service_ms)
        lanes = sample.servers * slots_of(fleet, name)
        filled = min(lanes * STEP_MS, sample.busy_ms * slots_of(fleet, name)) / service_ms
        return {**counters, "batch_slots": round(lanes * STEP_MS / service_ms), "batch_slots_filled": round(filled)}
    steps = STEP_MS / servers.engine.step_ms(servers.running) * sample.servers
    proposed = servers.tokens_out * fleet.draft_tokens / (1 + fleet.draft_tokens * fleet.draft_acceptance)
    return {
        **counters,
        "batch_slots": round(steps * servers.engine.model.slots),
        "batch_slots_filled": round(steps * servers.running),
        "drafts_proposed": round(proposed),
        "drafts_accepted": round(proposed * fleet.draft_acceptance),
    }
