"""The data dictionary: every dimension, measure and table of the contract, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from schemas.dimensions import DIMENSIONS, Dimension
from schemas.families import FAMILIES, INDICATORS_OF, Family, Indicator
from schemas.tables import TABLES, Table
from schemas.views import VIEWS


def data_dictionary() -> str:
    parts = [
        _opening(),
        _dimensions(),
        _indicators(),
        *map(_family, FAMILIES.values()),
        "# Tables\n",
        *map(_table, TABLES.values()),
    ]
    views = [f"## `{view.name}`\n\n{view.question}\n" for view in VIEWS.values()]
    return "\n".join([*parts, "# Views\n", *views])


def _opening() -> str:
    return (
        "<!-- Rendered by `turnwatch render` from schemas/: change it there. -->\n"
        "# Data dictionary\n\n"
        "What producers send (families), by what it may be cut (dimensions), and what an analyst finds in ClickHouse (tables). "
        "Counters are sums, exact in any order; rows in ClickHouse are absolutes with a version, to be read with `FINAL`.\n"
    )


def _dimensions() -> str:
    rows = [(f"`{each.name}`", each.meaning, _values(each), _class(each)) for each in DIMENSIONS.values()]
    return "# Dimensions\n\n" + _grid(("dimension", "meaning", "values", "privacy"), rows)


def _values(dimension: Dimension) -> str:
    return ", ".join(dimension.vocabulary) or f"`{dimension.pattern}`"


def _class(dimension: Dimension) -> str:
    if not dimension.is_identifying:
        return "identifies nobody"
    return f"identifying; generalised to `*` below k sessions, in place {dimension.generalise_order}"


def _indicators() -> str:
    rows = [
        (f"`{each.name}`", f"`{family}`", each.unit, each.meaning, _threshold(each))
        for family, indicators in INDICATORS_OF.items()
        for each in indicators
    ]
    return "# Indicators\n\nCounted exactly at the edge, as `…_bad` and `…_total`.\n\n" + _grid(
        ("indicator", "family", "counts", "good is", "threshold"), rows
    )


def _threshold(indicator: Indicator) -> str:
    if indicator.threshold_ms is None:
        return ""
    low = "" if indicator.threshold_low_ms is None else f"{indicator.threshold_low_ms} to "
    return f"{low}{indicator.threshold_ms} ms"


def _family(family: Family) -> str:
    partitions = "; ".join(
        f"`{each.name}` ({', '.join(each.dimensions)}; windows of {each.k_window_s} s)" for each in family.partitions
    )
    cuts = "; ".join(f"`{cut.name}` ({cut.partition})" for cut in family.cuts)
    keys = [(f"`{key.name}`", "key", "", key.meaning) for key in family.keys]
    measures = [(f"`{each.name}`", each.merge, each.unit, each.meaning) for each in family.measures]
    return (
        f"# Family `{family.name}`\n\nTells {family.meaning}. Privacy partitions: {partitions}. Cuts: {cuts}. "
        f"Data may be {family.lateness_s} s late.\n\n"
        + _grid(("column", "merges as", "unit", "meaning"), [*keys, *measures])
    )


def _table(table: Table) -> str:
    rows = [(f"`{column.name}`", f"`{column.type}`", column.comment) for column in table.columns]
    kept = f"Kept {table.retention_d} days. Sorted by {', '.join(table.order_by)}."
    return f"## `{table.name}`\n\n{table.question} {kept}\n\n" + _grid(("column", "type", "meaning"), rows)


def _grid(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines: Iterator[tuple[str, ...]] = iter((head, ("---",) * len(head), *rows))
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"
