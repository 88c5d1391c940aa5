"""Seeded observations of the kinds that one session in many, or none, has: samples, labels, bills, deployments; and outcomes."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import polars as pl

from producers.observations import COST_COLUMNS, KINDS, QUALITY_COLUMNS, QUEUE_COLUMNS, TURN_COLUMNS
from schemas.families import ARTIFACT_KINDS, COSTS, PARTS, QUALITY, QUEUES, Family
from tests.producers.worlds import START_MS, turns_world
from turnwatch.bench.fuzz.specimens import dimension_values

Row = dict[str, Any]


def outcomes_world(seed: int, count: int = 300) -> pl.DataFrame:
    """Turns of which everything is known that a turn may say, some interrupted."""
    dice = Random(seed)
    claims = ("is_interrupted", "is_success", "is_handoff", "is_cancelled", "is_refused", "is_synthetic_voice")
    rows = turns_world(seed, count).to_dicts()
    for row in rows:
        row |= {name: dice.choice((True, False, None)) for name in claims}
        row |= {
            name: dice.choice(dimension_values(name)) for name in ("tenant", "client_version", "connection", "codec")
        }
        row |= {
            name: dice.randrange(5) for name in ("retries", "fallbacks", "shadows", "tokens_cached", "tokens_audio")
        }
        row |= {"tool_calls": 3, "tool_calls_unsafe": dice.randrange(4), "chunks": 9, "chunks_late": dice.randrange(10)}
        row["jitter_ms"] = dice.choice((None, 0.0, 1.49, 1.5, 30.0))
    return pl.DataFrame(rows, schema=TURN_COLUMNS)


def samples(seed: int, count: int = 120) -> pl.DataFrame:
    """Samples of a few engines in one window, several of some, in any order; an engine may change its bundle meanwhile."""
    dice = Random(seed)

    def row() -> Row:
        host = dice.randrange(6)
        said = {"at_ms": START_MS + dice.randrange(10) * 1_000, "host": f"gpu-{host}"}
        stands = {"region": dimension_values("region")[host % 2], "pool": dimension_values("pool")[host // 5]}
        serves = {"bundle": "v2" if dice.random() < 0.2 else "v1", "queue": dice.choice(PARTS[:3])}
        return said | stands | serves | _amounts(QUEUES, dice)

    return _table([row() for _ in range(count)], QUEUE_COLUMNS)


def labels(seed: int, count: int = 200) -> pl.DataFrame:
    return _sessions(QUALITY, QUALITY_COLUMNS, seed, count)


def bills(seed: int, count: int = 200) -> pl.DataFrame:
    """Lines of no turn, one and several."""
    return _sessions(COSTS, COST_COLUMNS, seed, count)


def deployments(seed: int, count: int = 80) -> pl.DataFrame:
    """Starts and ends of few things, many of them told again."""
    dice = Random(seed)

    def row() -> Row:
        said = {"at_ms": START_MS + dice.randrange(10_000), "host": f"gpu-{dice.randrange(3)}"}
        of = {"region": "eu-west-1", "pool": "realtime", "bundle": dice.choice(("v1", "v2")), "artifact": "asr-7"}
        return said | of | {"artifact_kind": dice.choice(ARTIFACT_KINDS[:2]), "is_start": dice.random() < 0.5}

    return _table([row() for _ in range(count)], KINDS["releases"])


OBSERVED: dict[str, Callable[[int], pl.DataFrame]] = {
    "turns": outcomes_world,
    "queues": samples,
    "quality": labels,
    "costs": bills,
    "releases": deployments,
}
"""By kind; all of it sound."""


def _sessions(family: Family, columns: dict[str, pl.DataType], seed: int, count: int) -> pl.DataFrame:
    dice = Random(seed)
    rows = [
        {"at_ms": START_MS + dice.randrange(600_000), "session": dice.randrange(50)}
        | _dimensions(family, dice)
        | _amounts(family, dice)
        for _ in range(count)
    ]
    return _table(rows, columns)


def _dimensions(family: Family, dice: Random) -> Row:
    return {name: dice.choice(dimension_values(name)[:2]) for name in family.dimensions}


def _amounts(family: Family, dice: Random) -> Row:
    row: Row = {}
    for measure in family.measures:
        row[measure.name] = dice.randrange(1 + (row[measure.part_of] if measure.part_of else 30))
    return row


def _table(rows: list[Row], columns: dict[str, pl.DataType]) -> pl.DataFrame:
    return pl.DataFrame([{name: row[name] for name in columns} for row in rows], schema=columns)
