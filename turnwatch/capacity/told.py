"""What was told of a slice's capacity: by ClickHouse, or by a file of peaks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import polars as pl

from schemas.instants import MINUTE_MS
from stream_jobs.operators.capacity.forecast import WEEKS_MAX
from stream_jobs.operators.capacity.measured import Hours, Served
from turnwatch.backtest.series import instant_text

BILLED_MS = 600_000
"""Bills are of ten minutes."""
WEEKS_READ = 2 * WEEKS_MAX


@dataclass(frozen=True, slots=True)
class Stretch:
    """From an instant to before another."""

    from_ms: int
    to_ms: int

    def in_steps(self, width_ms: int) -> Stretch:
        """The whole steps inside of it."""
        return Stretch(-(-self.from_ms // width_ms) * width_ms, self.to_ms // width_ms * width_ms)

    def __str__(self) -> str:
        return f"{instant_text(self.from_ms)} to {instant_text(self.to_ms)}"


@dataclass(frozen=True, slots=True)
class Finalisation:
    """How long the final transcript took after the end of speech."""

    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Told:
    """Of one slice: `minutes`, `billed` by ten minutes, `queues` and `saturated`, each with the columns below.

    `saturated` has the queues in which requests waited for longer than realtime ones may: in how many minutes, the first and
    the last of them, how many waited in the worst, and for how long those that began to be served in a minute on average. What nobody told is empty, null in `minutes`, or 0 in `billed`.
    """

    MINUTES: ClassVar = pl.Schema(
        {
            "at_ms": pl.Int64(),
            "streams_peak_lower": pl.Int64(),
            "streams_peak_upper": pl.Int64(),
            "audio_seconds_per_s": pl.Float64(),
            "tokens_per_s": pl.Float64(),
            "warm_streams": pl.Int64(),
            "warm_least_at": pl.String(),
            "warm_headroom": pl.Int64(),
        }
    )
    BILLED: ClassVar = pl.Schema({name: pl.Int64() for name in ("at_ms", "gpu_used_ms", "audio_ms", "stream_ms")})
    QUEUES: ClassVar = pl.Schema({"queue": pl.String(), "utilisation": pl.Float64(), "batch_share": pl.Float64()})
    SATURATED: ClassVar = pl.Schema(
        {
            "queue": pl.String(),
            "minutes": pl.Int64(),
            "first_ms": pl.Int64(),
            "last_ms": pl.Int64(),
            "depth_most": pl.Int64(),
            "waited_ms_most": pl.Float64(),
        }
    )

    slice_text: str
    stretch: Stretch
    minutes: pl.DataFrame
    hours: Hours
    billed: pl.DataFrame
    queues: pl.DataFrame
    finalisation: Finalisation | None
    step_ms: int = MINUTE_MS
    """How long a row of `minutes` stands for."""
    saturated: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=Told.SATURATED))

    @property
    def minutes_unreported(self) -> int:
        """Minutes of the stretch without a row: nobody had a stream, or nobody told."""
        told_ms = len(self.minutes) * self.step_ms
        return (self.stretch.to_ms - self.stretch.from_ms - told_ms) // MINUTE_MS

    def served(self, settled_until_ms: int) -> Served:
        """What was billed by ten minutes that end by then, with the audio and the streams of the same ten minutes."""
        is_settled = pl.col("at_ms") + BILLED_MS <= settled_until_ms
        return _summed(self.billed.filter(is_settled & (pl.col("gpu_used_ms") > 0)))

    @property
    def said(self) -> Served:
        """Audio and streams of all ten minutes, those without a bill too."""
        return _summed(self.billed)

    @property
    def has_audio(self) -> bool:
        """Whether savings of silence can be measured."""
        return self.said.audio_ms > 0 and self.said.stream_ms > 0


def _summed(billed: pl.DataFrame) -> Served:
    return Served(*(int(billed[name].sum()) for name in ("gpu_used_ms", "audio_ms", "stream_ms")))
