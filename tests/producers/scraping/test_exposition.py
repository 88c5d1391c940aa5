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


def test_what_kubernetes_says_of_a_gpu_does_not_tell_it_apart() -> None:
    before, after = (
        read_exposition(shows.dcgm([50], pod=pod).encode(), TEXT, "dcgm").samples for pod in ("a-1", "b-2")
    )
    assert before.equals(after)
