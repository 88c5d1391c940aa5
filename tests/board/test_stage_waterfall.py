"""Figures of the board of stages, against the latencies that the world had."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from dashboards.queries import stage_latency, stage_waterfall
from schemas.families import PARTS
from schemas.histograms import ZERO_INDEX
from schemas.views import LATENCY_MS
from tests.board.conftest import DAY_S, Boards
from tests.board.world import BUNDLES, ROUTES, SLOW_STAGES

BOUND = 0.011
"""Relative error of a quantile out of the histograms of parts."""


def _took(boards: Boards, from_s: int, **where: str) -> pl.DataFrame:
    return boards.world.latencies.filter(pl.col("bucket_ms") >= from_s * 1_000, **where)


def _mean_ms(took: pl.DataFrame) -> pl.DataFrame:
    mean = (pl.col("latency_ms") * pl.col("turns")).sum() / pl.col("turns").sum()
    return took.group_by("stage").agg(mean_ms=mean)


def _quantile_ms(took: pl.DataFrame, quantile: float) -> float:
    latencies = np.repeat(took["latency_ms"].to_numpy(), took["turns"].to_numpy())
    return float(np.quantile(latencies, quantile, method="inverted_cdf"))


@pytest.mark.parametrize("seconds", [1_800, DAY_S])
def test_parts_follow_one_another_and_wholes_begin_at_the_end_of_speech(boards: Boards, seconds: int) -> None:
    during = boards.last(seconds)
    told = boards.rows(stage_waterfall.WATERFALL.sql, during, pool=["realtime"], bundle=[BUNDLES[1]])
    took = _took(boards, during.from_s, pool="realtime", bundle=BUNDLES[1])
    expected = dict(_mean_ms(took).iter_rows())
    assert told["stage"].to_list() == [*PARTS, *stage_waterfall.ENDED]
    assert told["on average"].to_list() == pytest.approx([expected[stage] for stage in told["stage"]])
    begins = np.cumsum([0.0, *(expected[stage] for stage in PARTS)])[:-1]
    assert told["begins after"].to_list() == pytest.approx([*begins, *([0.0] * len(stage_waterfall.ENDED))])
    for stage, mean_ms, further_ms in told.select("stage", "on average", "up to p95").iter_rows():
        p95_ms = _quantile_ms(took.filter(stage=stage), 0.95) if stage in PARTS else 0.0
        assert mean_ms + further_ms == pytest.approx(max(p95_ms, mean_ms), rel=BOUND)


def test_a_part_that_some_turns_have_counts_with_what_it_adds_to_the_mean_turn(boards: Boards) -> None:
    """Where only a third of the turns look something up, a lookup adds a third of its time to the mean turn."""
    selected = {"pool": ["realtime"], "bundle": [BUNDLES[0]]}
    whole = boards.rows(stage_waterfall.WATERFALL.sql, selection=selected)
    of_a_third = stage_waterfall.WATERFALL.sql.replace(
        "FROM stage_latency_10s FINAL", f"FROM (SELECT * FROM stage_latency_10s FINAL WHERE {_RETRIEVES})"
    )
    told = boards.rows(of_a_third, selection=selected)
    (before,), (after,) = (frame.filter(stage="retrieval")["on average"] for frame in (whole, told))
    (share,) = told.filter(stage="retrieval")["of all turns"]
    assert after == pytest.approx(before * share, rel=0.02) and 0.3 < share < 0.4
    assert told.filter(stage="heard")["on average"].to_list() == whole.filter(stage="heard")["on average"].to_list()


_RETRIEVES = "(stage != 'retrieval' OR toSecond(bucket_start) % 40 = 0)"


@pytest.mark.parametrize(("dimension", "values"), [("bundle", BUNDLES), ("route", ROUTES)])
def test_bars_are_the_mean_turn_of_each_value(boards: Boards, dimension: str, values: tuple[str, ...]) -> None:
    during = boards.last(DAY_S)
    told = boards.rows(stage_waterfall.parts_by(dimension).sql, during)
    assert told.height == 2 * len(values)
    assert told.select(pl.sum_horizontal(PARTS))["queue_wait"].is_sorted(descending=True)
    for row in told.to_dicts():
        pool, value = row.pop(stage_waterfall.label(dimension)).split(" · ")
        expected = dict(_mean_ms(_took(boards, during.from_s, pool=pool, **{dimension: value})).iter_rows())
        assert row == pytest.approx({stage: expected[stage] for stage in PARTS})


def test_what_grew_names_the_bundle_and_its_stages(boards: Boards) -> None:
    half_a_day = boards.last(12 * 3_600)
    grown = boards.rows(stage_latency.growth_by("bundle").sql, half_a_day, pool=["realtime"])
    slow = grown.head(len(SLOW_STAGES))
    assert set(slow["stage"]) == set(SLOW_STAGES) and set(slow["bundle"]) == {BUNDLES[1]}
    assert (grown.filter(bundle=BUNDLES[0])["p99_growth"] < 1.3).all() and (slow["p99_growth"] > 1.3).all()
    first = grown.row(0, named=True)
    now = _took(boards, half_a_day.to_s - 3 * 3_600, pool="realtime", bundle=BUNDLES[1], stage=first["stage"])
    assert first["p99_ms_now"] == pytest.approx(_quantile_ms(now, 0.99), rel=BOUND)


@pytest.mark.parametrize(
    ("figure", "quantile"), [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)]
)
def test_tails_are_quantiles_of_the_whole_range(boards: Boards, figure: str, quantile: float) -> None:
    told = boards.rows(stage_waterfall.TAILS.sql, pool=["realtime"])
    assert told["stage"].to_list() == list(stage_latency.IN_ORDER)
    for stage, value in told.select("stage", figure).iter_rows():
        took = _took(boards, boards.range.from_s, pool="realtime", stage=stage)
        assert value == pytest.approx(_quantile_ms(took, quantile), rel=BOUND), stage


def test_the_chosen_stage_is_drawn_bundle_beside_bundle(boards: Boards) -> None:
    one_step = type(boards.range)(boards.range.from_s, boards.range.to_s, 3_600)
    told = boards.rows(stage_waterfall.p95_by("bundle").sql, one_step, stage="llm_first_token")
    assert told.height == 4
    for series, value in told.select("series", "value").iter_rows():
        pool, bundle = series.split(" · ")
        took = _took(boards, boards.range.from_s, pool=pool, bundle=bundle, stage="llm_first_token")
        assert value == pytest.approx(_quantile_ms(took, 0.95), rel=BOUND)
    of_the_turn = boards.rows(stage_waterfall.TAIL_OVER_TIME.sql, one_step)
    assert of_the_turn["series"].to_list() == ["p50", "p95", "p99"]
    chosen = boards.rows(stage_waterfall.TAIL_OVER_TIME.sql, one_step, stage="turn")
    assert of_the_turn.equals(chosen), "nothing chosen is the whole turn"


def test_what_a_bucket_stands_for_is_the_same_of_every_scale(boards: Boards) -> None:
    """Histograms mix, also with the coarse buckets of explicit bounds: what rows are ordered by tells the latency."""
    (worst, zeros, count), *_ = boards.client.query(
        f"""WITH {LATENCY_MS} AS latency_ms, {stage_latency.latencies_ms(f"[{stage_latency.BUCKET}]")}[1] AS told_ms
SELECT maxIf(abs(told_ms / latency_ms - 1), bucket_index != {ZERO_INDEX}), groupUniqArrayIf(told_ms, bucket_index = {ZERO_INDEX}), count()
FROM (SELECT toInt8(arrayJoin(range(-9, 21))) AS scale, toInt32(arrayJoin([{ZERO_INDEX}, -900, -64, -2, -1, 0, 1, 2, 63, 690])) AS bucket_index)
WHERE bucket_index = {ZERO_INDEX} OR abs(bucket_index + 1) * exp2(-scale) < 500"""
    ).result_rows
    assert worst < 1e-9 and zeros == [0.0] and count > 200


def test_a_stage_that_no_version_here_knows_is_told_as_well(boards: Boards) -> None:
    sql = stage_latency.growth_by("bundle").sql
    renamed = f"SELECT * REPLACE (replaceOne(toString(stage), '{PARTS[0]}', 'speculation') AS stage) FROM stage_latency_1m FINAL"
    told = boards.rows(sql.replace("FROM stage_latency_1m FINAL", f"FROM ({renamed})"), boards.last(DAY_S))
    as_named = boards.rows(sql, boards.last(DAY_S)).filter(stage=PARTS[0]).drop("stage")
    assert as_named.height > 0
    by = ["pool", "bundle"]
    assert told.filter(stage="not listed").drop("stage").sort(by).equals(as_named.sort(by))
