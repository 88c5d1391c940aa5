"""Arithmetic of drift, held to scalar twins: deviances, spreads, divergences, references and e-d-BH."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from schemas.arrays import Floats
from schemas.drift_policies import WatchedMeasure
from schemas.families import QUALITY
from schemas.instants import DAY_MS, HOUR_MS, WEEK_MS
from stream_jobs.operators.drift.change_points import EFFECTS
from stream_jobs.operators.drift.figures import Ratios, Shapes
from stream_jobs.operators.drift.ratios import LEARNT_MIN, learn, signed_root, variance_given
from stream_jobs.operators.drift.references import as_they_were, hour_before_ms
from stream_jobs.operators.drift.series import Series, follow, found
from stream_jobs.operators.drift.shapes import BINS, LOWEST, divergence_bits, excess, merged, scaled, stability_index
from stream_jobs.operators.drift.slices import DriftSlices
from stream_jobs.operators.drift.wander import NAMES, Excess, surprising, wander_of
from tests.operators.drift_worlds import POOL, START_MS, calls, latencies, totals


def test_the_signed_root_is_that_of_two_counts_of_one_rate() -> None:
    bad, old_bad, turns, old_turns = 30.0, 20.0, 400.0, 500.0
    expected = 50 * turns / (turns + old_turns)
    deviance = 2 * (bad * math.log(bad / expected) + old_bad * math.log(old_bad / (50 - expected)))
    told = signed_root(*(np.array([each]) for each in (bad, old_bad, turns, old_turns)))
    assert told[0] == pytest.approx(math.sqrt(deviance))
    assert signed_root(*(np.array([each]) for each in (0.0, old_bad, turns, old_turns)))[0] < 0


def test_excesses_of_slices_that_did_not_change_have_the_spread_that_is_reckoned_with_calls_and_all() -> None:
    dice, ratios = np.random.default_rng(1), Ratios([WatchedMeasure("word_error_rate", 0.0, 100)])
    texts = [f"pool=realtime,bundle=v{place}" for place in range(1_500)]
    rows = [ratios.rows(totals(QUALITY, 0, {text: calls(dice, 0.12, 30) for text in texts})) for _ in range(2)]
    new, old = (each.select(*ratios.columns, "version").to_numpy().astype(float) for each in rows)
    judged = ratios.judge(Series.quiet(1, len(texts)), new, old, is_fixed=False)
    plain = judged.standard * np.sqrt(judged.spread)
    assert np.std(plain) == pytest.approx(1.0, abs=0.06)
    assert np.mean(plain) == pytest.approx(0.0, abs=0.08)
    as_independent = variance_given(np.array(0.12), new[:, 0], "share", (), new[:, 1]).sum()
    of_calls = variance_given(np.array(0.12), new[:, 0], "clusters", tuple(new[:, 2:5].T), new[:, 1]).sum()
    assert of_calls > 2 * as_independent


def test_a_spread_is_learnt_as_a_factor_or_as_an_amount_whichever_is_more() -> None:
    learnt = np.zeros((3, 2))
    information = np.array([100.0, 900.0])
    for _ in range(400):
        for amount in (
            100.0,
            900.0,
        ):  # An hour of little and one of much, whose squares are as an amount of 0.01 makes them.
            information[:] = amount
            before = learn(learnt, np.full(2, 1 + 0.01 * amount), information, np.array([True, False]))
    assert before[0] == pytest.approx(10 * (1 + math.sqrt(2 / 168)), rel=0.05)
    assert (learnt[:, 1] == 0).all(), "what drifts teaches nothing"


def found_after(
    watched: WatchedMeasure, before: float, since: float, samples: int = 2_000, wander: float = 0.0
) -> int | None:
    """How many hours after a change, which comes after eight days, it is found among a thousand series; `None` within five days."""
    dice, ratios, series = np.random.default_rng(1), Ratios([watched]), Series.quiet(1, 1)

    def hour(rate: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        mean = samples * rate * max(0.0, 1 + wander * dice.standard_normal())
        squares = [2 * samples * rate**2] * (len(ratios.columns) - 2)
        return np.array([[samples, dice.poisson(mean), *squares, 0.0]], dtype=np.float64)

    for number in range(8 * 24 + 120):
        new = hour(before if number < 8 * 24 else since)
        judged = ratios.judge(series, new, hour(before), is_fixed=False)
        excess = judged.excess.where(series.weight >= LEARNT_MIN)
        follow(series, excess, judged.sums, (number + 1) * HOUR_MS, limit=1_000 * 168 * 4)
        if series.is_drifted.any():
            return number - 8 * 24 + 1
    return None


STALE = WatchedMeasure("tenant_stale_lookup_rate", 0.1, 500, 0.005)


@pytest.mark.parametrize(
    ("before", "since", "samples", "hours"),
    [(0.0, 0.5, 2_000, 8), (0.0, 0.02, 2_000, 16), (0.0005, 0.05, 2_000, 14), (0.001, 0.02, 2_000, 24), (0.02, 0.5, 2_000, 8)],
)  # fmt: skip
def test_what_begins_near_nothing_is_found_within_hours(before: float, since: float, samples: int, hours: int) -> None:
    """Its first bad hours teach no spread that hides it."""
    assert (found_after(STALE, before, since, samples) or 99) <= hours


@pytest.mark.parametrize(
    ("name", "absolute", "before", "since"),
    [
        ("jitter_ms", 2.0, 0.1, 1.9),
        ("index_age_s", 600.0, 30.0, 590.0),
        ("tenant_stale_lookup_rate", 0.005, 0.0, 0.0045),
        ("tenant_stale_lookup_rate", 0.005, 0.0002, 0.0045),
    ],
)
def test_what_is_tolerated_in_the_figure_s_unit_is_tolerated_however_small_the_reference(
    name: str, absolute: float, before: float, since: float
) -> None:
    assert found_after(WatchedMeasure(name, 0.1, 300, absolute), before, since, 20_000) is None


def test_divergences_are_those_of_their_definitions() -> None:
    new, old = np.array([40.0, 60.0, 100.0]), np.array([100.0, 60.0, 40.0])
    p, q = (new + 0.5) / 201.5, (old + 0.5) / 201.5
    assert stability_index(new, old) == pytest.approx(sum((p - q) * np.log(p / q)))
    p, q = new / 200, old / 200
    middle = (p + q) / 2
    assert divergence_bits(new, old) == pytest.approx(sum(p * np.log2(p / middle) + q * np.log2(q / middle)) / 2)
    assert divergence_bits(np.array([5.0, 0.0]), np.array([0.0, 9.0])) == pytest.approx(1.0)
    assert divergence_bits(new, 3 * new) == pytest.approx(0.0)


def test_sparse_bins_are_one() -> None:
    new, old = merged(np.array([50.0, 3.0, 1.0, 0.0]), np.array([40.0, 2.0, 0.0, 2.0]))
    assert new.tolist() == [50, 0, 0, 0, 4] and old.tolist() == [40, 0, 0, 0, 4]


def test_shapes_that_did_not_change_are_normal_and_those_that_did_stand_out() -> None:
    dice = np.random.default_rng(2)
    shares = dice.dirichlet(np.full(12, 3.0))
    both = merged(*(dice.multinomial(2_000, shares, 3_000).astype(float) for _ in range(2)))
    ratio, freedom, effective = scaled(*both, stability_index(*both))
    z = excess(ratio, freedom, effective, np.ones_like(ratio), np.zeros_like(ratio))
    assert np.mean(z) == pytest.approx(0.0, abs=0.1) and np.std(z) == pytest.approx(1.0, abs=0.08)
    tolerated = excess(ratio, freedom, effective, np.ones_like(ratio), np.full_like(ratio, 0.05))
    assert (tolerated > 1).mean() < 0.001


def test_a_histogram_goes_into_bins_exactly_from_any_scale() -> None:
    shapes = Shapes([WatchedMeasure("llm_first_token_shape", 0.05, 100)])
    values = [1.0, 11.0, 12.0, 300.0, 301.0, 1e6]
    row = shapes.rows(latencies(0, {POOL: values})).row(0, named=True)
    # Upper bounds of bins are base^(7 + place), base = 2^(1/2).
    expected = [min(max(math.ceil(2 * math.log2(value)) - 1 - LOWEST, 0), BINS - 1) for value in values]
    counted = [row[f"llm_first_token_{place}"] for place in range(BINS)]
    assert counted == [expected.count(place) for place in range(BINS)]
    assert row["observations"] == len(values)


def test_an_hour_is_compared_with_the_week_before_and_in_the_first_week_with_a_day_of_its_kind() -> None:
    monday = START_MS
    known = range(monday, monday + 2 * WEEK_MS, HOUR_MS)
    assert hour_before_ms(monday + WEEK_MS, monday, known) == monday
    assert hour_before_ms(monday + DAY_MS, monday, known) == monday
    assert [hour_before_ms(monday + day * DAY_MS, monday, known) is None for day in range(7)] == [
        True, False, False, False, False, True, False,
    ]  # fmt: skip
    without = [each for each in known if each != monday + HOUR_MS]
    assert hour_before_ms(monday + WEEK_MS + HOUR_MS, monday, without) is None


def test_a_bundle_that_is_new_is_compared_with_the_one_that_served_most_of_the_same() -> None:
    slices = DriftSlices(QUALITY, 10)
    texts = [f"pool=realtime,bundle={name},accent=a" for name in ("v1", "v2", "v3")] + [
        "pool=realtime,bundle=v1,accent=b"
    ]
    slices.numbers(totals(QUALITY, 0, {text: {} for text in (texts[0], texts[1], texts[3])}))
    slices.numbers(totals(QUALITY, 5, {text: {} for text in texts}))
    number = {text: place for place, text in enumerate(slices.texts)}
    served = np.zeros((4, 1))
    served[[number[text] for text in texts], 0] = [30, 50, 0, 900]
    told = as_they_were(served, "week_before", slices.ranks, slices.groups)
    assert [slices.texts[told.numbers[number[text]]] for text in texts] == [texts[0], texts[1], texts[1], texts[3]]
    served[number[texts[0]], 0] = 0  # It is there for a week, but was withdrawn, and is back.
    back = as_they_were(served, "week_before", slices.ranks, slices.groups)
    assert slices.texts[back.numbers[number[texts[0]]]] == texts[1]


def test_the_more_series_change_the_less_each_needs() -> None:
    may_be = np.ones(5, dtype=bool)
    evidence = np.array([100.0, 60.0, 40.0, 26.0, 1.0])
    assert found(evidence, may_be, 100.0).tolist() == [True, True, True, True, False]
    assert found(evidence, np.array([False, True, True, True, True]), 100.0).tolist() == [False] * 5
    assert not found(evidence, may_be, 1_000.0).any()


def test_what_does_not_serve_any_more_drifts_for_a_day_and_what_serves_too_little_drifts_on() -> None:
    series, sums = Series.quiet(1, 2), np.ones((4, 1, 2))
    for hour in range(60):
        excess = Excess.independent(np.full((1, 2), 4.0 if hour < 30 else np.nan))
        series.see(np.array([[hour < 30, True]]), hour * HOUR_MS)
        follow(series, excess, sums, hour * HOUR_MS, limit=1e4)
        if hour in (29, 52, 53):
            assert series.is_drifted.tolist() == [[hour < 53, True]], hour


def wandering(dice: np.random.Generator, share: float, lasting: float, series: int, hours: int) -> Iterator[Floats]:
    """Standard deviates, hour by hour, of which that share of the variance is an autoregression."""
    lasts = np.sqrt(share) * dice.standard_normal((1, series))
    for _ in range(hours):
        yield lasts + np.sqrt(1 - share) * dice.standard_normal((1, series))
        anew = np.sqrt(share * (1 - lasting**2)) * dice.standard_normal((1, series))
        lasts = lasting * lasts + anew


@pytest.mark.parametrize(("share", "lasting"), [(0.0, 0.5), (0.5, 0.8), (0.7, 0.95)])
def test_what_was_not_foretold_of_excesses_that_are_alike_is_no_evidence(share: float, lasting: float) -> None:
    values, surprises = np.zeros((len(NAMES), 1, 200)), []
    every = np.ones((1, 200), dtype=bool)
    for whole in wandering(np.random.default_rng(5), share, lasting, 200, 500):
        found = surprising(values, whole, whole, np.full((1, 200), 1e9), every)
        surprises.append(found.surprise[0])
    known = wander_of(values)
    assert np.mean(known.share) == pytest.approx(share, abs=0.08)
    assert share == 0 or float(known.lasting[0, 0]) == pytest.approx(lasting, abs=0.04)
    told = np.array(surprises[200:])
    for before in (1, 12):
        for was in (told[:-before] > 1, told[:-before] > 0, told[:-before] <= 0):
            after = told[before:][was]
            assert np.mean(after) < 0.04
            for effect in EFFECTS[:2]:
                assert np.mean(np.exp(effect * after - effect**2 / 2)) < 1.06, "what a detector multiplies by"


def test_sums_of_hours_stray_as_often_as_the_inflation_says() -> None:
    hours = np.array(list(wandering(np.random.default_rng(6), 0.5, 0.8, 2_000, 300)))[:, 0]
    values = np.zeros((len(NAMES), 1, 2_000))
    for whole in hours[:, None]:
        found = surprising(values, whole, whole, np.full(whole.shape, 1e9), np.ones(whole.shape, dtype=bool))
    assert np.var(hours.sum(axis=0)) / 300 == pytest.approx(float(np.mean(found.inflation)), rel=0.1)


@pytest.mark.parametrize(("lasting", "wander"), [(0.0, 0.1), (0.8, 0.2), (0.95, 0.1)])
def test_rates_that_wander_for_hours_raise_no_more_than_those_that_wander_anew(lasting: float, wander: float) -> None:
    """Three weeks of 200 rates, whose logarithms are an autoregression of that deviation: two false alarms a week are allowed."""
    dice, ratios, count = np.random.default_rng(4), Ratios([WatchedMeasure("failure_rate", 0.05, 500, 0.0)]), 200
    series, hours, found_in_all = Series.quiet(1, count), list[Floats](), 0
    for number, strays in enumerate(wandering(dice, 1.0, lasting, count, 4 * 168)):
        failed = dice.binomial(3_000, 0.06 * np.exp(wander * strays[0]))
        hours.append(np.stack([np.full(count, 3_000.0), 3_000.0 - failed, np.zeros(count)], axis=1))
        if number >= 168:
            judged = ratios.judge(series, hours[-1], hours[-1 - 168], is_fixed=False)
            before = series.is_drifted
            excess = judged.excess.where(series.weight >= LEARNT_MIN)
            follow(series, excess, judged.sums, (number + 1) * HOUR_MS, limit=count * 168 / 2.0)
            found_in_all += int((series.is_drifted & ~before).sum())
    assert found_in_all <= 2 * 3


def test_a_change_that_shows_by_day_alone_is_one_change() -> None:
    series, sums, begun = Series.quiet(1, 1), np.ones((4, 1, 1)), 0
    for hour in range(6 * 24):
        before = series.is_drifted
        whole = np.full((1, 1), 4.0 if hour % 24 < 14 else 0.7)
        follow(series, Excess.independent(whole), sums, (hour + 1) * HOUR_MS, limit=1e4)
        begun += int((series.is_drifted & ~before).sum())
    assert begun == 1 and series.is_drifted.all()


def test_weeks_without_a_change_raise_no_more_than_the_alarms_that_were_allowed() -> None:
    dice, series, ends = np.random.default_rng(3), Series.quiet(1, 500), 0
    sums = np.ones((4, 1, 500))
    for hour in range(4 * 168):
        before = series.is_drifted
        follow(
            series,
            Excess.independent(dice.standard_normal((1, 500))),
            sums,
            (hour + 1) * HOUR_MS,
            limit=500 * 168 / 2.0,
        )
        ends += int((series.is_drifted & ~before).sum())
    assert ends <= 2 * 4
