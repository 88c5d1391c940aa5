"""What the board of the data itself says, against what landed, what was withheld and what came late."""

from __future__ import annotations

import polars as pl
import pytest
from prometheus_client import CollectorRegistry

from dashboards.queries import freshness, privacy
from dashboards.substitution import Range
from schemas.families import TURNS
from schemas.metrics import WorkerMetrics
from tests.board.conftest import DAY_S, Boards
from tests.board.world_cells import total


def test_a_table_is_behind_from_when_its_data_may_no_longer_be_late(boards: Boards) -> None:
    """At the end of the world, an hour after it, and where nobody sends a family."""
    end_s = boards.world.end_ms // 1_000
    late_after_s = next(each.late_after_s for each in freshness.WATCHED if each.table == "traffic_1m")
    assert late_after_s == TURNS.lateness_s + 2 * 60 + 60
    for after_s, state in ((0, "in time"), (late_after_s + 120, "behind")):
        told = boards.rows(freshness.FRESHNESS.sql, Range(end_s - 1_800, end_s + after_s)).rows_by_key(
            "table", named=True
        )
        assert told["traffic_1m"][0]["state"] == state
        assert told["traffic_1m"][0]["age_s"] == after_s + 60, "the newest minute began a minute before its end"
        assert told["tenants_1m"][0]["state"] == "nothing", "nobody sends them"
        assert told["drift_1h"][0]["state"] == "in time", "it is of hours"
    first = boards.rows(freshness.FRESHNESS.sql, Range(end_s - 1_800, end_s + late_after_s + 120))["state"]
    assert first[0] == "behind" and first[-1] == "in time"


def test_every_table_of_a_family_is_watched() -> None:
    watched = {each.table for each in freshness.WATCHED}
    assert {"traffic_1m", "queues_1m", "quality_1h", "costs_10m", "burn_windows", "drift_1h", "spend_10m"} <= watched
    assert len(watched) == len(freshness.WATCHED)


def test_what_came_late_is_told_by_family_and_whose_it_was(boards: Boards) -> None:
    late = boards.more.happened["late"]
    (told,) = boards.rows(freshness.LATE.sql, boards.last(DAY_S)).to_dicts()
    frames = late.filter(pl.col("producer") != "")
    assert (told["family"], told["late_frames"], told["such_as"]) == ("turns", frames.height, "host-7")
    assert told["lagged_buckets"] == late.height - frames.height
    assert (told["late_producers"], told["lagging_partitions"]) == (1, "turns/3")
    drawn = boards.rows(freshness.LATE_OVER_TIME.sql).group_by("series").agg(pl.col("value").sum()).sort("series")
    assert drawn.rows() == [("turns lagged buckets", 5.0), ("turns late frames", 5.0)]


def test_how_long_telling_took_is_by_the_clock_and_each_alert_counts_once(boards: Boards) -> None:
    findings = pl.DataFrame(boards.more.rows["findings"])
    waited = findings.group_by("question", "finding").agg(
        (pl.col("starts").min() - pl.col("starts_event").min()).dt.total_seconds().alias("s")
    )
    told = boards.rows(freshness.TOLD_AFTER.sql, boards.last(DAY_S)).rows_by_key("question", named=True)
    for question in ("saturation", "cost", "drift"):
        its = waited.filter(question=question)
        assert told[question][0]["alerts"] == its.height
        assert told[question][0]["waited_s_max"] == its["s"].max()
    assert told["burns"][0]["alerts"] > 0


def test_the_shares_at_the_top_are_those_of_the_range(boards: Boards) -> None:
    told = boards.rows(freshness.TRUST.sql).row(0, named=True)
    withheld = pl.DataFrame(boards.world.rows["privacy_10s"]).filter(cut="pool,region")
    given_up, kept, refused = (
        total(withheld.filter(fate=fate), "observations") for fate in ("generalised", "kept", "refused")
    )
    assert told["generalised"] == pytest.approx(given_up / (given_up + kept))
    assert told["refused"] == refused > 0
    heard = pl.DataFrame(boards.world.rows["heartbeats_10s"])
    assert told["dropped"] == pytest.approx(total(heard, "observations_dropped") / total(heard, "observations_seen"))
    assert told["least completeness"] == pytest.approx(
        pl.DataFrame(boards.world.rows["burn_windows"])["completeness"].min()
    )


def test_what_was_withheld_is_told_by_dimension_and_second(boards: Boards) -> None:
    happened = pl.DataFrame(boards.world.rows["privacy_10s"]).filter(cut="pool,region")
    (told,) = boards.rows(privacy.BY_DIMENSION.sql).to_dicts()
    assert told["dimension"] == "turns language"
    assert told["left without"] == total(happened.filter(fate="generalised"), "observations")
    for query, fate in ((privacy.REFUSED, "refused"), (privacy.WAITING, "held")):
        drawn = boards.rows(query.sql)
        assert round(drawn["value"].sum() * 30) == total(happened.filter(fate=fate), "observations") > 0


def test_a_chosen_region_narrows_what_was_withheld(boards: Boards) -> None:
    everything = boards.rows(privacy.BY_DIMENSION.sql)["left without"][0]
    regions = [boards.rows(privacy.BY_DIMENSION.sql, region=[each])["left without"][0] for each in _regions(boards)]
    assert len(regions) == 2 and sum(regions) == everything and min(regions) > 0


def _regions(boards: Boards) -> list[str]:
    return sorted(set(boards.world.turns["region"]))


def test_metrics_that_are_named_are_shown_by_workers() -> None:
    registry = CollectorRegistry()
    WorkerMetrics(registry)
    shown = {f"{family.name}_total" if family.type == "counter" else family.name for family in registry.collect()}
    named = {metric for _, metric, _ in freshness.COUNTED_ELSEWHERE}
    assert named <= shown, "a renamed metric has another name on the board as well"
