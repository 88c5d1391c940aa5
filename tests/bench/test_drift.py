"""The benchmark of drift: it counts what it says, knows what it planted, and ends with 1 where ours misses its bounds."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from scipy.stats import poisson
from typer.testing import CliRunner

from schemas.failures import Foreseen
from turnwatch.bench import drift
from turnwatch.bench.drift import EVIDENT, Bounds, Played, chance_of_so_many, found_in, play, run_drift, scored, strays
from turnwatch.bench.drift_peers import ALARMS, Peer, alarms, peers, set_best
from turnwatch.bench.drift_worlds import KINDS, MEASURES, RARE, hours, where_wander_lasts, world
from turnwatch.cli import app

SLICES = pl.DataFrame(
    {
        "slice": ["a", "b", "c"],
        "traffic": ["busy", "busy", "busy"],
        "wander": [0.0, 0.0, 0.0],
        "change": [0.3, 1.0, 0.0],
        "begins_h": [10, 20, 5],
        "measure": ["failure_rate"] * 3,
    }
)
NONE = pl.DataFrame(schema=ALARMS)


def raised(*found: tuple[str, int]) -> pl.DataFrame:
    return pl.DataFrame([("failure_rate", text, hour) for text, hour in found], schema=ALARMS, orient="row")


def played(planted: pl.DataFrame = NONE, quiet: pl.DataFrame = NONE) -> Played:
    return Played(SLICES, quiet, planted, weeks=2.0)


def test_a_change_is_found_by_the_first_alarm_since_it_began_and_alarms_before_it_are_false() -> None:
    planted = raised(("a", 3), ("a", 12), ("a", 40), ("c", 7))
    ours = scored("ours", raised(("b", 1)), planted, played())
    assert ours.changes.sort("slice")["delay_h"].to_list() == [3, None]
    assert (ours.recall, ours.delay_h, ours.false_alarms_per_week) == (0.5, 3.0, 0.5)
    assert ours.of(EVIDENT & (pl.col("change") < 1)).cell() == "100% 3 h"
    assert ours.of(pl.col("change") == 1).cell() == "0%"
    assert strays(planted, played()) == 2


def test_a_change_that_shows_for_hours_is_one_alarm() -> None:
    rows = pl.DataFrame(
        {
            "measure": ["failure_rate"] * 5,
            "slice": ["a"] * 5,
            "hour": [1, 2, 3, 8, 9],
            "since": [1, 1, 1, 7, 7],
            "state": ["drifted", "drifted", "steady", "drifted", "drifted"],
        }
    )
    assert sorted(found_in(rows)["hour"].to_list()) == [1, 8]


@pytest.mark.parametrize("measure", [*MEASURES, RARE])
def test_what_is_planted_begins_at_its_hour_in_its_slice_alone(measure: str) -> None:
    one = world(measure, len(KINDS), days=7, seed=3)
    assert sorted(set(one.change.tolist())) == [0.0, 0.15, 0.3, 1.0] and one.begins_h.max() < 48
    begun = replace(one, begins_h=np.full(len(KINDS), 60))
    quiet, planted = (hours(begun, 3, is_planted) for is_planted in (False, True))
    assert all(mine.equals(its) for mine, its in zip(quiet[:60], planted[:60], strict=True))
    assert not quiet[60].equals(planted[60])
    assert hours(begun, 4, True)[0].equals(planted[0]) is False


def test_rates_that_rise_by_so_much_do() -> None:
    one = world("failure_rate", len(KINDS), days=7, seed=3)
    doubled = next(place for place, kind in enumerate(KINDS) if kind == ("busy", 0.0, 1.0))
    one = replace(one, begins_h=np.zeros(len(KINDS), dtype=np.int64))
    failed = [
        sum(int(each["outcomes"][doubled] - each["successes"][doubled]) for each in hours(one, 3, is_planted))
        for is_planted in (False, True)
    ]
    assert failed[1] / failed[0] == pytest.approx(2, rel=0.05)


def test_wander_that_lasts_strays_as_much_and_goes_on_in_the_next_hour() -> None:
    one = where_wander_lasts(world("failure_rate", 96, days=21, seed=3), 0.95, 0.1)
    told = [each.filter(pl.col("outcomes") > 1_000) for each in hours(one, 3, is_planted=False)]
    known = pl.concat(told).with_columns(rate=(1 - pl.col("successes") / pl.col("outcomes")).log())
    of_slices = known.with_columns(hour_of_day=pl.col("bucket_start_ms") // 3_600_000 % 24).with_columns(
        stray=pl.col("rate") - pl.col("rate").mean().over("slice", "hour_of_day")
    )
    after = of_slices.select("slice", pl.col("bucket_start_ms") - 3_600_000, later="stray")
    both = of_slices.join(after, on=["slice", "bucket_start_ms"])
    assert 0.08 < float(both["stray"].std()) < 0.15  # type: ignore[arg-type]
    assert float(both.select(pl.corr("stray", "later")).item()) > 0.5


def test_too_many_alarms_where_wander_lasts_end_with_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = raised(("a", 12), ("b", 22)).with_columns(state=pl.lit("drifted"), since="hour")
    noisy = raised(*(("c", place) for place in range(12))).with_columns(state=pl.lit("drifted"), since="hour")
    monkeypatch.setattr(drift, "play", lambda *_: played(planted, planted.clear()))
    monkeypatch.setattr(drift, "played", lambda *_: played(planted, noisy))
    assert run_drift(24, 14, 7, with_river=False, bounds=Bounds()) == 1
    assert "lasting_false_alarms_a_week=6.00,6.00,6.00" in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(
    ("false_alarms", "chance"),
    [((0, 0, 0, 0, 0), 1.0), ((4, 0, 2, 1, 3), 1.0), ((12, 0, 0, 0, 0), 0.0004), ((6, 6, 6, 6, 6), 0.003)],
    ids=["none", "as many as there may be", "too many in one", "too many together"],
)
def test_false_alarms_miss_the_bound_only_where_chance_hardly_brings_so_many(
    false_alarms: tuple[int, ...], chance: float
) -> None:
    found = chance_of_so_many(false_alarms, 3.0, 1.0)
    tails = [
        poisson.sf(n - 1, mean) for n, mean in [*((each, 3.0) for each in false_alarms), (sum(false_alarms), 15.0)]
    ]
    assert found == pytest.approx(min(1.0, min(tails) * 6)) and found == pytest.approx(chance, rel=0.3)


def test_our_watch_finds_what_is_doubled_in_a_busy_slice_within_a_day() -> None:
    found = play(("failure_rate",), 8, 14, 7, Console(quiet=True))
    ours = scored("ours", found_in(found.quiet), found_in(found.planted), found)
    doubled = ours.of(EVIDENT & (pl.col("change") == 1))
    assert len(doubled.changes) == 1 and doubled.recall == 1 and (doubled.delay_h or 99) <= 24
    assert len(found_in(found.quiet)) <= 2


class Jumps:
    """A detector that raises whatever lies beyond its bound."""

    def __init__(self, bound: float) -> None:
        self._bound, self.drift_detected = bound, False

    def update(self, value: float) -> None:
        self.drift_detected = value > self._bound


ROWS = pl.DataFrame(
    {
        "measure": ["failure_rate"] * 4,
        "slice": ["a", "a", "b", "b"],
        "hour": [0, 1, 0, 1],
        "value": [1.0, 3.0, None, 2.0],
    }
)


def test_a_peer_is_told_each_slice_by_itself_and_nothing_where_there_is_nothing() -> None:
    assert alarms(lambda: Jumps(1.5), ROWS, "value").rows() == [("failure_rate", "a", 1), ("failure_rate", "b", 1)]


@pytest.mark.parametrize(("alarms_max", "bound"), [(3, 0.5), (1, 2.5), (0, 9.5)])
def test_a_peer_is_set_as_sensitive_as_its_false_alarms_allow(alarms_max: int, bound: float) -> None:
    settings = tuple(lambda bound=bound: Jumps(bound) for bound in (0.5, 1.5, 2.5, 9.5))
    peer = Peer("jumps", "value", settings[0], settings)
    assert set_best(peer, ROWS, alarms_max)()._bound == bound


def test_rivers_detectors_raise_what_rises_and_not_what_falls() -> None:
    pytest.importorskip("river", reason="river is in the extra `dev`")
    hours_of = np.arange(400)
    rows = pl.DataFrame(
        {
            "measure": ["failure_rate"] * 800,
            "slice": ["rises"] * 400 + ["falls"] * 400,
            "hour": np.tile(hours_of, 2),
            "value": np.concatenate([np.where(hours_of < 200, 0, 30), np.where(hours_of < 200, 30, 0)]).astype(float),
        }
    )
    for peer in (each for each in peers() if each.series == "value"):
        found = alarms(peer.default, rows, "value")
        assert set(found["slice"]) == {"rises"} and 200 <= int(found["hour"][0]) <= 240, peer.name


def test_without_river_the_bench_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "river.drift", None)
    with pytest.raises(Foreseen, match="extra `dev`, or say `--without-river`"):
        run_drift(24, 14, 7, with_river=True)


@pytest.mark.parametrize(
    ("false_alarms", "hour", "code"), [(2, 12, 0), (6, 12, 1), (0, 30, 1), (0, 5, 1)],
    ids=["held", "too many alarms", "too late", "not found"],
)  # fmt: skip
def test_a_bound_that_is_missed_ends_with_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], false_alarms: int, hour: int, code: int
) -> None:
    def rows(*found: tuple[str, int]) -> pl.DataFrame:
        return raised(*found).with_columns(state=pl.lit("drifted"), since="hour")

    quiet = rows(*(("c", place) for place in range(false_alarms)))
    planted = rows(("a", hour), ("b", hour + 10))
    for name in ("play", "played"):
        monkeypatch.setattr(drift, name, lambda *_: played(planted, quiet))
    assert run_drift(24, 14, 7, with_river=False, bounds=Bounds()) == code
    assert f"false_alarms_a_week={false_alarms / 2:.2f}" in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize("asked", [["--days", "13"], ["--slices", "101"], ["--slices", "8"], ["--seed", "-1"]])
def test_worlds_that_cannot_be_drawn_are_refused(asked: list[str]) -> None:
    assert CliRunner().invoke(app, ["bench", "drift", *asked]).exit_code == 2
