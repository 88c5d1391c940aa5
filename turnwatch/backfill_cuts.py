"""A new cut over stored minutes: sums of the coarsest stored cut of the same privacy partition that has its dimensions.

ClickHouse adds up by itself: the turns and events that were counted in time (`burn_rate_1m`), and what came late.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from schemas.failures import BadInput
from schemas.families import FAMILIES, INDICATORS_OF, Cut, Family
from schemas.tables import TABLES, Table, late_table

_WITHIN = "bucket_start >= fromUnixTimestamp64Milli({from_ms:Int64}) AND bucket_start < fromUnixTimestamp64Milli({to_ms:Int64})"


@dataclass(frozen=True, slots=True)
class Filling:
    """Rows of a new cut of one family, as sums of those of a stored one."""

    family: Family
    dimensions: tuple[str, ...]
    source: str

    @property
    def indicators(self) -> tuple[str, ...]:
        return tuple(each.name for each in INDICATORS_OF[self.family.name])

    @property
    def cut(self) -> str:
        return ",".join(self.dimensions)


def fillings(written: str) -> list[Filling]:
    """For each family that can tell the cut; raises `BadInput` where none can."""
    names = tuple(name.strip() for name in written.split(","))
    counting = [FAMILIES[name] for name in INDICATORS_OF]
    known = list(dict.fromkeys(name for family in counting for name in family.dimensions))
    for name in names:
        if name not in known:
            (nearest,) = get_close_matches(name, known, n=1, cutoff=0)
            raise BadInput(f"Nothing is counted by a dimension {name!r}: did you mean {nearest}?")
    if len(set(names)) < len(names):
        raise BadInput(f"Cut {written!r} names a dimension twice: name each once.")
    sources = [(family, _source(family, names)) for family in counting]
    found = [Filling(family, names, source.name) for family, source in sources if source is not None]
    if not found:
        stored = "; ".join(dict.fromkeys(cut.name for family in counting for cut in family.cuts))
        raise BadInput(f"No stored cut tells {written}, for it takes one with more dimensions. Stored are: {stored}.")
    return found


def _source(family: Family, names: Sequence[str]) -> Cut | None:
    """The coarsest cut that has all of the dimensions, and more."""
    finer = [cut for cut in family.cuts if set(names) < set(cut.dimensions)]
    return min(finer, key=lambda cut: len(cut.dimensions), default=None)


def statements(filling: Filling) -> Iterator[tuple[str, str]]:
    """For each table: what counts the rows of a stretch of time, and what writes them."""
    late = TABLES[late_table(filling.family)]
    of_late = {"producer": "any(producer)", "version": "max(version)"}
    yield _statements(filling, TABLES["burn_rate_1m"], {"version": "1"}, ("bad", "total"), _OF_INDICATORS)
    yield _statements(filling, late, of_late, filling.family.measure_names, "")


_OF_INDICATORS = " AND indicator IN {indicators:Array(String)}"


def _statements(
    filling: Filling, table: Table, values: dict[str, str], measures: Sequence[str], also: str
) -> tuple[str, str]:
    values = {name: f"sum({name})" for name in measures} | values
    told = [name for name in table.column_names if name in values]
    texts = {name for family in FAMILIES.values() for name in family.dimensions}
    keys = [name for name in table.column_names if name not in (*told, "cut", "slice") and name not in texts]
    dimensions = [name for name in table.column_names if name in texts]
    pairs = ", ',', ".join(f"'{name}=', rows.{name}" for name in filling.dimensions)
    shown = [f"rows.{name}" if name in filling.dimensions else "''" for name in dimensions]
    grouped = ", ".join(f"rows.{name}" for name in (*filling.dimensions, *keys))
    source = f"FROM {table.name} AS rows FINAL WHERE cut = '{filling.source}' AND {_WITHIN}{also} GROUP BY {grouped}"
    summed = ", ".join(values[name].replace("(", "(rows.") for name in told)
    columns = ", ".join(("cut", "slice", *dimensions, *keys, *told))
    chosen = ", ".join((f"'{filling.cut}'", f"concat({pairs})", *shown, *(f"rows.{name}" for name in keys), summed))
    counted = f"SELECT count() FROM (SELECT {grouped} {source})"
    return counted, f"INSERT INTO {table.name} ({columns}) SELECT {chosen} {source}"
