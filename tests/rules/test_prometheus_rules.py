"""Prometheus, by the rendered rules, fires and clears when our engine does on the same series, for every shipped SLO.

Series have a sample for each state bucket of a row's long window, and both sides may differ by one of them.
"""

from __future__ import annotations

import subprocess
from dataclasses import replace
from decimal import Decimal
from itertools import cycle
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from alerts.check import REPOSITORY
from alerts.definitions import watched_slos
from alerts.explanations import Links, Paging, labels_of
from alerts.prometheus_rules import FILE, LONG_GROUP, SHORT_GROUP, render_rules, rules, share_name
from schemas.slos import Life, PolicyRow, WatchedSlo
from tests.rules.burning import burning
from tests.rules.promtool import START_MS, Told, run, unit_test
from turnwatch.backtest.instants import state_bucket_ms
from turnwatch.rendering import run_rules

NEEDS_PROMTOOL = pytest.mark.needs("prometheus")
WATCHED = watched_slos()
ROWS = sorted({row.name for each in WATCHED for row in each.rows if row.kind != "any_event"})
"""One that fires at any event has no threshold that a burn could be above or under; it has a test of its own."""
TOTAL = 100_000
AT_ONCE = Life(Decimal(1), {"page": 0, "ticket": 0}, {"page": 0, "ticket": 0})
"""Alerts begin and end with what is exceeded."""


def watching(row_name: str, life: Life = AT_ONCE) -> list[tuple[WatchedSlo, PolicyRow]]:
    """Every shipped objective that has the row, watched by it alone."""
    found = [(each, row) for each in WATCHED for row in each.rows if row.name == row_name]
    return [(replace(each, rows=(row,), life=life), row) for each, row in found]


def told(watched: WatchedSlo, bundle: str, shares: list[tuple[Decimal, int]], width_s: int) -> Told:
    """Buckets of these bad shares, each for so many seconds; a share below 0 is no traffic at all."""
    buckets = [share for share, lasts_s in shares for _ in range(lasts_s // width_s)]
    bad = np.array([int(max(share, Decimal(0)) * TOTAL) for share in buckets])
    total = np.array([TOTAL if share >= 0 else 0 for share in buckets])
    return Told(watched, f"pool={watched.slo.pool},bundle={bundle}", bad, total, width_s)


def above_and_under(watched: WatchedSlo, row: PolicyRow) -> tuple[Told, Told]:
    """A burn that fires the row and ends; and one turn in a hundred thousand under its threshold, for as long."""
    width_s = state_bucket_ms(row.long_s, is_wide=False) // 1_000
    burn = min(Decimal(1), 2 * row.threshold)
    burn_s = int(row.long_s * row.threshold / burn) + row.short_s
    before_s, after_s = row.long_s // 10, row.short_s + 4 * width_s
    above = told(watched, "above", [(Decimal(0), before_s), (burn, burn_s), (Decimal(0), after_s)], width_s)
    share = (Decimal(ceil(row.threshold * TOTAL)) - 1) / TOTAL
    return above, told(watched, "under", [(share, before_s + burn_s + after_s)], width_s)


# -- equal in meaning --------------------------------------------------------------------------------------------------


@NEEDS_PROMTOOL
def test_every_row_of_every_shipped_slo_fires_and_clears_where_our_engine_does(tmp_path: Path) -> None:
    tests: dict[str, Any] = {}
    for name in ROWS:
        file = tmp_path / f"{name}.yaml"
        file.write_text(render_rules([watched for watched, _ in watching(name)], Links()))
        cases = [above_and_under(*each) for each in watching(name)]
        expected = []
        for above, under in cases:
            assert not under.judged() and not under.lived()
            (alert,) = above.judged()
            assert [(one.severity, one.from_ms, one.to_ms) for one in above.lived()] == [
                (alert.severity, alert.from_ms, alert.to_ms)
            ]
            expected += [*above.lives(alert, within_s=above.width_s), under.quiet()]
        tests[name] = unit_test(file, [each for case in cases for each in case], expected)
    assert run(tmp_path, tests) == ""


@NEEDS_PROMTOOL
def test_an_alert_stays_while_its_slice_is_silent_as_ours_is_frozen(tmp_path: Path) -> None:
    (tmp_path / "outage.yaml").write_text(render_rules([watched for watched, _ in watching("outage_10m_1m")], Links()))
    silence, healthy = Decimal(-1), Decimal(0)
    shares = [(healthy, 60), (Decimal(1), 480), (silence, 240), (Decimal(1), 30), (healthy, 120)]
    cases = [told(watched, "v2", shares, 10) for watched, _ in watching("outage_10m_1m")]
    expected = []
    for case in cases:
        (page,) = case.judged()
        assert page.frozen
        expected += case.lives(page, within_s=10)
    assert run(tmp_path, {"silence": unit_test(tmp_path / "outage.yaml", cases, expected)}) == ""


@NEEDS_PROMTOOL
def test_the_shipped_file_pages_for_an_outage_where_our_engine_does(tmp_path: Path) -> None:
    """With all rows at once. The page ends with the window of 30 minutes, whose start is rounded to a minute here."""
    shares = [(Decimal(0), 300), (Decimal(1), 480), (Decimal(0), 2_010)]
    cases = [told(watched, "v2", shares, 30) for watched in WATCHED]
    expected = []
    for case in cases:
        (page,) = (alert for alert in case.lived() if alert.severity == "page")
        expected += case.lives(page, within_s=60)
    assert run(tmp_path, {"outage": unit_test(REPOSITORY / FILE, cases, expected)}) == ""


@NEEDS_PROMTOOL
@pytest.mark.parametrize(
    "life",
    [Life(), Life(Decimal("0.5"), {"page": 300, "ticket": 0}, {"page": 30, "ticket": 0})],
    ids=["as shipped", "pending, and kept for long"],
)
def test_an_alert_is_pending_and_kept_as_long_as_ours_and_stays_while_it_is_near_its_threshold(
    tmp_path: Path, life: Life
) -> None:
    """Above it, between both thresholds, below, above again before it ends or soon after."""
    (tmp_path / "outage.yaml").write_text(
        render_rules([watched for watched, _ in watching("outage_10m_1m", life)], Links())
    )
    cases, lives = [], []
    for watched, row in watching("outage_10m_1m", life):
        near, twice, healthy = row.threshold * Decimal("0.95"), row.threshold * 2, Decimal(0)
        shares = [(healthy, 60), (min(twice, Decimal(1)), 420), (near, 120), (healthy, 90), (near, 30), (healthy, 600)]
        cases.append(told(watched, "v2", shares, 10))
        lives.append(cases[-1].lived())
    assert {len(each) for each in lives} == {1}
    expected = [said for case, (life_of,) in zip(cases, lives, strict=True) for said in case.lives(life_of, 10)]
    assert run(tmp_path, {"life": unit_test(tmp_path / "outage.yaml", cases, expected)}) == ""


@NEEDS_PROMTOOL
def test_one_bad_event_fires_for_its_window_and_as_long_as_it_is_kept(tmp_path: Path) -> None:
    row = PolicyRow("page_any_event_10m", 600, 600, Decimal(0), Decimal(0), "page", "any_event")
    watched = [replace(each, rows=(row,), life=life) for each, life in zip(WATCHED, cycle((Life(), AT_ONCE)))]
    (tmp_path / "any.yaml").write_text(render_rules(watched, Links()))
    one_in_all = Decimal(1) / TOTAL
    cases = [told(each, "v2", [(Decimal(0), 60), (one_in_all, 10), (Decimal(0), 900)], 10) for each in watched]
    quiet = [told(each, "well", [(Decimal(0), 970)], 10) for each in watched]
    lives = [case.lived() for case in cases]
    assert {(one.to_ms or 0) - one.from_ms for (one,) in lives} == {600_000, 650_000}
    expected = [said for case, (one,) in zip(cases, lives, strict=True) for said in case.lives(one, within_s=10)]
    tests = unit_test(tmp_path / "any.yaml", [*cases, *quiet], [*expected, *(each.quiet() for each in quiet)])
    assert run(tmp_path, {"any": tests}) == ""


@NEEDS_PROMTOOL
def test_a_budget_that_will_not_last_fires_where_ours_does(tmp_path: Path) -> None:
    """Two healthy days, then three times the allowed share: what was left lasts a day no more half a day later."""
    row = PolicyRow("", 43_200, 3_600, Decimal("0.01"), Decimal(1), "page", "exhausts", within_s=86_400)
    (turn,) = (each for each in WATCHED if each.slo.name == "turn-4000ms-realtime")
    slo = replace(turn.slo, period_s=7 * 86_400)
    cases, expected = [], []
    for name, life in (("at-once", AT_ONCE), ("as-shipped", Life())):
        watched = replace(turn, slo=replace(slo, name=name), rows=(row,), life=life)
        shares = [(Decimal(0), 2 * 86_400), (Decimal("0.03"), 50_400), (Decimal(0), 43_200)]
        cases += [told(watched, "v2", shares, 600), told(watched, "slow", [(Decimal("0.0099"), 266_400)], 600)]
        (page,) = cases[-2].lived()
        assert page.from_ms > START_MS + (2 * 86_400 + 28_800) * 1_000
        expected += [*cases[-2].lives(page, within_s=600), cases[-1].quiet()]
    (tmp_path / "rules.yaml").write_text(render_rules([case.watched for case in cases[::2]], Links()))
    assert run(tmp_path, {"exhausts": unit_test(tmp_path / "rules.yaml", cases, expected)}) == ""


# -- what a rule file is -------------------------------------------------------------------------------------------------


@NEEDS_PROMTOOL
def test_promtool_accepts_the_shipped_file_and_finds_no_rule_twice() -> None:
    ended = subprocess.run(["promtool", "check", "rules", str(REPOSITORY / FILE)], capture_output=True, text=True)
    assert ended.returncode == 0 and "SUCCESS" in ended.stdout, ended.stdout + ended.stderr


def test_render_rules_prints_the_committed_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_rules() == 0
    assert capsys.readouterr().out == (REPOSITORY / FILE).read_text(encoding="utf-8")


@NEEDS_PROMTOOL
def test_an_alert_has_the_labels_of_ours_and_says_what_is_bad_and_what_is_allowed(tmp_path: Path) -> None:
    (watched,) = (each for each in WATCHED if each.slo.name == "turn-4000ms-realtime")
    file = tmp_path / "rules.yaml"
    file.write_text(render_rules([watched], Links("https://runbooks.example/")))
    burn = burning("outage_10m_1m", 0.75, "pool=realtime,bundle=v2", watched.slo)
    labels = labels_of(burn, Paging({watched.slo.name: watched.slo}))
    del labels["alertname"]
    alert: dict[str, dict[str, str]] = {
        "exp_labels": labels,
        "exp_annotations": {
            "summary": "turn-4000ms-realtime burns its budget in pool=realtime,bundle=v2: 75% of turns bad, 1 % allowed",
            "description": f"{watched.slo.description} (objective 99 %, owner voice-serving) Fires where the share of bad "
            "turns is above 50 % in 10m and in 1m, or above 14.4 % in 1h and in 5m, or above 6 % in 6h and in 30m.",
            "runbook_url": "https://runbooks.example/docs/runbooks/slo-burn-rate.md",
        },
    }
    tickets = {"exp_labels": labels | {"severity": "ticket"}, "exp_annotations": _ticket(alert["exp_annotations"])}
    seen = {"eval_time": "5m", "alertname": "SloBurnRateHigh", "exp_alerts": [alert, tickets]}
    burnt = told(watched, "v2", [(Decimal("0.75"), 600)], 10)
    assert run(tmp_path, {"labels": unit_test(file, [burnt], [], [seen])}) == ""


def _ticket(page: dict[str, str]) -> dict[str, str]:
    begins = page["description"].partition("above")[0]
    return page | {"description": f"{begins}above 3 % in 1d and in 2h, or above 1 % in 3d and in 6h."}


def test_a_row_watches_no_slice_whose_buckets_are_wider_than_its_short_window() -> None:
    watched = next(each for each in WATCHED if each.slo.name == "turn-4000ms-realtime")
    row = PolicyRow("fine", 600, 50, Decimal("0.5"), Decimal(50), "page")
    expression = expressions(replace(watched, rows=(row,)))[-1]
    assert f'{share_name(50)}{{slo="turn-4000ms-realtime", language="", device_class=""}} > 0.5' in expression
    assert 'language=""' not in expressions(replace(watched, rows=(replace(row, short_s=60),)))[-1]


def test_one_alert_of_a_slice_is_one_rule_however_many_rows_it_has() -> None:
    alerts = [rule for group in rules(WATCHED, Links())["groups"] for rule in group["rules"] if "alert" in rule]  # type: ignore[attr-defined]
    told_of = [(rule["labels"]["slo"], rule["labels"]["severity"]) for rule in alerts]
    severities = {(each.slo.name, row.severity) for each in WATCHED for row in each.rows}
    assert sorted(told_of) == sorted(severities)


def test_how_long_an_alert_waits_and_is_kept_stands_in_its_rule_where_that_is_any_time_at_all() -> None:
    (watched, *_) = WATCHED
    life = Life(keep_firing_s={"page": 90, "ticket": 0}, pending_s={"page": 0, "ticket": 3_600})
    groups: Any = rules([replace(watched, life=life)], Links())["groups"]
    lasting = {
        rule["labels"]["severity"]: {name: rule[name] for name in ("for", "keep_firing_for") if name in rule}
        for rule in groups[-1]["rules"]
        if "alert" in rule
    }
    assert lasting == {"page": {"keep_firing_for": "1m30s"}, "ticket": {"for": "1h"}}


def test_a_budget_that_will_not_last_takes_the_window_of_the_whole_period_and_an_event_only_its_own() -> None:
    (watched, *_) = WATCHED
    exhausts = PolicyRow("soon", 3_600, 300, watched.slo.budget_rate, Decimal(1), "page", "exhausts", within_s=7_200)
    expression = expressions(replace(watched, rows=(exhausts,)))[-1]
    share = f'{share_name(30 * 86_400)}{{slo="{watched.slo.name}"}}'
    assert f"clamp_min((0.03 - {share}) * 360, 0.03)" in expression
    assert f"(0.9 * clamp_min((0.03 - {share}) * 360, 0.03))" in expression
    event = PolicyRow("any", 600, 600, Decimal(0), Decimal(0), "page", "any_event")
    assert expressions(replace(watched, rows=(event,))) == [
        expressions(replace(watched, rows=(event,)))[0],
        f'({share_name(600)}{{slo="{watched.slo.name}"}} > 0)',
    ]


def test_windows_are_recorded_well_within_their_state_bucket_and_before_a_sample_is_too_old() -> None:
    groups: Any = yaml.safe_load((REPOSITORY / FILE).read_text())["groups"]
    assert [(group["name"], group["interval"]) for group in groups] == [(LONG_GROUP, "1m"), (SHORT_GROUP, "10s")]
    recorded = {rule["record"]: group["name"] for group in groups for rule in group["rules"] if "record" in rule}
    lengths = {length for each in WATCHED for row in each.rows for length in (row.long_s, row.short_s)}
    wanted = {share_name(s): SHORT_GROUP if state_bucket_ms(s, False) == 10_000 else LONG_GROUP for s in lengths}
    assert recorded == wanted


def test_thresholds_stand_as_they_were_written() -> None:
    tiny = PolicyRow("tiny", 3_600, 300, Decimal("1E-7"), Decimal(1), "page")
    (watched, *_) = WATCHED
    assert "> 0.0000001 and" in expressions(replace(watched, rows=(tiny,)))[-1]


def expressions(watched: WatchedSlo) -> list[str]:
    groups: Any = rules([watched], Links())["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]
