"""What the board of drift says, against the hours and the labelled calls that were drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from dashboards.queries import drift, labelled_quality
from dashboards.sections.drift import tickets
from schemas.drift_policies import STANDARD
from tests.board.conftest import DAY_S, Boards
from tests.board.world import BUNDLES
from tests.board.world_cells import HOUR_MS
from tests.board.world_quality import ACCENTS, DRIFT_HOURS

WEEK_S = 7 * DAY_S
TOLERANCE = {each.name: each for each in STANDARD.measures}
STRUCK = f"pool=realtime,bundle={BUNDLES[1]},accent={ACCENTS[0]}"


@pytest.fixture(scope="module")
def newest(boards: Boards) -> pl.DataFrame:
    """The newest hour of each figure of each slice."""
    hours = boards.more.happened["drift"].sort("bucket_ms")
    return hours.group_by("measure", "slice", maintain_order=True).last()


def test_what_drifts_is_listed_with_how_far_since_when_and_against_what(boards: Boards, newest: pl.DataFrame) -> None:
    told = boards.rows(drift.drifting(STANDARD).sql, boards.last(WEEK_S))
    drifted = newest.filter(state="drifted")
    assert set(told.select("measure", "slice").iter_rows()) == set(drifted.select("measure", "slice").iter_rows())
    row = told.row(by_predicate=pl.col("slice") == STRUCK, named=True)
    happened = drifted.row(by_predicate=pl.col("slice") == STRUCK, named=True)
    tolerated = TOLERANCE["word_error_rate"].tolerance * happened["reference_value"]
    assert row["times_tolerated"] == pytest.approx((happened["value"] - happened["reference_value"]) / tolerated)
    assert row["now"] == f"{100 * happened['value']:.3f}".rstrip("0") + " %"
    assert (row["reference"], row["compared_with"], row["lasts_s"]) == ("week_before", "itself", DRIFT_HOURS * 3_600)
    assert row["since"].timestamp() * 1_000 == happened["bucket_ms"] - (DRIFT_HOURS - 1) * HOUR_MS


def test_how_much_is_tolerated_is_the_policy_s(boards: Boards) -> None:
    lenient = replace(
        STANDARD, measures=tuple(replace(each, tolerance=2 * each.tolerance) for each in STANDARD.measures)
    )
    figures = [
        boards.rows(drift.drifting(policy).sql, boards.last(WEEK_S)).sort("slice")["times_tolerated"]
        for policy in (STANDARD, lenient)
    ]
    assert figures[0].to_list() == pytest.approx((2 * figures[1]).to_list())


def test_what_is_not_known_is_no_good_news(boards: Boards, newest: pl.DataFrame) -> None:
    now = boards.rows(drift.worst(STANDARD).sql, boards.last(WEEK_S)).row(0, named=True)
    known = newest.filter(pl.col("state").is_in(["drifted", "steady"]))
    assert now["judged"] == pytest.approx(known.height / newest.height) and now["judged"] < 1
    assert (now["drifting"], now["steady"]) == (
        newest.filter(state="drifted").height,
        newest.filter(state="steady").height,
    )
    states = boards.rows(drift.STATES_OVER_TIME.sql, boards.last(DAY_S))
    last = states.filter(pl.col("time") == pl.col("time").max())
    assert dict(last.select("series", "value").iter_rows()) == dict(newest["state"].value_counts().iter_rows())


def test_figures_of_slices_are_drawn_hour_by_hour(boards: Boards) -> None:
    hours = boards.more.happened["drift"].filter(slice=STRUCK, measure="word_error_rate").sort("bucket_ms").tail(24)
    for query, expected in (
        (drift.evidence_over_time(STANDARD), hours["evidence"]),
        (drift.excess_over_time(STANDARD), hours["excess"]),
        (
            drift.times_tolerated_over_time(STANDARD),
            (hours["value"] - hours["reference_value"])
            / (hours["reference_value"] * TOLERANCE["word_error_rate"].tolerance),
        ),
    ):
        drawn = boards.rows(query.sql, boards.last(DAY_S)).filter(series=f"word error rate · {STRUCK}")
        assert (drawn["time"].cast(pl.Int64) * 1_000).to_list() == hours["bucket_ms"].to_list(), query.name
        assert drawn["value"].to_list() == pytest.approx(expected.to_list()), query.name


def test_a_chosen_accent_leaves_its_slices_and_those_that_contain_it(boards: Boards) -> None:
    told = boards.rows(drift.drifting(STANDARD).sql, boards.last(WEEK_S), accent=[ACCENTS[1]])
    assert told["slice"].to_list() == [f"pool=realtime,bundle={BUNDLES[1]}"]
    of_shapes = boards.rows(drift.drifting(STANDARD).sql, boards.last(WEEK_S), measure=["heard_shape"])
    assert of_shapes["now"].str.ends_with(" PSI").all() and of_shapes.height == 1


def test_tickets_name_the_figure_and_how_much_it_changed(boards: Boards) -> None:
    (told,) = boards.rows(tickets().query.sql, boards.last(DAY_S)).to_dicts()
    assert (told["state"], told["measure"], told["relative_change"]) == ("frozen", "word_error_rate", 1.0)


@pytest.mark.parametrize("by", ["accent", "region"])
def test_word_error_rates_are_those_of_the_calls_and_as_sure_as_their_spread(boards: Boards, by: str) -> None:
    calls = boards.more.happened["quality"].filter(pl.col("bucket_ms") >= boards.world.end_ms - DAY_S * 1_000)
    dimensions = ("pool", "bundle", by) if by == "accent" else ("pool", by)
    sums = calls.drop_nulls(dimensions).group_by(dimensions).agg(pl.selectors.numeric().sum())
    told = boards.rows(labelled_quality.BY_SLICE.sql, boards.last(DAY_S), by=by)
    assert told.height == sums.height and told["wer"].is_sorted(descending=True)
    joined = told.join(sums, on=list(dimensions), suffix="_drawn")
    assert joined.height == told.height
    rate = (joined["word_errors"] / joined["words"]).to_numpy()
    errors, both, words = (
        joined[name].to_numpy().astype(float) for name in ("word_errors_sumsq", "word_errors_by_words", "words_sumsq")
    )
    spread = 1.96 * np.sqrt(errors - 2 * rate * both + rate**2 * words) / joined["words"].to_numpy()
    np.testing.assert_allclose(joined["wer"], rate)
    np.testing.assert_allclose(joined["wer_plus_minus"], spread)
    np.testing.assert_allclose(joined["corrected_share"], joined["answers_corrected"] / joined["answers"])
    if by == "accent":
        assert told.select("bundle", "accent").row(0) == (BUNDLES[1], ACCENTS[0])


def test_an_unknown_breakdown_is_the_first_one(boards: Boards) -> None:
    known, unknown = (
        boards.rows(labelled_quality.OVER_TIME.sql, boards.last(DAY_S), by=by)
        for by in (labelled_quality.BREAKDOWNS[0], "nobody")
    )
    assert known.equals(unknown) and known.height > 0
