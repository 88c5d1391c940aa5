"""Streams whose recorder is gone: nobody will tell that they ended, so the collector does, and counts them as ended now.

A stream belongs to the life of the recorder that told its start. That life is over where the same recorder has begun
another one and this one was not heard of for a minute (its spool may hold the end), and where nothing at all was heard of
it for a quarter of an hour. An end that comes after all is of a stream that is not known, and counted as dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from producers.collecting.fences import Fence, Source
from producers.observation_batches import BatchHeader
from producers.observations import STREAM_COLUMNS

SPOOLED_MS_MAX = 60_000
SILENT_MS_MAX = 15 * 60_000

_OWNERS = {"session": pl.UInt64(), "recorder": pl.String(), "incarnation": pl.Int64()}


@dataclass(slots=True)
class Owners:
    """Which life of which recorder started the streams that are open, as tables that never change."""

    parts: list[pl.DataFrame] = field(default_factory=list)

    def note(self, header: BatchHeader, changes: pl.DataFrame) -> None:
        """Takes in the starts among some changes of streams."""
        starts = changes.filter("is_start").select("session")
        if len(starts):
            owner = (
                pl.lit(header.recorder).alias("recorder"),
                pl.lit(header.incarnation, pl.Int64).alias("incarnation"),
            )
            self.parts.append(starts.with_columns(owner))

    def abandoned(self, is_open: pl.Series, fences: Mapping[Source, Fence], now_ms: int) -> pl.DataFrame:
        """Ends of the open streams whose recorder is gone, as changes of streams; they have no owner from then on."""
        owners = pl.concat([pl.DataFrame(schema=_OWNERS), *self.parts]).unique("session", keep="last")
        owners = owners.filter(pl.col("session").is_in(is_open.implode()))
        lives = pl.DataFrame(
            _gone(fences, now_ms), schema={name: _OWNERS[name] for name in ("recorder", "incarnation")}, orient="row"
        )
        gone = owners.join(lives, on=["recorder", "incarnation"], how="semi")
        self.parts = [owners.join(gone, on="session", how="anti")]
        ends = gone.select("session", at_ms=pl.lit(now_ms, pl.Int64), is_start=pl.lit(False))
        return ends.select(
            (pl.col(name) if name in ends.columns else pl.lit(None)).cast(dtype).alias(name)
            for name, dtype in STREAM_COLUMNS.items()
        )


def _gone(fences: Mapping[Source, Fence], now_ms: int) -> list[tuple[str, int]]:
    """The lives that are over."""
    heard: dict[tuple[str, int], int] = {}
    newest: dict[str, int] = {}
    for (recorder, incarnation, _), fence in fences.items():
        heard[recorder, incarnation] = max(fence.heard_ms, heard.get((recorder, incarnation), 0))
        newest[recorder] = max(incarnation, newest.get(recorder, 0))
    return [
        (recorder, incarnation)
        for (recorder, incarnation), heard_ms in heard.items()
        if now_ms - heard_ms > (SPOOLED_MS_MAX if incarnation < newest[recorder] else SILENT_MS_MAX)
    ]
