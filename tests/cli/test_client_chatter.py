"""What Kafka's clients log is left out where we say it ourselves, and otherwise not repeated."""

from __future__ import annotations

import logging

import pytest

from turnwatch.client_chatter import SAID_AGAIN_S, ClientChatter


def record(name: str, text: str, level: int = logging.ERROR) -> logging.LogRecord:
    return logging.LogRecord(name, level, __file__, 1, text, (), None)


@pytest.mark.parametrize(
    "text",
    [
        "Unable connect to node with id 1: [Errno 111] Connect call failed ('127.0.0.1', 9092)",
        "Failed fetch messages from 1: NodeNotReadyError: Attempt to send a request to node which is not ready",
        "Heartbeat session expired - marking coordinator dead",
        "Got error produce response: KafkaConnectionError: Connection at 127.0.0.1:9092 closed",
    ],
)
def test_what_an_outage_makes_clients_say_is_left_out(text: str) -> None:
    assert not ClientChatter().filter(record("aiokafka.client", text))


def test_a_busy_loop_is_no_news_of_a_timer_and_what_a_timer_says_else_is() -> None:
    overlapping = "Timer commit is overlapping (interval=1.0 runtime=6.1)"
    chatter = ClientChatter()
    assert not chatter.filter(record("mode.timers", overlapping, logging.WARNING))
    assert chatter.filter(record("mode.timers", "Timer commit crashed"))


def test_what_others_say_is_never_left_out() -> None:
    chatter = ClientChatter()
    assert all(chatter.filter(record("turnwatch.sink", "Heartbeat: the same again")) for _ in range(5))


def test_whatever_else_clients_repeat_is_said_once_a_minute_with_how_often() -> None:
    now_s = 1_000.0
    chatter = ClientChatter(lambda: now_s)
    said = [record("aiokafka.consumer", f"Topic rollups is not authorized, attempt {number}") for number in range(10)]
    assert [chatter.filter(each) for each in said] == [True] + [False] * 9
    assert chatter.filter(record("aiokafka.consumer", "Something else"))
    now_s += SAID_AGAIN_S
    last = record("aiokafka.consumer", "Topic rollups is not authorized, attempt 11")
    assert chatter.filter(last)
    assert last.getMessage() == "Topic rollups is not authorized, attempt 11 (and 9 times before that)"


def test_advice_on_settings_of_faust_is_left_out_and_of_many_partitions_it_is_said_once() -> None:
    advice = "\n\nThere are multiple possible explanations for this:\n\n1) The processing of a single event is taking too long."
    chatter = ClientChatter()
    said = [
        record(
            "faust.transport.drivers.aiokafka", f"Has not committed TP(topic='{topic}', partition=2) at all. {advice}"
        )
        for topic in ("aggregates.turns", "aggregates.streams")
    ]
    assert [chatter.filter(each) for each in said] == [True, False]
    assert said[0].getMessage() == "Has not committed TP(topic='aggregates.turns', partition=2) at all."


def test_an_agent_that_is_ended_has_not_crashed() -> None:
    crashed = "[^---Agent*: stream_jobs.agents.arr[.]_listen]: Crashed reason={}"
    chatter = ClientChatter()
    assert not chatter.filter(record("faust.agents.actor", crashed.format("CancelledError()")))
    assert chatter.filter(record("faust.agents.actor", crashed.format("KeyError('x')")))
