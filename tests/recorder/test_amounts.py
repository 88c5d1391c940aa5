"""A number or a claim that a line of NDJSON would be refused for, a turn goes on without, for the same reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest

from producers.observation_lines import ObservationLines
from producers.recorder.amounts import is_list_of_numbers, is_number
from tests.recorder.hosts import CELL, START_S, FakeCollector, Host

LINE: dict[str, Any] = {
    **CELL, "ended_at_ms": int(START_S * 1_000), "session": "call-1", "audio_in_ms": 0, "audio_out_ms": 0, "tokens_in": 0,
    "tokens_out": 0, "is_error": False, "is_abandoned": False,
}  # fmt: skip


def of_a_turn(**noted: Any) -> tuple[dict[str, Any], dict[str, int]]:
    """The turn as a collector has it, and what it went on without."""
    host = Host(None, FakeCollector())
    with host.turn() as turn:
        turn.note(**noted)
    host.cycle()
    (row,) = host.collector.rows().to_dicts()
    totals = host.tally.totals()
    return row, {name.removeprefix("values_"): totals[name] for name in totals if name.startswith("values_")}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("tokens_in", value) for value in (1.5, -1.5, True, False, -1, 2**30 + 1, 2**54, float("nan"), "7", "ana@example.com", [7.0])),
        *(("is_success", value) for value in (0, 1, 2, 1.0, float("inf"), "yes", [True])),
        *(("jitter_ms", value) for value in (True, -0.5, 3_600_001.0, float("inf"), "2")),
    ],
)  # fmt: skip
def test_what_refuses_a_line_is_what_a_turn_goes_on_without(name: str, value: object) -> None:
    row, lost = of_a_turn(**{name: value})
    lines = ObservationLines(b"a key of this process", "turns")
    assert sum(len(rows) for _, rows in lines.read([json.dumps({**LINE, name: value}).encode()])) == 0
    assert lost == {reason.value: count for reason, count in lines.tidings.refused.items()}
    assert row[name] == (0 if name == "tokens_in" else None)


@pytest.mark.parametrize(("name", "value"), [("tokens_in", 2**30), ("is_success", False), ("jitter_ms", 3_600_000)])
def test_what_a_line_may_say_a_turn_may(name: str, value: object) -> None:
    row, lost = of_a_turn(**{name: value})
    ((_, rows),) = ObservationLines(b"a key of this process", "turns").read(
        [json.dumps({**LINE, name: value}).encode()]
    )
    assert rows[name].to_list() == [row[name]] == [value] and lost == {}


class _Unread:
    def __float__(self) -> float:
        raise RuntimeError("not loaded")


@pytest.mark.parametrize("value", [np.array([]), _Unread(), object()], ids=["empty", "unread", "object"])
def test_an_object_without_a_number_is_malformed(value: object) -> None:
    assert of_a_turn(tokens_in=value)[1] == {"malformed": 1} and not is_number(value)


def test_an_amount_is_whole_and_a_time_is_rounded_once_it_is_added_up() -> None:
    row, lost = of_a_turn(tokens_in=2.0, tokens_out=np.float32(3), audio_in_ms=0.75, is_handoff=cast(Any, np.True_))
    assert (row["tokens_in"], row["tokens_out"], row["audio_in_ms"], row["is_handoff"]) == (2, 3, 1, True)
    host = Host(None, FakeCollector())
    with host.turn() as turn:
        for _ in range(4):
            turn.note(audio_in_ms=0.3)
        turn.took("vad", 1.25)
    host.cycle()
    (row,) = host.collector.rows().to_dicts()
    assert (row["audio_in_ms"], row["vad_ms"]) == (1, pytest.approx(1.25)) and lost == {}


class _Lazy(list[float]):
    def __iter__(self) -> Iterator[float]:
        raise RuntimeError("not loaded")


def test_a_list_that_fails_at_being_gone_through_is_no_list_of_numbers() -> None:
    assert not is_list_of_numbers(_Lazy([1.0])) and is_list_of_numbers([1.0])
