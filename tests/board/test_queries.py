"""What the panels' SQL answers about a world that is known, in every selection a reader can make."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from dashboards.queries import (
    budgets,
    burn_by_slice,
    burn_rate,
    pages,
    pipeline,
    privacy,
    stage_latency,
    traffic,
)
from dashboards.queries.budgets import exclusions_annotation
from dashboards.queries.judged_counts import JUDGED_ROWS
from dashboards.queries.releases import RELEASES_ANNOTATION
from dashboards.queries.selection import EVERYTHING
from dashboards.substitution import Range
from schemas.families import STAGES
from schemas.slos import WatchedSlo
from tests.board.conftest import DAY_S, HOSTILE, WATCHED, Boards
from tests.board.world import BUNDLES, REGIONS, ROUTES, SLOW_STAGES
from tests.board.world_burns import EXCLUDED_S


@pytest.mark.parametrize("value", [value for value in HOSTILE if value != EVERYTHING])
def test_a_value_that_nothing_has_selects_nothing(boards: Boards, value: str) -> None:
    assert boards.rows(traffic.TURNS_PER_SECOND.sql, bundle=[value]).height == 0


@pytest.mark.parametrize("value", [EVERYTHING, "{" + BUNDLES[0] + "}", "{{" + BUNDLES[0], BUNDLES[0] + "}"])
def test_braces_of_a_value_are_its_own(boards: Boards, value: str) -> None:
    """One pair stands around what is chosen, as Grafana writes it; no bundle has any."""
    assert boards.rows(traffic.TURNS_PER_SECOND.sql, bundle=[value]).height == 0
    assert boards.rows(traffic.TURNS_PER_SECOND.sql, bundle=[value, BUNDLES[0]]).height > 0


def test_nothing_all_and_every_value_select_the_same(boards: Boards) -> None:
    nothing = boards.rows(traffic.TURNS_PER_SECOND.sql)
    assert nothing.equals(boards.rows(traffic.TURNS_PER_SECOND.sql, region=EVERYTHING, bundle=EVERYTHING))
    assert nothing.equals(boards.rows(traffic.TURNS_PER_SECOND.sql, region=list(REGIONS), bundle=list(BUNDLES)))


@pytest.mark.parametrize("interval_s", [1, 10, 37, 300])
@pytest.mark.parametrize("days_before", [0, 1])
def test_rates_times_their_seconds_are_the_turns(boards: Boards, interval_s: int, days_before: int) -> None:
    """In 10 s and in 1 min rollups, whatever the step; the newest step counts as far as there is data."""
    bucket_s = 60 if days_before else 10
    step_s = math.ceil(interval_s / bucket_s) * bucket_s
    during = Range(boards.range.from_s - days_before * DAY_S, boards.range.to_s, interval_s)
    rates = boards.rows(traffic.TURNS_PER_SECOND.sql, during).with_columns(pl.col("time").cast(pl.Int64).alias("s"))
    end_s = boards.world.end_ms // 1000
    served = rates.with_columns(
        (pl.col("value") * pl.min_horizontal(pl.lit(step_s), end_s - pl.col("s"))).alias("turns")
    )
    from_ms = boards.range.from_s * 1_000 - days_before * DAY_S * 1_000
    happened = (
        boards.world.turns.filter(pl.col("bucket_ms") >= from_ms)
        .group_by("pool")
        .agg(pl.col("turns").sum())
        .sort("pool")
    )
    assert served.group_by("series").agg(pl.col("turns").sum().round()).sort("series").rows() == happened.rows()


def test_a_selection_narrows_traffic_to_exactly_its_slices(boards: Boards) -> None:
    rates = boards.rows(traffic.TOKENS_PER_SECOND.sql, region=[REGIONS[1]], bundle=[BUNDLES[0]], pool=["realtime"])
    happened = boards.turns.filter(
        (pl.col("region") == REGIONS[1]) & (pl.col("bundle") == BUNDLES[0]) & (pl.col("pool") == "realtime")
    )
    generated = rates.filter(pl.col("series") == "realtime generated")["value"].sum() * 30
    assert rates["series"].unique().sort().to_list() == ["realtime generated", "realtime prompt"]
    assert round(generated) == happened["tokens_out"].sum()


def test_what_no_cut_holds_together_is_said(boards: Boards) -> None:
    shown = boards.rows(pipeline.SHOWN.sql, route=[ROUTES[0]], region=[REGIONS[0]], bundle=[BUNDLES[0]]).row(
        0, named=True
    )
    assert shown["grouped by"] == "pool,region,bundle"
    assert shown["applied"] == f"region = {REGIONS[0]}, bundle = {BUNDLES[0]}"
    assert shown["not applied"] == f"route = {ROUTES[0]}"


def test_bounds_of_the_peak_hold_what_each_slice_had(boards: Boards) -> None:
    bounds = boards.rows(traffic.PEAK_STREAMS.sql, region=list(REGIONS)).pivot("series", index="time", values="value")
    assert (bounds["realtime at least"] <= bounds["realtime at most"]).all()
    whole = boards.rows(traffic.PEAK_STREAMS.sql).pivot("series", index="time", values="value")
    assert (bounds["realtime at least"] <= whole["realtime at least"]).all()
    assert (bounds["realtime at most"] >= whole["realtime at most"]).all()


@pytest.mark.parametrize("dimension", ["bundle", "region", "route"])
def test_bad_shares_are_those_that_happened(boards: Boards, dimension: str) -> None:
    answer = boards.rows(burn_rate.bad_share_by(dimension, boards.watched).sql, slo=["turn-4000ms-realtime"])
    happened = (
        boards.turns.filter(pl.col("pool") == "realtime")
        .group_by(dimension)
        .agg(pl.col("turn_4000ms_bad").sum().alias("bad"), pl.col("turn_4000ms_total").sum().alias("total"))
        .sort(pl.col("bad") - 0.01 * pl.col("total"), descending=True)
    )
    assert answer[dimension].to_list() == happened[dimension].to_list()
    assert answer["bad"].to_list() == happened["bad"].to_list()
    np.testing.assert_allclose(answer["bad_share"], happened["bad"] / happened["total"])
    np.testing.assert_allclose(answer["share_of_bad"], happened["bad"] / happened["bad"].sum())
    np.testing.assert_allclose(answer["share_of_turns"], happened["total"] / happened["total"].sum())
    np.testing.assert_allclose(answer["burn"], happened["bad"] / happened["total"] / 0.01)


def test_a_single_failed_turn_is_not_what_takes_the_budget(boards: Boards) -> None:
    """Of two bundles with as many turns, what has the higher excess is first, and what failed once of once is not."""
    sql = burn_rate.bad_share_by("bundle", boards.watched).sql
    rows = ", ".join(f"('pool=realtime,bundle={name}', {bad}, {total})" for name, bad, total in _COUNTED)
    told = f"(SELECT *, toUInt32(indexOf(indicators, 'turn_4000ms')) AS place FROM VALUES('slice String, bad UInt64, total UInt64', {rows}))"
    assert JUDGED_ROWS in sql
    answer = boards.rows(sql.replace(JUDGED_ROWS, told), slo=["turn-4000ms-realtime"])
    assert answer["bundle"].to_list() == ["loses most", "new", "fine"]


_COUNTED = (("new", 1, 1), ("fine", 10, 10_000), ("loses most", 900, 30_000))


def test_the_alerting_slice_is_first_and_judged_by_its_nearest_row(boards: Boards) -> None:
    worst = boards.rows(burn_rate.burning_now(boards.watched).sql).row(0, named=True)
    assert (worst["alert"], worst["threshold"]) == ("page", "above page")
    assert worst["slice"] == "pool=realtime,bundle=v2-canary"
    watched = next(each for each in boards.watched if each.slo.name == worst["slo"])
    burns = _newest_burns(boards, worst["slo"], worst["slice"])
    nearness = {
        row.name: min(burns[row.long_s], burns[row.short_s]) / float(row.factor)
        for row in watched.rows
        if row.severity == "page"
    }
    assert worst["row"] == max(nearness, key=lambda name: nearness[name])
    assert worst["nearness"] == pytest.approx(max(nearness.values()))
    assert worst["burn 5m"] == pytest.approx(burns[300])


def test_the_first_figure_is_of_slices_that_page_however_far_others_are_beyond_a_ticket(boards: Boards) -> None:
    strict = tuple(
        replace(each, rows=tuple(row if row.severity == "page" else replace(row, factor=row.factor / 1_000) for row in each.rows))
        for each in boards.watched
    )  # fmt: skip
    rows = boards.rows(burn_rate.burning_now(strict).sql)
    nearest = max(rows.filter(threshold="above page")["nearness"].to_list())
    assert max(rows["nearness"].to_list()) > nearest > 1
    assert boards.rows(burn_rate.worst_now(strict).sql)["nearest to a threshold"].to_list() == [nearest]


def _newest_burns(boards: Boards, slo: str, slice_: str) -> dict[int, float]:
    rows = pl.DataFrame(boards.world.rows["burn_windows"])
    newest = rows.filter((pl.col("slo") == slo) & (pl.col("slice") == slice_)).filter(
        pl.col("decided_at") == pl.col("decided_at").max()
    )
    return dict(newest.select("window_s", "burn").iter_rows())


def test_a_board_judges_by_the_policy_it_was_rendered_for(boards: Boards) -> None:
    """With factors a hundred times higher, nothing is above a threshold any more."""
    lenient = tuple(
        replace(each, rows=tuple(replace(row, factor=row.factor * 100) for row in each.rows)) for each in boards.watched
    )
    assert set(boards.rows(burn_rate.burning_now(lenient).sql)["threshold"]) == {"below"}
    assert "above page" in set(boards.rows(burn_rate.burning_now(boards.watched).sql)["threshold"])


def test_objectives_that_no_policy_row_watches_are_shown_without_windows(boards: Boards) -> None:
    """What is left of their budgets is told all the same, and how near they came to nothing is not."""
    unwatched = tuple(replace(each, rows=()) for each in boards.watched)
    now = boards.rows(burn_rate.burning_now(unwatched).sql)
    assert set(now["threshold"]) == {"below"} and now["budget_left"].is_not_null().all()
    assert not [name for name in now.columns if name.startswith("burn ")]
    left = boards.rows(burn_rate.exhaustion(unwatched).sql)
    known = boards.rows(burn_rate.exhaustion(boards.watched).sql)
    assert left.equals(known.select(left.columns)) and left.height
    assert boards.rows(burn_rate.nearness_over_time(unwatched).sql).is_empty()
    burnt = boards.rows(burn_rate.burn_over_time(unwatched).sql, window="1h")
    drawn = boards.rows(burn_rate.burn_over_time(boards.watched).sql, window="1h")
    assert burnt.height and burnt.equals(drawn.filter(~pl.col("series").str.contains(" at ")))


def test_the_burn_chart_draws_the_factors_of_its_window(boards: Boards) -> None:
    series = set(boards.rows(burn_rate.burn_over_time(boards.watched).sql, window="5m")["series"])
    factors = {f"page at {float(row.factor):g}" for each in boards.watched for row in each.rows if row.short_s == 300}
    assert factors and factors <= series


def test_a_spike_between_two_points_is_in_the_charts(boards: Boards) -> None:
    """Steps of six hours: each point is as high as any decision of its step, and as the heat map's cell.

    Hours are read, and of the one in which the range ends only what was decided before.
    """
    week = boards.last(7 * DAY_S)
    during = Range(week.from_s, week.to_s - 1_500, 6 * 3_600)
    slo = WATCHED[0]
    stored = pl.DataFrame(boards.world.rows["burn_windows"]).filter(
        pl.col("slo") == slo,
        pl.col("window_s") == 300,
        pl.col("decided_at").dt.epoch("s").is_between(during.from_s, during.to_s),
    )
    highest = stored.group_by(
        pl.format("{} · {}", "slo", "slice").alias("series"),
        (pl.col("decided_at").dt.epoch("s") // 21_600 * 21_600).alias("time"),
    ).agg(pl.col("burn").max())
    drawn = boards.rows(burn_rate.burn_over_time(boards.watched).sql, during, slo=[slo], window="5m")
    joined = drawn.with_columns(pl.col("time").cast(pl.Int64)).join(highest, on=["series", "time"])
    assert joined.height == drawn.filter(~pl.col("series").str.contains(" at ")).height > 0
    np.testing.assert_allclose(joined["value"], joined["burn"])
    near = boards.rows(burn_rate.nearness_over_time(boards.watched).sql, during, slo=[slo])
    cells = pl.concat(
        boards.rows(burn_by_slice.nearness_by_slice(boards.watched, severity).sql, during, slo=[slo]).select("series", "time", "value")
        for severity in ("page", "ticket")
    ).group_by("series", "time").agg(pl.col("value").max())  # fmt: skip
    both = near.join(cells, on=["series", "time"], suffix="_of_cell")
    assert both.height == near.height > 0
    np.testing.assert_allclose(both["value"], both["value_of_cell"])


def test_slices_alert_in_what_is_chosen_or_not_at_all(boards: Boards) -> None:
    """The page's slice names a bundle and no region, so it lies in that bundle, and in any region."""
    sql = burn_rate.worst_now(boards.watched).sql
    for count, selection in (
        (1, {}),
        (1, {"bundle": [BUNDLES[1]], "region": [REGIONS[0]]}),
        (0, {"bundle": [BUNDLES[0]]}),
    ):
        assert boards.rows(sql, selection=selection)["slices alerting"].to_list() == [count], selection


def test_what_is_burning_now_says_how_old_that_is(boards: Boards) -> None:
    """A pipeline that fell silent 40 minutes before the range's end does not look as if all were well now."""
    sql = burn_rate.worst_now(boards.watched).sql
    assert boards.rows(sql)["decided ago"].to_list() == [0]
    later = Range(boards.range.from_s, boards.range.to_s + 2_400)
    assert boards.rows(sql, later)["decided ago"].to_list() == [2_400]
    nothing = boards.rows(sql, Range(boards.range.from_s - 400 * DAY_S, boards.range.to_s - 400 * DAY_S))
    assert nothing["decided ago"].to_list() == nothing["completeness"].to_list() == [None]


def test_charts_of_slices_keep_the_eight_worst(boards: Boards) -> None:
    """Exactly those, also where the highest burns of an hour lie outside of a range that begins and ends amid hours."""
    end_s = boards.range.to_s
    for during in (boards.range, Range(end_s - 1_500, end_s - 300, 10), Range(end_s - 9_000, end_s - 2_000, 10)):
        stored = pl.DataFrame(boards.world.rows["burn_windows"]).filter(
            pl.col("decided_at").dt.epoch("s").is_between(during.from_s, during.to_s)
        )
        told = stored.with_columns(pl.format("{} · {}", "slo", "slice").alias("series"))
        drawn = boards.rows(burn_rate.burn_over_time(boards.watched).sql, during, window="5m")
        lines = drawn.filter(~pl.col("series").str.contains(" at "))
        assert peaks(lines) == peaks(told.filter(pl.col("window_s") == 300).rename({"burn": "value"}))[:8]
        near = boards.rows(burn_rate.nearness_over_time(boards.watched).sql, during)
        assert dict(peaks(near)) == pytest.approx(dict(peaks(nearness_of(told, boards.watched))[:8]))
        assert told["series"].n_unique() > near["series"].n_unique() == 8


def peaks(points: pl.DataFrame) -> list[tuple[str, float]]:
    """Every series with its highest value, the worst first."""
    highest = points.group_by("series").agg(pl.col("value").max())
    return sorted(highest.iter_rows(), key=lambda each: (-each[1], each[0]))


def nearness_of(told: pl.DataFrame, watched: tuple[WatchedSlo, ...]) -> pl.DataFrame:
    """How near every decision came to each policy row."""
    keys = ("slo", "series", "decided_at")
    short = told.select(*keys, pl.col("window_s").alias("short_s"), pl.col("burn").alias("short"))
    rows = [
        (each.slo.name, row.long_s, row.short_s, float(row.factor))
        for each in watched
        for row in each.rows
        if row.factor > 0
    ]
    policy = pl.DataFrame(rows, ["slo", "window_s", "short_s", "factor"], orient="row").cast(
        {"window_s": pl.UInt32, "short_s": pl.UInt32}
    )
    both = told.join(policy, on=["slo", "window_s"]).join(short, on=[*keys, "short_s"])
    return both.with_columns((pl.min_horizontal("burn", "short") / pl.col("factor")).alias("value"))


@pytest.mark.parametrize("quantile", [0.5, 0.99])
@pytest.mark.parametrize("stage", STAGES)
def test_quantiles_are_within_the_histogram_s_error(boards: Boards, stage: str, quantile: float) -> None:
    """Over the whole range in one step, against the latencies themselves; inverted-CDF, as weights are counted."""
    during = replace(boards.range, interval_s=3_600)
    answer = boards.rows(stage_latency.quantile_over_time(quantile).sql, during, pool=["realtime"])
    bound = 0.0055 if stage in ("turn", "first_audio") else 0.0109
    (value,) = answer.filter(pl.col("series") == stage)["value"]
    took = boards.world.latencies.filter(pl.col("bucket_ms") >= boards.world.fine_ms, stage=stage, pool="realtime")
    latencies = np.repeat(took["latency_ms"].to_numpy(), took["turns"].to_numpy())
    assert value == pytest.approx(np.quantile(latencies, quantile, method="inverted_cdf"), rel=bound)


def test_the_stage_that_grew_is_named_first(boards: Boards) -> None:
    """Over twelve hours the canary is calm in the first half, and slow in the last quarter."""
    half_a_day = boards.last(12 * 3_600)
    grown = boards.rows(stage_latency.GROWTH.sql, half_a_day, pool=["realtime"], bundle=[BUNDLES[1]])
    assert set(grown["stage"][:4]) == set(SLOW_STAGES)
    assert grown["p99_growth"][0] > 2 > 1.3 > grown["p99_growth"][4]
    calm = boards.rows(stage_latency.GROWTH.sql, half_a_day, pool=["realtime"], bundle=[BUNDLES[0]])
    assert max(calm["p99_growth"].to_list()) < 1.3


def test_pages_and_their_annotations_tell_what_is_open(boards: Boards) -> None:
    """A page that fires is told of in every range since, a ticket that ended in those that it reaches into."""
    told = boards.rows(pages.PAGES_HISTORY.sql, boards.last(DAY_S))
    assert told.select("state", "severity").rows() == [("firing", "page"), ("resolved", "ticket")]
    assert told["ends_event"].is_null().to_list() == [True, False]
    began_s = boards.world.incident_ms // 1_000 + 60
    assert told["lasted_s"].to_list() == [boards.range.to_s - began_s, 240]
    assert told["bundle"].to_list() == [BUNDLES[1]] * 2
    assert boards.rows(pages.PAGES_HISTORY.sql)["severity"].to_list() == ["page"]
    for by_slo in (True, False):
        drawn = boards.rows(pages.pages_annotation(by_slo).sql, boards.last(DAY_S))
        assert drawn.height == 2 and (drawn["timeEnd"] >= drawn["time"]).all()
        assert boards.rows(pages.pages_annotation(by_slo).sql).height == 1


def test_pages_are_those_of_the_slice_as_they_stood_at_the_range_s_end(boards: Boards) -> None:
    """The ticket had not ended by then; what another bundle was paged for is not listed, and what the page's slice lies in is."""
    began_s = boards.world.incident_ms // 1_000
    during = Range(began_s, began_s + 200)
    told = boards.rows(pages.PAGES_HISTORY.sql, during)
    assert told.select("severity", "state", "lasted_s").sort("severity").rows() == [
        ("page", "firing", 140),
        ("ticket", "firing", 140),
    ]
    assert boards.rows(pages.pages_annotation().sql, during)["timeEnd"].dt.epoch("s").to_list() == [during.to_s] * 2
    assert boards.rows(pages.PAGES_HISTORY.sql, during, bundle=[BUNDLES[0]]).is_empty()
    assert boards.rows(pages.PAGES_HISTORY.sql, during, bundle=[BUNDLES[1]], region=[REGIONS[0]]).height == 2


def test_of_too_many_marks_the_newest_are_drawn(boards: Boards) -> None:
    """Of releases there are two."""
    for query in (pages.pages_annotation(), RELEASES_ANNOTATION, exclusions_annotation()):
        assert re.search(r"\nORDER BY time DESC(, \w+)?\nLIMIT 500$", query.sql), query.name
    one = RELEASES_ANNOTATION.sql.replace("LIMIT 500", "LIMIT 1")
    assert boards.rows(one, boards.last(30 * DAY_S))["tags"].to_list() == [BUNDLES[1]]


def test_releases_are_drawn_when_they_were_declared(boards: Boards) -> None:
    drawn = boards.rows(RELEASES_ANNOTATION.sql, boards.last(30 * DAY_S)).sort("time")
    assert drawn["tags"].to_list() == list(BUNDLES)
    at_ms = drawn["time"].dt.epoch("ms").to_list()
    assert at_ms == [boards.world.start_ms, boards.world.released_ms]
    assert "answering answering-2" in drawn["text"][1] and boards.rows(RELEASES_ANNOTATION.sql).is_empty()


def test_budgets_are_shown_as_counted_and_without_what_was_excluded(boards: Boards) -> None:
    shown = boards.rows(budgets.BUDGETS.sql, slo=["turn-4000ms-realtime"]).row(0, named=True)
    assert shown["slice"] == "pool=realtime"
    from_ms, to_ms = (boards.world.fine_ms + second * 1_000 for second in EXCLUDED_S)
    turns = boards.world.turns.filter(pl.col("pool") == "realtime")
    is_excluded = (pl.col("region") == REGIONS[0]) & pl.col("bucket_ms").is_between(from_ms, to_ms - 1)
    for rows, name in ((turns, "budget_left"), (turns.filter(~is_excluded), "corrected_budget_left")):
        bad, total = rows.select(pl.col("turn_4000ms_bad", "turn_4000ms_total").sum()).row(0)
        assert shown[name] == pytest.approx(1 - bad / total / 0.01)
    assert shown["excluded_total"] == turns.filter(is_excluded)["turn_4000ms_total"].sum() > 0
    of_languages = boards.client.query("SELECT countIf(excluded_bad IS NULL) FROM budgets WHERE cut = 'pool,language'")
    assert of_languages.result_rows[0][0] > 0, "a region says nothing of a language"


def test_exclusions_in_force_are_drawn(boards: Boards) -> None:
    drawn = boards.rows(exclusions_annotation().sql)
    assert drawn.select("title", "tags").rows() == [(f"excluded: region={REGIONS[0]}", "all")]
    assert (drawn["timeEnd"] - drawn["time"]).dt.total_seconds().to_list() == [EXCLUDED_S[1] - EXCLUDED_S[0]]
    assert drawn["text"].to_list() == ['a drill, "failover" é (ana)']


def test_silence_is_shown_as_silence(boards: Boards) -> None:
    begin_s = boards.world.start_ms // 1000
    ages = boards.rows(pipeline.AGE.sql, Range(begin_s - 7_200, begin_s - 3_600))
    assert ages.height > 0 and ages["newest"].is_null().all()


def test_what_producers_dropped_is_counted(boards: Boards) -> None:
    reported = boards.rows(pipeline.PRODUCERS.sql)
    happened = pl.DataFrame(boards.world.rows["heartbeats_10s"])
    assert reported["dropped"].sum() == happened["observations_dropped"].sum() > 0
    assert reported["seen"].sum() == happened["observations_seen"].sum()


def test_what_the_edge_withheld_is_told_by_dimension_and_reason(boards: Boards) -> None:
    happened = pl.DataFrame(boards.world.rows["privacy_10s"]).filter(cut="pool,region")
    told = {row["because"]: row for row in boards.rows(privacy.WITHHELD.sql).to_dicts()}
    for because, fate in (
        ("language", "generalised"),
        ("language", "kept"),
        ("language", "held"),
        ("email", "refused"),
    ):
        assert told[because][fate] == happened.filter(fate=fate)["observations"].sum() > 0
    assert 0.05 < told["language"]["generalised_share"] <= 0.1
    assert told["email"]["generalised_share"] is None
    shares = boards.rows(privacy.GIVEN_UP.sql)
    assert shares["series"].unique().to_list() == ["turns language"]
    assert shares["value"].is_between(0, 1).all()
