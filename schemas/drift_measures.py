"""What drift is looked for in: figures of a slice that rise when something gets worse, from measures of four families.

A figure is a sum over a sum (word errors over words, failed turns over turns, milliseconds over turns). How far it strays by
itself is told by its own sums of squares where the family has them, since the words of one call are not independent; where it
has none, by what a share or a count of independent ones would, and then by the slice's own hours. The shape of a
stage's latencies is looked at as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from schemas.families import OUTCOMES, QUALITY, STAGES, TENANTS, Family

Spread = Literal["share", "count", "mean", "clusters"]
"""How a figure strays: as a share of independent ones, as a count of them, as a mean with or without its squares, or by cluster."""


@dataclass(frozen=True, slots=True)
class DriftMeasure:
    """One figure: `bad` over `total`, measures of `family`; with `complement` it is what of `total` is not `bad`.

    `squares`: the measures that hold the sums of squares of `bad`, and, of clusters, those of `total` and of their product.
    `words`: how a sentence calls it. `unit`: empty for a share.
    """

    name: str
    family: Family
    bad: str
    total: str
    words: str
    spread: Spread = "share"
    squares: tuple[str, ...] = ()
    complement: bool = False
    unit: str = ""


def _share(name: str, family: Family, bad: str, total: str, words: str) -> DriftMeasure:
    return DriftMeasure(name, family, bad, total, words)


_CALLS = ("word_errors_sumsq", "words_sumsq", "word_errors_by_words")
_DECLARED = (
    DriftMeasure("word_error_rate", QUALITY, "word_errors", "words", "word error rate", "clusters", _CALLS),
    DriftMeasure(
        "character_error_rate", QUALITY, "character_errors", "characters", "character error rate", spread="count"
    ),
    _share("entity_error_rate", QUALITY, "entity_errors", "entities", "share of wrong entities"),
    _share("endpointing_error_rate", QUALITY, "endpoint_errors", "endpoints", "share of wrong ends of speech"),
    _share("partial_rewrite_rate", QUALITY, "partials_rewritten", "partials", "share of rewritten partials"),
    _share("correction_rate", QUALITY, "answers_corrected", "answers", "share of corrected answers"),
    _share("ungrounded_rate", QUALITY, "answers_ungrounded", "answers", "share of answers that no source supports"),
    _share("stale_citation_rate", QUALITY, "citations_stale", "citations", "share of stale citations"),
    DriftMeasure(
        "index_age_s", QUALITY, "index_age_s_sum", "lookups_aged", "age of the index at a lookup", "mean", unit="s"
    ),
    DriftMeasure("failure_rate", OUTCOMES, "successes", "outcomes", "share of turns without success", complement=True),
    _share("abandonment_rate", OUTCOMES, "abandonments", "outcomes", "share of abandoned turns"),
    _share("handoff_rate", OUTCOMES, "handoffs", "outcomes", "share of turns handed to a human"),
    _share("refusal_rate", OUTCOMES, "refusals", "outcomes", "share of refused turns"),
    _share("stale_lookup_rate", OUTCOMES, "lookups_stale", "lookups", "share of lookups in a stale index"),
    _share(
        "tenant_stale_lookup_rate",
        TENANTS,
        "tenant_lookups_stale",
        "tenant_lookups",
        "share of the tenant's lookups in a stale index",
    ),
    DriftMeasure(
        "jitter_ms",
        OUTCOMES,
        "jitter_ms_sum",
        "jitter_turns",
        "mean network jitter",
        "mean",
        ("jitter_ms_sumsq",),
        unit="ms",
    ),
    _share("late_chunk_rate", OUTCOMES, "chunks_late", "chunks", "share of audio chunks that came late"),
)

RATIOS: dict[str, DriftMeasure] = {measure.name: measure for measure in _DECLARED}
"""By name. All of them are worse when they rise."""

SHAPES: dict[str, str] = {f"{stage}_shape": stage for stage in STAGES}
"""By name: the stage whose latencies' shape it is. Any change of it counts, for better or worse."""

MEASURE_NAMES = (*RATIOS, *SHAPES)
