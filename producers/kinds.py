"""Kinds of observations: their columns, when one happened, and which families count it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from producers.aggregated import FAMILY_OF_KIND, ROW_KINDS
from producers.duplex import DUPLEX_COLUMNS
from producers.observations import KINDS as COLUMNS
from schemas.families import FAMILIES, PRIVACY, Family


@dataclass(frozen=True, slots=True)
class Kind:
    """`time` is the column of the event time, in ms since the epoch; `none` is a table without observations. Of several families
    that count the kind the first is the one that is called so."""

    name: str
    columns: Mapping[str, pl.DataType]
    time: str
    families: tuple[Family, ...]
    none: pl.DataFrame


def _kind(name: str, columns: Mapping[str, pl.DataType]) -> Kind:
    families = tuple(family for family in FAMILIES.values() if family.kind == name)
    time = "ended_at_ms" if name == "turns" else "at_ms"
    return Kind(name, columns, time, families, pl.DataFrame(schema=dict(columns)))


def _of_rows(name: str, family: Family) -> Kind:
    """Rows that come aggregated: heartbeats count each as an observation. What `privacy` is told of is none of any family."""
    columns = ROW_KINDS[name]
    families = () if family is PRIVACY else (family,)
    return Kind(name, columns, "at_ms", families, pl.DataFrame(schema=columns))


KINDS: dict[str, Kind] = {
    **{name: _kind(name, columns) for name, columns in {**COLUMNS, "duplex": DUPLEX_COLUMNS}.items()},
    **{name: _of_rows(name, family) for name, family in FAMILY_OF_KIND.items()},
}

OF_STATE = ("streams", "queues", "releases")
"""Kinds that are counted from window to window: whether a change counts, or by how much a queue grew, depends on what was
before. They have windows of their own (`producers/stream_windows.py`, `producers/engine_windows.py`)."""
