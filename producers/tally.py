"""The tally of the privacy gate: of each identifying dimension, how many observations kept it, lost it, or wait.

An observation is counted once for each identifying dimension of each partition that it is in. `kept` left with its value,
`generalised` left as `*` (also where nobody had said a value), `held` waits because its pool is below k, `released` waited
before and has left, as kept or generalised. So kept + generalised = observed - held + released. All of it can be read off
the frames that were sent, so the tally tells nobody anything more. What was `refused`, an observation or a field that one goes on
without, is counted by reason and once: under the family of its own kind (a turn is one of `turns`, also where `stages` and others would have counted it), or under
`unknown`; where its pool is unknown, under the first pool of the vocabulary.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import polars as pl

from producers.cells import OBSERVATIONS, identifying, pool_of
from producers.kinds import KINDS
from schemas.dimensions import GENERALISED
from schemas.families import PRIVACY, UNKNOWN, Family, PrivacyPartition
from schemas.refusals import Refused

Told = tuple[str, str, str, str]
"""Pool, family, fate, and because of which dimension or refusal."""


@dataclass(slots=True)
class Tally:
    """Observations by what was done to them since the last window."""

    counts: Counter[Told] = field(default_factory=Counter)

    def released(self, cells: pl.DataFrame, family: Family, partition: PrivacyPartition) -> None:
        """Takes in what left a partition."""
        for dimension in identifying(partition):
            is_kept = pl.col(dimension) != GENERALISED
            by_fate = cells.group_by("pool", is_kept.alias("is_kept")).agg(pl.col(OBSERVATIONS).sum())
            for pool, kept, observations in by_fate.rows():
                self.counts[pool, family.name, "kept" if kept else "generalised", dimension] += observations

    def held(self, before: pl.DataFrame, after: pl.DataFrame, family: Family, partition: PrivacyPartition) -> int:
        """Takes in what waited before a window and what waits after it; returns how many observations newly do.

        Pools are held and released as wholes.
        """
        pool = list(pool_of(family, partition))
        still = before.join(after.select(pool).unique(), on=pool, how="semi", nulls_equal=True)
        left = before.join(after.select(pool).unique(), on=pool, how="anti", nulls_equal=True)
        newly = _by_pool(after) - _by_pool(still)
        for dimension in identifying(partition):
            for fate, by_pool in (("held", newly), ("released", _by_pool(left))):
                for name, observations in by_pool.items():
                    self.counts[name, family.name, fate, dimension] += observations
        return newly.total()

    def refused(self, kind: str, pool: str, refused: Refused) -> None:
        """Takes in what was refused before it was counted anywhere; `UNKNOWN` is the kind of what did not say its own."""
        if kind == UNKNOWN or KINDS[kind].families:
            for reason, observations in refused.by_reason:
                self.counts[pool, reported_as(kind), "refused", reason.value] += observations

    def rows(self, region: str) -> pl.DataFrame:
        """Rows of family `privacy`: what happened to nothing is not told."""
        columns = ["region", "pool", *PRIVACY.key_names, *PRIVACY.measure_names]
        told = [(region, *what, count) for what, count in sorted(self.counts.items()) if count]
        types = dict.fromkeys(columns[:-1], pl.String) | {columns[-1]: pl.Int64}
        return pl.DataFrame(told, schema=types, orient="row")


def reported_as(kind: str) -> str:
    """The family that what was refused of a kind is told under: the one of the kind's own, or `UNKNOWN`."""
    return UNKNOWN if kind == UNKNOWN else KINDS[kind].families[0].name


def _by_pool(cells: pl.DataFrame) -> Counter[str]:
    return Counter(dict(cells.group_by("pool").agg(pl.col(OBSERVATIONS).sum()).rows()))
