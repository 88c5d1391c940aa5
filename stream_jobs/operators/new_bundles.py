"""New bundles: of which slices most hosts began to serve what they serve only a while ago.

A deployment is one where at least half of the hosts that serve a bundle after it began to within `WITHIN_MS`: a host more
for a bundle that others have long served is none. Nothing is said of deployments in the first minutes that a shard knows:
whoever starts to tell tells everything that is served. Memory is a row of 50 bytes for each minute with deployments, of the
last `WITHIN_MS` and `CLIMB_MS`.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from schemas.families import QUEUES, RELEASES
from stream_jobs.operators.blocks import Block, body, chunks_below_limit, stamped, unpack_rows
from stream_jobs.operators.ledger import MINUTE_MS
from stream_jobs.operators.queue_pressure import CLIMB_MS

WITHIN_MS = 60 * MINUTE_MS
SETTLED_MS = 5 * MINUTE_MS
"""After the first minute that a shard knows, before a deployment is news."""
SHARE_MIN = 0.5
_KIND = "slices"
_COLUMNS = {"minute_ms": pl.Int64, "slice": pl.String, "deployments": pl.Int64, "hosts": pl.Int64}


class NewBundles:
    """Deployments of one shard's slices."""

    def __init__(self) -> None:
        self._told = pl.DataFrame(schema=_COLUMNS)
        self._first_ms = 0
        self._is_unsaved = False
        self._places = 0

    def tell(self, totals: pl.DataFrame, oldest_open_ms: int) -> None:
        """Takes whole minutes as they are known now; columns as `RELEASES` has them, by minute and slice.

        Those before `oldest_open_ms` are told no more; where nobody tells queues this is what lets go of old ones.
        """
        first_ms = int(totals["bucket_start_ms"].min() or 0)  # type: ignore[arg-type]
        self._first_ms = min(self._first_ms or first_ms, first_ms)
        minutes = totals.rename({"bucket_start_ms": "minute_ms"})
        # A host serves artifacts of several kinds: it is one host.
        now = (
            minutes.group_by("minute_ms", "slice")
            .agg(pl.col("deployments", "hosts").max())
            .filter(pl.col("deployments") > 0)
            .select(_COLUMNS.keys())
        )
        others = self._told.join(minutes.select("minute_ms").unique(), on="minute_ms", how="anti")
        self._take(pl.concat([others, now]).sort("minute_ms", "slice"))
        self.age(oldest_open_ms)

    def age(self, decided_ms: int) -> None:
        """Lets go of what is older than anybody asks for once minutes up to this are decided."""
        self._take(self._told.filter(pl.col("minute_ms") >= decided_ms - WITHIN_MS - CLIMB_MS))

    def before(self, grown: pl.DataFrame) -> pl.DataFrame:
        """By slice and grew_ms of `grown`: `deployed_ms`, when a bundle that was new then had first been deployed there.

        Slices without a new bundle have no row.
        """
        found = grown.select("slice", "grew_ms").unique().join(self._told, on="slice").sort("minute_ms")
        since_ms = pl.col("minute_ms").is_between(pl.col("grew_ms") - WITHIN_MS, pl.col("grew_ms"))
        is_news = pl.col("minute_ms") >= self._first_ms + SETTLED_MS
        return (
            found.filter(since_ms & is_news)
            .group_by("slice", "grew_ms")
            .agg(pl.col("deployments").sum(), pl.col("hosts").last(), deployed_ms=pl.col("minute_ms").first())
            .filter(pl.col("deployments") >= SHARE_MIN * pl.col("hosts"))
            .select("slice", "grew_ms", "deployed_ms")
        )

    def unsaved_blocks(self, applied_offset: int) -> Iterator[Block]:
        """All of it where something changed since the last call. Kept with queues, whose watch this is."""
        if not self._is_unsaved:
            return
        known = pl.concat([self._told, self._marker()])
        chunks = list(chunks_below_limit(known))
        chunks += list(chunks_below_limit(known.clear())) * (self._places - len(chunks))
        self._places, self._is_unsaved = len(chunks), False
        yield from (Block(_key(place), stamped(applied_offset, packed)) for place, packed in enumerate(chunks))

    def restore(self, stored: dict[bytes, bytes]) -> None:
        """Takes up what `unsaved_blocks` wrote, among other blocks."""
        while _key(self._places) in stored:
            rows = unpack_rows(body(stored[_key(self._places)]), ()).select(_COLUMNS.keys()).cast(_COLUMNS)  # type: ignore[arg-type]
            self._told = pl.concat([self._told, rows.filter(pl.col("hosts") >= 0)])
            for first_ms in rows.filter(pl.col("hosts") < 0)["minute_ms"].to_list():
                self._first_ms = int(first_ms)
            self._places += 1

    def _marker(self) -> pl.DataFrame:
        """The first minute that was told, as a row that no slice has."""
        return pl.DataFrame([[self._first_ms], [""], [0], [-1]], schema=_COLUMNS)

    def _take(self, told: pl.DataFrame) -> None:
        self._is_unsaved = self._is_unsaved or not told.equals(self._told) or not self._places
        self._told = told


def _key(place: int) -> bytes:
    return f"{QUEUES.name}|{_KIND}|{RELEASES.name}|{place}".encode()
