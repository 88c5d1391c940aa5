"""Queues: what serving engines say of themselves: who waits, who is served, how full batches and caches are.

An engine is sampled several times in a window, without any session. A gauge is its last sample's. Depth is also told as a
pair, at the window's first and last instant, only of engines that were there at both: its growth is the sum of differences,
and an engine that came or went is no jump of it.
"""

from __future__ import annotations

from schemas.declarations import Cut, Family, Key, Measure, PrivacyPartition
from schemas.families.purposes import CAPACITY
from schemas.families.stages import PARTS

QUEUES = Family(
    name="queues",
    meaning="queues in front of each stage, what serves them, and how full its batches and caches are",
    kind="queues",
    purpose=CAPACITY,
    since_minor=2,
    partitions=(PrivacyPartition("operational", ("region", "pool", "bundle"), k_window_s=10),),
    keys=(Key("queue", "the stage that is waited for", vocabulary=PARTS),),
    measures=(
        Measure("depth", "requests", "requests that wait", merge="gauge"),
        Measure("running", "requests", "requests that are served", merge="gauge"),
        Measure("servers", "replicas", "replicas that serve", merge="gauge"),
        Measure("warm_streams", "streams", "streams that warm replicas could serve at once", merge="gauge"),
        Measure(
            "depth_from", "requests", "requests that waited at the window's start, of engines there at its end too"
        ),
        Measure("depth_to", "requests", "requests that waited at the window's end, of engines there at its start too"),
        Measure("arrivals", "requests", "requests that came"),
        Measure("served", "requests", "requests that were served to their end"),
        Measure("batch_arrivals", "requests", "requests of batch work among those that came", part_of="arrivals"),
        Measure("waited_ms_sum", "ms", "sum of the waits of those that began to be served"),
        Measure("busy_ms", "ms", "time that replicas were serving, replica by replica"),
        Measure("available_ms", "ms", "time that replicas were there, replica by replica"),
        Measure("batch_slots", "slots", "places in batches, step by step"),
        Measure("batch_slots_filled", "slots", "places in batches that a request filled", part_of="batch_slots"),
        Measure("kv_blocks", "blocks", "blocks of KV cache", merge="gauge"),
        Measure("kv_blocks_used", "blocks", "blocks of KV cache in use", merge="gauge", part_of="kv_blocks"),
        Measure("preemptions", "requests", "requests that were put back for want of cache"),
        Measure("drafts_proposed", "tokens", "tokens that speculative decoding proposed"),
        Measure("drafts_accepted", "tokens", "proposed tokens that were accepted", part_of="drafts_proposed"),
    ),
    cuts=(
        Cut("operational", ("pool",)),
        Cut("operational", ("pool", "region")),
        Cut("operational", ("pool", "bundle")),
    ),
)
