"""What the board of queues says, against the queues that were drawn."""

from __future__ import annotations

import polars as pl
import pytest

from dashboards.queries import capacity, queues, traffic
from dashboards.queries.findings import NUMBER, TEXT, found
from dashboards.substitution import Range
from schemas.saturation import TARGET_UTILISATION
from tests.board.conftest import DAY_S, Boards
from tests.board.world import BUNDLES, REGIONS
from tests.board.world_cells import total
from tests.board.world_queues import LLM, WAITED_FOR

STEP_MS = 30_000


@pytest.fixture(scope="module")
def happened(boards: Boards) -> pl.DataFrame:
    """Queues in the last half hour, by cell and 10 s, with the step of 30 s that each belongs to."""
    queues_ = boards.more.happened["queues"].filter(pl.col("bucket_ms") >= boards.world.fine_ms)
    return queues_.with_columns(step_ms=pl.col("bucket_ms") // STEP_MS * STEP_MS)


def _drawn(told: pl.DataFrame) -> pl.DataFrame:
    """What a chart shows, with its times in ms."""
    return told.select(pl.col("time").cast(pl.Int64) * 1_000, "series", pl.col("value").cast(pl.Float64)).sort(
        "time", "series"
    )


def _expected(figures: pl.DataFrame) -> pl.DataFrame:
    return figures.select(time="step_ms", series="queue", value=pl.col("value").cast(pl.Float64)).sort("time", "series")


def test_depth_is_that_of_the_worst_instant_of_all_slices_together(boards: Boards, happened: pl.DataFrame) -> None:
    instants = happened.group_by("step_ms", "bucket_ms", "queue").agg(value=pl.col("depth").sum())
    worst = instants.group_by("step_ms", "queue").agg(pl.col("value").max())
    assert _drawn(boards.rows(queues.DEPTH.sql)).equals(_expected(worst))


def test_of_queues_that_nobody_tells_of_nothing_is_said(boards: Boards) -> None:
    """Not that the deepest of none is empty: who has no queues reported looks for why."""
    begin_s = boards.world.start_ms // 1_000
    (told,) = boards.rows(queues.WORST_NOW.sql, Range(begin_s - 400 * DAY_S, begin_s - 399 * DAY_S)).rows()
    assert told == (None,) * 4


def test_growth_is_what_depth_rose_by(boards: Boards, happened: pl.DataFrame) -> None:
    """Out of depths at the ends of steps, without the pairs that the board adds up."""
    last = happened.group_by("step_ms", "bucket_ms", "queue").agg(pl.col("depth").sum()).sort("bucket_ms")
    ends = last.group_by("step_ms", "queue", maintain_order=True).agg(pl.col("depth").last())
    rose = ends.with_columns(value=pl.col("depth").diff().over("queue") / 0.5).drop_nulls("value")
    told = _drawn(boards.rows(queues.GROWTH.sql)).filter(pl.col("time") > boards.world.fine_ms)
    assert told.equals(_expected(rose))


@pytest.mark.parametrize("bundle", BUNDLES)
def test_waits_are_those_of_the_chosen_slice(boards: Boards, happened: pl.DataFrame, bundle: str) -> None:
    """The drawn wait, 60 ms and of the struck queue 2,400 ms, comes out of sums and depths."""
    told = boards.rows(queues.MEAN_WAIT.sql, pool=["realtime"], bundle=[bundle], queue=[LLM])
    assert told["series"].unique().to_list() == [LLM]
    assert set(told["value"]) == {2_400.0 if bundle == BUNDLES[1] else 60.0}


def test_shares_are_sums_over_sums(boards: Boards, happened: pl.DataFrame) -> None:
    for query, part, whole in (
        (queues.UTILISATION, "busy_ms", "available_ms"),
        (queues.BATCH_OCCUPANCY, "batch_slots_filled", "batch_slots"),
        (queues.BATCH_SHARE, "batch_arrivals", "arrivals"),
    ):
        share = happened.group_by("step_ms", "queue").agg(value=pl.col(part).sum() / pl.col(whole).sum())
        told, expected = _drawn(boards.rows(query.sql)), _expected(share)
        assert told["series"].equals(expected["series"]) and told["value"].to_list() == pytest.approx(
            expected["value"].to_list()
        )


def test_the_slowest_queue_is_first_and_its_figures_are_of_the_last_minutes(
    boards: Boards, happened: pl.DataFrame
) -> None:
    now = boards.rows(queues.QUEUES_NOW.sql, bundle=list(BUNDLES))
    worst = now.row(0, named=True)
    assert (worst["queue"], worst["pool"], worst["bundle"], worst["wait_ms"]) == (LLM, "realtime", BUNDLES[1], 2_400.0)
    its = happened.filter(
        pl.col("bucket_ms") >= boards.world.end_ms - queues.NOW_MIN * 60_000,
        pl.col("bundle") == BUNDLES[1],
        pl.col("pool") == "realtime",
        pl.col("queue") == LLM,
    )
    newest = its.filter(pl.col("bucket_ms") == pl.col("bucket_ms").max())
    assert (worst["depth"], worst["servers"]) == (newest["depth"].sum(), total(newest, "servers"))
    assert worst["arrivals_min"] == pytest.approx(its["arrivals"].sum() / queues.NOW_MIN)
    assert worst["kv_share"] == pytest.approx(newest["kv_blocks_used"].sum() / total(newest, "kv_blocks"))
    above = boards.rows(queues.WORST_NOW.sql, bundle=list(BUNDLES)).row(0, named=True)
    assert above["deepest queue"] == now["depth"].max()
    assert above["queues above target utilisation"] == (now["utilisation"] > TARGET_UTILISATION).sum() == 1


def test_a_day_is_of_minutes_and_says_the_same(boards: Boards) -> None:
    deepest = boards.rows(queues.DEPTH.sql, boards.last(DAY_S), queue=[LLM])["value"].max()
    minutes = pl.DataFrame(boards.more.rows["queues_1m"]).filter(cut="pool", queue=LLM)
    assert deepest == minutes.group_by("bucket_start").agg(pl.col("depth").sum())["depth"].max()


def test_replicas_are_those_of_all_stages_and_what_the_peak_takes(boards: Boards, happened: pl.DataFrame) -> None:
    told = boards.rows(capacity.REPLICAS.sql)
    peaks = {row["series"]: row["value"] for row in told.group_by("series").agg(pl.col("value").max()).to_dicts()}
    serving = happened.filter(pl.col("pool") == "batch").group_by("bucket_ms").agg(pl.col("servers").sum())
    assert peaks["batch serving"] == serving["servers"].max()
    needed = pl.DataFrame(boards.world.rows["concurrency_10s"]).filter(cut="pool", pool="batch")["replicas_needed"]
    assert peaks["batch needed"] == needed.max()


@pytest.mark.parametrize("sql", [capacity.REPLICAS.sql, traffic.REPLICAS_NEEDED.sql], ids=["and serving", "needed"])
def test_what_streams_take_is_unknown_and_not_nothing_where_no_figures_are_configured(boards: Boards, sql: str) -> None:
    known = boards.rows(sql).filter(~pl.col("series").str.ends_with("serving"))
    unknown = boards.rows(sql.replace("sum(replicas_needed)", "sum(0 * replicas_needed)"))
    assert known.filter(pl.col("value") > 0).height
    assert unknown.filter(
        ~pl.col("series").str.ends_with("serving"), pl.col("time").is_in(known["time"].implode())
    ).is_empty()


@pytest.mark.parametrize("region", [None, REGIONS[0]])
def test_headroom_is_what_is_warm_beyond_the_peak_of_the_same_minute(boards: Boards, region: str | None) -> None:
    cut = "pool" if region is None else "pool,region"
    selection = {} if region is None else {"region": [region]}
    warm = pl.DataFrame(boards.more.rows["queues_1m"]).filter(cut=cut)
    peak = pl.DataFrame(boards.world.rows["concurrency_1m"]).filter(cut=cut)
    if region is not None:
        warm, peak = warm.filter(region=region), peak.filter(region=region)
    begin = pl.from_epoch(pl.lit(boards.world.fine_ms), "ms").dt.replace_time_zone("UTC")
    least = (
        warm.group_by("slice", "bucket_start")
        .agg(pl.col("warm_streams").min())
        .join(peak, on=["slice", "bucket_start"])
        .filter(pl.col("bucket_start") >= begin)
        .with_columns(headroom=pl.col("warm_streams").cast(pl.Int64) - pl.col("peak_upper").cast(pl.Int64))
        .group_by("pool")
        .agg(pl.col("headroom").min(), short=(pl.col("headroom") < 0).sum())
        .sort("headroom")
    )
    told = boards.rows(capacity.LEAST_WARM.sql, selection=selection)
    assert told["least_headroom"].to_list() == least["headroom"].to_list()
    assert told["minutes_short"].to_list() == least["short"].to_list()
    assert told["least_headroom"][0] < 0 < told["least_headroom"][1], "the struck pool is short, the other is not"
    assert told["bounded_by"][0] == LLM


def test_a_finding_is_shown_as_it_was_stated_last(boards: Boards) -> None:
    query = found("saturated", ("saturation",), {"depth": NUMBER, "first_queue": TEXT})
    told = boards.rows(query.sql, boards.last(DAY_S))
    assert told.select("state", "severity", "alert").rows() == [
        ("firing", "page", "Saturated"),
        ("resolved", "ticket", "BatchOnRealtimePool"),
    ]
    first = told.row(0, named=True)
    assert (first["queue"], first["first_queue"], first["depth"]) == (LLM, LLM, 360.0), "the first statement said 1"
    assert first["lasts_s"] == (boards.world.end_ms - boards.world.incident_ms) // 1_000
    assert (first["pool"], first["bundle"], first["region"]) == ("realtime", BUNDLES[1], "")
    assert told["depth"][1] is None, "what it does not say is empty"
    of_other = boards.rows(query.sql, boards.last(DAY_S), bundle=[BUNDLES[0]])
    assert of_other["alert"].to_list() == ["BatchOnRealtimePool"], "it contains the bundle"


def test_every_queue_can_be_chosen() -> None:
    assert set(WAITED_FOR) <= set(queues.QUEUE_NAMES)
