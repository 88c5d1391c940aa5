"""Which hosts begin and end to serve what: rows of kind `releases`, from a scenario's deployments.

A bundle is one artifact here, of kind `bundle`; its engines are the hosts, one for each region and station.
"""

from __future__ import annotations

import polars as pl

from producers.fleet.crowd import bundle_shares
from producers.fleet.pool_servers import AUDIO_STATIONS, STATION_NAMES
from producers.fleet.rows import producer_of
from producers.fleet.scenario_file import ScenarioFile
from producers.fleet.timeline import STEP_MS
from producers.observations import RELEASE_COLUMNS
from schemas.instants import MINUTE_MS


def release_rows(scenario: ScenarioFile, start_ms: int, begin_ms: int, is_first: bool) -> pl.DataFrame:
    """What hosts begin or end to serve in the step; in the first one, everything that is served."""
    rows = []
    for pool in scenario.fleet.pools:
        now = _served(scenario, pool, (begin_ms - start_ms) / MINUTE_MS)
        before = set() if is_first else _served(scenario, pool, (begin_ms - start_ms - STEP_MS) / MINUTE_MS)
        rows += [
            {**row, "is_start": bundle in now}
            for bundle in sorted(now ^ before)
            for row in _hosts(scenario, pool, bundle, begin_ms)
        ]
    return pl.DataFrame(rows, schema={"producer": pl.String(), **RELEASE_COLUMNS}, orient="row")


def _served(scenario: ScenarioFile, pool: str, minute: float) -> set[str]:
    """The bundles that new calls of the pool may get."""
    return {bundle for bundle, share in bundle_shares(scenario, scenario.fleet, pool, minute).items() if share > 0}


def _hosts(scenario: ScenarioFile, pool: str, bundle: str, begin_ms: int) -> list[dict[str, object]]:
    has_audio = scenario.fleet.pools[pool].has_audio  # type: ignore[index]  # The names of pools are those of the fleet.
    return [
        {
            "producer": producer_of(region, 0),
            "at_ms": begin_ms,
            "host": f"{region}-{bundle}-{station}",
            "region": region,
            "pool": pool,
            "bundle": bundle,
            "artifact": bundle,
            "artifact_kind": "bundle",
        }
        for region in scenario.fleet.regions
        for station in STATION_NAMES
        if has_audio or station not in AUDIO_STATIONS
    ]
