"""Noise after the gate: the last step before a frame, for measures that declare it and in partitions that identify.

Three things make it differential privacy. *Bound*: what a session contributes to a measure between two closings of a
partition's windows, over all of its cells, is cut to the measure's `clip` before it is added up; while the session's pool is
held, that goes on. *Noise*: every cell of every frame of one closing gets a draw of its own, whatever it counted. *Budget*: a
closing that tells something spends one of the day's windows; when none is left the measure is told as 0. The day is that of
the window that ends, in UTC.

Then nothing below 0 is told, nothing above the measure's largest value, and no part above its whole: that looks at what is
told only. All of it (budget, contributions) is the collector's state; the draws come from outside.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import polars as pl

from producers.cells import identifying, no_cells, pool_of
from producers.counting import rows_of
from producers.open_windows import Closed, OpenWindows
from schemas.families import Family, Measure, PrivacyPartition
from schemas.noise import Noise

Sampler = Callable[[Noise, int], Sequence[int]]
"""Draws so many numbers of the discrete Laplace distribution with this noise's scale."""
Place = tuple[str, str, str]
"""Family, partition and measure: what has a budget."""


@cache
def noised(family: Family, partition: PrivacyPartition) -> tuple[Measure, ...]:
    """The measures that declare noise, wholes before their parts; none in a partition that identifies nobody."""
    if not identifying(partition):
        return ()
    declared = [measure for measure in family.measures if measure.noise]
    return tuple(sorted(declared, key=lambda measure: measure.part_of is not None))


@dataclass(slots=True)
class Noising:
    """What was told of `day` (days since the epoch), and what each session has contributed since the last closing.

    `spent` and `withheld` count closings, told with noise and told as 0. A partition is in `contributed` from when on
    its sessions are bounded: one row a pool and session, of who contributed anything.
    """

    day: int = 0
    spent: Counter[Place] = field(default_factory=Counter)
    withheld: Counter[Place] = field(default_factory=Counter)
    contributed: dict[tuple[str, str], pl.DataFrame] = field(default_factory=dict)

    def begin(self, windows: OpenWindows, family: Family, partition: PrivacyPartition) -> None:
        """Forgets of the noised measures what waits since before sessions were bounded: it cannot be told."""
        if (family.name, partition.name) in self.contributed:
            return
        self.contributed[family.name, partition.name] = _nobody(family, partition)
        nothing = [pl.lit(0, pl.Int64).alias(measure.name) for measure in noised(family, partition)]
        windows.held = [cells.with_columns(nothing) for cells in windows.held]
        windows.parts = {
            start: [each.with_columns(nothing) for each in parts] for start, parts in windows.parts.items()
        }

    def bounded(
        self, rows: pl.DataFrame, observations: pl.DataFrame, family: Family, partition: PrivacyPartition
    ) -> pl.DataFrame:
        """The rows of these observations without what is beyond a session's bound; notes what it contributes.

        What no session did is about nobody, and stays.
        """
        measures = noised(family, partition)
        of_sessions = observations.filter(pl.col("session").is_not_null())
        by_session = replace(partition, dimensions=(*partition.dimensions, "session"))
        counted = rows_of(family, by_session, of_sessions).filter(
            pl.any_horizontal(pl.col(measure.name) > 0 for measure in measures)
        )
        if counted.is_empty():
            return rows
        kept = _cut(counted, self.contributed[family.name, partition.name], measures)
        self._note(kept, family, partition)
        return _less(rows, counted, kept, [*partition.dimensions, *family.key_names], measures)

    def told(
        self, closed: Sequence[Closed], day: int, sampler: Sampler, family: Family, partition: PrivacyPartition
    ) -> list[Closed]:
        """What one closing releases, with noise; or with 0, where the day's budget is spent."""
        if not any(len(each.released) for each in closed):
            return list(closed)
        self._turn(day)
        told = list(closed)
        for measure in noised(family, partition):
            is_told = self._spend((family.name, partition.name, measure.name), measure)
            told = [
                replace(
                    each,
                    released=_noisy(each.released, measure, sampler) if is_told else _zeroed(each.released, measure),
                )
                for each in told
            ]
        return told

    def settle(self, held: pl.DataFrame, family: Family, partition: PrivacyPartition) -> None:
        """After a closing: only what waits for the next one counts against anybody's bound."""
        key, pool = (family.name, partition.name), pool_of(family, partition)
        waits = held.select(pool).unique()
        self.contributed[key] = self.contributed[key].join(waits, on=pool, how="semi", nulls_equal=True)

    def _turn(self, day: int) -> None:
        if day > self.day:
            self.day, self.spent, self.withheld = day, Counter(), Counter()

    def _spend(self, place: Place, measure: Measure) -> bool:
        assert measure.noise
        has_budget = self.spent[place] < measure.noise.windows_per_day
        (self.spent if has_budget else self.withheld)[place] += 1
        return has_budget

    def _note(self, kept: pl.DataFrame, family: Family, partition: PrivacyPartition) -> None:
        key, names = (family.name, partition.name), [measure.name for measure in noised(family, partition)]
        whose = [*pool_of(family, partition), "session"]
        known = self.contributed[key]
        self.contributed[key] = (
            pl.concat([known, kept.select(known.columns)]).group_by(whose).agg(pl.col(names).sum()).sort(whose)
        )


def _nobody(family: Family, partition: PrivacyPartition) -> pl.DataFrame:
    names = [measure.name for measure in noised(family, partition)]
    return no_cells(family, partition).select(
        *pool_of(family, partition), pl.lit(None, pl.UInt64).alias("session"), *names
    )


def _cut(counted: pl.DataFrame, contributed: pl.DataFrame, measures: Sequence[Measure]) -> pl.DataFrame:
    """What counts of each cell and session: cells in the order of their names, until the session's bound is reached."""
    names = [measure.name for measure in measures]
    before = contributed.group_by("session").agg(pl.col(names).sum().name.suffix("|before"))
    joined = counted.sort(pl.all()).join(before, on="session", how="left", maintain_order="left")
    return joined.with_columns(_within_bound(measure) for measure in measures).select(counted.columns)


def _within_bound(measure: Measure) -> pl.Expr:
    assert measure.noise
    left = measure.noise.clip - pl.col(f"{measure.name}|before").fill_null(0)
    so_far = pl.col(measure.name).cum_sum().over("session")
    kept = pl.min_horizontal(so_far, left) - pl.min_horizontal(so_far - pl.col(measure.name), left)
    return kept.alias(measure.name)


def _less(
    rows: pl.DataFrame, counted: pl.DataFrame, kept: pl.DataFrame, cell: list[str], measures: Sequence[Measure]
) -> pl.DataFrame:
    """The rows less what was cut."""
    names, whose = [measure.name for measure in measures], [*cell, "session"]
    both = counted.select(*whose, *names).join(kept.select(*whose, *names), on=whose, suffix="|kept", nulls_equal=True)
    cut = both.group_by(cell).agg((pl.col(name) - pl.col(f"{name}|kept")).sum().alias(f"{name}|cut") for name in names)
    less = [pl.col(name) - pl.col(f"{name}|cut").fill_null(0) for name in names]
    joined = rows.join(cut, on=cell, how="left", nulls_equal=True, maintain_order="left")
    return joined.with_columns(less).select(rows.columns)


def _noisy(rows: pl.DataFrame, measure: Measure, sampler: Sampler) -> pl.DataFrame:
    assert measure.noise
    noise = pl.Series("noise", sampler(measure.noise, len(rows)), dtype=pl.Int64)
    told = (pl.col(measure.name) + noise).clip(0, measure.largest)
    if measure.part_of:
        told = pl.min_horizontal(told, pl.col(measure.part_of))
    return rows.with_columns(told.alias(measure.name))


def _zeroed(rows: pl.DataFrame, measure: Measure) -> pl.DataFrame:
    return rows.with_columns(pl.lit(0, pl.Int64).alias(measure.name))
