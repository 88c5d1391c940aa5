"""What else happened to the fleet of `tests.board.world`: queues, full-duplex events, costs, labelled calls, drift, late rows.

Every table is drawn for cells of the finest cut and grouped into the family's cuts by the same few lines, so that what a
panel shows can be recomputed from `happened` by other means. From the world's incident on, `v2-canary` waits for its LLM, misses
barge-ins and costs more; one accent is understood worse since a day and a half.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from schemas.families import COSTS, DUPLEX, QUALITY, QUEUES
from tests.board.world_cells import Timed, by_cut, landed
from tests.board.world_costs import costs, spend
from tests.board.world_findings import findings, late_turns
from tests.board.world_quality import drift, quality
from tests.board.world_queues import buckets_of, duplex, fine, judged, minutes, queues


@dataclass(frozen=True, slots=True)
class More:
    """`happened` has the finest cells of a family; `rows` is what landed, table by table."""

    happened: dict[str, pl.DataFrame]
    rows: dict[str, pa.Table]


def more(seed: int, world: Timed) -> More:
    random = np.random.default_rng(seed)
    buckets = buckets_of(world)
    happened = {
        "queues": queues(random, buckets, world.incident_ms),
        "duplex": duplex(random, buckets, world.incident_ms),
        "costs": costs(random, world),
        "quality": quality(random, world),
        "drift": drift(random, world),
        "late": late_turns(random, world),
    }
    rows: dict[str, pa.Table] = {}
    gauges = frozenset(measure.name for measure in QUEUES.measures if measure.merge == "gauge")
    for suffix, frames in (("10s", fine), ("1m", minutes)):
        rows[f"queues_{suffix}"] = landed(
            f"queues_{suffix}", by_cut(frames(happened["queues"], gauges), QUEUES, ("queue",), QUEUES.measure_names)
        )
        events = frames(happened["duplex"])
        rows[f"duplex_events_{suffix}"] = landed(f"duplex_events_{suffix}", by_cut(events, DUPLEX, (), ("events",)))
        rows[f"burn_rate_{suffix}"] = landed(f"burn_rate_{suffix}", judged(events))
    rows["costs_10m"] = landed("costs_10m", by_cut(happened["costs"], COSTS, (), COSTS.measure_names))
    rows["spend_10m"] = landed("spend_10m", spend(happened["costs"]))
    rows["quality_1h"] = landed("quality_1h", by_cut(happened["quality"], QUALITY, (), QUALITY.measure_names))
    rows["drift_1h"] = landed("drift_1h", happened["drift"])
    rows["turns_late"] = landed("turns_late", happened["late"])
    rows["findings"] = landed("findings", findings(world))
    return More(happened, rows)
