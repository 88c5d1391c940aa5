"""What the attack is about: a kind of observations, every partition that they are told in, and what nobody else should learn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from producers.kinds import KINDS
from schemas.dimensions import DIMENSIONS

View = tuple[str, str]
"""Family and privacy partition."""
Partitions = Mapping[View, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Study:
    """One kind. By family: `counts` is the measure that counts its observations, `secrets` the one that counts those of which
    column `secret` says that it happened. By view: `marks` are columns that the gate does not look at, with the measures that
    sum them; each is of one view.

    `step_ms` is the window of the partition that identifies nobody; the collector is told of observations once in it.
    """

    kind: str
    step_ms: int
    counts: Mapping[str, str]
    secrets: Mapping[str, str]
    secret: str
    marks: Mapping[View, Mapping[str, str]]

    @property
    def plain(self) -> View:
        """Where everybody is counted, and nobody identified."""
        return KINDS[self.kind].families[0].name, "operational"

    @property
    def partitions(self) -> dict[View, tuple[str, ...]]:
        """The views of the same observations; what other plain ones say to whoever runs the fleet, `plain` says too."""
        views = {
            (family.name, partition.name): partition.dimensions
            for family in KINDS[self.kind].families
            for partition in family.partitions
            if family.name in self.counts
        }
        return {
            view: dimensions for view, dimensions in views.items() if view == self.plain or view[1] != "operational"
        }

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Every dimension that an observation has."""
        return tuple(name for name in KINDS[self.kind].columns if name in DIMENSIONS)


def _alike(*columns: str) -> dict[str, str]:
    """Columns that are summed under their own names."""
    return {name: name for name in columns}


OF_TURNS = Study(
    "turns",
    10_000,
    counts={"turns": "turns", "outcomes": "outcomes", "tenants": "tenant_lookups"},
    secrets={"turns": "turn_error_bad", "outcomes": "errors", "tenants": "tenant_lookups_stale"},
    secret="is_error",
    marks={
        ("turns", "audience"): _alike("audio_out_ms", "tokens_in", "tokens_out"),
        ("outcomes", "client"): _alike("tokens_cached", "tokens_audio", "retries", "fallbacks", "shadows"),
        ("tenants", "tenancy"): {"tool_calls": "tenant_tool_calls"},
    },
)
"""In these fleets every turn looks something up."""
OF_LABELS = Study(
    "quality",
    3_600_000,
    counts={"quality": "calls"},
    secrets={"quality": "word_errors"},
    secret="word_errors",
    marks={
        ("quality", "language"): _alike("characters"),
        ("quality", "speech"): _alike("character_errors", "entities"),
        ("quality", "tenancy"): _alike("endpoints", "partials"),
        ("quality", "client"): _alike("answers", "citations", "lookups_aged", "index_age_s_sum"),
    },
)
OF_COSTS = Study(
    "costs",
    600_000,
    counts={"costs": "turns"},
    secrets={"costs": "successes"},
    secret="successes",
    marks={("costs", "tenancy"): _alike("tokens_prompt", "tokens_carried", "tokens_retrieved", "tokens_out")},
)


def identifying_of(dimensions: tuple[str, ...]) -> list[str]:
    return [name for name in dimensions if DIMENSIONS[name].is_identifying]
