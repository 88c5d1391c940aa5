"""Views that answer an analyst's questions, a row a day or a row a judgement: cost per success, burn by day, peaks, verdicts,
drift reports.

Names and meanings of their columns are stable: a column may be added at the end; one that means something else is another
name. Days are UTC. Each statement reads FINAL, so a plain SELECT is right.
"""

from __future__ import annotations

from schemas.families import COSTS
from schemas.prices import NANO_PER_USD
from schemas.tables import TABLES
from schemas.view_declarations import Shown, View

_PRICED = max((cut for cut in COSTS.cuts if "tenant" not in cut.dimensions), key=lambda cut: len(cut.dimensions))
"""The cut whose rows have prices; what is wider adds up from it."""
_SERVED_BY = ("pool", "region", "bundle")


def slice_of(table: str) -> tuple[Shown, ...]:
    """Cut, slice and dimensions of a table's rows, with its own words."""
    columns = TABLES[table].columns
    count = next(place for place, column in enumerate(columns) if not column.type.startswith("LowCardinality"))
    return told_by(table, *(column.name for column in columns[:count]))


def told_by(table: str, *names: str) -> tuple[Shown, ...]:
    """Columns that mean in a view what they mean in a table."""
    comments = {column.name: column.comment for column in TABLES[table].columns}
    return tuple(Shown(name, comments[name]) for name in names)


def dollars(name: str) -> str:
    """Nano-dollars as decimal dollars, in which they are exact."""
    return f"CAST({name} AS Decimal(38, 9)) / {NANO_PER_USD}"


def analyst_views() -> tuple[View, ...]:
    return (_cost_per_success(), _burn_by_day(), _peaks(), _release_verdicts(), _drift_reports())


_DAY = Shown("day", "the day, UTC")


def _cost_per_success() -> View:
    keys = ", ".join(_SERVED_BY)
    summed = ("turns", "successes", "used_nusd", "reserved_nusd", "uncosted_gpu_ms", "uncosted_tokens")
    select = f"""SELECT day, {keys}, turns, successes,
    if(turns = 0, NULL, successes / turns) AS success_share,
    {dollars("used_nusd")} AS used_usd,
    {dollars("reserved_nusd")} AS reserved_usd,
    if(reserved_nusd = 0, NULL, 1 - used_nusd / reserved_nusd) AS idle_share,
    if(successes = 0, NULL, used_nusd / {NANO_PER_USD} / successes) AS used_usd_per_success,
    if(successes = 0, NULL, reserved_nusd / {NANO_PER_USD} / successes) AS usd_per_success,
    uncosted_gpu_ms / 3600000 AS uncosted_gpu_hours, uncosted_tokens
FROM (
    SELECT toDate(bucket_start, 'UTC') AS day, {keys},
        {", ".join(f"sum(spend_10m.{name}) AS {name}" for name in summed)}
    FROM spend_10m FINAL
    WHERE cut = '{_PRICED.name}'
    GROUP BY day, {keys})"""
    columns = (
        _DAY,
        *told_by("spend_10m", *_SERVED_BY),
        Shown("turns", "turns that were paid for", "turns"),
        Shown("successes", "of them those that did what their user wanted", "turns"),
        Shown("success_share", "successes / turns; null without turns", "0 to 1"),
        Shown("used_usd", "cost of what turns used", "US dollars"),
        Shown("reserved_usd", "cost of what was paid for, idle included", "US dollars"),
        Shown(
            "idle_share",
            "1 - used_usd / reserved_usd; below 0 where replicas tell less than turns used; null where nothing was paid for",
            "0 to 1",
        ),
        Shown("used_usd_per_success", "used_usd / successes; null without a success", "US dollars"),
        Shown("usd_per_success", "reserved_usd / successes: the bill; null without a success", "US dollars"),
        Shown("uncosted_gpu_hours", "GPU time that has no price and is in no sum", "hours"),
        Shown("uncosted_tokens", "tokens of hosted models that have no price and are in no sum", "tokens"),
    )
    question = (
        "What did a success cost each day, by pool, region and bundle, idle included? Routes share replicas: "
        "`turnwatch cost bill --by route` shares their cost out."
    )
    return View("cost_per_success", question, select, columns, "day")


def _burn_by_day() -> View:
    of = slice_of("burn_rate_1m")
    keys = ", ".join(column.name for column in of if column.name != "indicator")
    select = f"""SELECT slo, {keys}, day, objective, bad, total,
    bad / total AS bad_share,
    bad / (total * (1 - objective)) AS burn,
    total * (1 - objective) AS allowed
FROM (
    SELECT objectives.slo AS slo, objectives.objective AS objective, {keys}, day, bad, total
    FROM (
        SELECT indicator, {keys}, toDate(bucket_start, 'UTC') AS day, sum(burn_rate.bad) AS bad, sum(burn_rate.total) AS total
        FROM burn_rate
        GROUP BY indicator, {keys}, day
        HAVING total > 0) AS counted
    INNER JOIN (SELECT * FROM objectives FINAL WHERE since = (SELECT max(since) FROM objectives)) AS objectives
        ON objectives.indicator = counted.indicator AND objectives.pool = counted.pool
    WHERE has(splitByChar(' ', objectives.cuts), toString(counted.cut)))"""
    columns = (
        *told_by("objectives", "slo"),
        *(column for column in of if column.name != "indicator"),
        _DAY,
        *told_by("objectives", "objective"),
        Shown("bad", "what missed the objective that day, late rows included", "turns, events, actions or frames"),
        Shown("total", "what was judged that day, late rows included", "the same"),
        Shown("bad_share", "bad / total", "0 to 1"),
        Shown("burn", "how many times as fast as allowed the budget was spent: bad_share / (1 - objective)", "times"),
        Shown("allowed", "how many of the day's may be bad: total x (1 - objective)", "as total"),
    )
    question = (
        "How fast did each slice spend each budget, day by day? As counted: `budgets` knows what is excluded. "
        "Objectives whose budget is of minutes are not in it."
    )
    return View("burn_by_day", question, select, columns, "day")


def _peaks() -> View:
    keys = ", ".join(column.name for column in slice_of("concurrency_1m"))
    select = f"""SELECT {keys}, day, streams_peak_lower, streams_peak_upper, peak_at, replicas_needed_peak, started
FROM (
    SELECT {keys}, toDate(bucket_start, 'UTC') AS day,
        max(peak_lower) AS streams_peak_lower,
        max(peak_upper) AS streams_peak_upper,
        argMax(bucket_start, (peak_upper, -toUnixTimestamp64Milli(bucket_start))) AS peak_at,
        max(replicas_needed) AS replicas_needed_peak,
        sum(starts) AS started
    FROM concurrency
    GROUP BY {keys}, day)"""
    columns = (
        *slice_of("concurrency_1m"),
        _DAY,
        Shown("streams_peak_lower", "most streams at once if, within a second, ends came before starts", "streams"),
        Shown("streams_peak_upper", "most streams at once if, within a second, starts came before ends", "streams"),
        Shown("peak_at", "the first minute with that upper peak, event time"),
        Shown("replicas_needed_peak", "replicas that the busiest minute takes; 0 where no capacity is configured", "replicas"),
        Shown("started", "streams that started that day", "streams"),
    )  # fmt: skip
    return View("peaks", "How many streams ran at once at most, each day, and when?", select, columns, "day")


_VERDICT = (
    "release", "baseline", "decision", "reason", "because", "blockers", "insufficient", "way_back", "way_back_because",
    "policy", "policy_version", "from_at", "to_at", "who", "at",
)  # fmt: skip


def _release_verdicts() -> View:
    select = f"""SELECT {", ".join(_VERDICT)}, at = max(at) OVER (PARTITION BY release) AS is_newest
FROM verdicts FINAL
WHERE metric = ''"""
    columns = (
        *told_by("verdicts", *_VERDICT),
        Shown("is_newest", "1 in the newest verdict of its release, which is the one that counts"),
    )
    question = "What did gates say of each release at every look, and why? A row a verdict; `verdicts` has its figures."
    return View("release_verdicts", question, select, columns, "at")


def _drift_reports() -> View:
    of = slice_of("drift_1h")
    keys = ", ".join(column.name for column in of)
    newest = {
        name: f"argMax({name}, bucket_start)" for name in ("value", "reference_value", "reference", "reference_slice")
    }
    select = f"""SELECT {keys}, began, newest_hour, hours, is_open, value, reference_value,
    if(reference_value = 0, NULL, value / reference_value - 1) AS change, excess_max, evidence_max, samples, reference, reference_slice
FROM (
    SELECT {keys}, assumeNotNull(since) AS began,
        max(bucket_start) AS newest_hour,
        count() AS hours,
        newest_hour = any(last_hour) AS is_open,
        {", ".join(f"{said} AS {name}" for name, said in newest.items())},
        max(excess) AS excess_max,
        max(evidence) AS evidence_max,
        sum(drift.samples) AS samples
    FROM (
        SELECT *, max(bucket_start) OVER (PARTITION BY measure, cut, slice) AS last_hour
        FROM drift_1h FINAL) AS drift
    WHERE state = 'drifted' AND since IS NOT NULL
    GROUP BY {keys}, since)"""
    columns = (
        *of,
        Shown("began", "when it began to drift, event time"),
        Shown("newest_hour", "start of the newest hour in which it drifted, event time"),
        Shown("hours", "hours in which it drifted", "hours"),
        Shown("is_open", "1 where the figure drifts in the newest hour that is told of its slice"),
        Shown("value", "the figure in that hour; of a shape its population stability index", "a share, or the figure's"),
        Shown("reference_value", "the same of what it is compared with; of a shape 0", "as value"),
        Shown("change", "value / reference_value - 1; null where the reference is 0", "1 is +100 %"),
        Shown("excess_max", "how far above what is tolerated it was at most", "standard deviations"),
        Shown("evidence_max", "decimal logarithm of the evidence that it changed, at most"),
        Shown("samples", "what the figure was over in all hours", "words, turns or observations"),
        *told_by("drift_1h", "reference", "reference_slice"),
    )  # fmt: skip
    question = "Which figure of which slice drifted, from when to when, how far, and against what? A row a drift."
    return View("drift_reports", question, select, columns, "began")
