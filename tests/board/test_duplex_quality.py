"""What the board of full-duplex conversations says, against the events that were drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal

import polars as pl
import pytest

from dashboards.boards import Board
from dashboards.panels import Panel
from dashboards.queries import duplex
from dashboards.render import all_boards
from dashboards.variables import DUPLEX_UID
from schemas.families import DUPLEX_INDICATORS
from tests.board.conftest import SHIPPED, Boards, as_opened
from tests.board.world import BUNDLES, REGIONS
from tests.board.world_cells import total

BARGE_IN = "barge_in_latency_200ms"
OF = {each.slo.name: each.slo for each in duplex.duplex_objectives(SHIPPED)}


@pytest.fixture(scope="module")
def happened(boards: Boards) -> pl.DataFrame:
    """Events of the last half hour, by cell and 10 s."""
    return boards.more.happened["duplex"].filter(pl.col("bucket_ms") >= boards.world.fine_ms)


@pytest.mark.parametrize("region", [None, REGIONS[1]])
def test_each_objective_is_judged_by_the_events_of_its_kind(
    boards: Boards, happened: pl.DataFrame, region: str | None
) -> None:
    told = boards.rows(duplex.by_objective(SHIPPED).sql, region=[] if region is None else [region])
    rows = happened if region is None else happened.filter(region=region)
    assert set(told["slo"]) == set(OF) and told["burn"].is_sorted(descending=True)
    for row in told.to_dicts():
        indicator = OF[row["slo"]].indicator
        bad, judged = total(rows, indicator.bad), total(rows, indicator.total)
        assert (row["missed"], row["judged"], row["kind"]) == (bad, judged, indicator.duplex_event)
        assert row["burn"] == pytest.approx(bad / judged / float(OF[row["slo"]].budget_rate))
        middle = (boards.world.fine_ms + boards.world.end_ms) // 2
        first = rows.filter(pl.col("bucket_ms") < middle)
        good = 1 - total(first, indicator.bad) / total(first, indicator.total)
        assert row["good_share_first_half"] == pytest.approx(good)
    worst = boards.rows(duplex.worst(SHIPPED).sql, region=[] if region is None else [region]).row(0, named=True)
    assert worst["objectives missed"] == (told["burn"] > 1).sum() > 0
    assert worst["worst, times allowed"] == told["burn"][0]


def test_a_kind_of_event_chooses_the_objectives_about_it(boards: Boards) -> None:
    told = boards.rows(duplex.by_objective(SHIPPED).sql, duplex_event=["barge_in"], bundle=[BUNDLES[0]])
    assert {OF[name].indicator.name for name in told["slo"]} == {BARGE_IN, "assistant_stop_300ms"}


def test_what_is_allowed_follows_the_slo_files(boards: Boards) -> None:
    stricter = tuple(
        replace(each, slo=replace(each.slo, objective=Decimal("0.999"))) for each in duplex.duplex_objectives(SHIPPED)
    )
    for watched in (SHIPPED, stricter):
        told = boards.rows(duplex.missed_over_time("barge_in", watched, (BARGE_IN,)).sql)
        allowed = next(each.slo.budget_rate for each in watched if each.slo.indicator.name == BARGE_IN)
        drawn = told.filter(pl.col("series").str.starts_with("allowed of "))["value"]
        assert drawn.len() == 60 and drawn.to_list() == pytest.approx([float(allowed)] * 60)


def test_the_slice_that_explains_it_is_first(boards: Boards, happened: pl.DataFrame) -> None:
    told = boards.rows(duplex.by_slice(SHIPPED).sql, by="bundle", duplex_event=["barge_in"]).row(0, named=True)
    assert (told["bundle"], OF[told["slo"]].indicator.name, told["region"]) == (BUNDLES[1], BARGE_IN, "")
    its = happened.filter(bundle=BUNDLES[1])
    assert told["missed"] == total(its, f"{BARGE_IN}_bad")
    assert told["share_of_missed"] == pytest.approx(told["missed"] / total(happened, f"{BARGE_IN}_bad"))
    assert told["share_of_judged"] == pytest.approx(
        total(its, f"{BARGE_IN}_total") / total(happened, f"{BARGE_IN}_total")
    )
    assert told["share_of_missed"] > 0.8 > 0.6 > told["share_of_judged"]


def test_whoever_watches_no_duplex_objective_has_a_board_that_says_so(boards: Boards) -> None:
    """Nothing judged, and events all the same; no statement fails, of no board.

    What all boards have in common is asked of the shipped ones (`test_statements.py`).
    """
    others = tuple(each for each in SHIPPED if each.slo.name not in OF)
    shipped = {panel.query.sql for _, panel in _panels(all_boards(SHIPPED))}
    for uid, panel in _panels(all_boards(others)):
        if uid == DUPLEX_UID or panel.query.sql not in shipped:
            told = boards.rows(panel.query.sql, selection=as_opened(uid))
            if uid == DUPLEX_UID and panel.title == "By objective, worst first":
                assert told.is_empty()
            if uid == DUPLEX_UID and panel.title == "Events":
                assert told.height > 0


def _panels(boards: Mapping[str, Board]) -> Iterator[tuple[str, Panel]]:
    return ((uid, panel) for uid, board in boards.items() for panels in board.sections.values() for panel in panels)


def test_burns_of_slices_are_step_by_step_and_of_the_worst(boards: Boards, happened: pl.DataFrame) -> None:
    told = boards.rows(duplex.burn_by_slice_over_time(SHIPPED).sql, by="region", duplex_event=["barge_in"])
    name = f"{duplex.words(BARGE_IN)} · pool=realtime,region={REGIONS[0]}"
    slo = next(slo for slo in OF.values() if slo.indicator.name == BARGE_IN)
    steps = (
        happened.filter(region=REGIONS[0])
        .group_by(pl.col("bucket_ms") // 30_000 * 30)
        .agg(pl.col(f"{BARGE_IN}_bad", f"{BARGE_IN}_total").sum())
        .filter(pl.col(f"{BARGE_IN}_total") > 0)
        .sort("bucket_ms")
    )
    expected = steps[f"{BARGE_IN}_bad"] / steps[f"{BARGE_IN}_total"] / float(slo.budget_rate)
    drawn = told.filter(pl.col("series") == name)
    assert drawn["time"].cast(pl.Int64).to_list() == steps["bucket_ms"].to_list()
    assert drawn["value"].to_list() == pytest.approx(expected.to_list())


def test_events_of_each_second_add_up_to_what_happened(boards: Boards, happened: pl.DataFrame) -> None:
    told = boards.rows(duplex.EVENTS_PER_SECOND.sql)
    counted = told.group_by("series").agg((pl.col("value") * 30).sum().round().cast(pl.Int64)).sort("series")
    expected = happened.group_by("duplex_event").agg(pl.col("events").sum()).sort("duplex_event")
    assert counted.rows() == expected.rows()
    assert {each.duplex_event for each in DUPLEX_INDICATORS} == set(counted["series"])


def test_kinds_are_counted_for_each_turn_of_the_assistant(boards: Boards, happened: pl.DataFrame) -> None:
    now_ms = boards.world.end_ms - (boards.world.end_ms - boards.world.fine_ms) // 4
    late = happened.filter(pl.col("bucket_ms") >= now_ms).group_by("duplex_event").agg(pl.col("events").sum())
    events = dict(late.iter_rows())
    told = {row["kind"]: row for row in boards.rows(duplex.KINDS_PER_TURN.sql).to_dicts()}
    assert "assistant_turn" not in told and told.keys() == events.keys() - {"assistant_turn"}
    for kind, row in told.items():
        assert row["per_turn_now"] == pytest.approx(events[kind] / events["assistant_turn"])
        assert row["growth"] == pytest.approx(row["per_turn_now"] / row["per_turn_before"])
