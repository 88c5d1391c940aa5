"""Releases: which hosts serve which artifact, from when they began and ended to.

Who serves what is a state that changes carry from window to window. A start that is told again while it lasts, and an end
of what was not served, are no news.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from producers.observations import RELEASE_COLUMNS, with_unsaid
from producers.sifting import Sifted, at_least_zero, known, one_of, sift
from schemas.families import RELEASES, PrivacyPartition
from schemas.refusals import Refusal

_CELL = (*RELEASES.dimensions, *RELEASES.key_names)
_SERVED = ("host", *_CELL)
"""What tells one thing that a host serves from another."""


@dataclass(frozen=True, slots=True)
class Served:
    """A window: who served what at its end, and the changes in it that were news."""

    live: pl.DataFrame
    changes: pl.DataFrame


def sift_releases(changes: pl.DataFrame) -> Sifted:
    """Keeps the changes of which host, artifact and time are known."""
    rules = [
        *known(Refusal.MALFORMED, "host", "is_start"),
        *at_least_zero("at_ms"),
        *(one_of(key.name, key.vocabulary) for key in RELEASES.keys),
    ]
    return sift(with_unsaid(changes, RELEASE_COLUMNS), rules, RELEASES.dimensions)


def nobody_serves() -> pl.DataFrame:
    """The state before anything was told."""
    return pl.DataFrame(schema=dict.fromkeys(_SERVED, pl.String))


def served(live: pl.DataFrame, changes: pl.DataFrame) -> Served:
    """The window after one whose end `live` is the state of. `changes` of one instant count in the order they came."""
    was_live = live.with_columns(was_live=pl.lit(True))
    told = changes.sort("at_ms", maintain_order=True).join(was_live, on=_SERVED, how="left", maintain_order="left")
    before = pl.col("is_start").shift(1).over(_SERVED)
    news = told.filter(pl.col("is_start") != before.fill_null(pl.col("was_live").fill_null(False)))
    last = news.unique(_SERVED, keep="last", maintain_order=True)
    stay = live.join(last, on=_SERVED, how="anti")
    return Served(pl.concat([stay, last.filter("is_start").select(_SERVED)]), news.drop("was_live"))


def release_rows(window: Served, partition: PrivacyPartition) -> pl.DataFrame:
    """One row per cell that hosts serve or that changed; where the last one has gone, a gauge of zero is said."""
    cell = [*partition.dimensions, *RELEASES.key_names]
    rows = pl.concat(
        [
            window.live.group_by(cell).agg(hosts=pl.len()),
            window.changes.group_by(cell).agg(
                deployments=pl.col("is_start").sum(), retirements=(~pl.col("is_start")).sum()
            ),
        ],
        how="diagonal_relaxed",
    )
    sums = [pl.col(name).sum().cast(pl.Int64) for name in RELEASES.measure_names]
    return rows.group_by(cell).agg(sums).sort(cell)
