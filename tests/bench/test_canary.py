"""`turnwatch bench canary`: its lines are there, tests for one look err in it, and a gate that errs misses the limit."""

from __future__ import annotations

import re

import numpy as np
import pytest

from stream_jobs.operators.release.bounds import Found
from turnwatch.bench import canary
from turnwatch.bench.canary import Erred, run_canary


def test_few_canaries_hold_the_limits_in_which_tests_for_one_look_err(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_canary(runs=40, slices=10, seed=7) == 0
    said = capsys.readouterr().out
    peeked = [float(each) for each in re.findall(r"peeked=\w+ false_rollbacks=([0-9.]+)", said)]
    assert len(peeked) == 2 and min(peeked) > 0.05
    for line in ("canaries=40 looks=35", "canary=p99_from_3.8_to_8.4_s seen=1.000", "gate slices=10"):
        assert line in said


def test_a_gate_that_errs_misses_the_limit(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    erring = Erred(np.array([True] + [False] * 9), np.zeros(10, dtype=np.bool_), np.zeros(10, dtype=np.bool_))
    monkeypatch.setattr(canary, "_ever", lambda *_: erring)
    monkeypatch.setattr(canary, "_ever_slow", lambda *_: Erred.never(10))
    assert list(canary._errs(np.random.default_rng(1), 10)) == [False]
    assert "false_rollbacks=0.1000 limit=0.05 ratio=2.00" in capsys.readouterr().out


def test_what_was_said_at_any_look_stays_said() -> None:
    def found(is_worse: list[bool], is_inside: list[bool]) -> Found:
        nothing = np.zeros(4)
        flags = (np.array(is_worse), np.array(is_inside))
        return Found(nothing, nothing, nothing, None, *flags, by_events=np.zeros(4, dtype=np.bool_))  # type: ignore[arg-type] # Not looked at.

    enough, none = np.ones(4, dtype=np.bool_), found([False] * 4, [False] * 4)
    erred = Erred.never(2).looked(2, found([False, True, False, False], [False, False, True, True]), none, enough)
    erred = erred.looked(2, none, none, enough)
    assert erred.rolled_back.tolist() == [True, False]
    assert erred.went_on.tolist() == [False, True]
