"""What points contribute to our families, gathered over one request, and then told as rows: one table for each kind.

Numbers of one cell and window are added up before parts are held against their wholes: exporters send the measures of one
collection together. A part that exceeds its whole is cut down to it, and withheld as inconsistent: once for each, and not by
how much, for it is one number that cannot be right.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from producers.aggregated import ROW_KINDS, kind_of, partition_of
from producers.observations import QUEUE_COLUMNS, with_unsaid
from producers.otlp.buckets import Placed, sums_ms
from producers.otlp.engine_samples import Cell, EngineSamples, Sample
from schemas.families import FAMILIES, PRIVACY, QUEUES, STAGE_LATENCIES, Family
from schemas.refusals import Refusal


@dataclass(frozen=True, slots=True)
class StageHistogram:
    """Latencies of one stage in one cell and window; `total_ms` is their sum where it was told."""

    at_ms: int
    cell: Cell
    stage: str
    buckets: Placed
    total_ms: float | None


@dataclass(frozen=True, slots=True)
class Withheld:
    """Where something was refused, of which family, and why: the cell and keys of family `privacy`."""

    cell: Cell
    family: str
    because: str


@dataclass(slots=True)
class Contributions:
    """`numbers` by family, window and cell; `histograms` of stages; what `engines` say, and the `samples` that it makes; and what
    was `withheld`."""

    numbers: dict[str, dict[tuple[int, Cell], dict[str, int]]] = field(default_factory=dict)
    histograms: list[StageHistogram] = field(default_factory=list)
    engines: EngineSamples = field(default_factory=EngineSamples)
    samples: dict[Sample, dict[str, int]] = field(default_factory=dict)
    withheld: Counter[Withheld] = field(default_factory=Counter)

    def add(self, family: Family, at_ms: int, cell: Cell, measure: str, value: int) -> None:
        """`at_ms` is the start of the window."""
        cells = self.numbers.setdefault(family.name, {})
        measures = cells.setdefault((at_ms, cell), defaultdict(int))
        measures[measure] += value

    def cut_down(self) -> int:
        """Makes parts that exceed their wholes as large as those, and withholds the rest; returns how many there were."""
        rows = [(FAMILIES[name], cell, row) for name, cells in self.numbers.items() for (_, cell), row in cells.items()]
        rows += [(QUEUES, each.engine.cell, row) for each, row in self.samples.items()]
        cut = [(family, cell, _cut_down(family, measures)) for family, cell, measures in rows]
        for family, cell, parts in cut:
            self.withhold(family, cell, Refusal.INCONSISTENT, parts)
        return sum(parts for _, _, parts in cut)

    def withhold(self, family: Family, cell: Cell, because: Refusal, count: int) -> None:
        """Notes for family `privacy` what a cell of this family lacks."""
        places = [partition_of(family).dimensions.index(name) for name in partition_of(PRIVACY).dimensions]
        if count:
            self.withheld[Withheld(tuple(cell[at] for at in places), family.name, because.value)] += count

    def tables(self, now_ms: int) -> dict[str, pl.DataFrame]:
        """The rows of each kind; what was withheld is told of now."""
        tables = {kind_of(FAMILIES[name]): _number_rows(FAMILIES[name], cells) for name, cells in self.numbers.items()}
        if self.histograms:
            tables[kind_of(STAGE_LATENCIES)] = self._stage_rows()
        if self.samples:
            tables[QUEUES.name] = self._sample_rows()
        if self.withheld:
            tables[kind_of(PRIVACY)] = self._withheld_rows(now_ms)
        return tables

    def _stage_rows(self) -> pl.DataFrame:
        """One row per bucket: the columns of all histograms behind each other, and beside them which one each is of."""
        columns = ROW_KINDS[kind_of(STAGE_LATENCIES)]
        dimensions = partition_of(STAGE_LATENCIES).dimensions
        sums = [sums_ms(each.buckets, each.total_ms) for each in self.histograms]
        buckets = pl.DataFrame(
            {
                "place": np.repeat(np.arange(len(sums)), [len(each.buckets.counts) for each in self.histograms]),
                "scale": np.concatenate([each.buckets.scales for each in self.histograms]),
                "bucket_index": np.concatenate([each.buckets.indexes for each in self.histograms]),
                "observations": np.concatenate([each.buckets.counts for each in self.histograms]),
                "latency_ms_sum": np.concatenate([of_values for of_values, _ in sums]),
                "latency_ms_sumsq": np.concatenate([of_squares for _, of_squares in sums]),
            }
        )
        whose = [(at, each.at_ms, each.stage, *each.cell) for at, each in enumerate(self.histograms)]
        named = pl.DataFrame(whose, schema=["place", "at_ms", "stage", *dimensions], orient="row")
        keys = [name for name in columns if name not in STAGE_LATENCIES.measure_names]
        measures = pl.col(STAGE_LATENCIES.measure_names).sum()
        told = buckets.join(named, on="place").group_by(keys).agg(measures)
        return told.sort(keys).select(list(columns)).cast(pl.Schema(columns))

    def _sample_rows(self) -> pl.DataFrame:
        dimensions = QUEUES.dimensions
        rows = [
            {
                "at_ms": each.at_ms,
                "host": each.engine.host,
                "queue": each.engine.queue,
                **dict(zip(dimensions, each.engine.cell, strict=True)),
            }
            | measures
            for each, measures in self.samples.items()
        ]
        return with_unsaid(pl.from_dicts(rows, infer_schema_length=None), QUEUE_COLUMNS).cast(pl.Schema(QUEUE_COLUMNS))

    def _withheld_rows(self, now_ms: int) -> pl.DataFrame:
        rows = [
            (now_ms, *each.cell, each.family, "refused", each.because, count) for each, count in self.withheld.items()
        ]
        return pl.DataFrame(rows, schema=ROW_KINDS[kind_of(PRIVACY)], orient="row")


def _number_rows(family: Family, cells: Mapping[tuple[int, Cell], Mapping[str, int]]) -> pl.DataFrame:
    assert not family.keys, "numbers have no keys"
    rows = [
        (at_ms, *cell, *(measures.get(name, 0) for name in family.measure_names))
        for (at_ms, cell), measures in cells.items()
    ]
    return pl.DataFrame(rows, schema=ROW_KINDS[kind_of(family)], orient="row")


def _cut_down(family: Family, measures: dict[str, int]) -> int:
    """How many parts exceeded their wholes; they are as large as those now."""
    cut = 0
    for measure in family.measures:
        whole = measure.part_of
        if whole is not None and measures.get(measure.name, 0) > measures.get(whole, 0):
            measures[measure.name] = measures.get(whole, 0)
            cut += 1
    return cut
