"""What an exporter may answer, and what of it is refused: by sample, or as a whole; always counted, never repeated."""

from __future__ import annotations

import pytest

from producers.scraping.exposition import BODY_BYTES_MAX, SAMPLES_MAX, Exposition, Unreadable, read_exposition
from schemas.refusals import Refusal
from tests.producers.scraping import expositions as shows
from tests.producers.scraping.engines import TEXT

OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
SERVED = "vllm:request_success_total"


def shown(text: str | bytes, content_type: str = TEXT) -> Exposition:
    return read_exposition(text.encode() if isinstance(text, str) else text, content_type, "vllm")


def values(of: Exposition) -> list[float]:
    return of.samples["value"].to_list()


def test_only_mapped_metrics_are_read() -> None:
    read = shown('http_requests{path="/v1",prompt="say my name"} broken\nvllm:num_requests_waiting 3\n')
    assert values(read) == [3.0] and not +read.refused


def test_the_start_of_the_process_is_no_sample() -> None:
    read = shown("process_start_time_seconds 1.7e9\nvllm:num_requests_waiting 3\n")
    assert read.started_s == 1.7e9 and read.samples["metric"].to_list() == ["vllm:num_requests_waiting"]


def test_open_metrics_says_the_same() -> None:
    plain = shown(f'# TYPE {SERVED} counter\n{SERVED}{{engine="0"}} 5\nvllm:num_requests_waiting 3\n')
    text = f'# TYPE vllm:request_success counter\n{SERVED}{{engine="0"}} 5 # {{trace="x"}} 1\n'
    text += "# TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting 3\n# EOF\n"
    assert shown(text, OPEN_METRICS).samples.sort("metric").equals(plain.samples.sort("metric"))


@pytest.mark.parametrize(
    ("answer", "content_type", "reason"),
    [
        (b"<html><body>It works!</body></html>\n", "text/html", Refusal.MALFORMED),
        (b"<html><body>It works!</body></html>\n", TEXT, Refusal.MALFORMED),
        (b"vllm:num_requests_waiting 3\nvllm:num_requests_run", TEXT, Refusal.MALFORMED),
        (b'vllm:num_requests_waiting{engine="0 3\n', TEXT, Refusal.MALFORMED),
        (b"vllm:num_requests_waiting three\n", TEXT, Refusal.MALFORMED),
        (b"vllm:num_requests_waiting{\xff} 3\n", TEXT, Refusal.MALFORMED),
        (b"vllm:num_requests_waiting 3\n", "", Refusal.MALFORMED),
        (b"vllm:num_requests_waiting 3\n", "application/json", Refusal.MALFORMED),
        (b"vllm:num_requests_waiting 3\n", OPEN_METRICS, Refusal.MALFORMED),
        (b"", TEXT, Refusal.MALFORMED),
        (b"\n", TEXT, Refusal.MALFORMED),
        (b"sglang:num_queue_reqs 3\n", TEXT, Refusal.MALFORMED),
        (b"#" * BODY_BYTES_MAX + b"\n", TEXT, Refusal.TOO_LARGE),
        (b"vllm:num_requests_waiting 3\n" * (SAMPLES_MAX + 1), TEXT, Refusal.TOO_LARGE),
    ],
)
def test_an_answer_that_is_none_is_refused_as_a_whole(answer: bytes, content_type: str, reason: Refusal) -> None:
    with pytest.raises(Unreadable) as refused:
        shown(answer, content_type)
    assert refused.value.reason is reason
    assert not any(word in str(refused.value) for word in ("three", "html", "engine"))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("NaN", Refusal.NOT_FINITE),
        ("+Inf", Refusal.NOT_FINITE),
        ("9.3e18", Refusal.NOT_FINITE),
        ("-1", Refusal.NEGATIVE),
        ("7 NaN", Refusal.NOT_FINITE),
        ("7 -Inf", Refusal.NOT_FINITE),
        ("7 1e300", Refusal.NOT_FINITE),
    ],
)
def test_a_value_that_cannot_be_right_is_refused_and_the_others_are_not(value: str, reason: Refusal) -> None:
    """Or the time that an exporter stamps it with, behind it."""
    read = shown(f"{SERVED} {value}\nvllm:num_requests_waiting 3\n")
    assert values(read) == [3.0] and +read.refused == {reason: 1}


def test_a_series_that_is_told_twice_counts_once_or_not_at_all() -> None:
    read = shown(f"{SERVED} 5\n{SERVED} 5\n")
    assert values(read) == [5.0] and not +read.refused
    read = shown(f'{SERVED} 5\n{SERVED} 6\n{SERVED}{{engine="1"}} 7\n')
    assert (
        values(read) == [7.0]
        and +read.refused == {Refusal.INCONSISTENT: 1}
        and read.refused_of.total() == 1
        and {name for name, _ in read.refused_of} == {SERVED}
    )


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ('gen_ai.input.messages="x"', Refusal.MALFORMED),
        ('prompt="Tell me what my doctor wrote about it"', Refusal.CONTENT_FIELD),
        ('caller="ana@example.com"', Refusal.EMAIL),
        ('caller="+49 170 1234567"', Refusal.PHONE),
        ('key="sk-9fQ2xLr8TzV1bNw7KcYp3mHd6sGj4uEa"', Refusal.HIGH_ENTROPY),
        ('lora="adapter-3"', Refusal.UNKNOWN_FIELD),
    ],
)
def test_a_label_that_no_mapping_knows_is_dropped_by_what_it_holds_and_its_sample_counts(
    label: str, reason: Refusal
) -> None:
    if reason is Refusal.MALFORMED:  # No name of a label: the line is none.
        with pytest.raises(Unreadable):
            shown(f"{SERVED}{{{label}}} 5\n")
        return
    read = shown(f"{SERVED}{{{label}}} 5\n")
    assert values(read) == [5.0] and read.dropped == {reason: 1} and not read.refused
    assert label.partition('"')[2][:-1] not in repr(read.samples.to_dicts())


@pytest.mark.parametrize(
    ("text", "dropped"),
    [
        (f'{SERVED}{{finished_reason="ana@example.com",engine="+49 170 1234567"}} 5\n', {"email": 1, "phone": 1}),
        (f'{SERVED}{{finished_reason="Please call my doctor tomorrow"}} 5\n', {"free_text": 1}),
        (f'{SERVED}{{engine="q8fj2kz0x7vb3nw9ty5h"}} 5\n', {"high_entropy": 1}),
        ('vllm:cache_config_info{num_gpu_blocks="573",path="ana@example.com",cache_dtype="auto"} 5\n', {"email": 1}),
        # This one is a counter, and the sum of a histogram.
        ('vllm:request_queue_time_seconds_sum{engine="ana@example.com"} 5\n', {"email": 1}),
    ],
)
def test_what_is_private_in_a_label_that_the_mapping_knows_is_counted_as_what_it_is(
    text: str, dropped: dict[str, int]
) -> None:
    read = shown(text)
    assert len(read.samples) and {reason.value: count for reason, count in read.dropped.items()} == dropped


def test_devices_pods_and_products_may_be_called_as_they_are() -> None:
    labels = 'gpu="0",UUID="GPU-5d3f6a2b-1111-2222-3333-444455556666",modelName="NVIDIA H100 80GB HBM3",pci_bus_id="00000000:07:00.0"'
    labels += (
        ',Hostname="ip-172-31-123-234",pod="gateway-5d78c9bcf7-x2k4z",pod_uid="00000000-0000-4000-8000-000000000000"'
    )
    labels += ',DCGM_FI_DRIVER_VERSION="535.104.05",device="nvidia0",namespace="voice",container="engine"'
    text = f"DCGM_FI_DEV_GPU_UTIL{{{labels}}} 50\n"
    assert not read_exposition(text.encode(), TEXT, "dcgm").dropped
    private = text.replace("gateway-5d78c9bcf7-x2k4z", "ana@example.com")
    assert read_exposition(private.encode(), TEXT, "dcgm").dropped == {Refusal.EMAIL: 1}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('vllm:cache_config_info{num_gpu_blocks="ana@example.com"} 1\n', Refusal.EMAIL),
        ('vllm:cache_config_info{num_gpu_blocks="None"} 1\n', Refusal.NOT_FINITE),
        ('vllm:time_to_first_token_seconds_bucket{le="ana@example.com"} 1\n', Refusal.EMAIL),
        ('vllm:time_to_first_token_seconds_bucket{le="soon"} 1\n', Refusal.MALFORMED),
    ],
)
def test_a_label_that_is_read_as_a_number_and_is_none_refuses_its_sample(text: str, reason: Refusal) -> None:
    read = shown(f"{text}vllm:num_requests_waiting 3\n")
    assert (values(read), +read.refused, +read.dropped) == ([3.0], {reason: 1}, {})


def test_what_kubernetes_says_of_a_gpu_does_not_tell_it_apart() -> None:
    before, after = (
        read_exposition(shows.dcgm([50], pod=pod).encode(), TEXT, "dcgm").samples for pod in ("a-1", "b-2")
    )
    assert before.equals(after)
