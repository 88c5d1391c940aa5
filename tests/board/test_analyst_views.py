"""Views for analysts: their columns are those that are documented, their figures what happened, and every example answers."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from schemas.slos import Slo
from schemas.tables import TABLES
from schemas.views import VIEWS
from tests.board.conftest import DAY_S, Boards
from turnwatch.query import readable

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "queries.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^\*\*(.+?)\*\*.*?^```sql\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))
_PRICED = "region,pool,route,bundle,model_version,gpu_type,purchase"


def landed(boards: Boards, table: str) -> pl.DataFrame:
    """What landed in a table, from the world itself: each row is there once."""
    of_both = (each.rows[table] for each in (boards.world, boards.more) if table in each.rows)
    return pl.concat(pl.DataFrame(rows) for rows in of_both)


def asked(boards: Boards, sql: str) -> pl.DataFrame:
    return boards.rows(sql, boards.range)


def test_every_view_has_the_columns_that_are_documented_and_its_time_is_one(boards: Boards) -> None:
    names = ", ".join(f"'{name}'" for name in VIEWS)
    told = asked(
        boards,
        f"SELECT table, groupArray(name) AS columns FROM (SELECT table, name FROM system.columns WHERE database = currentDatabase() "
        f"AND table IN ({names}) ORDER BY table, position) GROUP BY table",
    )
    assert {name: tuple(columns) for name, columns in told.rows()} == {
        name: view.column_names for name, view in VIEWS.items()
    }
    for view in VIEWS.values():
        assert not view.time or view.time in view.column_names
        assert all(column.meaning for column in view.columns)


@pytest.mark.parametrize("question", EXAMPLES)
def test_every_example_answers(boards: Boards, question: str) -> None:
    assert not asked(boards, readable(EXAMPLES[question])).is_empty()


def test_every_question_of_the_page_is_an_example() -> None:
    assert len(EXAMPLES) == PAGE.count("```sql") > 8


def test_a_day_costs_what_its_rows_cost_and_is_divided_by_its_successes(boards: Boards) -> None:
    keys = ["day", "pool", "region", "bundle"]
    summed = (
        landed(boards, "spend_10m")
        .filter(pl.col("cut") == _PRICED)
        .with_columns(pl.col("bucket_start").dt.date().alias("day"), pl.col("pool", "region", "bundle").cast(pl.String))
        .group_by(keys)
        .agg(pl.col("turns", "successes", "used_nusd", "reserved_nusd", "uncosted_gpu_ms").sum())
        .sort(keys)
    )
    told = asked(boards, "SELECT * FROM cost_per_success ORDER BY day, pool, region, bundle")
    assert told.height == summed.height > 10
    assert told["successes"].to_list() == summed["successes"].to_list()
    wanted_usd = [nusd / 1e9 for nusd in summed["reserved_nusd"]]
    assert told["reserved_usd"].cast(pl.Float64).to_list() == pytest.approx(wanted_usd)
    wanted = [usd / count if count else None for usd, count in zip(wanted_usd, summed["successes"], strict=True)]
    assert told["usd_per_success"].to_list() == [
        None if each is None else pytest.approx(each, rel=1e-9) for each in wanted
    ]
    assert told["uncosted_gpu_hours"].sum() == pytest.approx(summed["uncosted_gpu_ms"].sum() / 3_600_000)
    assert told["uncosted_gpu_hours"].sum() > 0


def test_a_day_burns_what_its_turns_missed(boards: Boards) -> None:
    slo: Slo = boards.watched[0].slo
    told = asked(boards, f"SELECT * FROM burn_by_day WHERE slo = '{slo.name}' AND cut = 'pool' ORDER BY day")
    in_time = landed(boards, "burn_rate_1m").filter(cut="pool", pool=slo.pool, indicator=slo.indicator.name)
    late = asked(
        boards,
        f"SELECT toDate(bucket_start, 'UTC') AS day, sum({slo.indicator.bad}) AS bad, sum({slo.indicator.total}) AS total "
        f"FROM turns_late FINAL WHERE cut = 'pool' AND pool = '{slo.pool}' GROUP BY day",
    )
    columns = [pl.col("bad").cast(pl.Int64), pl.col("total").cast(pl.Int64)]
    days = pl.concat(
        [in_time.select(pl.col("bucket_start").dt.date().alias("day"), *columns), late.select("day", *columns)]
    )
    wanted = days.group_by("day").agg(pl.col("bad", "total").sum()).sort("day")
    assert told.select("day", pl.col("bad", "total").cast(pl.Int64)).equals(wanted)
    budget = float(1 - slo.objective)
    assert told["burn"].to_list() == pytest.approx((wanted["bad"] / wanted["total"] / budget).to_list())
    assert told["burn"].max() > 1, "the incident is a day that spent more than its share"  # type: ignore[operator]


def test_the_peak_of_a_day_is_that_of_its_busiest_minute(boards: Boards) -> None:
    rows = landed(boards, "concurrency_1m").filter(cut="pool", pool="realtime")
    wanted = (
        rows.sort("bucket_start")
        .group_by(pl.col("bucket_start").dt.date().alias("day"), maintain_order=True)
        .agg(
            pl.col("peak_upper").max(),
            pl.col("bucket_start").get(pl.col("peak_upper").arg_max()),
            pl.col("starts").sum(),
        )
    )
    told = asked(boards, "SELECT * FROM peaks WHERE cut = 'pool' AND pool = 'realtime' ORDER BY day")
    late = asked(boards, "SELECT count() FROM streams_late").item()
    assert late == 0, "what came late would add to a peak's upper bound"
    assert told["day"].to_list() == wanted["day"].to_list()
    assert told["streams_peak_upper"].to_list() == wanted["peak_upper"].to_list()
    assert told["peak_at"].to_list() == wanted["bucket_start"].to_list()
    assert told["started"].to_list() == wanted["starts"].to_list()


def test_a_verdict_is_a_row_and_the_newest_of_each_release_is_marked(boards: Boards) -> None:
    heads = landed(boards, "verdicts").filter(pl.col("metric") == "")
    told = asked(boards, "SELECT * FROM release_verdicts ORDER BY release, at")
    assert told.height == heads.height > 1
    newest = told.filter(pl.col("is_newest").cast(pl.Boolean))
    assert (
        newest.select("release", "at").rows()
        == heads.group_by("release")
        .agg(pl.col("at").max())
        .sort("release")
        .select(pl.col("release").cast(pl.String), "at")
        .rows()
    )


def test_a_drift_is_a_row_from_its_beginning_to_its_newest_hour(boards: Boards) -> None:
    rows = landed(boards, "drift_1h").filter(state="drifted")
    wanted = rows.group_by("measure", "slice", "since").agg(
        pl.col("bucket_start").max().alias("newest_hour"),
        pl.len().alias("hours"),
        pl.col("excess").max(),
        pl.col("value").get(pl.col("bucket_start").arg_max()),
    )
    told = asked(boards, "SELECT * FROM drift_reports")
    columns = ["newest_hour", "hours", "excess", "value"]
    shown = {
        tuple(row[:3]): row[3:] for row in told.select("measure", "slice", "began", "newest_hour", "hours", "excess_max", "value").rows()
    }  # fmt: skip
    assert shown == {tuple(map(_plain, row[:3])): row[3:] for row in wanted.select("measure", "slice", "since", *columns).rows()}  # fmt: skip
    end = datetime.fromtimestamp(boards.world.end_ms / 1_000, UTC)
    open_ = told.filter(pl.col("is_open").cast(pl.Boolean))
    assert not open_.is_empty()
    assert all((end - hour).total_seconds() < DAY_S for hour in open_["newest_hour"])


def _plain(value: object) -> object:
    return value if isinstance(value, datetime) else str(value)


def test_names_of_views_are_no_names_of_tables() -> None:
    assert not set(VIEWS) & set(TABLES)
