"""Views for analysts: rows per minute, or per bucket where those are wider, without their versions, so that a plain SELECT
is right.

Tables keep absolutes and are right only when read with FINAL, and what came after a family's lateness is in a table of
its own; a view says both once for everybody. Quantiles come out of
the exponential histograms: each bucket stands at the harmonic middle of its bounds, 2·low·high ÷ (low + high), which
keeps the relative error within (base - 1) ÷ (base + 1): 0.55 % at scale 6 (`turn`, `first_audio`), 1.1 % at scale 5.
"""

from __future__ import annotations

from schemas.analyst_views import analyst_views, dollars, told_by
from schemas.budget_views import BUDGET_KEYS, budget_columns, budgets_select
from schemas.capacity_views import capacity_columns, capacity_select
from schemas.families import FAMILIES, INDICATORS_OF, PRIVACY, STREAMS, Family
from schemas.histograms import ZERO_INDEX
from schemas.prices import PRICED
from schemas.rollup_tables import MINUTE_S
from schemas.tables import FAMILY_TABLES, TABLES, Rollup, Table, late_table, rollups_of, widest
from schemas.view_declarations import Shown, View

QUANTILES = (0.5, 0.95, 0.99)

_LOW, _HIGH = "exp2(bucket_index * exp2(-scale))", "exp2((bucket_index + 1) * exp2(-scale))"
LATENCY_MS = f"if(bucket_index = {ZERO_INDEX}, 0., 2 * {_LOW} * {_HIGH} / ({_LOW} + {_HIGH}))"
"""The latency in ms that a bucket stands for."""


_MINUTE = "toDateTime64(toStartOfMinute(bucket_start, 'UTC'), 3, 'UTC')"


SHOWN_CUTS: dict[str, str] = {PRIVACY.name: max(PRIVACY.cuts, key=lambda cut: len(cut.dimensions)).name}
"""Views that show one cut, in which every dimension is said and nothing is generalised: whatever is added up of it is counted once."""


def _counted(family: Family, name: str) -> View:
    """The rows of a family's widest table, and what came late for them."""
    table, rollup = widest(name), rollups_of(family)[-1]
    where = f" WHERE cut = '{SHOWN_CUTS[name]}'" if name in SHOWN_CUTS else ""
    keys = [column for column in table.column_names if column not in (*rollup.measures, "version")]
    gauges = {measure.name for measure in family.measures if measure.merge == "gauge"}
    values = {name: _late_gauge(family, rollup) % name if name in gauges else name for name in rollup.measures}
    values |= {"bucket_start": _MINUTE if rollup.width_s == MINUTE_S else "bucket_start"}
    late = ", ".join(values.get(column, column) for column in (*keys, *rollup.measures))
    sums = [f"sum({name})" for name in rollup.measures]
    late = f"SELECT {late} FROM {late_table(family)} FINAL{where}"
    return _added(table, keys, sums, list(rollup.measures), late, where)


def _late_gauge(family: Family, rollup: Rollup) -> str:
    """A gauge is its last bucket's: what came late counts where it is of that one."""
    (width_s,) = {partition.k_window_s for partition in family.partitions}
    if width_s == rollup.width_s:
        return "%s"
    return f"if(bucket_start = {_MINUTE} + INTERVAL {rollup.width_s - width_s} SECOND, %s, 0)"


def _burn_rate() -> View:
    keys = _burn_rate_keys()
    return _added(widest("burn_rate"), keys, ["sum(bad)", "sum(total)"], ["bad", "total"], _late_burns(keys))


def _burn_rate_keys() -> list[str]:
    return [column for column in widest("burn_rate").column_names if column not in ("bad", "total", "version")]


def _late_burns(keys: list[str]) -> str:
    return "\n    UNION ALL\n    ".join(_late_counts(FAMILIES[name], keys) for name in INDICATORS_OF)


def _late_counts(family: Family, keys: list[str]) -> str:
    """The select of what came late for the family's indicators; a dimension that it does not have is empty."""
    counted = ", ".join(f"('{each.name}', {each.bad}, {each.total})" for each in INDICATORS_OF[family.name])
    late = TABLES[late_table(family)]
    values = {"bucket_start": _MINUTE, "indicator": "counted.1"} | {
        name: name for name in late.column_names if name != "bucket_start"
    }
    columns = ", ".join([*(values.get(column, "''") for column in keys), "counted.2", "counted.3"])
    return f"SELECT {columns} FROM {late.name} FINAL ARRAY JOIN [{counted}] AS counted WHERE counted.3 > 0"


def _concurrency() -> View:
    """Peaks of what came in time and of what came late need not coincide: their sum still bounds the peak from above."""
    table = widest("concurrency")
    told = ("active_at_start", "starts", "ends", "peak_lower", "peak_upper", "replicas_needed")
    keys = [column for column in table.column_names if column not in (*told, "version")]
    by_bucket = ", ".join(keys)
    within = ", ".join(_MINUTE if column == "bucket_start" else column for column in keys)
    late = f"""SELECT {within}, if(bucket_start = {_MINUTE}, active, 0), started, ended, 0, active + started, 0
    FROM (
        SELECT {by_bucket}, sum(active_at_start) AS active, sum(starts) AS started, sum(ends) AS ended
        FROM {late_table(STREAMS)} FINAL
        GROUP BY {by_bucket})"""
    summed = [
        "sum(active_at_start)",
        "sum(starts)",
        "sum(ends)",
        "max(peak_lower)",
        "sum(peak_upper)",
        "max(replicas_needed)",
    ]
    return _added(table, keys, summed, list(told), late)


def _added(table: Table, keys: list[str], sums: list[str], names: list[str], late: str, where: str = "") -> View:
    """The rows of `table` for which `where` holds, with those that `late` selects added to them."""
    name = table.name.rpartition("_")[0]
    values = ",\n    ".join(f"{value} AS {column}" for value, column in zip(sums, names, strict=True))
    select = f"""SELECT {", ".join(keys)},
    {values}
FROM (
    {_with_late(table, (*keys, *names), late, where)})
GROUP BY {", ".join(keys)}"""
    question = f"{table.question} Each row once, with what came late."
    if where:
        question = f"{question} Of one cut, that by {SHOWN_CUTS[name]}: rows add up as they are."
    return View(name, question, select, told_by(table.name, *keys, *names))


def _with_late(table: Table, columns: tuple[str, ...], late: str, where: str = "") -> str:
    """The rows of `table` for which `where` holds and those that `late` selects, one after the other."""
    return f"SELECT {', '.join(columns)} FROM {table.name} FINAL{where}\n    UNION ALL\n    {late}"


def _lateness() -> View:
    """Who is late, counted frame by frame. Buckets that are late because their source partition lagged are nobody's."""
    parts = "\n    UNION ALL\n    ".join(
        f"SELECT '{name}' AS family, producer, origin_topic, origin_partition, origin_offset, bucket_start FROM {late_table(family)} FINAL"
        for name, family in FAMILIES.items()
    )
    select = f"""SELECT family, producer,
    uniqExact(origin_topic, origin_partition, origin_offset) AS frames,
    min(bucket_start) AS oldest_bucket,
    max(bucket_start) AS newest_bucket
FROM (
    {parts})
WHERE producer != ''
GROUP BY family, producer"""
    columns = (
        Shown("family", "the family of the frames"),
        Shown("producer", "who sent them"),
        Shown("frames", "frames that came late", "frames"),
        Shown("oldest_bucket", "start of the oldest bucket that they are about, event time"),
        Shown("newest_bucket", "start of the newest one, event time"),
    )
    question = "Whose frames came after the family's lateness, and how many? What a lagging source partition made late is no producer's, and not here."
    return View("late_producers", question, select, columns, "")


def _stage_quantiles(table: Table) -> View:
    histogram = {"scale", "bucket_index", "observations", "latency_ms_sum", "latency_ms_sumsq", "version"}
    keys = ", ".join(name for name in table.column_names if name not in histogram)
    levels = ", ".join(str(quantile) for quantile in QUANTILES)
    named = ",\n    ".join(
        f"quantiles_ms[{place}] AS p{quantile * 100:g}_ms" for place, quantile in enumerate(QUANTILES, 1)
    )
    select = f"""WITH quantilesExactWeighted({levels})({LATENCY_MS}, observations) AS quantiles_ms
SELECT {keys},
    sum(observations) AS observed,
    sum(latency_ms_sum) / observed AS mean_ms,
    {named}
FROM {table.name.rpartition("_")[0]}
WHERE observations > 0
GROUP BY {keys}"""
    columns = (
        *told_by(table.name, *(name for name in table.column_names if name not in histogram)),
        Shown("observed", "latencies that were observed", "observations"),
        Shown("mean_ms", "their mean", "ms"),
        *(
            Shown(f"p{quantile * 100:g}_ms", f"quantile {quantile:g}, as near as the histogram knows", "ms")
            for quantile in QUANTILES
        ),
    )
    question = "How long did each stage take, at its median and in its tail? Buckets of 1 min."
    return View("stage_quantiles", question, select, columns)


def _spend(table: Table) -> View:
    """Money as decimal dollars, in which nano-dollars are exact."""
    priced = {name: f"{dollars(name)} AS {name.replace('_nusd', '_usd')}" for name in PRICED}
    shown = [column for column in table.columns if column.name != "version"]
    named = ",\n    ".join(priced.get(column.name, column.name) for column in shown)
    columns = tuple(
        Shown(each.name.replace("_nusd", "_usd"), each.comment.replace("US nano-dollars", "US dollars"))
        for each in shown
    )
    question = f"{table.question} In US dollars; what came later than its family takes is not in it."
    return View("spend", question, f"SELECT {named}\nFROM {table.name} FINAL", columns)


_SPECIAL = {"burn_rate": _burn_rate, "concurrency": _concurrency}
_DECLARED = (
    *(
        _SPECIAL[name]() if name in _SPECIAL else _counted(FAMILIES[family], name)
        for name, family in {name: family for family, tables in FAMILY_TABLES.items() for name in tables}.items()
    ),
    _stage_quantiles(widest("stage_latency")),
    _spend(TABLES["spend_10m"]),
    _lateness(),
    View(
        "budgets",
        "What was left of each budget at the end of each day, as counted, and without what was excluded?",
        budgets_select(_with_late(widest("burn_rate"), (*BUDGET_KEYS, "bad", "total"), _late_burns([*BUDGET_KEYS]))),
        budget_columns(),
        "day",
    ),
    View(
        "capacity",
        "How many streams, audio seconds and tokens per second did each slice serve, and how much was warm beyond? Minutes.",
        capacity_select(),
        capacity_columns(),
    ),
    *analyst_views(),
)

VIEWS: dict[str, View] = {view.name: view for view in _DECLARED}
