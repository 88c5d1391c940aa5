"""Counts of one scrape as observations and rows of the contract: the dimensions are those that the target declares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from producers.aggregated import row_columns, summed
from producers.observations import COST_COLUMNS, QUEUE_COLUMNS, with_unsaid
from producers.scraping.amounts import CELL, Cell, Counts
from producers.scraping.mapping import mapping_of
from producers.scraping.targets import Target
from schemas.families import COSTS, QUEUES, TURNS, Family


@dataclass(frozen=True, slots=True)
class Telling:
    """What one target tells at one instant."""

    target: Target
    region: str
    at_ms: int

    def queues(self, counts: Counts) -> pl.DataFrame:
        """Observations of kind `queues`: one sample of each queue; a target that serves is a replica of each of them."""
        rows = _wide(counts, QUEUES)
        if len(rows) and mapping_of(self.target.kind).is_serving:
            warm = pl.when(pl.int_range(pl.len()) == 0).then(self.target.warm_streams or 0).otherwise(0)
            rows = rows.with_columns(servers=pl.lit(1, pl.Int64), warm_streams=warm.cast(pl.Int64))
        # Whoever counts samples knows an engine by its host: what is scraped beside it, or serves another bundle, is another.
        engine = pl.concat_str(pl.lit(f"{self.target.host}/{self.target.kind}/"), "bundle")
        return with_unsaid(self._with_dimensions(rows, QUEUES).with_columns(host=engine), QUEUE_COLUMNS)

    def costs(self, counts: Counts) -> pl.DataFrame:
        """Observations of kind `costs`, which no session used."""
        rows = _wide(counts, COSTS)
        if rows.is_empty():
            return pl.DataFrame(schema=COST_COLUMNS)
        return with_unsaid(self._with_dimensions(rows.drop("queue"), COSTS), COST_COLUMNS)

    def turns(self, counts: Counts, outcomes: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Rows of family `turns`: amounts and outcomes of turns that others count."""
        return self.rows(TURNS, [_wide(counts, TURNS), *outcomes])

    def rows(self, family: Family, parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Rows of a family as they wait for their window (`producers/aggregated.py`); measures that no part has are 0."""
        columns = row_columns(family)
        filled = [part for part in parts if len(part)]
        if not filled:
            return pl.DataFrame(schema=columns)
        together = self._with_dimensions(pl.concat(filled, how="diagonal_relaxed"), family)
        absent = [pl.lit(0).alias(name) for name in family.measure_names if name not in together.columns]
        rows = together.with_columns(absent).with_columns(pl.col(family.measure_names).fill_null(0))
        return (
            summed(family, rows).with_columns(at_ms=pl.lit(self.at_ms)).select(list(columns)).cast(pl.Schema(columns))
        )

    def _with_dimensions(self, rows: pl.DataFrame, family: Family) -> pl.DataFrame:
        said = {"region": self.region, "pool": self.target.pool, "route": self.target.route}
        said |= {name: getattr(self.target, name) for name in ("model_version", "gpu_type", "purchase")}
        columns = [pl.lit(value, pl.String).alias(name) for name, value in said.items() if name in family.dimensions]
        return rows.with_columns(pl.lit(self.at_ms, pl.Int64).alias("at_ms"), *columns)


def _wide(counts: Counts, family: Family) -> pl.DataFrame:
    """One row for each cell of which the family's measures say something."""
    cells: dict[Cell, dict[str, int]] = {}
    for (cell, name, measure), count in counts.items():
        if name == family.name:
            cells.setdefault(cell, {})[measure] = count
    rows = [{"bundle": bundle, "queue": queue, **measures} for (bundle, queue), measures in sorted(cells.items())]
    return pl.DataFrame(rows) if rows else pl.DataFrame(schema=dict.fromkeys(CELL, pl.String))
