"""Kafka topics: names, partitions and how long they keep what.

Aggregates and partials share one partition count, so that a worker that owns partition p of one owns p of all. Source
topics are neither compacted nor transactional: a gap in offsets then means loss, and is treated as such. Aggregates carry
the broker's append time, which makes "late" and "from the future" a function of the log and not of the reader's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from schemas.families import FAMILIES, INDICATORS_OF, TURNS

PARTITIONS_DEFAULT = 4
EXCLUSIONS_KEPT_D = 400
"""As long as what paged is kept, and longer than any budget reaches back."""


STATE_SETTINGS = {"min.compaction.lag.ms": "600000", "segment.ms": "3600000", "compression.type": "producer"}
"""Of changelogs: compaction waits for longer than a worker that believes itself alive could still write."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic. `partitions` of `None` means the deployment's partition count."""

    name: str
    meaning: str
    partitions: int | None = None
    retention_h: int = 7 * 24
    cleanup: Literal["delete", "compact"] = "delete"
    timestamps: Literal["CreateTime", "LogAppendTime"] = "CreateTime"
    is_state: bool = False

    def config(self) -> dict[str, str]:
        config: dict[str, str] = {"cleanup.policy": self.cleanup, "message.timestamp.type": self.timestamps}
        if self.cleanup == "delete":
            config["retention.ms"] = str(self.retention_h * 3_600_000)
        return config | STATE_SETTINGS if self.is_state else config


def aggregates(family: str) -> str:
    return f"aggregates.{family}"


def partials(family: str) -> str:
    return f"partials.{family}"


def burn_rate_stage(family: str) -> str:
    """The stage that judges a family's objectives; that of turns is older than the others, and has no surname."""
    return "burn_rate" if family == TURNS.name else f"burn_rate_{family}"


def changelog(stage: str) -> str:
    return f"turnwatch-{stage}-changelog"


ROLLUPS = "rollups"
DEAD_LETTERS = "dead_letters"
REDRIVEN = "redriven"
HALTS = "halts"
BURNS = "burns"
SILENCES = "silences"
GROWTHS = "growths"
FINDINGS = "findings"
SPEND = "spend"
ALERTS = "alerts"
EXCLUSIONS = "exclusions"
RELEASE_DOCUMENTS = "releases"
VERDICTS = "verdicts"

TOPICS: tuple[TopicSpec, ...] = (
    *(
        TopicSpec(aggregates(name), f"frames: {family.meaning}", timestamps="LogAppendTime")
        for name, family in FAMILIES.items()
    ),
    *(
        TopicSpec(partials(name), f"absolute totals per source partition, slice and bucket of {name}")
        for name in FAMILIES
    ),
    TopicSpec(ROLLUPS, "rows on their way to ClickHouse"),
    TopicSpec(DEAD_LETTERS, "reason and position of refused messages, never their content"),
    TopicSpec(REDRIVEN, "positions of refused messages that were put through again", partitions=1),
    TopicSpec(HALTS, "positions at which a worker stopped because it had diverted too much", partitions=1),
    TopicSpec(
        BURNS,
        "what burns now, from every shard, for the one agent that turns it into pages",
        partitions=1,
        retention_h=24,
    ),
    TopicSpec(SILENCES, "which producers are silent, from every source partition", partitions=1, retention_h=24),
    TopicSpec(
        GROWTHS, "which stage of a turn takes longer than before, from every shard", partitions=1, retention_h=24
    ),
    TopicSpec(FINDINGS, "what questions found that somebody should hear of", partitions=1, retention_h=24),
    TopicSpec(SPEND, "what each bucket of ten minutes cost, cell by cell, from every shard", partitions=1),
    TopicSpec(ALERTS, "the newest state of each alert", partitions=1, cleanup="compact"),
    TopicSpec(
        EXCLUSIONS,
        "who excluded what from a budget, and why; every event is kept, as an audit needs them all",
        partitions=1,
        retention_h=EXCLUSIONS_KEPT_D * 24,
    ),
    TopicSpec(
        RELEASE_DOCUMENTS,
        "what each release bundle is made of, with lineage and ways back",
        partitions=1,
        cleanup="compact",
    ),
    TopicSpec(VERDICTS, "what gates said last of each release, and on what grounds", partitions=1, cleanup="compact"),
)

CHANGELOGS: tuple[TopicSpec, ...] = tuple(
    TopicSpec(changelog(stage), f"state of {stage}, block by block", partitions, cleanup="compact", is_state=True)
    for stage, partitions in {
        "intake": None,
        "traffic": None,
        **{burn_rate_stage(family): None for family in INDICATORS_OF},
        "incidents": 1,
        "cost": 1,
    }.items()
)
"""Made before a worker starts: the partitions of one that is not yet known would go to nobody, without a word."""
