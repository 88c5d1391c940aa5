"""Figures of the board of releases, against what happened in the world; and what the overview lists as found."""

from __future__ import annotations

import polars as pl
import pytest

from dashboards.queries import releases
from dashboards.queries.findings import OPEN_FINDINGS
from schemas.prices import NANO_PER_USD
from tests.board.conftest import DAY_S, Boards
from tests.board.test_stage_waterfall import BOUND, _quantile_ms, _took
from tests.board.world import BUNDLES, SLOW_STAGES

STABLE, CANARY = BUNDLES


def test_the_newest_verdict_of_a_release_is_shown_with_its_way_back(boards: Boards) -> None:
    (told,) = boards.rows(releases.VERDICTS.sql).to_dicts()
    assert (told["decision"], told["bundle"], told["baseline"]) == ("rollback", CANARY, STABLE)
    assert told["way_back"] == "pin_artifact answering answering-1" and told["reason"] == "latency"
    for bundle in BUNDLES:
        assert boards.rows(releases.VERDICTS.sql, bundle=[bundle]).height == 1, "of either side"
    assert boards.rows(releases.VERDICTS.sql, bundle=["v3"]).is_empty()


def test_a_board_of_an_earlier_range_shows_what_was_said_by_then(boards: Boards) -> None:
    to_s = boards.world.incident_ms // 1_000
    calm = type(boards.range)(to_s - DAY_S, to_s)
    assert boards.rows(releases.VERDICTS.sql, calm)["decision"].to_list() == ["continue"]
    assert boards.rows(releases.LOOKS.sql, calm)["decision"].to_list() == ["continue", "pause"]
    assert boards.rows(releases.LOOKS.sql)["decision"].to_list() == ["rollback", "continue", "pause"]
    before = type(boards.range)(to_s - 2 * DAY_S, to_s - DAY_S)
    assert boards.rows(releases.RELEASED.sql, before)["bundle"].unique().to_list() == [STABLE]


def test_what_got_worse_is_the_first_that_a_verdict_was_judged_by(boards: Boards) -> None:
    told = boards.rows(releases.JUDGED.sql)
    assert told.select("outcome", "metric").rows() == [("worse", "p95_turn_ms"), ("inside", "errors")]
    worst = told.row(0, named=True)
    assert worst["low"] > worst["allowed"] and worst["candidate_value"] > worst["baseline_value"]


def test_what_nobody_could_judge_yet_allows_nothing_that_is_known(boards: Boards) -> None:
    paused = boards.rows(releases.LOOKS.sql).filter(decision="pause")
    at_s = int(paused["at"][0].timestamp())
    told = boards.rows(releases.JUDGED.sql, type(boards.range)(at_s - DAY_S, at_s + 1))
    assert told.select("outcome", "allowed").rows() == [("insufficient", None), ("inside", 0.005)]


def test_a_release_is_told_artifact_by_artifact(boards: Boards) -> None:
    told = boards.rows(releases.RELEASED.sql)
    assert told["bundle"].to_list() == [CANARY] * 3 + [STABLE] * 3
    answering = told.filter(bundle=CANARY, artifact="answering").row(0, named=True)
    assert (answering["artifact_version"], answering["rollback_to"], answering["owner"]) == (
        "answering-2",
        "answering-1",
        "models",
    )
    assert answering["ways_back"] == "restore_bundle v1" and answering["who"] == 'ana "o\'neill" é'
    assert boards.rows(releases.RELEASED.sql, bundle=[STABLE])["bundle"].unique().to_list() == [STABLE]


def test_bundles_have_the_turns_and_failures_that_happened(boards: Boards) -> None:
    during = boards.last(DAY_S)
    told = boards.rows(releases.BUNDLES.sql, during)
    turns = boards.world.turns.filter(pl.col("bucket_ms") >= during.from_s * 1_000)
    happened = (
        turns.group_by("pool", "bundle")
        .agg(
            pl.col("turns").sum(),
            errors=pl.col("turn_error_bad").sum() / pl.col("turn_error_total").sum(),
            abandoned=pl.col("abandonment_bad").sum() / pl.col("abandonment_total").sum(),
            mean_turn_ms=pl.col("turn_latency_ms_sum").sum() / pl.col("turns").sum(),
            first_ms=pl.col("bucket_ms").min(),
        )
        .with_columns(share_of_turns=pl.col("turns") / pl.col("turns").sum().over("pool"))
    )
    joined = told.join(happened, on=["pool", "bundle"], suffix="_happened")
    assert joined.height == told.height == happened.height == 4
    for name in ("turns", "share_of_turns", "errors", "abandoned", "mean_turn_ms"):
        assert joined[name].to_list() == pytest.approx(joined[f"{name}_happened"].to_list()), name
    assert joined["first_seen"].dt.epoch("ms").to_list() == joined["first_ms"].to_list()
    assert told["bundle"].to_list() == [STABLE, CANARY] * 2, "the largest of each pool first"


def test_each_objective_is_held_against_all_other_bundles(boards: Boards) -> None:
    during = boards.last(DAY_S)
    told = boards.rows(releases.objectives_by_bundle(boards.watched).sql, during)
    first = told.row(0, named=True)
    assert (first["slo"], first["bundle"]) == ("turn-4000ms-realtime", CANARY)
    turns = boards.world.turns.filter(pl.col("bucket_ms") >= during.from_s * 1_000, pool="realtime")
    shares = {
        bundle: frame.select(pl.col("turn_4000ms_bad").sum() / pl.col("turn_4000ms_total").sum()).item()
        for bundle, frame in ((each, turns.filter(bundle=each)) for each in BUNDLES)
    }
    assert first["bad_share"] == pytest.approx(shares[CANARY])
    assert first["others_bad_share"] == pytest.approx(shares[STABLE])
    assert first["added"] == pytest.approx(shares[CANARY] - shares[STABLE])
    alone = boards.rows(releases.objectives_by_bundle(boards.watched).sql, during, bundle=[CANARY])
    assert alone["others_bad_share"].null_count() == alone.height, "nothing to be held against"


def test_stages_of_bundles_stand_beside_one_another_in_the_turn_s_order(boards: Boards) -> None:
    told = boards.rows(releases.STAGES_BY_BUNDLE.sql, pool=["realtime"])
    assert set(told["against"]) == {STABLE}
    for row in told.to_dicts():
        took = _took(boards, boards.range.from_s, pool="realtime", bundle=row["bundle"], stage=row["stage"])
        for name, quantile in (("p95_ms", 0.95), ("p99_ms", 0.99)):
            assert row[name] == pytest.approx(_quantile_ms(took, quantile), rel=BOUND)
        assert row["observed"] == took["turns"].sum()
        is_slow = row["bundle"] == CANARY and row["stage"] in SLOW_STAGES
        assert (row["p95 added"] > row["mean_ms"]) == is_slow
    assert told["stage"].unique(maintain_order=True).to_list()[0] == "queue_wait"


def test_cost_per_success_is_that_of_the_priced_cells(boards: Boards) -> None:
    during = boards.last(DAY_S)
    told = boards.rows(releases.COST_BY_BUNDLE.sql, during)
    costs = boards.more.happened["costs"].filter(pl.col("bucket_ms") >= during.from_s * 1_000)
    happened = costs.group_by("pool", "bundle").agg(pl.col("successes", "used_nusd", "reserved_nusd").sum())
    joined = told.join(happened, on=["pool", "bundle"], suffix="_happened")
    assert joined.height == told.height == happened.height > 1
    for name in ("used", "reserved"):
        expected = joined[f"{name}_nusd"] / NANO_PER_USD / joined["successes_happened"]
        assert joined[f"{name}_usd_per_success"].to_list() == pytest.approx(expected.to_list())
    assert told["used_usd_per_success"].is_sorted(descending=True)
    assert set(told.head(1)["bundle"]) == {CANARY}


def test_only_what_has_not_ended_is_an_open_finding(boards: Boards) -> None:
    told = boards.rows(OPEN_FINDINGS.sql, boards.last(DAY_S))
    stored = pl.DataFrame(boards.more.rows["findings"]).sort("version").group_by("finding").last()
    assert told.height == stored.filter(pl.col("state") != "resolved").height > 0
    assert "resolved" not in told["state"].to_list() and told["severity"].is_sorted()
    assert (told["summary"].str.len_chars() > 0).all()
