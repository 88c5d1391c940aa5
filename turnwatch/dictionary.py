"""The data dictionary: every dimension, measure and table of the contract, in words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from schemas.declarations import Family, Key, Measure, Purpose
from schemas.dimensions import DIMENSIONS, Dimension
from schemas.families import FAMILIES, INDICATORS_OF, Indicator
from schemas.frames import SCHEMA_MAJOR
from schemas.hourly_tables import HOURLY
from schemas.tables import TABLES, Table, late_table, rollups_of
from schemas.view_declarations import View
from schemas.views import VIEWS


def data_dictionary() -> str:
    parts = [
        _opening(),
        _dimensions(),
        _purposes(),
        _indicators(),
        *map(_family, FAMILIES.values()),
        "# Tables\n",
        *map(_table, TABLES.values()),
        *(_table(each.table) for each in HOURLY.values()),
    ]
    return "\n".join([*parts, _VIEWS, *map(_view, VIEWS.values())])


def _opening() -> str:
    return (
        "<!-- Rendered by `turnwatch render` from schemas/: change it there. -->\n"
        "# Data dictionary\n\n"
        "What producers send (families), by what it may be cut (dimensions), and what an analyst finds in ClickHouse (tables). "
        "A counter is summed over producers and time, exactly and in any order. A gauge is summed over producers at one instant; "
        "of several in a window, and of the windows in a wider bucket, the last one counts (of `active_at_start` the first). "
        "Rows in ClickHouse are absolutes with a version, to be read with `FINAL`.\n"
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


def _purposes() -> str:
    """Every purpose, with how much is collected for it and where."""
    collected: defaultdict[Purpose, Counter[str]] = defaultdict(Counter)
    for family in FAMILIES.values():
        for measure in family.measures:
            collected[family.purpose_of(measure)][family.name] += 1
    rows = [
        (each.owner, each.why, str(each.expires), ", ".join(f"{count} of `{name}`" for name, count in counts.items()))
        for each, counts in collected.items()
    ]
    said = (
        "Why measures are collected, who answers for them, and until when; `turnwatch check` fails from the day after."
    )
    return f"# Purposes\n\n{said}\n\n" + _grid(("owner", "why", "until", "measures"), rows)


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
    cuts = "; ".join(f"`{cut.name}` ({cut.partition})" for cut in family.cuts)
    purpose = family.purpose
    keys = [(f"`{key.name}`", "key", "", _meaning(key), "", "") for key in family.keys]
    measures = [(f"`{each.name}`", each.merge, each.unit, *_said_of(family, each)) for each in family.measures]
    return (
        f"# Family `{family.name}`\n\nTells {family.meaning}. Since version {SCHEMA_MAJOR}.{family.since_minor}. "
        f"Collected {purpose.why}; {purpose.owner} answers for it until {purpose.expires}. {_kept(family)}\n\n"
        f"Cuts: {cuts}.\n\n"
        + _grid(("privacy partition", "window", "dimensions", "gives way below k, in this order"), _partitions(family))
        + "\n"
        + _grid(("column", "merges as", "unit", "meaning", "owner", "until"), [*keys, *measures])
    )


def _kept(family: Family) -> str:
    """How long rollups are kept, and how late data may be."""
    *narrow, widest = rollups_of(family)
    tables = [(rollup.table, family.retention_fine_d) for rollup in narrow] + [(widest.table, family.retention_d)]
    kept = " and ".join(f"`{table}` for {days} days" for table, days in tables)
    return f"Kept in {kept}. Data may be {family.lateness_s} s late; what comes later is in `{late_table(family)}`."


def _partitions(family: Family) -> list[tuple[str, ...]]:
    order = {name: dimension.generalise_order for name, dimension in DIMENSIONS.items()}
    rows: list[tuple[str, ...]] = []
    for each in family.partitions:
        giving = sorted(
            (name for name in each.dimensions if order[name] is not None), key=lambda name: order[name] or 0
        )
        width = f"{each.k_window_s} s"
        rows.append(
            (f"`{each.name}`", width, ", ".join(each.dimensions), ", ".join(giving) or "nothing: it identifies nobody")
        )
    return rows


def _meaning(key: Key) -> str:
    return f"{key.meaning}: {', '.join(key.vocabulary)}" if key.vocabulary else key.meaning


def _said_of(family: Family, measure: Measure) -> tuple[str, str, str]:
    """What a measure means, who answers for it, and until when."""
    part = f"; part of `{measure.part_of}`" if measure.part_of else ""
    since = f"; since {SCHEMA_MAJOR}.{measure.since_minor}" if measure.since_minor > family.since_minor else ""
    purpose = family.purpose_of(measure)
    noise = f"; {measure.noise.said}" if measure.noise else ""
    return f"{measure.meaning}{part}{since}{noise}", purpose.owner, str(purpose.expires)


def _table(table: Table) -> str:
    rows = [(f"`{column.name}`", f"`{column.type}`", column.comment) for column in table.columns]
    kept = f"Kept {table.retention_d} days. Sorted by {', '.join(table.order_by)}."
    return f"## `{table.name}`\n\n{table.question} {kept}\n\n" + _grid(("column", "type", "meaning"), rows)


_VIEWS = (
    "# Views\n\n"
    "A plain SELECT of a view is right: it reads each row once. Before you add rows up, choose one `cut`: each groups the same observations "
    "anew, so sums over several count them several times (`privacy` shows one cut only). Names and meanings of views and their columns are stable: columns may "
    "be added at the end. [Examples](queries.md), which are tests; `turnwatch export` writes any of them as Parquet or CSV.\n"
)


def _view(view: View) -> str:
    rows = [(f"`{column.name}`", column.unit, column.meaning) for column in view.columns]
    ranged = f" Its time is `{view.time}`." if view.time else ""
    return f"## `{view.name}`\n\n{view.question}{ranged}\n\n" + _grid(("column", "unit", "meaning"), rows)


def _grid(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines: Iterator[tuple[str, ...]] = iter((head, ("---",) * len(head), *rows))
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"
