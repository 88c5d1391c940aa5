"""Which metric counts where: the table, one line each. Names of others first; ours follow from the contract.

A line takes one thing of a metric (`takes`) to one place (`family`, `measure` or `stage`). A metric may have several lines;
a metric without one is refused as `unknown_field`. Sources, as looked up in 2026:

- GenAI: OpenTelemetry semantic conventions, `docs/gen-ai/gen-ai-metrics.md` (status: development), Apache-2.0.
- LiveKit Agents: `livekit-agents/livekit/agents/telemetry/otel_metrics.py` of github.com/livekit/agents, Apache-2.0. It
  records when a session ends, so its points are of whole sessions. Counters of versions before and since 1.3 are both here.
- Pipecat exports spans and no metrics: there is no meter in its repository (github.com/pipecat-ai/pipecat, BSD-2-Clause).
  `docs/otlp.md` shows how its `MetricsFrame` is sent under our names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from schemas.families import (
    COSTS,
    DUPLEX,
    INDICATORS,
    OUTCOMES,
    QUALITY,
    QUEUES,
    STAGE_LATENCIES,
    STAGES,
    TURNS,
)
from schemas.private_names import IDENTIFIER, NAME, Naming

Takes = Literal["buckets", "count", "sum", "squares", "value", "gauge"]
"""`buckets`, `count` and `sum` of a histogram, and the sum of the `squares` of what it counted, as far as buckets tell it;
the `value` of a monotonic sum; a `gauge`, or a sum that may also sink."""

ANY = "*"
ANSWERS = "chat|generate_content|text_completion"
"""Values of `gen_ai.operation.name` that are a turn; embeddings, tools and agents of several requests are none."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that a metric says, and where it counts.

    `where`: attributes that have to have one of these values (`a|b`; `*`: any), else the line does not apply. `is_judged`:
    whether thresholds that are edges of the histogram are counted, too. `unit` is what a metric that names none is in; times
    are turned into ms. `is_turn`: that it counts turns, which one metric of a deployment may do (`turns_from`).
    """

    metric: str
    unit: str
    takes: Takes
    family: str
    measure: str = ""
    stage: str = ""
    where: tuple[tuple[str, str], ...] = ()
    is_judged: bool = False
    is_turn: bool = False

    @property
    def chosen_by(self) -> frozenset[str]:
        """The attributes whose value chooses the line; where any value does, only that there is one."""
        named = {name for name, values in self.where if values != ANY}
        return frozenset(named | ({QUEUE_ATTRIBUTE} if self.family == QUEUES.name else set()))


_ANSWERED = (("gen_ai.operation.name", ANSWERS),)
_FAILED = (*_ANSWERED, ("error.type", ANY))


def _requests(metric: str) -> tuple[Line, ...]:
    """A GenAI histogram of requests as turns: its buckets, how many, how long they took, and which ended in an error."""
    return (
        Line(metric, "s", "buckets", "stages", stage="turn", where=_ANSWERED, is_judged=True, is_turn=True),
        Line(metric, "s", "count", "turns", "turns", where=_ANSWERED, is_turn=True),
        Line(metric, "s", "sum", "turns", "turn_latency_ms_sum", where=_ANSWERED, is_turn=True),
        Line(metric, "s", "squares", "turns", "turn_latency_ms_sumsq", where=_ANSWERED, is_turn=True),
        Line(metric, "s", "count", "turns", "turn_error_total", where=_ANSWERED, is_turn=True),
        Line(metric, "s", "count", "turns", "turn_error_bad", where=_FAILED, is_turn=True),
    )


OTHERS: tuple[Line, ...] = (
    # GenAI conventions. A request to a model server is a turn of a fleet that serves text; of a voice agent it is not.
    *_requests("gen_ai.server.request.duration"),
    *_requests("gen_ai.client.operation.duration"),
    Line("gen_ai.server.time_to_first_token", "s", "buckets", "stages", stage="llm_first_token", is_judged=True),
    Line("gen_ai.client.token.usage", "{token}", "sum", "turns", "tokens_in", where=(("gen_ai.token.type", "input"),)),
    Line(
        "gen_ai.client.token.usage", "{token}", "sum", "turns", "tokens_out", where=(("gen_ai.token.type", "output"),)
    ),
    # LiveKit Agents, per turn. From the end of the user's speech to the agent's first audio frame.
    Line("lk.agents.turn.e2e_latency", "s", "buckets", "stages", stage="first_audio", is_judged=True),
    Line("lk.agents.turn.e2e_latency", "s", "count", "turns", "turns", is_turn=True),
    Line("lk.agents.turn.transcription_delay", "s", "buckets", "stages", stage="final_transcript"),
    Line("lk.agents.turn.llm_ttft", "s", "buckets", "stages", stage="llm_first_token"),
    Line("lk.agents.turn.tts_ttfb", "s", "buckets", "stages", stage="tts_first_audio"),
    # LiveKit Agents, usage.
    Line("lk.agents.usage.llm_input_tokens", "1", "value", "turns", "tokens_in"),
    Line("lk.agents.usage.llm_prompt_tokens", "1", "value", "turns", "tokens_in"),
    Line("lk.agents.usage.llm_output_tokens", "1", "value", "turns", "tokens_out"),
    Line("lk.agents.usage.llm_completion_tokens", "1", "value", "turns", "tokens_out"),
    Line("lk.agents.usage.llm_input_cached_tokens", "1", "value", "outcomes", "tokens_cached"),
    Line("lk.agents.usage.llm_prompt_cached_tokens", "1", "value", "outcomes", "tokens_cached"),
    Line("lk.agents.usage.llm_input_audio_tokens", "1", "value", "outcomes", "tokens_audio"),
    Line("lk.agents.usage.llm_output_audio_tokens", "1", "value", "outcomes", "tokens_audio"),
    Line("lk.agents.usage.stt_audio_duration", "s", "value", "turns", "audio_in_ms"),
    Line("lk.agents.usage.tts_audio_duration", "s", "value", "turns", "audio_out_ms"),
)

NOT_TAKEN: dict[str, str] = {
    "gen_ai.server.time_per_output_token": "no stage of a turn: it goes on while the answer is heard already",
    "lk.agents.turn.end_of_turn_delay": "holds the transcription delay as well, and stages do not overlap",
    "lk.agents.usage.llm_input_text_tokens": "part of the input tokens, which are counted",
    "lk.agents.usage.llm_output_text_tokens": "part of the output tokens, which are counted",
    "lk.agents.usage.llm_session_duration": "time of a session, not of a turn",
    "lk.agents.usage.tts_characters": "no measure counts characters",
}
"""Metrics that we know and refuse all the same, and why."""

TURNS_FROM = "gen_ai.server.request.duration"
"""The metric that counts turns unless a deployment names another: two of them would count the same turns twice."""
TURNS_FROM_ANY = tuple(dict.fromkeys(line.metric for line in OTHERS if line.is_turn))

STAGE_METRIC = "turnwatch.stages.latency"
STAGE_ATTRIBUTE, QUEUE_ATTRIBUTE = "turnwatch.stage", "turnwatch.queue"


def own_lines() -> Iterator[Line]:
    """`turnwatch.<family>.<measure>`: every measure that can be told without sessions, as a monotonic sum or a gauge.

    What missed an objective is counted by its own sums, exactly: our histogram only says where the time goes.
    """
    for stage in STAGES:
        yield Line(STAGE_METRIC, "ms", "buckets", STAGE_LATENCIES.name, stage=stage, where=((STAGE_ATTRIBUTE, stage),))
    for family in (TURNS, OUTCOMES, DUPLEX, COSTS, QUALITY, QUEUES):
        for measure in family.measures:
            if (family, measure.name) not in _SAMPLED_TWICE:
                takes: Takes = "gauge" if measure.merge == "gauge" else "value"
                yield Line(f"turnwatch.{family.name}.{measure.name}", measure.unit, takes, family.name, measure.name)


_SAMPLED_TWICE = {(QUEUES, "depth_from"), (QUEUES, "depth_to")}
"""The collector makes them of two samples of one engine."""

LINES: tuple[Line, ...] = (*OTHERS, *own_lines())


def lines_by_metric(turns_from: str = TURNS_FROM) -> dict[str, tuple[Line, ...]]:
    """The lines of each metric, where one of them counts turns: the one that `turns_from` names."""
    lines: dict[str, tuple[Line, ...]] = {}
    for line in LINES:
        if not line.is_turn or line.metric == turns_from:
            lines[line.metric] = (*lines.get(line.metric, ()), line)
    return lines


ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "region": ("turnwatch.region", "cloud.region"),
    "pool": ("turnwatch.pool",),
    "route": ("turnwatch.route", "gen_ai.operation.name"),
    "bundle": ("turnwatch.bundle", "service.version"),
    "model_version": ("turnwatch.model_version", "gen_ai.response.model", "gen_ai.request.model", "model_name"),
    "gpu_type": ("turnwatch.gpu_type",),
    "purchase": ("turnwatch.purchase",),
    "consent": ("turnwatch.consent",),
    "duplex_event": ("turnwatch.duplex_event",),
}
"""The attributes that fill a dimension; the first that is there counts, a point's before its resource's."""

DECIDING = frozenset((STAGE_ATTRIBUTE, QUEUE_ATTRIBUTE, *(name for line in OTHERS for name, _ in line.where)))
"""Attributes that decide what a point is, and fill no dimension."""

TELLING_APART: dict[str, Naming] = {
    **dict.fromkeys(("service.name", "service.namespace", "process.pid"), NAME),
    **dict.fromkeys(("service.instance.id", "host.id", "host.name"), IDENTIFIER),
    **dict.fromkeys(("container.id", "k8s.pod.uid", "k8s.pod.name"), IDENTIFIER),
}
"""Attributes of a resource that tell one process from another, and what they may be by OpenTelemetry's semantic conventions (1.40),
which recommend a random UUID as `service.instance.id`. They are hashed with everything else, and not kept."""

DEFAULTS: dict[str, str] = {"pool": "realtime", "route": "other", "bundle": "unversioned"}
"""What a dimension is where no attribute says it; a deployment names others, and its region. What has none is refused."""

INDICATOR_OF_STAGE = {each.stage: each for each in INDICATORS if each.stage is not None}
