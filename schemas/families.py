"""Families of aggregates: what a producer sends, measure by measure, and in which privacy partitions it may be seen.

A *family* is one Kafka topic. A *privacy partition* of it is one projection of the same observations onto some
dimensions, aggregated over its k-window: every observation is counted exactly once per partition, so two partitions are
never added up. A *cut* groups one named partition by some of its dimensions; slices are the groups. The k-window is the
partition's bucket: grace and lateness run from its end.

Measures are integers, so that sums are exact in any order. `counter` measures add over producers and time. A `gauge` is
summed across producers at one instant; within a window the last one counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from schemas.histograms import ZERO_INDEX

Merge = Literal["counter", "gauge"]

COUNT_MAX = 2**40
"""Largest count or sum in one row."""
SQUARES_MAX = 2**47
"""Largest sum of squares in one row: 10,000 turns of a minute each are 2^45."""
SCALE_MAX = 6
"""Finest histogram that is taken in; a finer one is downscaled at the edge, exactly."""
BUCKET_INDEX_MAX = 2_048
"""At scale 6 this is from 0.2 ns to 50 days, in ms: anything outside is no latency. It bounds a histogram's size."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One non-negative integer that rows carry.

    `part_of` names the measure it can never exceed. `since_minor`: the contract's minor version that declared it; a
    frame of an older one does not have it, and counts as zero.
    """

    name: str
    unit: str
    meaning: str
    merge: Merge = "counter"
    part_of: str | None = None
    since_minor: int = 0

    @property
    def largest(self) -> int:
        """Largest value in one row. Above it the producer is broken; below it 400 full frames still sum in 64 bits."""
        return SQUARES_MAX if self.unit.endswith("^2") else COUNT_MAX


@dataclass(frozen=True, slots=True)
class Key:
    """An integer or vocabulary column that, with the dimensions, tells rows of one cell apart.

    `marker` is an integer outside of the range that is allowed besides.
    """

    name: str
    meaning: str
    vocabulary: tuple[str, ...] = ()
    integer_range: tuple[int, int] = (0, 0)
    marker: int | None = None


@dataclass(frozen=True, slots=True)
class PrivacyPartition:
    name: str
    dimensions: tuple[str, ...]
    k_window_s: int


@dataclass(frozen=True, slots=True)
class Cut:
    """Grouping of one privacy partition by some of its dimensions; `()` is everything together."""

    partition: str
    dimensions: tuple[str, ...]

    @property
    def name(self) -> str:
        """Stable text form, `pool,region`; `all` for the cut without dimensions."""
        return ",".join(self.dimensions) or "all"


@dataclass(frozen=True, slots=True, eq=False)  # One object each: compared and hashed as such, on every frame.
class Family:
    name: str
    meaning: str
    partitions: tuple[PrivacyPartition, ...]
    measures: tuple[Measure, ...]
    cuts: tuple[Cut, ...]
    keys: tuple[Key, ...] = ()
    lateness_s: int = 120

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Every dimension of any partition, in order of first appearance."""
        return tuple(dict.fromkeys(name for partition in self.partitions for name in partition.dimensions))

    @property
    def key_names(self) -> tuple[str, ...]:
        return tuple(key.name for key in self.keys)

    @property
    def measure_names(self) -> tuple[str, ...]:
        return tuple(measure.name for measure in self.measures)

    def partition(self, name: str) -> PrivacyPartition:
        return next(partition for partition in self.partitions if partition.name == name)


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

STAGES = (
    "queue_wait",
    "asr_first_partial",
    "retrieval",
    "llm_first_token",
    "tts_first_audio",
    "first_audio",
    "turn",
)
"""Stages of a turn. `first_audio` and `turn` are wholes, the others parts of them."""

SCALE_OF_STAGE = {stage: 6 if stage in ("first_audio", "turn") else 5 for stage in STAGES}
"""Scale of the base-2 exponential histogram of each stage (OpenTelemetry's definition); 6 is ≤ 0.55 % relative error."""

OPERATIONAL = PrivacyPartition("operational", ("region", "pool", "route", "bundle"), k_window_s=10)
AUDIENCE = PrivacyPartition("audience", ("pool", "language", "device_class"), k_window_s=60)

_OPERATIONAL_CUTS = (
    Cut("operational", ("pool",)),
    Cut("operational", ("pool", "region")),
    Cut("operational", ("pool", "route")),
    Cut("operational", ("pool", "bundle")),
    Cut("operational", ("pool", "region", "bundle")),
)

TURNS = Family(
    name="turns",
    meaning="what the fleet served, and how many turns missed each objective",
    partitions=(OPERATIONAL, AUDIENCE),
    measures=(
        Measure("turns", "turns", "turns that ended in the window"),
        Measure("audio_in_ms", "ms", "audio received from users"),
        Measure("audio_out_ms", "ms", "audio synthesised for users"),
        Measure("tokens_in", "tokens", "prompt tokens"),
        Measure("tokens_out", "tokens", "generated tokens"),
        Measure("turn_latency_ms_sum", "ms", "sum of whole-turn latencies"),
        Measure("turn_latency_ms_sumsq", "ms^2", "sum of squared whole-turn latencies, so that variances add"),
        *(measure for indicator in INDICATORS for measure in indicator.measures),
    ),
    cuts=(
        *_OPERATIONAL_CUTS,
        Cut("audience", ("pool", "language")),
        Cut("audience", ("pool", "device_class")),
        Cut("audience", ("pool", "language", "device_class")),
    ),
)

STAGE_LATENCIES = Family(
    name="stages",
    meaning="latency of each stage, as sparse base-2 exponential histograms: one row per non-empty bucket",
    partitions=(OPERATIONAL,),
    keys=(
        Key("stage", "which part of the turn", vocabulary=STAGES),
        Key("scale", "scale of the histogram that counted it", integer_range=(-10, SCALE_MAX)),
        Key(
            "bucket_index",
            "bucket (base^index, base^(index+1)] in ms, base = 2^(2^-scale); -32768 is the zero bucket",
            integer_range=(-BUCKET_INDEX_MAX, BUCKET_INDEX_MAX),
            marker=ZERO_INDEX,
        ),
    ),
    measures=(
        Measure("observations", "observations", "observations in this bucket"),
        Measure("latency_ms_sum", "ms", "sum of the latencies in this bucket"),
        Measure("latency_ms_sumsq", "ms^2", "sum of the squared latencies in this bucket"),
    ),
    cuts=_OPERATIONAL_CUTS,
)

STREAMS = Family(
    name="streams",
    meaning="concurrent calls: active at the window's start, and starts and ends in each of its seconds",
    partitions=(OPERATIONAL,),
    keys=(Key("second", "second of the window, from 0", integer_range=(0, 9)),),
    measures=(
        Measure(
            "active_at_start", "streams", "streams active at the window's first instant (second 0 only)", merge="gauge"
        ),
        Measure("starts", "streams", "streams that started in this second"),
        Measure("ends", "streams", "streams that ended in this second"),
    ),
    cuts=_OPERATIONAL_CUTS,
)

DUPLEX = Family(
    name="duplex",
    meaning="full-duplex events by kind, and how many missed each objective",
    partitions=(
        PrivacyPartition("operational", ("region", "pool", "route", "bundle", "duplex_event"), OPERATIONAL.k_window_s),
    ),
    measures=(
        Measure("events", "events", "events of the kind in the window"),
        *(measure for indicator in DUPLEX_INDICATORS for measure in indicator.measures),
    ),
    cuts=(
        Cut("operational", ("pool",)),
        Cut("operational", ("pool", "duplex_event")),
        Cut("operational", ("pool", "region")),
        Cut("operational", ("pool", "route")),
        Cut("operational", ("pool", "bundle")),
    ),
)

HEARTBEATS = Family(
    name="heartbeats",
    meaning="that a producer is alive, and what it sent, dropped and held, family by family",
    partitions=(PrivacyPartition("operational", ("region",), k_window_s=10),),
    keys=(
        Key("reported_family", "the family that is reported on", vocabulary=("turns", "stages", "streams", "duplex")),
    ),
    measures=(
        Measure("rows_sent", "rows", "rows of the reported family sent for the window"),
        Measure("observations_seen", "observations", "observations of the reported family taken in"),
        Measure(
            "observations_dropped",
            "observations",
            "observations that a full buffer or a failed check dropped",
            part_of="observations_seen",
        ),
        Measure("observations_held", "observations", "observations held back below k, which join a later window"),
    ),
    cuts=(Cut("operational", ("region",)),),
)

FAMILIES: dict[str, Family] = {family.name: family for family in (TURNS, STAGE_LATENCIES, STREAMS, HEARTBEATS, DUPLEX)}

INDICATORS_OF: dict[str, tuple[Indicator, ...]] = {TURNS.name: INDICATORS, DUPLEX.name: DUPLEX_INDICATORS}
"""By the name of the family that counts them."""
ALL_INDICATORS = (*INDICATORS, *DUPLEX_INDICATORS)
assert len({each.name for each in ALL_INDICATORS}) == len(ALL_INDICATORS), "one name is one indicator in one family"

K_SESSIONS_MIN = 20
"""Fewest distinct sessions that a cell with an identifying dimension may stand for."""
