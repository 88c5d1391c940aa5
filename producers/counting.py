"""Counting: the rows that the observations of one window give, whatever their family; and which of them can be right.

Two kinds carry a state from window to window and are counted by themselves: `streams` (who is on a call, `aggregate.py`) and
`releases` (who serves what, `releases.py`).
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from producers.aggregate import outcome_rows, stage_rows, tenant_rows, turn_rows
from producers.aggregated import ROW_KINDS, sift_rows
from producers.costs import cost_rows, sift_costs
from producers.duplex import duplex_rows, sift_duplex
from producers.observations import sift_stream_changes, sift_turns
from producers.quality import quality_rows, sift_quality
from producers.queues import queue_rows, sift_queues
from producers.releases import sift_releases
from producers.sifting import Sifted
from schemas.families import Family, PrivacyPartition

_SIFTS: dict[str, Callable[[pl.DataFrame], Sifted]] = {
    "turns": sift_turns,
    "streams": sift_stream_changes,
    "duplex": sift_duplex,
    "queues": sift_queues,
    "quality": sift_quality,
    "costs": sift_costs,
    "releases": sift_releases,
}

_ROWS: dict[str, Callable[[pl.DataFrame, PrivacyPartition], pl.DataFrame]] = {
    "turns": turn_rows,
    "outcomes": outcome_rows,
    "tenants": tenant_rows,
    "stages": lambda turns, _: stage_rows(turns),
    "duplex": lambda events, _: duplex_rows(events),
    "queues": queue_rows,
    "quality": quality_rows,
    "costs": cost_rows,
}


def sifted(kind: str, observations: pl.DataFrame) -> Sifted:
    """The observations of a kind that may be counted, and how many were refused for which reason."""
    return sift_rows(kind, observations) if kind in ROW_KINDS else _SIFTS[kind](observations)


def rows_of(family: Family, partition: PrivacyPartition, observations: pl.DataFrame) -> pl.DataFrame:
    """The rows of one window of a partition, from sound observations of the family's kind: dimensions, keys, measures."""
    return _ROWS[family.name](observations, partition)
