"""Drift policies as values: what is watched for drift, against which reference, and from when on somebody should hear of it.

A policy is declared by a file (`alerts/drift_document.py`) and applied by `stream_jobs/operators/drift/watch.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from schemas.drift_measures import RATIOS

Reference = Literal["previous_bundle", "same_hour_of_week", "frozen"]
FROZEN_HOURS_MAX = 168


@dataclass(frozen=True, slots=True)
class WatchedMeasure:
    """One measure, and what of it is no drift.

    A figure may be worse by `tolerance`, a share of its reference, or by `tolerance_absolute` in its own unit, whichever is
    more; of a shape it is the population stability index that may be reached. `samples_min`: of what it is counted
    over (words, turns, observations), in the slice and in its reference; below it is not enough to say anything.
    """

    name: str
    tolerance: float
    samples_min: int
    tolerance_absolute: float = 0.0


@dataclass(frozen=True, slots=True)
class DriftPolicy:
    """What a finding of drift takes. `frozen`: begin and end of the window that is the reference, in ms, if it is frozen.

    `false_alarms_per_week`: how many a week may bring, at most, in a whole deployment in which nothing changes.
    """

    name: str
    owner: str
    measures: tuple[WatchedMeasure, ...]
    reference: Reference = "previous_bundle"
    false_alarms_per_week: float = 1.0
    frozen: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        assert (self.reference == "frozen") == (self.frozen is not None)
        assert self.false_alarms_per_week > 0

    @property
    def ratios(self) -> tuple[WatchedMeasure, ...]:
        return tuple(watched for watched in self.measures if watched.name in RATIOS)

    @property
    def shapes(self) -> tuple[WatchedMeasure, ...]:
        return tuple(watched for watched in self.measures if watched.name not in RATIOS)


STANDARD = DriftPolicy(
    "standard",
    "speech-quality",
    (
        WatchedMeasure("word_error_rate", 0.05, 2_000),
        WatchedMeasure("character_error_rate", 0.05, 8_000),
        WatchedMeasure("entity_error_rate", 0.05, 300),
        WatchedMeasure("endpointing_error_rate", 0.05, 300, 0.002),
        WatchedMeasure("partial_rewrite_rate", 0.05, 1_000, 0.005),
        WatchedMeasure("correction_rate", 0.05, 300, 0.005),
        WatchedMeasure("ungrounded_rate", 0.05, 300, 0.005),
        WatchedMeasure("stale_citation_rate", 0.10, 300, 0.005),
        WatchedMeasure("index_age_s", 0.25, 300, 600),
        WatchedMeasure("failure_rate", 0.05, 500, 0.005),
        WatchedMeasure("abandonment_rate", 0.05, 500, 0.005),
        WatchedMeasure("handoff_rate", 0.05, 500, 0.005),
        WatchedMeasure("refusal_rate", 0.05, 500, 0.005),
        WatchedMeasure("stale_lookup_rate", 0.10, 500, 0.005),
        WatchedMeasure("tenant_stale_lookup_rate", 0.10, 500, 0.005),
        WatchedMeasure("jitter_ms", 0.10, 500, 2),
        WatchedMeasure("late_chunk_rate", 0.10, 5_000, 0.002),
        WatchedMeasure("asr_first_partial_shape", 0.05, 1_000),
        WatchedMeasure("llm_first_token_shape", 0.05, 1_000),
        WatchedMeasure("tts_first_audio_shape", 0.05, 1_000),
        WatchedMeasure("heard_shape", 0.05, 1_000),
    ),
)
"""As `alerts/drift_policies/standard.yaml` has it."""
