"""The benchmark of questions measures what it says, and ends with 1 where a limit is missed."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pytest

from stream_jobs.operators.totals.blocks import Block
from turnwatch.bench import question_drift, question_loads
from turnwatch.bench.question import Measured, Question, Round, measured
from turnwatch.bench.question_loads import questions
from turnwatch.bench.questions import run_questions

ROWS = pl.DataFrame({"slice": ["a", "b"], "turns": [1, 2]})


def test_every_question_is_answered_and_only_state_that_is_kept_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question_drift, "LATE_HOURS", 5)
    found = {each.name: measured(each, 20) for each in questions(20, rounds=3, seed=7)}
    limited = {name for name, each in found.items() if each.ratio is not None}
    assert limited == {"saturation", "pricing", "pricing_watch", "spending", "decomposition", "drift", "late_labels"}
    assert set(found) == {
        *limited,
        "traffic",
        "concurrency",
        "burn_rate",
        "stage_growth",
        "incidents",
        "findings",
        "abuse",
    }
    assert {name: each.rows // 20 for name, each in found.items() if each.rows != 20} == {
        "concurrency": 10,
        "stage_growth": 16,
        "saturation": 4,
        "spending": 60,
    }
    assert all(each.seconds > 0 for each in found.values())
    with_state = ("traffic", "concurrency", "stage_growth", "incidents", "findings", "abuse")
    assert min(found[name].state_bytes for name in with_state) > 20 * 10
    assert found["pricing"].state_bytes == 0


def test_a_block_that_is_taken_back_is_no_state() -> None:
    told: Iterator[list[Block]] = iter([[Block(b"ab", b"cde"), Block(b"f", b"g")], [Block(b"ab", None)]])
    question = Question("any", [Round(ROWS, lambda: sum(range(10_000)))] * 2, lambda: iter(next(told)))
    assert measured(question, 2).state_bytes == 2


@pytest.mark.parametrize(("seconds", "ratio", "code"), [(0.001, 2.0, 0), (0.004, 0.5, 1)])
def test_a_limit_that_is_missed_ends_with_one(
    monkeypatch: pytest.MonkeyPatch, seconds: float, ratio: float, code: int
) -> None:
    limited = Question("any", (), rows_per_s_min=1_000_000)
    found = Measured(limited, 10, 2_000, seconds, 0.001, 0)
    assert found.ratio == pytest.approx(ratio)
    assert Measured(Question("any", (), seconds_max=0.002), 10, 2_000, seconds, 0.001, 0).ratio == pytest.approx(ratio)
    monkeypatch.setattr(question_loads, "questions", lambda *_: [limited])
    monkeypatch.setattr("turnwatch.bench.questions.measured", lambda *_: found)
    assert run_questions(10, 2, 7) == code
