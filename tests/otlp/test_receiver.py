"""What a request adds to our families: from the real SDK's points, and from those that no sane exporter sends."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import polars as pl
import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import DataPointFlags, Metric
from opentelemetry.sdk.metrics import Histogram as HistogramInstrument
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, ExponentialBucketHistogramAggregation

from producers.aggregated import ROW_KINDS
from producers.observations import QUEUE_COLUMNS
from producers.otlp.receiver import FUTURE_MS_MAX, PAST_MS_MAX, Receiver, Taken
from producers.queues import GAUGES
from schemas.histograms import bucket_indexes
from tests.otlp.exports import (
    CUMULATIVE,
    DELTA,
    EXPONENTIAL,
    NOW_MS,
    SdkExport,
    attributes,
    counter,
    explicit,
    exponential,
    gauge,
    ns,
    request,
)

HOST = {"service.instance.id": "8c7b4b6e-2d2f-4f4e-9d5a-1f3a0b9c7d11", "service.version": "v7"}
CHAT = {"gen_ai.operation.name": "chat"}


def receiver(opened_ms: int = NOW_MS - 60_000, **settings: Any) -> Receiver:
    return Receiver("eu-west-1", opened_ms, **settings)


def taken(*metrics: Metric, resource: dict[str, Any] | None = None) -> Taken:
    return receiver().take(request(metrics, resource), NOW_MS)


def measured(taken: Taken, family: str = "turns") -> dict[str, int]:
    """The sums of what a family was told, without zeros."""
    rows = taken.tables.get(f"rows.{family}")
    if rows is None:
        return {}
    sums = rows.select(pl.col(pl.Int64).exclude("at_ms").sum()).row(0, named=True)
    return {name: value for name, value in sums.items() if value}


def from_sdk(export: SdkExport, **settings: Any) -> Taken:
    now_ms = time.time_ns() // 1_000_000
    return receiver(now_ms - 60_000, **settings).take(export.collected(), now_ms)


# -- the real SDK ----------------------------------------------------------------------------------------------------


def test_requests_of_a_model_server_are_turns_with_their_errors_tokens_and_stages() -> None:
    export = SdkExport(HOST, EXPONENTIAL)
    duration = export.meter.create_histogram("gen_ai.server.request.duration", "s")
    first_token = export.meter.create_histogram("gen_ai.server.time_to_first_token", "s")
    tokens = export.meter.create_histogram("gen_ai.client.token.usage", "{token}")
    for second in (0.3, 1.0, 3.9, 4.1, 9.0):
        duration.record(second, CHAT)
        first_token.record(second / 10, CHAT)
    duration.record(30.0, CHAT | {"error.type": "timeout"})
    duration.record(0.1, {"gen_ai.operation.name": "embeddings"})
    tokens.record(300, CHAT | {"gen_ai.token.type": "input"})
    tokens.record(40, CHAT | {"gen_ai.token.type": "output"})
    told = from_sdk(export)
    assert told.refused == {"unknown_field": 1}  # Embeddings are no turn.
    turns = measured(told)
    assert turns.pop("turn_latency_ms_sumsq") == pytest.approx(1e6 * (0.09 + 1 + 15.21 + 16.81 + 81 + 900), rel=1e-3)
    assert turns == {
        "turns": 6,
        "tokens_in": 300,
        "tokens_out": 40,
        "turn_latency_ms_sum": 48_300,
        "turn_error_total": 6,
        "turn_error_bad": 1,
        "turn_4000ms_total": 6,
        "turn_4000ms_bad": 3,
    }
    stages = told.tables["rows.stages"]
    assert set(stages["stage"]) == {"turn", "llm_first_token"}
    assert (
        {"eu-west-1"} == set(stages["region"]) and {"v7"} == set(stages["bundle"]) and {"chat"} == set(stages["route"])
    )
    assert stages.group_by("stage").agg(pl.col("observations").sum()).sort("stage").rows() == [
        ("llm_first_token", 5),
        ("turn", 6),
    ]


def test_sdk_histograms_in_milliseconds_are_exact() -> None:
    """The same values, counted by us and by the SDK, whose scale is finer or coarser than the stage's."""
    values = np.random.default_rng(7).lognormal(6, 0.4, 500)
    export = SdkExport(HOST, {HistogramInstrument: ExponentialBucketHistogramAggregation(max_size=1_000)})
    ours = export.meter.create_histogram("turnwatch.stages.latency", "ms")
    for value in values:
        ours.record(float(value), {"turnwatch.stage": "retrieval"})
    rows = from_sdk(export).tables["rows.stages"]
    (scale,) = set(rows["scale"])
    assert scale == 5
    expected = pl.Series(bucket_indexes(values, 5)).value_counts().sort("").rows()
    assert rows.sort("bucket_index").select("bucket_index", "observations").rows() == expected
    assert rows["latency_ms_sum"].sum() == round(values.sum())


def test_explicit_bounds_count_a_threshold_only_where_it_is_one() -> None:
    for bounds, judged in (((0.5, 1.0, 4.0), True), ((0.5, 1.0, 5.0), False)):
        export = SdkExport(HOST, {HistogramInstrument: ExplicitBucketHistogramAggregation(bounds)})
        duration = export.meter.create_histogram("gen_ai.server.request.duration", "s")
        for second in (0.3, 3.9, 4.5, 9.0):
            duration.record(second, CHAT)
        turns = measured(from_sdk(export))
        assert (turns.get("turn_4000ms_total"), turns.get("turn_4000ms_bad")) == ((4, 2) if judged else (None, None))
        assert turns["turns"] == 4


def test_the_sdk_default_of_cumulative_points_counts_what_grows() -> None:
    export = SdkExport(HOST, temporality={})
    turns = export.meter.create_counter("turnwatch.turns.turns")
    now_ms = time.time_ns() // 1_000_000
    late = receiver(now_ms + 60_000)  # Began to listen after the process began to count.
    turns.add(5)
    first = late.take(export.collected(), now_ms + 1_000)
    turns.add(2)
    second = late.take(export.collected(), now_ms + 2_000)
    assert (measured(first), first.passed_over) == ({}, {"baseline": 1})
    assert measured(second) == {"turns": 2}


def test_livekit_counts_turns_where_the_deployment_says_so() -> None:
    """The names and units of `otel_metrics.py` of livekit-agents; its counters have no unit."""
    export = SdkExport(HOST, EXPONENTIAL)
    export.meter.create_histogram("lk.agents.turn.e2e_latency", "s").record(1.2)
    export.meter.create_histogram("lk.agents.turn.transcription_delay", "s").record(0.2)
    export.meter.create_histogram("lk.agents.turn.end_of_turn_delay", "s").record(0.5)
    model = {"model_provider": "openai", "model_name": "gpt-4o-mini"}
    export.meter.create_counter("lk.agents.usage.llm_input_tokens").add(120, model)
    export.meter.create_counter("lk.agents.usage.stt_audio_duration", "s").add(3.25, model)
    told = from_sdk(export, turns_from="lk.agents.turn.e2e_latency")
    assert measured(told) == {"turns": 1, "tokens_in": 120, "audio_in_ms": 3_250}
    assert set(told.tables["rows.stages"]["stage"]) == {"first_audio", "final_transcript"}
    assert told.refused == {"unknown_field": 1}
    assert measured(from_sdk(_one_e2e())) == {}


def _one_e2e() -> SdkExport:
    export = SdkExport(HOST, EXPONENTIAL)
    export.meter.create_histogram("lk.agents.turn.e2e_latency", "s").record(1.2)
    return export


@pytest.mark.parametrize(("unit", "of_a_second"), [("ms", 1e3), ("us", 1e6), ("ns", 1e9), ("min", 1 / 60), ("", 1.0)])
def test_a_duration_is_in_the_unit_that_it_names_whatever_the_mapping_means(unit: str, of_a_second: float) -> None:
    def told(unit: str, factor: float) -> list[Any]:
        metrics = [
            explicit("lk.agents.turn.e2e_latency", unit, NOW_MS, [factor / 4, factor / 2], [0, 3, 0], sum=1.2 * factor),
            counter("lk.agents.usage.stt_audio_duration", 2 * factor, NOW_MS, unit=unit),
        ]
        tables = taken(*metrics).tables
        return [tables[name].rows() for name in ("rows.stages", "rows.turns")]

    assert told(unit, of_a_second) == told("s", 1.0) and "1200" in str(told("s", 1.0))


@pytest.mark.parametrize("unit", ["", "1", "{token}", "tokens", "By"])
def test_what_is_counted_may_be_called_as_one_likes(unit: str) -> None:
    assert measured(taken(counter("turnwatch.turns.tokens_in", 5, NOW_MS, unit=unit))) == {"tokens_in": 5}


def test_an_engine_is_one_sample_of_each_queue() -> None:
    export = SdkExport(HOST)
    queue = {"turnwatch.queue": "llm_first_token"}
    export.meter.create_gauge("turnwatch.queues.depth").set(7, queue)
    export.meter.create_up_down_counter("turnwatch.queues.running").add(3, queue)
    export.meter.create_counter("turnwatch.queues.arrivals").add(11, queue)
    export.meter.create_counter("turnwatch.queues.busy_ms", "s").add(2, queue)
    export.meter.create_gauge("turnwatch.queues.depth").set(1, {"turnwatch.queue": "another"})
    told = from_sdk(export)
    rows = told.tables["queues"]
    assert rows.schema == QUEUE_COLUMNS and told.refused == {"outside_vocabulary": 1}
    (row,) = rows.rows(named=True)
    assert (row["depth"], row["running"], row["arrivals"], row["busy_ms"]) == (7, 3, 11, 2_000)
    assert HOST["service.instance.id"] not in str(row)


def of_queue(name: str, value: float, at_ms: int = NOW_MS, **labels: Any) -> Metric:
    make = gauge if name in GAUGES else counter
    return make(f"turnwatch.queues.{name}", value, at_ms, turnwatch__queue="vad", **labels)


def test_a_gauge_that_is_no_number_is_not_0_and_what_was_counted_is_told_when_all_is_known() -> None:
    ours = receiver()
    lost = of_queue("depth", 5, NOW_MS + 20_000)
    lost.gauge.data_points[0].flags = DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
    empty = of_queue("depth", 5, NOW_MS + 30_000)
    empty.gauge.data_points[0].ClearField("value")
    rounds = [
        [of_queue("depth", math.nan), of_queue("running", 3), of_queue("arrivals", 11)],
        [of_queue("depth", -1, NOW_MS + 10_000), of_queue("running", 3, NOW_MS + 10_000)],
        [lost, of_queue("arrivals", 5, NOW_MS + 20_000)],
        [empty, of_queue("running", 2, NOW_MS + 30_000)],
        [of_queue("depth", 4, NOW_MS + 40_000), of_queue("arrivals", 1, NOW_MS + 40_000)],
        [of_queue("depth", 4, NOW_MS + 50_000), of_queue("arrivals", 2, NOW_MS + 50_000)],
    ]
    told = [ours.take(request(metrics), NOW_MS + 50_000) for metrics in rounds]
    assert [each.refused for each in told] == [{"not_finite": 1}, {"negative": 1}, {}, {"malformed": 1}, {}, {}]
    assert not any("queues" in each.tables for each in told[:4])
    rows = [each.tables["queues"].select("depth", "arrivals").row(0) for each in told[4:]]
    assert rows == [(4, 17), (4, 2)]


def test_of_a_cache_whose_use_is_not_known_nothing_is_told_and_other_queues_and_engines_are_told() -> None:
    told = taken(
        *(of_queue("kv_blocks", 90), of_queue("kv_blocks_used", math.nan), of_queue("depth", 2)),
        *(gauge("turnwatch.queues.depth", 6, NOW_MS, turnwatch__queue="retrieval"),),
        *(of_queue("depth", math.inf, turnwatch__bundle="v9"), of_queue("running", 1, turnwatch__bundle="v9")),
    )
    rows = told.tables["queues"].select("queue", "bundle", "depth", "kv_blocks", "kv_blocks_used").rows()
    assert sorted(rows) == [("retrieval", "unversioned", 6, 0, 0), ("vad", "unversioned", 2, 0, 0)]


def test_points_of_one_collection_are_one_sample_though_their_clocks_differ_by_a_moment() -> None:
    """As those of the SDK for Go; the last of several samples would say 0 of what it lacks."""
    told = taken(*(of_queue(name, 3, NOW_MS + place) for place, name in enumerate(("depth", "running", "servers"))))
    assert told.tables["queues"].select("at_ms", "depth", "running", "servers").rows() == [(NOW_MS + 1, 3, 3, 3)]
    apart = taken(of_queue("depth", 3, NOW_MS - 10_000), of_queue("depth", 5, NOW_MS))
    assert sorted(apart.tables["queues"]["depth"]) == [3, 5]


def test_counters_wait_within_a_bound_and_are_refused_beyond_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.otlp.engine_samples.WAITING_MAX", 1)
    bundles: list[dict[str, Any]] = [{"turnwatch__bundle": name} for name in ("v1", "v2")]
    told = taken(
        *(of_queue("depth", math.nan, **each) for each in bundles),
        *(of_queue("arrivals", 7, **each) for each in bundles),
    )
    assert told.refused == {"too_large": 1, "not_finite": 2} and "queues" not in told.tables


# -- what attributes say ---------------------------------------------------------------------------------------------


def test_a_point_says_more_than_its_resource_and_ours_more_than_others() -> None:
    point = counter("turnwatch.turns.turns", 5, NOW_MS, turnwatch__bundle="v9", gen_ai__operation__name="chat")
    resource = {"cloud.region": "us-east-1", "turnwatch.region": "eu-west-1", "service.version": "v7"}
    (row,) = taken(point, resource=resource).tables["rows.turns"].rows(named=True)
    assert [row[name] for name in ("region", "pool", "route", "bundle")] == ["eu-west-1", "realtime", "chat", "v9"]


def test_values_outside_a_vocabulary_are_refused_and_unknown_attributes_dropped() -> None:
    told = taken(
        counter("turnwatch.turns.turns", 5, NOW_MS, turnwatch__pool="cheap"),
        counter("turnwatch.turns.turns", 7, NOW_MS, favourite_colour="blue", gen_ai__input__messages="[my card is …]"),
    )
    assert told.refused == {"outside_vocabulary": 1}
    assert told.dropped == {"content_field": 1, "unknown_field": 1}
    assert measured(told) == {"turns": 7}
    privacy = told.tables["rows.privacy"].select("reported_family", "fate", "because", "observations").rows()
    assert sorted(privacy) == [
        ("turns", "refused", "content_field", 1),
        ("turns", "refused", "no_session", 7),
        ("turns", "refused", "outside_vocabulary", 1),
    ]


def test_a_value_of_a_dimension_that_is_not_needed_refuses_nothing() -> None:
    """Models are called meta-llama/Llama-3.1-8B, and turns are not counted by model."""
    labels = {"gen_ai__request__model": "meta-llama/Llama-3.1-8B"}
    assert measured(taken(counter("turnwatch.turns.turns", 5, NOW_MS, 0, DELTA, **labels))) == {"turns": 5}
    assert taken(counter("turnwatch.costs.attempts", 5, NOW_MS, 0, DELTA, **labels)).refused == {
        "outside_vocabulary": 1
    }


def test_private_values_are_refused_under_their_own_word() -> None:
    told = taken(counter("turnwatch.turns.turns", 5, NOW_MS, turnwatch__route="ana@example.com"))
    assert told.refused == {"email": 1}
    assert not any("ana" in str(rows.rows()) for rows in told.tables.values())


EMBEDDED = [0.25] * 8


def fast(name: str, unit: str, **labels: Any) -> Metric:
    """A histogram of one value below 5."""
    named = attributes({key.replace("__", "."): each for key, each in labels.items()})
    return explicit(name, unit, NOW_MS, [5.0], [1, 0], attributes=named)


SECRETS = {
    "ann@example.org": "email",
    "+49 151 1234 5678": "phone",
    "Please call my doctor tomorrow": "free_text",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a": "high_entropy",
}


@pytest.mark.parametrize(("secret", "reason"), SECRETS.items(), ids=list(SECRETS.values()))
def test_what_is_private_where_an_attribute_chooses_the_line_is_the_reason(secret: str, reason: str) -> None:
    told = taken(
        fast("turnwatch.stages.latency", "ms", turnwatch__stage=secret),
        fast("gen_ai.server.request.duration", "s", gen_ai__operation__name=secret),
        gauge("turnwatch.queues.depth", 3, NOW_MS, turnwatch__queue=secret),
        fast("gen_ai.client.token.usage", "{token}", gen_ai__token__type=secret),
    )
    assert (told.refused, told.dropped) == ({reason: 4}, {})
    assert set(told.tables) == {"rows.privacy"} and set(told.tables["rows.privacy"]["because"]) == {reason}


def test_values_that_choose_lines_are_refused_as_what_they_are_and_one_that_no_line_takes_is_none_of_ours() -> None:
    stages: tuple[Any, ...] = (EMBEDDED, 7, "brewing")
    told = taken(*(fast("turnwatch.stages.latency", "ms", turnwatch__stage=each) for each in stages))
    assert told.refused == {"embedding": 1, "malformed": 1, "unknown_field": 1}


@pytest.mark.parametrize(("secret", "reason"), SECRETS.items(), ids=list(SECRETS.values()))
def test_what_is_private_in_attributes_that_a_point_does_not_need_is_dropped_as_what_it_is(
    secret: str, reason: str
) -> None:
    """An error is one whatever its type says, and no dimension of turns is a model; a resource is hidden by its points, and scopes are nobody's."""
    failed = fast("gen_ai.server.request.duration", "s", gen_ai__operation__name="chat")
    point = failed.histogram.data_points[0]
    point.attributes.extend(attributes({"error.type": secret, "gen_ai.request.model": secret, "service.version": "v7"}))
    sent = request([failed], {"service.instance.id": secret, "service.version": secret})
    sent.resource_metrics[0].scope_metrics[0].scope.attributes.extend(attributes({"team": secret}))
    told = receiver().take(sent, NOW_MS)
    assert (told.refused, told.dropped) == ({}, {reason: 5})
    assert measured(told) == {"turns": 1, "turn_error_total": 1, "turn_error_bad": 1} | {
        name: value for name, value in measured(told).items() if "latency" in name
    }
    assert (reason, 5) in told.tables["rows.privacy"].select("because", "observations").rows()


def test_a_point_of_nobody_has_what_is_private_in_its_attributes_dropped_too() -> None:
    told = taken(counter("their.requests", 5, NOW_MS, turnwatch__route="ann@example.org", host__name=EMBEDDED))
    assert (told.refused, told.dropped) == ({"unknown_field": 1}, {"email": 1, "embedding": 1})


def test_processes_and_classes_of_errors_may_be_called_as_the_conventions_say() -> None:
    resource = {
        "service.name": "unknown_service:python",
        "service.instance.id": "00000000-0000-4000-8000-000000000000",
        "host.name": "ip-172-31-123-234.eu-west-1.compute.internal",
        "host.id": "4567890123456789012",
        "container.id": "f3" * 32,
        "process.pid": 4_711,
    }
    kind = "software.amazon.awssdk.services.bedrockruntime.model.ModelTimeoutException"
    labels = {"gen_ai__operation__name": "chat", "error__type": kind}
    failed = fast("gen_ai.server.request.duration", "s", **labels)
    told = taken(failed, resource=resource)
    assert (told.refused, told.dropped, measured(told)["turn_error_bad"]) == ({}, {}, 1)


def test_a_point_that_may_not_count_for_several_reasons_counts_under_the_first() -> None:
    labels: dict[str, Any] = {
        "turnwatch__region": "ann@example.org",
        "turnwatch__pool": "cheap",
        "turnwatch__route": EMBEDDED,
    }
    assert taken(counter("turnwatch.turns.turns", 5, NOW_MS, **labels)).refused == {"embedding": 1}


def test_a_dimension_that_nobody_says_and_that_has_no_default_refuses() -> None:
    bare = counter("turnwatch.costs.attempts", 5, NOW_MS)
    labelled = counter(
        "turnwatch.costs.attempts",
        5,
        NOW_MS,
        turnwatch__model_version="m1",
        turnwatch__gpu_type="h100",
        turnwatch__purchase="spot",
    )
    assert taken(bare).refused == {"outside_vocabulary": 1}
    assert measured(taken(labelled), "costs") == {"attempts": 5}


# -- what cannot be right --------------------------------------------------------------------------------------------

OF_A_SERIES = "turnwatch.turns.turns"


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        (counter("process.cpu.time", 5, NOW_MS), "unknown_field"),
        (counter(OF_A_SERIES, math.nan, NOW_MS), "not_finite"),
        (counter(OF_A_SERIES, math.inf, NOW_MS), "not_finite"),
        (counter(OF_A_SERIES, -1, NOW_MS), "negative"),
        (counter(OF_A_SERIES, 2.0**41, NOW_MS), "too_large"),
        (counter(OF_A_SERIES, 5, NOW_MS + FUTURE_MS_MAX + 1), "inconsistent"),
        (counter(OF_A_SERIES, 5, NOW_MS - PAST_MS_MAX - 1), "inconsistent"),
        (counter(OF_A_SERIES, 5, 0), "malformed"),
        (counter(OF_A_SERIES, 5, NOW_MS, temporality=0), "malformed"),
        (counter(OF_A_SERIES, 5, NOW_MS - 20, start_ms=NOW_MS - 10), "clock_backwards"),
        (gauge(OF_A_SERIES, 5, NOW_MS), "malformed"),
        (gauge("turnwatch.queues.depth", -1, NOW_MS, turnwatch__queue="vad"), "negative"),
        (exponential("turnwatch.turns.turns", "ms", NOW_MS, 3, 0, [1]), "malformed"),
        (exponential("lk.agents.turn.llm_ttft", "By", NOW_MS, 3, 0, [1]), "malformed"),
        (exponential("lk.agents.turn.llm_ttft", "s", NOW_MS, 3, 0, [1], count=7), "inconsistent"),
        (exponential("lk.agents.turn.llm_ttft", "s", NOW_MS, 21, 0, [1]), "inconsistent"),
        (exponential("lk.agents.turn.llm_ttft", "s", NOW_MS, 3, 2**30, [1]), "inconsistent"),
        (exponential("lk.agents.turn.llm_ttft", "s", NOW_MS, -1, 2_000, [1]), "inconsistent"),
        (exponential("lk.agents.turn.llm_ttft", "s", NOW_MS, 0, -1, [1], sum=math.nan), "not_finite"),
        (exponential("lk.agents.turn.llm_ttft", "s", NOW_MS, 0, -1, [1], sum=-1), "negative"),
        (exponential("lk.agents.turn.llm_ttft", "s", NOW_MS, 0, -1, [2**40], sum=2.0**40), "too_large"),
        (exponential("lk.agents.turn.llm_ttft", "s", NOW_MS, 0, 0, [0] * 2_001), "too_large"),
        (exponential("lk.agents.turn.llm_ttft", "h", NOW_MS, 3, 0, [1]), "malformed"),
        (exponential("lk.agents.turn.llm_ttft", "seconds", NOW_MS, 3, 0, [1]), "malformed"),
        (counter(OF_A_SERIES, 5, NOW_MS, unit="ms"), "malformed"),
        (counter("turnwatch.turns.turn_latency_ms_sumsq", 5, NOW_MS, unit="s2"), "malformed"),
        (counter("turnwatch.turns.turn_latency_ms_sum", 5, NOW_MS, unit="parsec"), "malformed"),
        (explicit("lk.agents.turn.llm_ttft", "s", NOW_MS, [2, 1], [1, 0, 0]), "inconsistent"),
        (explicit("lk.agents.turn.llm_ttft", "s", NOW_MS, [1, math.inf], [1, 0, 0]), "not_finite"),
        (explicit("lk.agents.turn.llm_ttft", "s", NOW_MS, [-1, 1], [1, 0, 0]), "negative"),
        (explicit("lk.agents.turn.llm_ttft", "s", NOW_MS, [], [], count=3), "inconsistent"),
    ],
)
def test_what_cannot_be_right_is_counted_under_its_reason_and_adds_nothing(metric: Metric, reason: str) -> None:
    told = taken(metric)
    assert (told.refused, told.points) == ({reason: 1}, 1)
    assert set(told.tables) <= {"rows.privacy"}


def test_negative_buckets_and_summaries_are_refused() -> None:
    below = exponential("lk.agents.turn.llm_ttft", "s", NOW_MS, 3, 0, [])
    below.exponential_histogram.data_points[0].negative.bucket_counts.append(1)
    summary = Metric(name="lk.agents.turn.llm_ttft")
    summary.summary.data_points.add(time_unix_nano=ns(NOW_MS), count=3)
    assert taken(below, summary).refused == {"negative": 1, "malformed": 1}


def test_a_point_without_a_recorded_value_says_nothing() -> None:
    flag = DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
    metric = counter(OF_A_SERIES, 0, NOW_MS)
    metric.sum.data_points[0].flags = flag
    assert (taken(metric).refused, taken(metric).passed_over) == ({}, {"no_value": 1})


def test_a_part_above_its_whole_is_cut_down_and_counted() -> None:
    """Intake would refuse the whole frame for it."""
    told = taken(
        counter("turnwatch.turns.turn_error_total", 5, NOW_MS), counter("turnwatch.turns.turn_error_bad", 9, NOW_MS)
    )
    assert measured(told) == {"turn_error_total": 5, "turn_error_bad": 5}
    assert told.refused == {"inconsistent": 1}
    (privacy,) = told.tables["rows.privacy"].rows(named=True)
    assert (privacy["reported_family"], privacy["fate"], privacy["because"]) == ("turns", "refused", "inconsistent")
    assert (privacy["region"], privacy["pool"], privacy["observations"]) == ("eu-west-1", "realtime", 1)


def test_a_part_above_its_whole_in_a_sample_of_an_engine_is_withheld_where_the_engine_is() -> None:
    drafts = (("proposed", 5), ("accepted", 9))
    told = taken(
        *(
            counter(f"turnwatch.queues.drafts_{name}", count, NOW_MS, turnwatch__queue="llm_first_token")
            for name, count in drafts
        ),
        resource={"turnwatch.pool": "batch"},
    )
    assert told.tables["queues"].select("drafts_proposed", "drafts_accepted").rows() == [(5, 5)]
    privacy = told.tables["rows.privacy"].select("pool", "reported_family", "because", "observations").rows()
    assert privacy == [("batch", "queues", "inconsistent", 1)]


def test_a_point_counts_in_the_window_in_which_it_ends_however_late() -> None:
    for at_ms, window_ms in ((NOW_MS, NOW_MS - 10_000), (NOW_MS + 1, NOW_MS), (NOW_MS - 600_000, NOW_MS - 610_000)):
        (row,) = taken(counter(OF_A_SERIES, 5, at_ms)).tables["rows.turns"].rows(named=True)
        assert row["at_ms"] == window_ms


def test_several_resources_are_several_series() -> None:
    both = request([counter(OF_A_SERIES, 5, NOW_MS)], {"service.instance.id": "a"})
    both.MergeFrom(request([counter(OF_A_SERIES, 7, NOW_MS)], {"service.instance.id": "b"}))
    same = request([counter(OF_A_SERIES, 5, NOW_MS)], {"service.instance.id": "a"})
    same.MergeFrom(request([counter(OF_A_SERIES, 7, NOW_MS)], {"service.instance.id": "a"}))
    assert measured(receiver().take(both, NOW_MS)) == {"turns": 12}
    told = receiver().take(same, NOW_MS)
    assert (measured(told), told.refused) == ({"turns": 5}, {"clock_backwards": 1})


def test_a_request_that_comes_again_adds_nothing() -> None:
    ours, sent = (
        receiver(),
        request(
            [counter(OF_A_SERIES, 5, NOW_MS), counter("turnwatch.turns.tokens_in", 9, NOW_MS, temporality=CUMULATIVE)]
        ),
    )
    assert ours.take(sent, NOW_MS).passed_over == {"baseline": 1}
    again = ours.take(sent, NOW_MS + 1_000)
    assert (dict(again.tables), again.passed_over, again.refused) == ({}, {"repeated": 2}, {})


def test_every_table_has_the_columns_of_its_kind() -> None:
    told = taken(
        counter(OF_A_SERIES, 5, NOW_MS), exponential("lk.agents.turn.llm_ttft", "s", NOW_MS, 3, 0, [1], sum=1.0)
    )
    for kind, rows in told.tables.items():
        assert rows.schema == ROW_KINDS[kind]
    assert set(told.tables) == {"rows.turns", "rows.stages", "rows.privacy"}


@pytest.mark.parametrize(
    ("metric", "is_taken"),
    [
        (explicit("gen_ai.client.token.usage", "1", NOW_MS, [2.0, 8.0], [0, 3, 0], sum=24.0), True),
        (explicit("gen_ai.client.token.usage", "1", NOW_MS, [2.0, 8.0], [0, 3, 0], sum=24.1), False),
        (explicit("gen_ai.client.token.usage", "1", NOW_MS, [2.0, 8.0], [0, 3, 0], sum=5.9), False),
        (explicit("gen_ai.client.token.usage", "1", NOW_MS, [2.0, 8.0], [0, 3, 1], sum=9e9), True),
        (explicit("gen_ai.client.token.usage", "1", NOW_MS, [2.0, 8.0], [0, 0, 0], sum=5.0), False),
        (explicit("gen_ai.client.token.usage", "1", NOW_MS, [], [], count=3, sum=5.0), True),
        (explicit("gen_ai.client.token.usage", "1", NOW_MS, [], [], count=0, sum=5.0), False),
        (exponential("gen_ai.client.token.usage", "1", NOW_MS, 0, 3, [2], sum=32.0), True),
        (exponential("gen_ai.client.token.usage", "1", NOW_MS, 0, 3, [2], sum=33.0), False),
        (exponential("gen_ai.client.token.usage", "1", NOW_MS, 0, 3, [2], sum=15.0), False),
        (exponential("gen_ai.client.token.usage", "1", NOW_MS, 0, 3, [0], zero_count=4, sum=1.0), False),
        (
            exponential("gen_ai.client.token.usage", "1", NOW_MS, 0, 3, [0], zero_count=4, zero_threshold=0.5, sum=1.0),
            True,
        ),
        (exponential("gen_ai.client.token.usage", "1", NOW_MS, -10, 3, [2], sum=33.0), False),
        (exponential("gen_ai.client.token.usage", "1", NOW_MS, 0, 3, [2]), True),
    ],
)
def test_an_amount_is_refused_whose_buckets_cannot_have_it(metric: Metric, is_taken: bool) -> None:
    metric = Metric.FromString(metric.SerializeToString())
    points = metric.histogram.data_points or metric.exponential_histogram.data_points
    points[0].attributes.extend(attributes({"gen_ai.token.type": "input"}))
    assert taken(metric).refused == ({} if is_taken else {"inconsistent": 1})


@pytest.mark.parametrize("metric", ["lk.agents.turn.llm_ttft", "lk.agents.turn.e2e_latency"])
def test_of_times_only_a_sum_is_dropped_that_their_buckets_cannot_have(metric: str) -> None:
    """They count as those whose sum was never told, and family `privacy` has that one was not believed."""
    fields: dict[str, Any] = {"name": metric, "unit": "s", "at_ms": NOW_MS, "bounds": [0.25, 0.5], "counts": [0, 3, 0]}
    doubtful, silent = taken(explicit(**fields, sum=1.6)), taken(explicit(**fields))
    assert (doubtful.refused, doubtful.dropped) == ({}, {"inconsistent": 1})
    assert (silent.refused, silent.dropped) == ({}, {})
    believed = [name for name in silent.tables if name != "rows.privacy"]
    assert all(doubtful.tables[name].equals(silent.tables[name]) for name in believed)
    assert measured(doubtful, "stages")["observations"] == 3
    assert measured(doubtful, "privacy")["observations"] == measured(silent, "privacy").get("observations", 0) + 1


def test_a_sum_that_was_told_ahead_of_its_buckets_makes_no_mean_wrong_by_more_than_a_bucket() -> None:
    """A process adds to the sum of a cumulative histogram before it counts the value, and is asked in between."""

    def told(at_ms: int, count: int, total: float) -> Metric:
        metric = explicit("lk.agents.turn.llm_ttft", "ms", at_ms, [400.0, 500.0], [0, count, 0], sum=total)
        metric.histogram.aggregation_temporality = CUMULATIVE
        metric.histogram.data_points[0].start_time_unix_nano = ns(NOW_MS - 100)
        return metric

    ours = receiver()
    sums = [told(NOW_MS + 1, 1, 900.0), told(NOW_MS + 2, 2, 900.0), told(NOW_MS + 3, 3, 1_350.0)]
    taken_of = [ours.take(request([metric]), NOW_MS + place) for place, metric in enumerate(sums)]
    assert [each.dropped for each in taken_of] == [{"inconsistent": 1}, {}, {}]
    assert [measured(each, "stages")["observations"] for each in taken_of] == [1, 1, 1]
    middle_ms = round(math.sqrt(400 * 500))
    assert [measured(each, "stages")["latency_ms_sum"] for each in taken_of] == [middle_ms, middle_ms, 450]
