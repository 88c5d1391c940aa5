"""What turns and replicas used of what has a price: rows of kind `costs`, and what that costs by the fleet's prices.

A turn has a row for the language model, with its attempts and tokens, and one for each other station that it came to. What
replicas were there for, idle or not, is a row of each station without a session. Prices are data, applied to uses: a row
never carries money.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from producers.fleet.fleet_file import Fleet, Station
from producers.fleet.pool_servers import Group, Servers
from producers.fleet.rows import producer_of
from producers.fleet.table import Table
from producers.fleet.timeline import STEP_MS
from producers.observations import COST_COLUMNS

Values = dict[str, "NDArray[Any] | pl.Series"]

SHARED_ROUTE = "shared"
"""The route of what no turn used."""
MS_PER_HOUR = 3_600_000


def turn_values(fleet: Fleet, station: Station, ended: Table) -> tuple[NDArray[np.intp], Values]:
    """The places of the turns that came to a station, and the values of their rows."""
    used_ms = np.asarray(ended.values[f"gpu_{station}_ms"], dtype=float)
    came = np.flatnonzero(used_ms > 0)
    said, count = fleet.models[station], len(came)
    values: Values = {
        "at_ms": ended.values["ended_at_ms"][came],
        **{
            name: pl.repeat(getattr(said, name), count, eager=True)
            for name in ("model_version", "gpu_type", "purchase")
        },
        **{name: pl.repeat(0, count, dtype=pl.Int64, eager=True) for name in _COUNTS},
        "gpu_used_ms": np.rint(used_ms[came]).astype(np.int64),
    }
    if station == "llm":
        values |= {name: column[came] for name, column in _llm_counts(fleet, ended).items()}
    return came, values


_COUNTS = tuple(name for name, dtype in COST_COLUMNS.items() if dtype == pl.Int64() and name not in ("at_ms",))


def _llm_counts(fleet: Fleet, ended: Table) -> dict[str, NDArray[np.int64]]:
    """Turns, attempts and tokens: told with the language model, once. Each attempt has the tokens of the turn again."""
    values = {name: np.asarray(column) for name, column in ended.values.items()}
    success = values["is_success"].astype(np.int64)
    retried, fallback, shadow = (values[name].astype(np.int64) for name in ("retries", "fallbacks", "shadows"))
    usual = values["tokens_in"] - values["carried_extra"]
    prompt = np.floor(usual * fleet.prompt_parts["prompt"])
    carried = np.floor(usual * fleet.prompt_parts["carried"])
    looks_up = ~np.isnan(values["retrieval_ms"])
    rest = usual - prompt - carried
    retrieved = np.where(looks_up, rest, 0)
    attempts = 1 + retried + fallback + shadow
    counts = {
        "turns": np.ones(len(success)),
        "successes": success,
        "success_audio_ms": success * (values["audio_in_ms"] + values["audio_out_ms"]),
        "attempts": attempts,
        "attempts_retried": retried,
        "attempts_fallback": fallback,
        "attempts_shadow": shadow,
        "tokens_prompt": attempts * (prompt + rest - retrieved),
        "tokens_carried": attempts * (carried + values["carried_extra"]),
        "tokens_retrieved": attempts * retrieved,
        "tokens_cached": attempts * values["tokens_cached"],
        "tokens_out": attempts * values["tokens_out"],
        "tokens_audio": attempts * values["tokens_audio"],
        "chunks_retrieved": np.ceil(retrieved / 256),
    }
    return {name: np.asarray(column).astype(np.int64) for name, column in counts.items()}


def reserved_rows(servers: dict[Group, Servers], fleet: Fleet, begin_ms: int, silent: set[str]) -> pl.DataFrame:
    """GPU time that was there in the step, station by station; of a region that is dead it is paid for and not told."""
    rows = []
    for (region, pool, bundle), each in servers.items():
        for name, station in each.stations.items():
            said = fleet.models[name]
            row = {"producer": producer_of(region, 0), "at_ms": begin_ms, "region": region, "pool": pool}
            row |= {"bundle": bundle, "route": SHARED_ROUTE, "gpu_reserved_ms": station.gpus * STEP_MS}
            row |= {key: getattr(said, key) for key in ("model_version", "gpu_type", "purchase")}
            rows += [] if region in silent else [{**dict.fromkeys(_COUNTS, 0), "tenant": "*", **row}]
    return pl.DataFrame(rows, schema={"producer": pl.String(), **COST_COLUMNS}, orient="row")


def dollars(fleet: Fleet, gpu_ms: dict[Station, float]) -> float:
    """What so much GPU time of each station costs."""
    return sum(gpu_ms[name] / MS_PER_HOUR * fleet.models[name].dollars_per_gpu_hour for name in gpu_ms)
