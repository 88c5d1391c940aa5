"""What Grafana's rules ask, on the incident and on rows planted for it: each fires on what it should, and only then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import clickhouse_connect
import polars as pl
import pytest

from alerts.definitions import watched_slos
from dashboards.alert_rules import AlertRule, second_line_rules
from dashboards.queries import Query, second_line
from dashboards.substitution import Range, substituted
from schemas.ddl import contract
from schemas.tables import TABLES
from stream_jobs.operators.burn_rate.windows import windows_version
from tests.board.conftest import Boards
from tests.stack_fixtures import own_database
from turnwatch.declared_names import undeclared, variables

HOUR_S = 3_600
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
"""Of late: what is older than its table keeps is gone as soon as it lands."""
WATCHED = watched_slos()
PAGED = next(each for each in WATCHED if each.slo.name == "turn-4000ms-realtime")
ROW = next(row for row in PAGED.rows if row.severity == "page")
RULES = {rule.name: rule for rule in second_line_rules(WATCHED)}

Row = dict[str, Any]


@dataclass
class Planted:
    """Tables of the contract with rows of a test's own."""

    client: Any

    def plant(self, table: str, *rows: Row) -> None:
        known = TABLES[table]
        frame = pl.DataFrame([_whole(table, row) for row in rows])
        self.client.insert_arrow(table, frame.select(known.column_names).to_arrow().cast(known.arrow_schema))

    def ask(self, query: Query, lookback_s: int = 6 * HOUR_S, after: timedelta = timedelta()) -> list[Row]:
        to_s = int((NOW + after).timestamp())
        sql = substituted(query.sql, Range(to_s - lookback_s, to_s), {})
        return pl.DataFrame(self.client.query_arrow(sql, use_strings=True)).to_dicts()

    def firing(self, name: str, after: timedelta = timedelta()) -> list[str]:
        """The labels of what a rule would fire on, as texts with a blank between."""
        rule = RULES[name]
        return fired(rule, self.ask(rule.query, rule.lookback_s, after))

    def value(self, query: Query, after: timedelta = timedelta()) -> Any:
        (row,) = self.ask(query, after=after)
        (value,) = (each for each in row.values() if not isinstance(each, str))
        return value


def fired(rule: AlertRule, rows: list[Row]) -> list[str]:
    """As Grafana does it: the texts of rows whose one figure is beyond the limit."""
    labels = []
    for row in rows:
        (figure,) = (each for each in row.values() if not isinstance(each, str))
        if figure > rule.limit if rule.comparison == "gt" else figure < rule.limit:
            labels.append(" ".join(each for each in row.values() if isinstance(each, str)))
    return labels


def _whole(table: str, row: Row) -> Row:
    """The row with a zero or an empty text in each column that it does not name."""
    blank: Row = {}
    for column in TABLES[table].arrow_schema:
        text = str(column.type)
        blank[column.name] = NOW if text.startswith("timestamp") else "" if "string" in text else 0
    return blank | row


@pytest.fixture(scope="module")
def engine(clickhouse_server: Any) -> Iterator[Any]:
    with own_database(clickhouse_server) as address:
        admin = clickhouse_connect.get_client(dsn=clickhouse_server.url)
        admin.command(f"CREATE DATABASE {address.database}")
        client = clickhouse_connect.get_client(dsn=clickhouse_server.url, database=address.database)
        for statement in contract().split(";\n"):
            if statement.strip():
                client.command(statement)
        yield client
        client.close()
        admin.close()


@pytest.fixture
def planted(engine: Any) -> Iterator[Planted]:
    yield Planted(engine)
    for table in ("burn_windows", "burn_rate_1m", "heartbeats_1m", "traffic_1m", "pages"):
        engine.command(f"TRUNCATE TABLE {table}")


def _at(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def _decision(minutes: float, **more: Any) -> Row:
    at = _at(minutes)
    version = windows_version(int(at.timestamp()) * 1_000, more.get("completeness", 0.0))
    told = {"slo": PAGED.slo.name, "cut": "pool", "slice": "pool=realtime", "decided_at": at, "version": version}
    return told | more


def _heartbeat(minutes: float, seen: int = 0, dropped: int = 0) -> Row:
    told = {"observations_seen": seen, "observations_dropped": dropped, "reported_family": "turns"}
    return {"cut": "region", "slice": "region=eu-west-1", "bucket_start": _at(minutes), **told}


def _turns(minutes: float, turns: int) -> Row:
    return {"cut": "pool", "slice": "pool=realtime", "bucket_start": _at(minutes), "turns": turns}


def _page(minutes: float, state: str, **more: Any) -> Row:
    at = {"starts_event": _at(-30), "decided_event": _at(minutes), "state": state, "severity": "page"}
    row = {"slo": PAGED.slo.name, "slice": "pool=realtime", "version": 1} | at | more
    return {"alert": f"{row['slo']}|{row['slice']}|{row['severity']}"} | row


def _ages(planted: Planted, **after: float) -> dict[str, int]:
    return {row["silent"]: row["age_s"] for row in planted.ask(second_line.SILENCE, after=timedelta(**after))}


ALL = tuple(rule.query for rule in RULES.values())


@pytest.mark.parametrize("query", ALL, ids=lambda query: query.name)
def test_a_rule_reads_what_is_declared_and_no_variable_of_a_board(query: Query) -> None:
    assert undeclared(query.sql) == [] and variables(query.sql) == []


@pytest.mark.parametrize("query", ALL, ids=lambda query: query.name)
def test_an_answer_is_texts_and_one_figure(query: Query, boards: Boards) -> None:
    """Of anything else Grafana could make no alerts: a second figure, a time, an answer that is nothing."""
    to_s = boards.world.end_ms // 1000
    rows = boards.rows(query.sql, Range(to_s - 24 * HOUR_S, to_s))
    kinds = [dtype == pl.String for dtype in rows.dtypes]
    assert kinds.count(False) == 1 and rows.select(pl.selectors.numeric()).width == 1
    assert rows.null_count().sum_horizontal().item() == 0


def test_a_pipeline_that_works_is_not_silent(planted: Planted) -> None:
    planted.plant("burn_windows", _decision(-1))
    planted.plant("heartbeats_1m", _heartbeat(-2, seen=9))
    planted.plant("traffic_1m", _turns(-2, 9))
    assert _ages(planted) == {"burn_windows": 60, "heartbeats_1m": 120, "traffic_1m": 0}
    assert planted.value(second_line.LAG) == 60
    assert planted.firing("PipelineSilent") == planted.firing("RollupsBehind") == []


def test_silence_is_told_table_by_table(planted: Planted) -> None:
    planted.plant("burn_windows", _decision(-20))
    planted.plant("heartbeats_1m", _heartbeat(-1, seen=9))
    planted.plant("traffic_1m", _turns(-11, 9))
    assert _ages(planted) == {"burn_windows": 1_200, "heartbeats_1m": 60, "traffic_1m": 660}
    assert planted.firing("PipelineSilent") == ["burn_windows", "traffic_1m"]
    assert planted.value(second_line.LAG) == 0, "what is silent is told once"


def test_a_fleet_without_turns_is_quiet_and_not_silent(planted: Planted) -> None:
    planted.plant("burn_windows", _decision(-1))
    planted.plant("heartbeats_1m", _heartbeat(-1), _heartbeat(-2, seen=3, dropped=3))
    assert _ages(planted)["traffic_1m"] == 0


def test_tables_without_rows_are_as_silent_as_can_be(planted: Planted) -> None:
    assert _ages(planted) == {"burn_windows": 6 * HOUR_S, "heartbeats_1m": 6 * HOUR_S, "traffic_1m": 0}


def test_what_comes_from_the_future_is_no_sign_of_life(planted: Planted) -> None:
    planted.plant("heartbeats_1m", _heartbeat(-8), _heartbeat(30))
    assert _ages(planted)["heartbeats_1m"] == 480


def test_decisions_that_lag_are_told_before_they_count_as_silent(planted: Planted) -> None:
    planted.plant("burn_windows", _decision(-3))
    assert planted.value(second_line.LAG) == 180
    assert planted.firing("RollupsBehind") == [""] and "burn_windows" not in planted.firing("PipelineSilent")


@pytest.mark.parametrize(("landed", "missing"), [(980, 0.0), (931, 0.05), (490, 0.5), (2_000, 0.0)])
def test_turns_that_producers_kept_and_that_never_landed_are_missing(
    planted: Planted, landed: int, missing: float
) -> None:
    planted.plant("heartbeats_1m", _heartbeat(-20, seen=1_000, dropped=20), _heartbeat(-5, seen=50_000))
    planted.plant("traffic_1m", _turns(-20, landed))
    assert planted.value(second_line.MISSING_TURNS) == pytest.approx(missing)
    assert planted.firing("TurnsMissing") == ([""] if missing > 0.05 else [])


def _in_cuts(table: str, missing: int, from_minute: int = -69, region: str = "eu-west-1") -> list[Row]:
    """1,000 turns as two cuts count them, of which one cut lacks some; it is counted from some minute on."""
    what = {"turns": 1_000} if table == "traffic_1m" else {"indicator": "turn_error", "total": 1_000}
    (name,) = (name for name in ("turns", "total") if name in what)
    rows = [{"cut": "pool", "slice": "pool=realtime", "bucket_start": _at(-69), **what}]
    told = {**what, name: 1_000 - missing}
    return [
        *rows,
        {"cut": "pool,region", "slice": f"pool=realtime,region={region}", "bucket_start": _at(from_minute), **told},
    ]


@pytest.mark.parametrize("table", ["traffic_1m", "burn_rate_1m"])
@pytest.mark.parametrize(("missing", "from_minute", "share"), [(0, -69, 0.0), (400, -69, 0.4), (400, -30, 0.0)])
def test_turns_that_one_cut_counts_and_another_does_not_are_missing(
    planted: Planted, table: str, missing: int, from_minute: int, share: float
) -> None:
    """A shard that stands still lands nothing of its slices; a cut that is new has not counted before."""
    planted.plant(table, *_in_cuts(table, missing, from_minute))
    rule = RULES["TurnsMissing"]
    (row,) = planted.ask(rule.query, rule.lookback_s)
    assert row["missing_share"] == pytest.approx(share)


def test_too_few_turns_are_not_compared(planted: Planted) -> None:
    planted.plant("heartbeats_1m", _heartbeat(-20, seen=second_line.COMPARED_TURNS_MIN - 1))
    assert planted.value(second_line.MISSING_TURNS) == 0


def _burns(minutes: float, long: float, short: float, **more: Any) -> list[Row]:
    each = ((ROW.long_s, long), (ROW.short_s, short))
    return [_decision(minutes, window_s=s, burn=burn, **({"completeness": 1.0} | more)) for s, burn in each]


ABOVE, BELOW = float(ROW.factor) * 1.5, float(ROW.factor) * 0.5


@pytest.mark.parametrize(
    ("burns", "pages", "exceeded"),
    [
        (_burns(-1, ABOVE, ABOVE), [], 1),
        (_burns(-1, ABOVE, BELOW), [], 0),
        (_burns(-20, ABOVE, ABOVE) + _burns(-1, BELOW, BELOW), [], 0),
        (_burns(-1, ABOVE, ABOVE, completeness=0.4), [], 0),
        (_burns(-1, ABOVE, ABOVE), [_page(-2, "firing")], 0),
        (_burns(-1, ABOVE, ABOVE), [_page(-2, "pending")], 0),
        (_burns(-1, ABOVE, ABOVE), [_page(-3 * 24 * 60, "pending", starts_event=_at(-3 * 24 * 60))], 0),
        (_burns(-1, BELOW, BELOW, version=1) + _burns(-1, ABOVE, ABOVE, version=2), [], 1),
        (_burns(-1, ABOVE, ABOVE, version=1) + _burns(-1, BELOW, BELOW, version=2), [], 0),
        (_burns(-1, ABOVE, ABOVE, version=1, completeness=0.3) + _burns(-1, ABOVE, ABOVE, version=2), [], 1),
        (_burns(-1, ABOVE, ABOVE), [_page(-9, "firing"), _page(-2, "resolved", version=2)], 1),
        (_burns(-1, ABOVE, ABOVE), [_page(-2, "firing", severity="ticket")], 1),
    ],
    ids=[
        "unpaged",
        "short window is fine",
        "was long ago",
        "blind",
        "paged",
        "held",
        "held for days",
        "decided again, above",
        "decided again, below",
        "decided again, on enough",
        "resolved too early",
        "a ticket",
    ],
)
def test_a_burn_that_nobody_was_paged_for_is_found(
    planted: Planted, burns: list[Row], pages: list[Row], exceeded: int
) -> None:
    for each in burns:
        planted.plant("burn_windows", each)  # Of one insert the older of two decisions would be gone at once.
    if pages:
        planted.plant("pages", *pages)
    (row,) = planted.ask(second_line.unpaged_burns(WATCHED))
    assert row == {"slo": PAGED.slo.name, "slice": "pool=realtime", "rows_exceeded": exceeded}
    assert planted.firing("BurnNotPaged") == ([f"{PAGED.slo.name} pool=realtime"] if exceeded else [])


def test_any_privacy_error_pages_on_however_little_of_the_volume(planted: Planted) -> None:
    slo = next(each for each in WATCHED if each.slo.name == "privacy-error-realtime")
    (row,) = [row for row in slo.rows if row.factor == 0]
    assert row.long_s == row.short_s
    planted.plant("burn_windows", _decision(-1, slo=slo.slo.name, window_s=row.long_s, burn=3.0, completeness=0.2))
    assert planted.firing("BurnNotPaged") == ["privacy-error-realtime pool=realtime"]


def test_a_page_that_decisions_neither_confirm_nor_end_is_stuck(planted: Planted) -> None:
    planted.plant("burn_windows", _decision(-1))
    planted.plant(
        "pages",
        _page(-21, "firing"),
        _page(-26, "frozen", slice="pool=batch"),
        _page(-90, "firing", slice="over"),
        _page(-80, "resolved", slice="over", version=2),
        _page(-80, "pending", slice="held"),
        _page(-2, "firing", slice="confirmed"),
    )
    found = {row["slice"]: row["unconfirmed_s"] for row in planted.ask(second_line.UNCONFIRMED_PAGES)}
    assert found == {"pool=realtime": 1_200, "pool=batch": 1_500, "confirmed": 60}
    assert planted.firing("PageStuck") == [f"{PAGED.slo.name} pool={pool} page" for pool in ("batch", "realtime")]


def _budget(minutes: float, left: float, bad: int = 500, costs: float | None = 0.0019, **more: Any) -> list[Row]:
    """A decision's windows; what is bad in the shorter one is no evidence of what the period spent."""
    period_s = PAGED.slo.period_s
    told = {"budget_left": left, "one_failure_costs": costs} | more
    return [_decision(minutes, window_s=s, bad=n, **told) for s, n in ((3_600, 0), (period_s, bad))]


@pytest.mark.parametrize(
    ("bad", "costs", "is_told"),
    [
        (1, 0.9, False),
        (9, None, False),
        (9, 0.5, False),
        (10, 0.0009, False),
        (10, None, False),
        (10, 0.001, True),
        (100, None, True),
    ],
)
def test_a_handful_of_failures_is_no_budget_that_is_nearly_spent(
    planted: Planted, bad: int, costs: float | None, is_told: bool
) -> None:
    """One failure of a new fleet's first 500 turns is twice the budget that they have had so far."""
    planted.plant("burn_windows", *_budget(-5, -1.0, bad, costs))
    assert planted.firing("BudgetNearlySpent") == ([f"{PAGED.slo.name} pool=realtime"] if is_told else [])


def test_a_budget_is_told_as_it_was_decided_last(planted: Planted) -> None:
    planted.plant(
        "burn_windows",
        *_budget(-60, 0.40),
        *_budget(-5, 0.03, completeness=0.6),
        *_budget(-5, 0.01, cut="pool,bundle", slice="pool=realtime,bundle=v2"),
        *_budget(-5, 0.15, slice="pool=batch"),
    )
    planted.plant("burn_windows", *_budget(-5, 0.05, completeness=1.0))
    found = {row["slice"]: row["budget_left"] for row in planted.ask(second_line.BUDGETS_LEFT)}
    assert found == {"pool=realtime": 0.05, "pool=batch": 0.15}
    assert planted.firing("BudgetNearlySpent") == [f"{PAGED.slo.name} pool=realtime"]
    assert planted.firing("BudgetNearlySpent", after=timedelta(hours=20)) != [], "silence takes no budget back"


def test_budgets_of_the_incident_are_those_that_happened(boards: Boards) -> None:
    to_s = boards.world.end_ms // 1000
    found = boards.rows(second_line.BUDGETS_LEFT.sql, Range(to_s - 24 * HOUR_S, to_s))
    landed = pl.DataFrame(boards.world.rows["burn_windows"]).filter(pl.col("cut").cast(pl.String) == "pool")
    last = landed.sort("decided_at", "window_s").group_by("slo", "slice").agg(pl.all().last())
    spent = pl.col("bad") * pl.col("one_failure_costs")
    told = last.filter(pl.col("bad") >= 10, (pl.col("bad") >= 100) | (spent >= 0.01))
    expected = {(row["slo"], row["slice"]): row["budget_left"] for row in told.to_dicts()}
    assert expected
    assert {(row["slo"], row["slice"]): row["budget_left"] for row in found.to_dicts()} == pytest.approx(expected)


def test_no_turn_of_the_incident_is_missing_in_any_cut(boards: Boards) -> None:
    to_s = boards.world.end_ms // 1000
    during = Range(to_s - RULES["TurnsMissing"].lookback_s, to_s)
    assert boards.rows(second_line.MISSING_TURNS.sql, during).item() == 0


def test_the_incident_becomes_silent_when_nothing_more_comes(boards: Boards) -> None:
    to_s = boards.world.end_ms // 1000
    for later_s, is_silent in ((0, False), (900, True)):
        during = Range(to_s + later_s - 6 * HOUR_S, to_s + later_s)
        ages = dict(boards.rows(second_line.SILENCE.sql, during).iter_rows())
        late = {table for table, age_s in ages.items() if age_s > second_line.SILENT_AFTER_S}
        assert late == ({"burn_windows", "heartbeats_1m"} if is_silent else set())
