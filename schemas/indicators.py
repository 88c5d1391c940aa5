"""Service level indicators: what is counted exactly at the edge, as bad and total."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from schemas.declarations import Measure


@dataclass(frozen=True, slots=True)
class Indicator:
    """A service level indicator that is counted exactly at the edge, as bad and total turns or other units.

    `threshold_ms` is `None` for outcomes that are good or bad by nature. `bad_when` says on which side of the threshold
    a unit is bad: `at_or_above` for "good below", `above` for "good up to and including", `outside` for "good from
    `threshold_low_ms` to `threshold_ms`, both included". `stage` is whose latency that is, `duplex_event` the kind of
    full-duplex event that it judges. `since_minor` is that of its measures.
    """

    name: str
    meaning: str
    threshold_ms: int | None = None
    bad_when: Literal["at_or_above", "above", "outside"] = "at_or_above"
    stage: str | None = None
    threshold_low_ms: int | None = None
    unit: str = "turns"
    duplex_event: str | None = None
    since_minor: int = 0

    @property
    def bad(self) -> str:
        return f"{self.name}_bad"

    @property
    def total(self) -> str:
        return f"{self.name}_total"

    @property
    def measures(self) -> tuple[Measure, Measure]:
        return (
            self._measure(self.total, f"{self.unit} in which it could be judged: {self.meaning}"),
            self._measure(self.bad, f"{self.unit} outside of: {self.meaning}", part_of=self.total),
        )

    def _measure(self, name: str, meaning: str, part_of: str | None = None) -> Measure:
        return Measure(name, self.unit, meaning, part_of=part_of, since_minor=self.since_minor)


def _of_events(
    name: str,
    duplex_event: str,
    meaning: str,
    threshold_ms: int | None = None,
    bad_when: Literal["above", "outside"] = "above",
    low_ms: int | None = None,
    unit: str = "events",
) -> Indicator:
    return Indicator(
        name,
        meaning,
        threshold_ms,
        bad_when,
        threshold_low_ms=low_ms,
        unit=unit,
        duplex_event=duplex_event,
    )


INDICATORS = (
    Indicator("first_partial_500ms", "first partial transcript below 500 ms", 500, stage="asr_first_partial"),
    Indicator("first_audio_1800ms", "first synthesised audio below 1.8 s", 1_800, stage="first_audio"),
    Indicator("turn_4000ms", "whole turn below 4 s", 4_000, stage="turn"),
    Indicator("queue_wait_250ms", "queue wait up to 250 ms", 250, bad_when="above", stage="queue_wait"),
    Indicator("turn_error", "turn without error"),
    Indicator("abandonment", "turn not abandoned by the user"),
    Indicator("retrieval_stale", "retrieval answered from a fresh index"),
    Indicator("privacy_error", "turn without a privacy error", since_minor=1),
)
"""Indicators of family `turns`."""

DUPLEX_INDICATORS = (
    _of_events("interruption_success", "interruption", "assistant stopped for the user and answered the new intent"),
    _of_events("false_interruption", "assistant_turn", "assistant's turn not stopped without a user's interruption"),
    _of_events(
        "backchannel_timing",
        "backchannel",
        "backchannel placed 200 to 800 ms after its cue",
        800,
        "outside",
        low_ms=200,
    ),
    _of_events("assistant_stop_300ms", "barge_in", "assistant's audio stopped within 300 ms of a barge-in", 300),
    _of_events("overlap_recovery_1500ms", "overlap", "overlap of both speakers resolved within 1.5 s", 1_500),
    _of_events("barge_in_latency_200ms", "barge_in", "barge-in detected within 200 ms", 200),
    _of_events("micro_turn_freshness_400ms", "micro_turn", "micro-turn's context not older than 400 ms", 400),
    _of_events("action_safety", "action", "safety decided before the action was emitted", unit="actions"),
    _of_events("speech_continuity_60ms", "playback", "audio frame played without a gap above 60 ms", 60, unit="frames"),
)
"""Indicators of family `duplex`, each of one kind of event."""

ALL_INDICATORS = (*INDICATORS, *DUPLEX_INDICATORS)
assert len({each.name for each in ALL_INDICATORS}) == len(ALL_INDICATORS), "one name is one indicator in one family"
