"""Episodes: from when until when a queue was saturated, or a realtime pool had batch work, without flapping in between.

One begins with the first minute that shows it, so it is early, and ends after `QUIET_MINUTES` minutes in a row that were
complete and showed nothing, so a pause is no end. A minute that 95 % of recent volume have not reported ends nothing. While
a saturation lasts it is enough to hold it that the queue grows, or is slow and still a minute's growth deeper than it was
before: a queue that has stopped growing at its worst has not recovered. An episode that was a page once stays one.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from schemas.families import QUEUES
from stream_jobs.operators.saturation.queue_minutes import PAIR
from stream_jobs.operators.saved_rows import SavedRows
from stream_jobs.operators.totals.blocks import Block

QUIET_MINUTES = 5
IDENTITY = ["alert", *PAIR]
ORIGIN = {
    "grew_ms": pl.Int64,
    "base_depth": pl.Int64,
    "first_queue": pl.String,
    "first_ms": pl.Int64,
    "deployed_ms": pl.Int64,
    "arrivals_min_before": pl.Float64,
    "service_ms_before": pl.Float64,
    "servers_before": pl.Int64,
}
"""How an episode came about, which it keeps for as long as it lasts: `grew_ms` and `base_depth` are when and from what its
queue began to grow, `first_queue` and `first_ms` those of the slice's queue that did so first, `deployed_ms` is when its
bundle was deployed, where that was new then, and `_before` are figures of before it grew (`queue_figures.before`)."""
SHOWN = {**dict.fromkeys(IDENTITY, pl.String), **ORIGIN}
"""What a minute shows: what goes on, and what begins, with its origin."""
COLUMNS = {**SHOWN, "since_ms": pl.Int64, "quiet_minutes": pl.Int64, "is_page": pl.Boolean}


class QueueEpisodes:
    """The open episodes of one shard."""

    def __init__(self) -> None:
        self._open = pl.DataFrame(schema=COLUMNS)
        self._is_unsaved = False
        self._saved = SavedRows(f"{QUEUES.name}|held", COLUMNS)

    @property
    def open(self) -> pl.DataFrame:
        return self._open

    def step(self, shown: pl.DataFrame, at_ms: int, is_complete: bool) -> None:
        """One minute: `shown` (`SHOWN`) begins or goes on; what is open and not shown comes nearer to its end."""
        going_on = self._open.join(shown, on=IDENTITY, how="semi").with_columns(quiet_minutes=pl.lit(0, pl.Int64))
        missing = self._open.join(shown, on=IDENTITY, how="anti")
        quiet = missing.with_columns(pl.col("quiet_minutes") + int(is_complete))
        begun = shown.join(self._open, on=IDENTITY, how="anti").with_columns(
            since_ms=pl.lit(at_ms, pl.Int64), quiet_minutes=pl.lit(0, pl.Int64), is_page=pl.lit(False)
        )
        parts = [going_on, quiet.filter(pl.col("quiet_minutes") < QUIET_MINUTES), begun.select(COLUMNS.keys())]
        self._take(pl.concat(parts).sort(IDENTITY))

    def wake(self, pages: pl.DataFrame) -> None:
        """Those of these identities are pages from now on."""
        woken = pages.select(IDENTITY).unique().with_columns(woken=pl.lit(True))
        joined = self._open.join(woken, on=IDENTITY, how="left", maintain_order="left")
        is_page = pl.col("is_page") | pl.col("woken").fill_null(False)
        self._take(joined.with_columns(is_page=is_page).select(COLUMNS.keys()))

    def unsaved_blocks(self, applied_offset: int) -> Iterator[Block]:
        """All of them where something changed since the last call."""
        if self._is_unsaved:
            self._is_unsaved = False
            yield from self._saved.blocks(self._open, applied_offset)

    def restore(self, stored: dict[bytes, bytes]) -> None:
        """Takes up what `unsaved_blocks` wrote, among other blocks."""
        self._open = self._saved.restored(stored)

    def _take(self, episodes: pl.DataFrame) -> None:
        self._is_unsaved = self._is_unsaved or not episodes.equals(self._open)
        self._open = episodes
