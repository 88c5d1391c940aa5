"""How a board's variables, time range and resolution restrict a query.

Nothing selected means everything. A selection reaches SQL percent-encoded and is decoded by ClickHouse, so that no
value, with whatever quotes or backslashes, can leave its string. A slice is read from the one *cut* of the contract
that names the selected dimensions; where no cut names them all, the widest part of the selection that some cut does
name is applied and the board says which part was not (`pipeline.SHOWN`). Ranges up to three hours read 10 s rollups
while those are kept, longer ones 1 min rollups, and above two days hours where a table has them (`schemas/hourly_tables.py`);
a step of a chart is a whole number of buckets, so rates don't flicker.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from schemas.families import OPERATIONAL, TURNS, Cut, Family
from schemas.tables import RETENTION_10S_D

SLICE_VARIABLES = OPERATIONAL.dimensions
"""The dimensions that a board's variables restrict: those that identify nobody."""

EVERYTHING = "{}"
"""What "All" sends: an empty selection, in the braces that Grafana puts around several values."""

SHORT_RANGE_S = 3 * 3600
LONG_RANGE_S = 2 * 86_400
"""Longer ones read hours where a table has them."""
_KEPT_10S_D = RETENTION_10S_D - 1  # a day's margin, because the server drops old parts in its own time


def selected(variable: str) -> str:
    """The values selected in `variable`, as an array; empty where nothing or everything is."""
    # One pair of braces is Grafana's; whatever else there is belongs to a value.
    listed = f"replaceRegexpOne(decodeURLComponent('${{{variable}:percentencode}}'), '(?s)^[{{](.*)[}}]$', '\\\\1')"
    return f"arrayFilter(value -> value != '', splitByChar(',', {listed})) AS selected_{variable}"


def matches(column: str) -> str:
    """Whether a row lies in what is selected for `column`; a row whose cut does not name it contains it."""
    return f"({column} = '' OR empty(selected_{column}) OR has(selected_{column}, {column}))"


def without_choices(sql: str, unchosen: Iterable[str]) -> str:
    """The same statement in fewer words, for whoever knows that nothing is chosen in these variables.

    ClickHouse analyses every condition that always holds, in each of a statement's subqueries: a fifth of what a statement
    takes that reads little. What is chosen stays as it is, so no value is ever written into a statement.
    """
    for name in unchosen:
        sql = sql.replace(selected(name), f"CAST([], 'Array(String)') AS selected_{name}").replace(
            matches(name), "true"
        )
        sql = re.sub(rf"(?:{_CHOSEN} AND )*notEmpty\(selected_{name}\)(?: AND {_CHOSEN})*, '[^']*', ", "", sql)
    return re.sub(r"multiIf\(('[^']*')\)", r"\1", sql)


_CHOSEN = r"notEmpty\(selected_\w+\)"


def dimensions_of(names: tuple[str, ...] = SLICE_VARIABLES) -> str:
    """Dimensions as columns, out of a slice's text; empty where it does not name one."""
    return ", ".join(map(dimension_of, names))


def dimension_of(name: str) -> str:
    return f"extract(toString(slice), '(?:^|,){name}=([^,]+)') AS {name}"


SLICE_MATCHES = " AND ".join(matches(name) for name in SLICE_VARIABLES)
"""Whether a row with the dimensions of a slice lies in what is selected."""


def operational_cuts(family: Family = TURNS) -> tuple[Cut, ...]:
    return tuple(cut for cut in family.cuts if cut.partition == OPERATIONAL.name and "pool" in cut.dimensions)


@dataclass(frozen=True, slots=True)
class Sliced:
    """Tables of a family as a board's variables restrict them: what may be selected, and which cuts there are."""

    variables: tuple[str, ...]
    cuts: tuple[Cut, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The variables that are a column of the tables."""
        return tuple(name for name in self.variables if any(name in cut.dimensions for cut in self.cuts))

    @property
    def optional(self) -> tuple[str, ...]:
        """The columns that not every cut names."""
        return tuple(name for name in self.columns if not all(name in cut.dimensions for cut in self.cuts))


OF_TURNS = Sliced(SLICE_VARIABLES, operational_cuts())


def best_cut(wanted: frozenset[str], required: frozenset[str] = frozenset(), of: Sliced = OF_TURNS) -> Cut:
    """The smallest cut that names `required` and as much of `wanted` as any does.

    >>> best_cut(frozenset({"region", "bundle"})).name
    'pool,region,bundle'
    >>> best_cut(frozenset({"region"}), required=frozenset({"bundle"})).name
    'pool,region,bundle'
    """
    candidates = [cut for cut in of.cuts if required <= set(cut.dimensions)]
    return max(candidates, key=lambda cut: (len(wanted & set(cut.dimensions)), -len(cut.dimensions)))


def chosen_cut(*required: str, of: Sliced = OF_TURNS) -> str:
    """The expression that chooses the cut for what is selected; of constants only, so it is folded before reading."""
    choices = []
    for size in range(len(of.optional), 0, -1):
        for names in combinations(of.optional, size):
            condition = " AND ".join(f"notEmpty(selected_{name})" for name in names)
            choices.append(f"{condition}, '{best_cut(frozenset(names), frozenset(required), of).name}'")
    fallback = best_cut(frozenset(), frozenset(required), of).name
    return f"multiIf({', '.join(choices)}, '{fallback}')" if choices else f"'{fallback}'"


def broken_down_cut(breakdowns: tuple[str, ...]) -> str:
    """The clause that chooses the cut of a chart by `broken_down_by`: it names that, and as much of what is selected as any does."""
    cuts = ", ".join(
        f"broken_down_by = '{name}', {chosen_cut(name)}" for name in breakdowns if name in OF_TURNS.optional
    )
    return f"multiIf({cuts}, concat('pool,', broken_down_by)) AS broken_down_cut"


def given(
    *more: str,
    required: tuple[str, ...] = (),
    fine_when: str = "true",
    of: Sliced = OF_TURNS,
    has_hours: bool = False,
) -> str:
    """The WITH clause that every sliced query opens with, followed by `more` clauses of its own.

    10 s rollups are read where the range allows it and `fine_when` holds. Of a table that `has_hours` a long range reads those,
    and its steps are whole hours.
    """
    is_recent = f"$__fromTime >= now() - INTERVAL {_KEPT_10S_D} DAY"
    clauses = (
        *(selected(name) for name in of.variables),
        f"{chosen_cut(*required, of=of)} AS shown_cut",
        f"(dateDiff('second', $__fromTime, $__toTime) <= {SHORT_RANGE_S} AND {is_recent} AND {fine_when}) AS is_short",
        f"(dateDiff('second', $__fromTime, $__toTime) > {LONG_RANGE_S}) AS is_long",
        "multiIf(is_short, 10, is_long, 3600, 60) AS bucket_s" if has_hours else "if(is_short, 10, 60) AS bucket_s",
        "toUInt32(greatest(bucket_s, intDiv($__interval_s + bucket_s - 1, bucket_s) * bucket_s)) AS step_s",
        f"{step_of('$__fromTime')} AS range_from",
        *more,
    )
    return "WITH\n  " + ",\n  ".join(clauses)


def given_buckets(bucket_s: int, *more: str, variables: tuple[str, ...] = SLICE_VARIABLES) -> str:
    """The WITH clause over a table with one width of buckets; steps are whole buckets, and the first one is whole."""
    clauses = (
        *(selected(name) for name in variables),
        f"{bucket_s} AS bucket_s",
        f"toUInt32(intDiv($__interval_s + {bucket_s - 1}, {bucket_s}) * {bucket_s}) AS step_s",
        f"{step_of('$__fromTime')} AS range_from",
        *more,
    )
    return "WITH\n  " + ",\n  ".join(clauses)


def step_of(time: str) -> str:
    """The start of the chart's step that `time` belongs to."""
    return f"toStartOfInterval(toDateTime64({time}, 3, 'UTC'), toIntervalSecond(step_s))"


STEP = step_of("bucket_start")

STEPS = "toUInt32(intDiv(dateDiff('second', range_from, $__toTime), step_s) + 1) AS steps"
"""A clause for WITH: how many steps the range has."""


def shares_of_steps() -> str:
    """Columns `bad_of` and `total_of`, sums of each of `steps` in arrays, and `shares`, 0 where nothing is judged.

    A group for each slice and step instead takes two to three times as long.
    """
    step = "toUInt32(intDiv(dateDiff('second', range_from, bucket_start), step_s))"
    told = ", ".join(f"sumResample(0, steps, 1)({each}, {step}) AS {each}_of" for each in ("bad", "total"))
    return f"{told}, arrayMap((bad, total) -> if(total = 0, 0., bad / total), bad_of, total_of) AS shares"


POINTS_OF_SHARES = "arrayFilter(each -> each.3 > 0, arrayZip(range(steps), shares, total_of)) AS points"
"""Of `shares_of_steps` those in which something was judged: the number of the step, the share, how many."""

TIME_OF_POINT = "range_from + toIntervalSecond(step_s * point.1) AS time"

STEP_COVERED_S = (
    "least(step_s, greatest(bucket_s, dateDiff('second', time, max(max(bucket_start)) OVER ()) + bucket_s))"
)
"""Seconds of a step that hold data: all of them but for the newest, so that the last point of a rate does not drop."""

IN_RANGE = "bucket_start >= range_from AND bucket_start < $__toTime"


def rollup(table: str, columns: str, *, cut: str = "shown_cut", of: Sliced = OF_TURNS, where: str = "") -> str:
    """The rows of a rollup inside range and selection, from the resolution that suits the range, as a subquery.

    `where` is a further condition.
    """

    def rows(suffix: str, when: str) -> str:
        slices = " AND ".join([*(matches(name) for name in of.columns), *([where] if where else [])])
        return f"""SELECT {columns} FROM {table}_{suffix} FINAL
    WHERE {when} AND cut = {cut} AND {IN_RANGE} AND {slices}"""

    return f"({rows('10s', 'is_short')}\n   UNION ALL\n   {rows('1m', 'NOT is_short')})"


def largest(series_max: int) -> str:
    """The condition that keeps the `series_max` series with the highest peak, on rows with `peak` and `series`."""
    return f"dense_rank() OVER (ORDER BY peak DESC, series) <= {series_max}"


SERIES = "concat(slo, ' · ', slice)"
"""How charts of slices name a line."""


def option_query(dimension: str, table: str = "traffic_1m", of: Sliced = OF_TURNS) -> str:
    """The values of a dimension seen within the range, for a variable's list."""
    cut = best_cut(frozenset(), frozenset({dimension}) - {"pool"}, of).name
    return (
        f"SELECT DISTINCT {dimension} FROM {table} WHERE cut = '{cut}' AND {dimension} != '' "
        f"AND bucket_start >= toStartOfMinute($__fromTime) AND bucket_start < $__toTime ORDER BY {dimension}"
    )
