"""What an event of a scenario does: each effect with its strength, as its file says it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from producers.fleet.fleet_file import Positive, Said, Share, Slug, Station


class SlowStage(Said):
    """A stage takes `times` as long."""

    kind: Literal["slow_stage"]
    stage: Literal[
        "vad",
        "asr_first_partial",
        "final_transcript",
        "retrieval",
        "llm_first_token",
        "tts_first_audio",
        "playback",
        "orchestration",
        "network",
    ]
    times: Positive


class SlowTail(Said):
    """A share `weight` of turns takes `times` as long to answer after it is heard, the others as much less that the mean
    stays: the answer's length in time, from hearing its beginning to its end.
    """

    kind: Literal["slow_tail"]
    weight: float = Field(gt=0, lt=0.5)
    times: float = Field(gt=1, lt=50)

    @model_validator(mode="after")
    def _mean_has_room(self) -> SlowTail:
        if self.weight * self.times >= 1:
            raise ValueError(
                "a tail of that weight and length is more than the whole mean: weight × times must be below 1"
            )
        return self

    @property
    def body_times(self) -> float:
        return (1 - self.weight * self.times) / (1 - self.weight)


class WordErrors(Said):
    """Word errors are `times` as frequent."""

    kind: Literal["word_errors"]
    times: Positive


class Stale(Said):
    """This share of retrievals is answered from a stale index."""

    kind: Literal["stale"]
    share: Share


class Calls(Said):
    """New calls are `times` as many; 0: none come, those on the line are cut off and the collectors fall silent."""

    kind: Literal["calls"]
    times: float = Field(ge=0, le=100)


class SyntheticVoice(Said):
    """`calls` more at once, of one tenant, spoken by a synthetic voice; each turn `turns_per_call_s` times a second."""

    kind: Literal["synthetic_voice"]
    calls: Positive
    call_s_mean: Positive = 60
    turns_per_call_s: float = Field(gt=0, le=10)


class BatchWork(Said):
    """`turns_per_s` of batch work of one route are put on the realtime pool, with prompts `tokens_times` as long."""

    kind: Literal["batch_work"]
    route: Slug
    turns_per_s: Positive
    tokens_times: Positive = 4


class Servers(Said):
    """The GPUs of a station are `times` as many."""

    kind: Literal["servers"]
    station: Station
    times: Positive


class Prompts(Said):
    """Prompts are `times` as long: context that is carried over, or more retrieved chunks."""

    kind: Literal["prompts"]
    times: Positive


class Attempts(Said):
    """This share of turns has a further attempt at the model: a retry, or a shadow that nobody hears."""

    kind: Literal["attempts"]
    of: Literal["retry", "shadow"]
    share: Share


Effect = Annotated[
    SlowStage | SlowTail | WordErrors | Stale | Calls | SyntheticVoice | BatchWork | Servers | Prompts | Attempts,
    Field(discriminator="kind"),
]
