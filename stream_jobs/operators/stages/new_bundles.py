"""New bundles: since when the bundle of a slice is served there, and whether that began with a deployment.

A bundle is new for an hour (`WITHIN_MS`) from the first minute in which hosts serve it, where none did in the hour before. So a
host more or a host that begins again and again makes nothing new, nor does a bundle that is back within the hour. Nothing
is said of what began in the first minutes that a shard knows: whoever starts to tell tells everything that is served.
Memory is a row of 60 bytes for each slice that was served in the last `WITHIN_MS` and `CLIMB_MS`.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from schemas.families import QUEUES, RELEASES
from schemas.instants import MINUTE_MS
from stream_jobs.operators.saturation.queue_pressure import CLIMB_MS
from stream_jobs.operators.saved_rows import SavedRows
from stream_jobs.operators.totals.blocks import Block

WITHIN_MS = 60 * MINUTE_MS
SETTLED_MS = 5 * MINUTE_MS
"""After the first minute that a shard knows, before a deployment is news."""
_COLUMNS = {"slice": pl.String, "served_ms": pl.Int64, "heard_ms": pl.Int64, "is_deployed": pl.Boolean}
"""Of a slice: the first and the newest minute in which hosts served its bundle, and whether any began to in the first one."""


class NewBundles:
    """Since when the bundles of one shard's slices are served."""

    def __init__(self) -> None:
        self._told = pl.DataFrame(schema=_COLUMNS)
        self._first_ms = 0
        self._is_unsaved = False
        self._saved = SavedRows(f"{QUEUES.name}|slices|{RELEASES.name}", _COLUMNS)

    def tell(self, totals: pl.DataFrame, oldest_open_ms: int) -> None:
        """Takes whole minutes as they are known now; columns as `RELEASES` has them, by minute and slice.

        Those before `oldest_open_ms` are told no more; where nobody tells queues this is what lets go of old ones.
        """
        first_ms = int(totals["bucket_start_ms"].min() or 0)  # type: ignore[arg-type]
        self._first_ms = min(self._first_ms or first_ms, first_ms)
        served = totals.filter((pl.col("hosts") > 0) | (pl.col("deployments") > 0))
        # A host serves artifacts of several kinds, which it begins to together.
        minutes = served.group_by("bucket_start_ms", "slice").agg(is_deployed=(pl.col("deployments") > 0).any())
        for (start_ms,), minute in sorted(minutes.partition_by("bucket_start_ms", as_dict=True).items()):
            self._take(_served_on(self._told, minute.select("slice", "is_deployed"), int(start_ms)))
        self.age(oldest_open_ms)

    def age(self, decided_ms: int) -> None:
        """Lets go of what is older than anybody asks for once minutes up to this are decided."""
        self._take(self._told.filter(pl.col("heard_ms") >= decided_ms - WITHIN_MS - CLIMB_MS))

    def before(self, grown: pl.DataFrame) -> pl.DataFrame:
        """By slice and grew_ms of `grown`: `deployed_ms`, when a bundle that was new then had been deployed there.

        Slices without a new bundle have no row.
        """
        is_new = pl.col("served_ms").is_between(pl.col("grew_ms") - WITHIN_MS, pl.col("grew_ms"))
        is_news = pl.col("is_deployed") & (pl.col("served_ms") >= self._first_ms + SETTLED_MS)
        found = grown.select("slice", "grew_ms").unique().join(self._told, on="slice")
        return found.filter(is_new & is_news).select("slice", "grew_ms", deployed_ms="served_ms")

    def unsaved_blocks(self, applied_offset: int) -> Iterator[Block]:
        """All of it where something changed since the last call. Kept with queues, whose watch this is."""
        if self._is_unsaved:
            self._is_unsaved = False
            yield from self._saved.blocks(pl.concat([self._told, self._marker()]), applied_offset)

    def restore(self, stored: dict[bytes, bytes]) -> None:
        """Takes up what `unsaved_blocks` wrote, among other blocks."""
        rows = self._saved.restored(stored)
        self._told = rows.filter(pl.col("slice") != "")
        for first_ms in rows.filter(pl.col("slice") == "")["served_ms"].to_list():
            self._first_ms = int(first_ms)

    def _marker(self) -> pl.DataFrame:
        """The first minute that was told, as a row that no slice has."""
        return pl.DataFrame([["", self._first_ms, 0, False]], schema=_COLUMNS, orient="row")

    def _take(self, told: pl.DataFrame) -> None:
        self._is_unsaved = self._is_unsaved or not told.equals(self._told) or not self._saved.keys
        self._told = told


def _served_on(known: pl.DataFrame, minute: pl.DataFrame, at_ms: int) -> pl.DataFrame:
    """What is known of slices (`_COLUMNS`) with those that are served in a minute, which may have been told before."""
    at = pl.lit(at_ms, pl.Int64)
    both = known.join(minute.rename({"is_deployed": "deploys"}), on="slice", how="full", coalesce=True)
    is_served, is_back = pl.col("deploys").is_not_null(), at > pl.col("heard_ms") + WITHIN_MS
    begins = is_served & (pl.col("served_ms").is_null() | is_back | (at <= pl.col("served_ms")))
    return both.select(
        "slice",
        served_ms=pl.when(begins).then(at).otherwise("served_ms"),
        heard_ms=pl.when(is_served).then(pl.max_horizontal("heard_ms", at)).otherwise("heard_ms"),
        is_deployed=pl.when(begins).then("deploys").otherwise("is_deployed"),
    ).sort("slice")
