"""The view `budgets`: what was left of every budget at the end of each day, as counted and without what was excluded.

Sums are those of the stream: a window of the period begins at the whole hour at or before its start. Everything is
reckoned anew from stored minutes, so an exclusion that is declared late, or withdrawn, is in it at once.

An exclusion takes from a slice what the slice counted inside of it. Where the excluded slice holds the whole slice, that
is all of it; where they only overlap, it is told by the coarsest cut of the same privacy partition that names the
dimensions of both, for one partition is never added to another. Where no cut does, or where its rows are not the slice's
turns to the last one, what a correction would be is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator

from schemas.families import FAMILIES, Family
from schemas.slices import EVERYTHING
from schemas.tables import TABLES
from schemas.view_declarations import Shown


def budgets_select(counted: str) -> str:
    """The statement of the view, over `burn_rate`, `objectives` and `exclusions`; `counted` selects the rows that `burn_rate` adds up.

    Sums of a period are those of its hours. Minutes are looked at one by one only in hours that an exclusion reaches into: all
    minutes of a month take more than three times as long (docs/decisions/0024-charts-of-the-worst-are-bounded.md).
    """
    return f"""WITH
(SELECT max(bucket_start) + INTERVAL 1 MINUTE FROM burn_rate_1m) AS newest,
toDate(newest - INTERVAL 1 MINUTE, 'UTC') AS today,
{_EXCLUDED} AS excluded,
{_lattice()} AS lattice,
judged AS ({_judged(_hours(counted))}),
judged_minutes AS ({_judged(counted)}),
watched AS ({_watched()}),
parts AS ({_PARTS}),
minutes AS ({_minutes()}),
spans AS ({_spans()}),
moves AS ({_moves()}),
sums AS ({_sums()})
SELECT slo, cut, slice, {_dimensions()}, day,
    least(newest, toDateTime64(day + 1, 3, 'UTC')) AS decided_at,
    objective, bad, total,
    if(total = 0, 1., 1 - bad / allowed) AS budget_left,
    if(total = 0, 0., bad_of_day / allowed) AS spent_today,
    if(total = 0, NULL, 1 / allowed) AS one_failure_costs,
    if(unknown > 0, NULL, taken_bad) AS excluded_bad,
    if(unknown > 0, NULL, taken_total) AS excluded_total,
    multiIf(unknown > 0, NULL, charged = 0, 1., 1 - (bad - taken_bad) / charged) AS corrected_budget_left,
    multiIf(unknown > 0, NULL, charged = 0, 0., (bad_of_day - taken_of_day) / charged) AS corrected_spent_today
FROM (SELECT *, total * (1 - objective) AS allowed, (total - taken_total) * (1 - objective) AS charged FROM sums)"""


def budget_columns() -> tuple[Shown, ...]:
    """What the columns of the view mean."""
    comments = {
        column.name: column.comment for name in ("burn_rate_1m", "objectives") for column in TABLES[name].columns
    }
    keys = (Shown(name, comments[name]) for name in ("slo", "cut", "slice", *_DIMENSIONS))
    return (
        *keys,
        Shown("day", "the day, UTC, at whose end it is told; today at the end of the newest minute"),
        Shown("decided_at", "up to when, event time"),
        Shown("objective", comments["objective"], "0 to 1"),
        Shown("bad", "what missed the objective in the period that ends then, late rows included", "turns, events, actions or frames"),
        Shown("total", "what was judged in the period, late rows included", "as bad"),
        Shown("budget_left", "1 - bad / (total x (1 - objective)); below 0 where it is overspent", "of the budget, 1 is all"),
        Shown("spent_today", "what the day spent of the budget", "of the budget"),
        Shown("one_failure_costs", "what one bad turn spends of it; null without turns", "of the budget"),
        Shown("excluded_bad", "of bad what exclusions take; null where nothing stored tells how much", "as bad"),
        Shown("excluded_total", "of total what exclusions take; null where nothing stored tells how much", "as bad"),
        Shown("corrected_budget_left", "budget_left without what is excluded; null where that is unknown", "of the budget"),
        Shown("corrected_spent_today", "spent_today without what is excluded; null where that is unknown", "of the budget"),
    )  # fmt: skip


_DIMENSIONS = tuple(
    name
    for name in TABLES["burn_rate_1m"].column_names
    if name not in ("cut", "slice", "indicator", "bucket_start", "bad", "total", "version")
)
_KEYS = "slo, cut, slice, objective"
BUDGET_KEYS = ("cut", "slice", "pool", "indicator", "bucket_start")
"""What `budgets` reads of a counted row, beside `bad` and `total`."""


def _dimensions() -> str:
    """Dimensions out of the slice's text: among the keys of every step they took a third of what the view takes to be analysed."""
    return ", ".join(
        f"toLowCardinality(extract(toString(slice), '(?:^|,){name}=([^,]+)')) AS {name}" for name in _DIMENSIONS
    )


_EXCLUDED = f"""(SELECT groupArray((slo, from_at, to_at, pairs, arrayMap(pair -> splitByChar('=', pair)[1], pairs)))
    FROM (
        SELECT id, any(exclusions.slo) AS slo, any(exclusions.from_at) AS from_at, any(exclusions.to_at) AS to_at,
            if(any(slice) = '{EVERYTHING}', [], splitByChar(',', toString(any(slice)))) AS pairs
        FROM exclusions FINAL
        GROUP BY id
        HAVING argMax(action, version) = 'declared'))"""
"""Windows in force: objective, first and last minute, and the slice as `dimension=value` pairs and as dimensions."""


def _hours(counted: str) -> str:
    """Sums of every hour, or of every minute of an hour that an exclusion reaches into."""
    keys = "cut, slice, pool, indicator"
    reaches = (
        "arrayExists(each -> bucket_start >= toStartOfHour(each.2, 'UTC') "
        "AND bucket_start < toStartOfHour(each.3, 'UTC') + INTERVAL 1 HOUR, excluded)"
    )
    hour = "toDateTime64(toStartOfHour(bucket_start, 'UTC'), 3, 'UTC')"
    return f"""SELECT {keys}, begins AS bucket_start, bad, total
        FROM (SELECT {keys}, if({reaches}, bucket_start, {hour}) AS begins, sum(bad) AS bad, sum(total) AS total
            FROM ({counted})
            GROUP BY {keys}, begins)"""


def _judged(counted: str) -> str:
    """What every stored slice counted, by objective, with the exclusions of its time."""
    return f"""SELECT objectives.slo AS slo, objectives.objective AS objective, objectives.period_s AS period_s,
        splitByChar(' ', objectives.cuts) AS cuts, counted.*,
        splitByChar(',', toString(slice)) AS pairs, splitByChar(',', toString(cut)) AS names,
        arrayFilter(each -> each.1 IN ('all', slo) AND each.2 <= bucket_start AND bucket_start < each.3, excluded) AS met
    FROM ({counted}) AS counted
    INNER JOIN (SELECT * FROM objectives FINAL WHERE since = (SELECT max(since) FROM objectives)) AS objectives
        ON objectives.indicator = counted.indicator AND objectives.pool = counted.pool"""


def _watched() -> str:
    """What the slices that the objective watches counted, with the exclusions that can hold some of their turns.

    `source`: the cut that tells how many, empty where none does.
    """
    return f"""SELECT {_KEYS}, period_s, bucket_start, bad, total,
        arrayFilter(each -> NOT arrayExists(
            (pair, name) -> has(names, name) AND NOT has(pairs, pair), each.4, each.5), met) AS overlapping,
        arrayExists(each -> hasAll(pairs, each.4), overlapping) AS is_inside,
        arrayFirst(known -> hasAll(splitByChar(',', known), arrayConcat(names, arrayFlatten(overlapping.5))),
            arrayFirst(each -> has(each.1, indicator) AND has(each.2, cut), lattice).2) AS source
    FROM judged
    WHERE has(cuts, cut)"""


_PARTS = """SELECT slo, bucket_start, cut AS source,
        arrayStringConcat(arrayMap(name -> arrayFirst(pair -> startsWith(pair, concat(name, '=')), pairs),
            splitByChar(',', coarser)), ',') AS whole,
        sum(bad) AS bad_there, sum(total) AS total_there,
        sumIf(bad, is_excluded) AS taken_bad, sumIf(total, is_excluded) AS taken_total
    FROM (SELECT *, arrayExists(each -> hasAll(pairs, each.4), met) AS is_excluded FROM judged_minutes
        WHERE bucket_start >= arrayMin(excluded.2) AND bucket_start < arrayMax(excluded.3) AND notEmpty(met))
    ARRAY JOIN arrayFilter(known -> known != cut AND hasAll(names, splitByChar(',', known)),
        arrayFirst(each -> has(each.1, indicator) AND has(each.2, cut), lattice).2) AS coarser
    GROUP BY slo, bucket_start, source, whole"""
"""What finer slices tell of every slice that they are parts of: all of its turns, and the excluded ones.

Only minutes between the first and the last exclusion are read for that, and none where nothing is excluded."""


def _minutes() -> str:
    """Minutes with what is excluded of them. `is_unknown`: something may be, and nothing stored tells how much."""
    return f"""SELECT {_KEYS}, period_s, bucket_start, bad, total,
        notEmpty(overlapping) AND NOT is_inside AS is_partial,
        is_partial AND (source = '' OR parts.bad_there != bad OR parts.total_there != total) AS is_unknown,
        multiIf(is_inside, bad, is_partial AND NOT is_unknown, parts.taken_bad, 0) AS taken_bad,
        multiIf(is_inside, total, is_partial AND NOT is_unknown, parts.taken_total, 0) AS taken_total
    FROM watched
    LEFT JOIN parts ON parts.slo = watched.slo AND parts.whole = toString(watched.slice)
        AND parts.bucket_start = watched.bucket_start AND parts.source = watched.source"""


def _spans() -> str:
    """Sums of minutes that come into a window, and leave it, at the ends of the same days."""
    gone = "toStartOfHour(bucket_start, 'UTC') + INTERVAL 1 HOUR + toIntervalSecond(period_s)"
    return f"""SELECT {_KEYS}, toDate(bucket_start, 'UTC') AS entered,
        toDate({gone} - INTERVAL 1 SECOND, 'UTC') AS due, due + (due = today AND newest < {gone}) AS left_on,
        {", ".join(f"toInt64(sum({name})) AS {name}" for name in _COUNTS)}
    FROM (SELECT {_KEYS}, period_s, bucket_start, bad, total, taken_bad, taken_total, is_unknown AS unknown FROM minutes)
    GROUP BY {_KEYS}, entered, due, left_on"""


_COUNTS = ("bad", "total", "taken_bad", "taken_total", "unknown")


def _moves() -> str:
    """How sums over the period change from day to day; every slice has a row for today."""
    changes = ", ".join(f"sum(move.2 * {name}) AS {name}_change" for name in _COUNTS)
    return f"""SELECT {_KEYS}, move.1 AS day, {changes},
        sumIf(bad, move.2 = 1) AS bad_of_day, sumIf(taken_bad, move.2 = 1) AS taken_of_day
    FROM spans
    ARRAY JOIN [(entered, 1), (left_on, -1), (today, 0)] AS move
    WHERE move.1 <= today
    GROUP BY {_KEYS}, day"""


def _sums() -> str:
    running = ",\n        ".join(f"sum({name}_change) OVER so_far AS {name}" for name in _COUNTS)
    return f"""SELECT {_KEYS}, day, bad_of_day, taken_of_day,
        {running}
    FROM moves
    WINDOW so_far AS (PARTITION BY slo, cut, slice ORDER BY day ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"""


def _lattice() -> str:
    """By indicators and privacy partition its cuts, the coarsest first."""
    told = ", ".join(f"({_array(indicators)}, {_array(cuts)})" for indicators, cuts in _counted_cuts())
    return f"[{told}]"


def _counted_cuts() -> Iterator[tuple[list[str], list[str]]]:
    for family in FAMILIES.values():
        indicators = _indicators(family)
        for partition in family.partitions:
            cuts = [cut for cut in family.cuts if cut.partition == partition.name]
            if indicators and cuts:
                assert all(cut.dimensions for cut in cuts), "the cut of everything has no column to be told by"
                yield indicators, [cut.name for cut in sorted(cuts, key=lambda cut: len(cut.dimensions))]


def _indicators(family: Family) -> list[str]:
    """What the family counts as bad and total."""
    names = [name.removesuffix("_bad") for name in family.measure_names if name.endswith("_bad")]
    return [name for name in names if f"{name}_total" in family.measure_names]


def _array(values: list[str]) -> str:
    return "[" + ", ".join(f"'{value}'" for value in values) + "]"
