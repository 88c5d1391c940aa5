"""Simulated fleets: the same seed draws the same slices, and only chance pages."""

from __future__ import annotations

import re

import numpy as np
import pytest
from typer.testing import CliRunner

from alerts.definitions import watched_slos
from turnwatch.bench import fleets
from turnwatch.bench.fleets import (
    BUDGET_SHARE_HIGHEST,
    DAY_MINUTES,
    START_MS,
    WEEKEND_DEMAND,
    Counted,
    Judged,
    demand,
    drawn,
    judge,
    run_fleets,
)
from turnwatch.cli import app

WATCHED = {each.slo.name: each for each in watched_slos()}
BY_ERRORS = WATCHED["turn-error-realtime"]


def test_a_slice_is_the_same_whoever_is_drawn_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    (alone,) = drawn(BY_ERRORS, days=1, slices=3, seed=7)
    monkeypatch.setattr(fleets, "SLICES_AT_ONCE", 2)
    parts = list(drawn(BY_ERRORS, days=1, slices=5, seed=7))
    assert [len(each.slices) for each in parts] == [2, 2, 1]
    assert parts[1].slices[0] == alone.slices[2]
    assert (parts[1].total[0] == alone.total[2]).all() and (parts[1].bad[0] == alone.bad[2]).all()
    other = next(drawn(BY_ERRORS, days=1, slices=3, seed=8))
    assert (other.total[0] != alone.total[0]).any()


def test_no_slice_spends_more_than_half_of_its_budget() -> None:
    (series,) = drawn(WATCHED["turn-4000ms-realtime"], days=3, slices=20, seed=7)
    bad, total = series.bad.sum(axis=1), series.total.sum(axis=1)
    allowed = total * 0.01 * BUDGET_SHARE_HIGHEST
    assert (bad < allowed + 5 * np.sqrt(allowed)).all()
    assert (bad > 0).sum() > 10 and total.max() > 100 * total.min()


def test_days_have_a_curve_and_weekends_less_traffic() -> None:
    """1970-01-01 was a Thursday."""
    days = demand(7).reshape(7, DAY_MINUTES)
    first = START_MS // 86_400_000
    for place, of_day in enumerate(days.mean(axis=1)):
        is_weekend = (first + place) % 7 in (2, 3)
        assert of_day == pytest.approx(WEEKEND_DEMAND if is_weekend else 1.0)
    assert days.max(axis=1) == pytest.approx(9 * days.min(axis=1), rel=1e-3)


def test_without_the_rule_chance_pages_thin_slices_and_with_it_hardly_ever() -> None:
    judged = Judged(BY_ERRORS, Counted(days=15), Counted(days=15))
    for series in drawn(BY_ERRORS, days=15, slices=25, seed=7):
        judge(judged, series)
    assert judged.unheld.pages > 10
    assert judged.held.pages == 0
    assert judged.unheld.pages_per_month == judged.unheld.pages * 2
    assert len(judged.unheld.slices) < 25, "where there is much traffic chance is too small to page"


def test_it_prints_its_seed_and_false_pages_by_objective(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_fleets(days=1, slices=3, seed=11) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    name = r"{0}_false_pages_a_month=\d+\.\d {0}_without_rule=\d+\.\d"
    figures = " ".join(name.format(each) for each in ("turn_4000ms", "turn_error"))
    assert re.fullmatch(f"days=1 slices=3 seed=11 {figures}", last)


@pytest.mark.parametrize("asked", [["--days", "0"], ["--days", "96"], ["--slices", "0"], ["--seed", "-1"]])
def test_fleets_that_cannot_be_drawn_are_refused(asked: list[str]) -> None:
    assert CliRunner().invoke(app, ["bench", "fleets", *asked]).exit_code == 2
