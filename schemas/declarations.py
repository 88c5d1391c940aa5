"""What a declaration of the contract consists of: measures, keys, privacy partitions, cuts, families.

A *family* is one Kafka topic. A *privacy partition* of it is one projection of the same observations onto some
dimensions, aggregated over its k-window: every observation is counted exactly once per partition, so two partitions are
never added up. A *cut* groups one named partition by some of its dimensions; slices are the groups. The k-window is the
partition's bucket: grace and lateness run from its end.

Measures are integers, so that sums are exact in any order. `counter` measures add over producers and time. A `gauge` is
summed across producers at one instant; within a window the last one counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from schemas.noise import Noise

Merge = Literal["counter", "gauge"]

COUNT_MAX = 2**40
"""Largest count or sum in one row."""
SQUARES_MAX = 2**47
"""Largest sum of squares in one row: 10,000 turns of a minute each are 2^45."""
IDENTIFYING_MAX = 4
"""Most identifying dimensions of one privacy partition."""


@dataclass(frozen=True, slots=True)
class Purpose:
    """Why something is collected, who answers for it, and until when; after `expires` it has to be justified anew."""

    owner: str
    why: str
    expires: date


@dataclass(frozen=True, slots=True)
class Measure:
    """One non-negative integer that rows carry.

    `part_of` names the measure it can never exceed. `since_minor`: the contract's minor version that declared it; a
    frame of an older one does not have it, and counts as zero. `purpose`: where it is not its family's. `noise`: what a
    collector that is told to adds to it in partitions that identify; nothing but its value changes, so it is none of the
    contract's versions.
    """

    name: str
    unit: str
    meaning: str
    merge: Merge = "counter"
    part_of: str | None = None
    since_minor: int = 0
    purpose: Purpose | None = None
    noise: Noise | None = None

    @property
    def largest(self) -> int:
        """Largest value in one row. Above it the producer is broken; below it 400 full frames still sum in 64 bits."""
        return SQUARES_MAX if self.unit.endswith("^2") else COUNT_MAX


@dataclass(frozen=True, slots=True)
class Key:
    """An integer or vocabulary column that, with the dimensions, tells rows of one cell apart.

    `marker` is an integer outside of the range that is allowed besides. `first_values`: how many values of the vocabulary
    the first version had, where later ones have added some at its end; state is laid out by their places.
    """

    name: str
    meaning: str
    vocabulary: tuple[str, ...] = ()
    integer_range: tuple[int, int] = (0, 0)
    marker: int | None = None
    first_values: int = 0


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
    """One topic of aggregates.

    `kind`: the kind of observation that its rows are counted from. `retention_d`: how long its rollups are kept, and
    `retention_fine_d` those of its narrowest buckets. `lateness_s`: for how long after its end a bucket still changes.
    `owned_without`: dimensions that play no part in which shard owns a slice, so that those that differ in them alone can be
    compared there.
    """

    name: str
    meaning: str
    partitions: tuple[PrivacyPartition, ...]
    measures: tuple[Measure, ...]
    cuts: tuple[Cut, ...]
    purpose: Purpose
    kind: str
    keys: tuple[Key, ...] = ()
    lateness_s: int = 120
    retention_d: int = 95
    retention_fine_d: int = 8
    since_minor: int = 0
    owned_without: tuple[str, ...] = ()

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

    def purpose_of(self, measure: Measure) -> Purpose:
        return measure.purpose or self.purpose
