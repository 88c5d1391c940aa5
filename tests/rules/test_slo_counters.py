"""What a worker shows of its objectives at `/metrics`: counters that Prometheus and the rendered rules can use."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest

from alerts.definitions import watched_slos
from alerts.explanations import Links
from alerts.prometheus_rules import rules
from schemas.families import ALL_INDICATORS, DUPLEX, TURNS
from schemas.kafka import KafkaAddress
from schemas.metrics import WorkerMetrics
from schemas.partials import encode
from schemas.slo_counts import SloCounts
from schemas.topics import partials
from stream_jobs.agents.application import ApplicationSettings, build
from stream_jobs.agents.burn_rate import BurnRateStage
from stream_jobs.agents.exact import StageSettings
from stream_jobs.operators.totals.reach import REPLAYED
from tests.operators.burn_worlds import START_MS, partial

FLEET, CANARY = "pool=realtime", "pool=realtime,bundle=v2"


def shown(registry: CollectorRegistry) -> dict[str, float]:
    """Lines of the SLO counters, by series."""
    lines = generate_latest(registry).decode().splitlines()
    return {
        series: float(value) for series, value in (x.rsplit(" ", 1) for x in lines if x.startswith("turnwatch_slo_"))
    }


def counts(*texts: str, times: int = 1) -> SloCounts:
    """For each slice, in its order: so many bad of ten times as many."""
    each = np.array([[[times * (place + 1), 10 * times * (place + 1)]] for place in range(len(texts))])
    return SloCounts(texts, (("turns", 0, np.arange(len(texts))),), each)


def test_a_slice_is_shown_with_its_objective_and_dimensions() -> None:
    registry = CollectorRegistry()
    WorkerMetrics(registry).slo_counters.show(0, counts(FLEET, CANARY))
    assert shown(registry) == {
        'turnwatch_slo_events_total{pool="realtime",slice="pool=realtime",slo="turns"}': 10,
        'turnwatch_slo_events_total{bundle="v2",pool="realtime",slice="pool=realtime,bundle=v2",slo="turns"}': 20,
        'turnwatch_slo_bad_events_total{pool="realtime",slice="pool=realtime",slo="turns"}': 1,
        'turnwatch_slo_bad_events_total{bundle="v2",pool="realtime",slice="pool=realtime,bundle=v2",slo="turns"}': 2,
        "turnwatch_slo_slices_left_out": 0,
    }


def test_too_many_slices_are_left_out_from_the_finest_and_counted() -> None:
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry, slo_slices_max=2)
    metrics.slo_counters.show(0, counts(CANARY, FLEET))
    metrics.slo_counters.show(1, counts("pool=batch"))
    found = shown(registry)
    assert found.pop("turnwatch_slo_slices_left_out") == 1
    slices = {match[1] for match in (re.search(r'slice="([^"]+)"', series) for series in found) if match}
    assert slices == {FLEET, "pool=batch"}


def test_a_scrape_sees_one_instant_of_a_shard_while_another_thread_counts_on() -> None:
    registry = CollectorRegistry()
    counters, stop = WorkerMetrics(registry).slo_counters, threading.Event()
    counters.show(0, counts(FLEET, CANARY))

    def count_on() -> None:
        times = 0
        while not stop.is_set():
            times += 1
            counters.show(0, counts(FLEET, CANARY, times=times))

    counting = threading.Thread(target=count_on)
    counting.start()
    try:
        for _ in range(50):
            found = shown(registry)
            (fleet,) = {value for series, value in found.items() if "bad" in series and "bundle" not in series}
            assert {value / fleet for series, value in found.items() if "slice=" in series} == {1, 2, 10, 20}
    finally:
        stop.set()
        counting.join()


def test_shards_of_two_families_are_shown_side_by_side_and_forgotten_one_by_one() -> None:
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)
    metrics.slo_counters.show(0, counts(FLEET))
    metrics.slo_counters.show(0, counts("pool=batch"), DUPLEX.name)
    assert {sample for sample in shown(registry) if "pool=batch" in sample}
    metrics.slo_counters.forget()
    assert all("pool=batch" in sample or sample.endswith("left_out") for sample in shown(registry))
    metrics.slo_counters.forget(DUPLEX.name)
    assert set(shown(registry)) == {"turnwatch_slo_slices_left_out"}


def test_the_rules_ask_for_the_series_and_labels_that_are_shown() -> None:
    registry = CollectorRegistry()
    watched = watched_slos()
    text = "pool=realtime,language=de,device_class=phone,region=eu,route=chat,bundle=v2"
    places = [ALL_INDICATORS.index(each.slo.indicator) for each in watched]
    told = tuple((each.slo.name, place, np.arange(1)) for each, place in zip(watched, places, strict=True))
    WorkerMetrics(registry).slo_counters.show(
        0, SloCounts((text,), told, np.ones((1, len(ALL_INDICATORS), 2), dtype=np.int64))
    )
    series = {re.split(r"[{ ]", each)[0] for each in shown(registry)}
    labels = {label for each in shown(registry) for label in re.findall(r'(\w+)="', each)}
    groups: Any = rules(watched, Links())["groups"]
    asked = " ".join(rule["expr"] for group in groups for rule in group["rules"] if "record" in rule)
    assert set(re.findall(r"increase\((\w+)", asked)) == series - {"turnwatch_slo_slices_left_out"}
    assert {label for each in re.findall(r"by \(([^)]+)\)", asked) for label in each.split(", ")} == labels


def test_a_worker_shows_what_its_shards_decided_and_nothing_once_they_are_not_its_own(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    app = build(ApplicationSettings(KafkaAddress("127.0.0.1:1"), 1, data_dir=tmp_path))
    (watched, *_) = (each for each in watched_slos() if each.slo.pool == "realtime")
    watched = replace(watched, slo=replace(watched.slo, name="turns"))
    stage = BurnRateStage(app, 1, StageSettings(), WorkerMetrics(registry), (watched,), REPLAYED)
    stage.take_over({0: {}})
    for place in range(3):
        list(stage.apply(partials(TURNS.name), 0, [event_of(place)]))
        for phase in stage.phases():
            list(phase)
    assert shown(registry) == {
        'turnwatch_slo_events_total{pool="realtime",slice="pool=realtime",slo="turns"}': 10,
        'turnwatch_slo_bad_events_total{pool="realtime",slice="pool=realtime",slo="turns"}': 2,
        "turnwatch_slo_slices_left_out": 0,
    }
    stage.let_go()
    assert shown(registry) == {"turnwatch_slo_slices_left_out": 0}


def event_of(place: int) -> Any:
    headers, value = encode(partial(START_MS + place * 10_000, 1, 5, place + 1))
    topic = partials(TURNS.name)
    return SimpleNamespace(
        message=SimpleNamespace(offset=place, topic=topic, partition=0, headers=headers, value=value)
    )


def test_others_have_their_turns_between_the_decisions_of_a_backlog(tmp_path: Path) -> None:
    app = build(ApplicationSettings(KafkaAddress("127.0.0.1:1"), 1, data_dir=tmp_path))
    stage = BurnRateStage(app, 1, StageSettings(), WorkerMetrics(CollectorRegistry()), watched_slos(), REPLAYED)
    stage.take_over({0: {}})
    seen: list[int] = []
    for place in (0, 5):
        list(stage.apply(partials(TURNS.name), 0, [event_of(place)]))
        first, *_ = stage.phases()
        seen = [stage._shards[0].decided_ms for item in first if item is None]
    decided = sorted({*seen} - {0})
    assert len(decided) >= 5 and seen == sorted(seen), "a place for others after each, before the next is decided"
