"""What a running canary can be judged by: metrics of roll-ups by name, and policies that choose among them.

Three kinds, each of which has bounds of its own (`stream_jobs/operators/release/bounds.py`, `canary_tails.py`): a `share` of
units that went badly or well, a `mean` of sums, a `quantile` of a stage's histogram. `docs/canary.md` lists them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from schemas.declarations import Cut
from schemas.families import COSTS, OUTCOMES, QUALITY, STAGE_LATENCIES, TURNS, Family
from schemas.families.stages import STAGES
from schemas.gates import Direction

LEVELS = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}

ALPHA = 0.05
SAMPLES_MIN = 200
Minutes = Literal[1, 2, 5, 10, 15, 30, 60]
WINDOW_MIN: Minutes = 5
"""Minutes of a roll-up window that is one sample; families with wider buckets have those."""


@dataclass(frozen=True, slots=True)
class Squares:
    """Measures whose sums say how units vary: of squared numerators, squared denominators, and their product.

    Without the last two each unit's denominator is 1.
    """

    numerator: str
    denominator: str | None = None
    product: str | None = None


@dataclass(frozen=True, slots=True)
class CanaryMetric:
    """A figure of a slice, `numerator` ÷ `denominator` of a family's measures, or the quantile of a stage at `level`.

    `units`: the measure that counts what is independent, such as calls of which words are; the denominator unless given.
    `is_part`: of a mean whose numerator is a part of its denominator, such as late chunks of all.
    """

    name: str
    kind: Literal["share", "mean", "quantile"]
    family: Family
    unit: str
    direction: Direction = "lower_is_better"
    numerator: str = ""
    denominator: str = ""
    units: str = ""
    squares: Squares | None = None
    stage: str = ""
    level: float = 0.0
    is_part: bool = False

    @property
    def counted(self) -> str:
        """The measure that its minimum samples are of."""
        return self.units or self.denominator or "observations"

    @property
    def measures(self) -> tuple[str, ...]:
        """Those of its family that it is made of."""
        squares = self.squares or Squares("")
        named = (self.numerator, self.denominator, self.units, squares.numerator, squares.denominator, squares.product)
        return tuple(dict.fromkeys(name for name in named if name))


def _shares(family: Family, metrics: dict[str, tuple[str, str]]) -> tuple[CanaryMetric, ...]:
    return tuple(
        CanaryMetric(name, "share", family, "share", numerator=bad, denominator=total)
        for name, (bad, total) in metrics.items()
    )


def _clustered(family: Family, units: str, metrics: dict[str, tuple[str, str]]) -> tuple[CanaryMetric, ...]:
    """Shares of what comes by the dozen in one call or turn, which are the units: one bad turn is one witness, whose chunks
    are not. As nobody tells how units vary, windows do.
    """
    return tuple(
        CanaryMetric(name, "mean", family, "share", numerator=bad, denominator=total, units=units, is_part=True)
        for name, (bad, total) in metrics.items()
    )


_DECLARED = (
    CanaryMetric(
        "wer",
        "mean",
        QUALITY,
        "errors per word",
        numerator="word_errors",
        denominator="words",
        units="calls",
        squares=Squares("word_errors_sumsq", "words_sumsq", "word_errors_by_words"),
    ),
    CanaryMetric(
        "cer",
        "mean",
        QUALITY,
        "errors per character",
        numerator="character_errors",
        denominator="characters",
        units="calls",
    ),
    *_clustered(
        QUALITY,
        "calls",
        {
            "entity_errors": ("entity_errors", "entities"),
            "partial_rewrites": ("partials_rewritten", "partials"),
            "stale_citations": ("citations_stale", "citations"),
        },
    ),
    *_shares(
        QUALITY,
        {
            "endpoint_errors": ("endpoint_errors", "endpoints"),
            "corrections": ("answers_corrected", "answers"),
            "ungrounded_answers": ("answers_ungrounded", "answers"),
        },
    ),
    CanaryMetric(
        "index_age_s", "mean", QUALITY, "s", numerator="index_age_s_sum", denominator="lookups_aged", units="calls"
    ),
    CanaryMetric(
        "successes",
        "share",
        OUTCOMES,
        "share",
        direction="higher_is_better",
        numerator="successes",
        denominator="outcomes",
    ),
    *_shares(
        OUTCOMES,
        {
            "errors": ("errors", "outcomes"),
            "abandonments": ("abandonments", "outcomes"),
            "interruptions": ("interruptions", "outcomes"),
            "handoffs": ("handoffs", "outcomes"),
            "refusals": ("refusals", "outcomes"),
            "stale_lookups": ("lookups_stale", "lookups"),
            "unsafe_tool_calls": ("tool_calls_unsafe", "tool_calls"),
        },
    ),
    *_clustered(OUTCOMES, "outcomes", {"late_chunks": ("chunks_late", "chunks")}),
    CanaryMetric(
        "jitter_ms",
        "mean",
        OUTCOMES,
        "ms",
        numerator="jitter_ms_sum",
        denominator="jitter_turns",
        squares=Squares("jitter_ms_sumsq"),
    ),
    *_shares(TURNS, {"privacy_errors": ("privacy_error_bad", "privacy_error_total")}),
    CanaryMetric(
        "mean_turn_ms",
        "mean",
        TURNS,
        "ms",
        numerator="turn_latency_ms_sum",
        denominator="turns",
        squares=Squares("turn_latency_ms_sumsq"),
    ),
    CanaryMetric(
        "gpu_ms_per_success",
        "mean",
        COSTS,
        "ms",
        numerator="gpu_used_ms",
        denominator="successes",
    ),
    *(
        CanaryMetric(f"{named}_{stage}_ms", "quantile", STAGE_LATENCIES, "ms", stage=stage, level=level)
        for stage in STAGES
        for named, level in LEVELS.items()
    ),
)

CANARY_METRICS: dict[str, CanaryMetric] = {metric.name: metric for metric in _DECLARED}


BUNDLE = "bundle"
_OF_A_BUNDLE = ("artifact", "model_version")
"""Dimensions of what bundles consist of: no slice of one is a slice of the other."""


def cuts_beside(family: Family) -> dict[str, Cut]:
    """The cuts of a family in which two bundles stand beside each other, by their name without the bundle.

    >>> list(cuts_beside(STAGE_LATENCIES))
    ['pool', 'pool,region']
    """
    beside = [cut for cut in family.cuts if BUNDLE in cut.dimensions and not set(_OF_A_BUNDLE) & set(cut.dimensions)]
    return {",".join(name for name in cut.dimensions if name != BUNDLE): cut for cut in beside}


@dataclass(frozen=True, slots=True)
class WatchedMetric:
    """A metric with how much worse it may get: by `allowed_delta`, or times `allowed_ratio` of the baseline, which counts as
    `floor` at least. `reason` is what a verdict calls it. One that is not `is_required` may stop a release, but need not be
    known before it goes on: labels come days late.
    """

    metric: CanaryMetric
    reason: str
    allowed_delta: float | None = None
    allowed_ratio: float | None = None
    floor: float = 0.0
    samples_min: int = SAMPLES_MIN
    is_required: bool = True


@dataclass(frozen=True, slots=True)
class CanaryPolicy:
    """What a running canary is judged by.

    `protected` slices, named without their bundle, have to be known to be no worse before it goes on, by every required
    metric; others only stop it where they got worse. `weights` of critical slices: a share of `alpha` as many times as large, and a place nearer
    the top. `version` is a hash of all of it.
    """

    name: str
    version: str
    metrics: tuple[WatchedMetric, ...]
    protected: tuple[str, ...]
    weights: tuple[tuple[str, float], ...] = ()
    alpha: float = ALPHA
    window_s: int = WINDOW_MIN * 60

    def protects(self, slice_text: str, watched: WatchedMetric) -> bool:
        return watched.is_required and slice_text in self.protected

    def weight_of(self, slice_text: str) -> float:
        return dict(self.weights).get(slice_text, 1.0)

    def width_s(self, family: Family) -> int:
        """Of the windows of a family: the policy's, or its own buckets' where those are wider."""
        return max(self.window_s, *(partition.k_window_s for partition in family.partitions))
