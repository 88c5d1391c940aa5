"""Prometheus beside our own evaluation: the same counters, the rendered rules, and nothing of it stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import numpy as np
import psutil
import pytest
from rich.console import Console

from alerts.explanations import Links
from alerts.prometheus_rules import LONG_GROUP, SHORT_GROUP, rules
from stream_jobs.operators.burn_rate.burn_rate import BurnRate
from turnwatch.bench import burn
from turnwatch.bench.burn import _fleet, _partial, run_burn
from turnwatch.bench.prometheus_server import HOW_TO_GET_IT, Server, evaluations, find_prometheus, started
from turnwatch.bench.prometheus_side import Bounds, Evaluated, Pace, Traffic, _paced, evaluated, pasts_of
from turnwatch.bench.remote_write import connected, counters, past, requests, send

FLEET = _fleet(2, 2)
QUICK = Pace(short_s=1, long_s=1)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def prometheus() -> Iterator[Server]:
    binary = find_prometheus()
    assert binary
    with started(binary, _paced(rules(FLEET.watched, Links()), QUICK)) as server:
        yield server


def asked(server: Server, query: str) -> list[tuple[dict[str, str], float]]:
    """Labels and value of each series that a query finds now."""
    answer = json.loads(server.get(f"/api/v1/query?query={quote(query)}"))
    assert answer["status"] == "success", answer
    return [(each["metric"], float(each["value"][1])) for each in answer["data"]["result"]]


def until_asked(server: Server, query: str) -> list[tuple[dict[str, str], float]]:
    deadline = time.monotonic() + 10
    while not (found := asked(server, query)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


@pytest.mark.needs("prometheus")
def test_prometheus_takes_the_counters_as_workers_name_them_and_the_rendered_rules_judge_them(
    prometheus: Server,
) -> None:
    times_ms = np.arange(-1_800, 60, 10) * 1_000 + int(time.time()) * 1_000
    events = np.arange(1, len(times_ms) + 1) * 300
    well, ill = past(times_ms, events // 300, events), past(times_ms, events, events)
    with closing(connected(prometheus.port)) as connection:
        for body in requests(counters(FLEET.slices, [each.slo.name for each in FLEET.watched], [well, ill])):
            send(connection, body)
    slo = FLEET.watched[1].slo.name  # The pasts go in turn: of each slice the first objective is well, the second ill.
    told = asked(
        prometheus, f'turnwatch_slo_events_total{{slo="{slo}",slice="{FLEET.slices[1]}"}} @ {times_ms[7] / 1_000}'
    )
    labels = {"slo": slo, "slice": "pool=realtime,bundle=v1", "pool": "realtime", "bundle": "v1"}
    assert told == [({"__name__": "turnwatch_slo_events_total", **labels}, 2_400.0)]
    firing = until_asked(prometheus, 'ALERTS{alertstate="firing", severity="page"}')
    assert sorted((each["slo"], each["slice"]) for each, _ in firing) == [(slo, text) for text in FLEET.slices]
    shares = dict(asked_share(prometheus))
    assert shares[FLEET.watched[0].slo.name] == pytest.approx(1 / 300) and shares[slo] == pytest.approx(1)


def asked_share(server: Server) -> Iterator[tuple[str, float]]:
    for labels, value in until_asked(server, "slo_slice:turnwatch_slo_bad_events:ratio_rate1h"):
        yield labels["slo"], value


@pytest.mark.needs("prometheus")
def test_a_size_is_told_with_the_time_of_both_groups_and_what_exceeds_its_memory_ends_it() -> None:
    binary = find_prometheus()
    assert binary
    bounds = Bounds(past_s=300, time_s=20)
    pasts, sizes = pasts_of(Traffic(20, 0.0005), bounds, seed=7), [FLEET.slices[:1], FLEET.slices]
    (small, _) = evaluated(binary, sizes, FLEET.watched, pasts, bounds, QUICK, Console())
    assert (small.series, small.ended) == (2, "") and small.resident_bytes > 10 << 20
    assert small.short_s and small.long_s and small.short_s < 10 > small.long_s
    none = Bounds(past_s=300, resident_bytes=1, time_s=20)
    (ended,) = evaluated(binary, sizes, FLEET.watched, pasts, none, QUICK, Console())
    assert ended.short_s is None and ended.ended.endswith("MiB, and 0 are allowed")
    assert ended.line().endswith("carried=no")
    assert _of_prometheus() == []


def _of_prometheus() -> list[psutil.Process]:
    return [each for each in psutil.Process().children(recursive=True) if each.name() == "prometheus"]


@pytest.mark.needs("prometheus")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_bench_that_is_ended_leaves_neither_prometheus_nor_its_folder(number: signal.Signals, tmp_path: Path) -> None:
    arguments = ["bench", "burn", "--slices", "2", "--slos", "1", "--buckets", "1"]
    settings = {**os.environ, "TMPDIR": str(tmp_path)}
    bench = subprocess.Popen(
        [sys.executable, "-m", "turnwatch", *arguments], env=settings, cwd=ROOT, stdout=subprocess.DEVNULL
    )
    try:
        server = _child(bench.pid)
        assert list(tmp_path.iterdir())
        bench.send_signal(number)
        assert bench.wait(15) == 128 + number
    finally:
        bench.kill()
    assert not server.is_running() and list(tmp_path.iterdir()) == []


def _child(pid: int) -> psutil.Process:
    """The Prometheus of a bench, once it is one."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for each in psutil.Process(pid).children():
            if each.name() == "prometheus":
                return each
        time.sleep(0.05)
    raise AssertionError("the bench started no Prometheus")


def test_without_prometheus_our_side_is_printed_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(burn, "find_prometheus", lambda: None)
    assert run_burn(slices=2, slos=2, buckets=1, seed=7, bounds=Bounds()) == 0
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if "=" in line]
    assert [line.split(" evaluation_ms=")[0] for line in lines] == [
        "side=turnwatch series=2 period_s=2592000",
        "side=turnwatch series=4 period_s=2592000",
        "slices=2 slos=2 series=4",
    ]
    assert HOW_TO_GET_IT in " ".join(printed.split())


def test_every_series_of_the_fleet_is_judged_by_a_page_and_a_ticket() -> None:
    """An objective of another family would cost our operator nothing, and Prometheus as much as any."""
    watched = _fleet(1, 20).watched
    assert len({each.slo.name for each in watched}) == 20
    operator = BurnRate(0, 1, watched)
    partial = _partial(_fleet(1, 20), np.random.default_rng(7), 1_790_000_000_000 // 10_000 * 10_000, 1)
    operator.apply(partial)
    list(operator.rollups())
    list(operator.decide(now_ms=0))
    assert len({slo for slo, *_ in operator.counted()}) == 20
    assert all({row.severity for row in each.rows} == {"page", "ticket"} for each in watched)


def test_the_share_of_a_core_counts_the_short_group_every_10_s_and_the_long_one_every_minute() -> None:
    assert Evaluated(1_000, 1_800, 0.5, 3.0, 100 << 20).line() == (
        "side=prometheus series=1000 past_s=1800 sample_s=10 evaluation_10s_ms=500 evaluation_1m_ms=3000 "
        "core_share=0.100 resident_mib=100 carried=yes"
    )
    missed = Evaluated(9, 1_800, 12.0, None, 1 << 20, "an evaluation took 12.0 s").line()
    assert missed.split(" sample_s=10 ")[1] == "evaluation_10s_ms=12000 resident_mib=1 carried=no"


def test_of_each_group_the_newest_evaluation_is_read() -> None:
    shown = "".join(
        f'prometheus_rule_group_last_{what}{{rule_group="/a;b/rules.yaml;{group}"}} {value}\n'
        for group, began, took in ((SHORT_GROUP, "1.5e+09", 0.25), (LONG_GROUP, 0, 0))
        for what, value in (("evaluation_timestamp_seconds", began), ("duration_seconds", took))
    )
    assert sorted(evaluations(shown)) == [(SHORT_GROUP, 1.5e9, 0.25), (LONG_GROUP, 0.0, 0.0)]
