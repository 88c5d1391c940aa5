"""In C or in Python: whatever a host does with turns leaves the same lists, the same counts and nothing else behind."""

from __future__ import annotations

import gc
import importlib.util
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.recorder import turns
from producers.recorder.buffer import Buffer
from producers.recorder.cells import Defaults
from producers.recorder.tally import Tally

COMPILED = "producers.recorder._hot_path"
needs_compiled = pytest.mark.skipif(
    not turns.IS_COMPILED,
    reason=f"{COMPILED} is not built: `apt-get install gcc libc6-dev python3-dev`, then `make setup`",
)


def _in_python() -> ModuleType:
    """`turns` as a host without a compiler has it."""
    if not turns.IS_COMPILED:
        return turns
    spec = importlib.util.spec_from_file_location("turns_in_python", str(turns.__file__))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    with patch.dict(sys.modules, {COMPILED: None}):
        spec.loader.exec_module(module)
    assert not module.IS_COMPILED
    return module


IN_PYTHON = _in_python()
BOTH = [pytest.param(turns, id="installed"), pytest.param(IN_PYTHON, id="python")]


def recording(module: ModuleType, clock: Callable[[], float], rows_max: int = 100) -> tuple[Any, Buffer, Tally]:
    """Somebody turns begin with, and where they end up."""
    tally = Tally()
    host = type("Host", (module.RecordsTurns,), {})()
    host._buffer = buffer = Buffer(clock, rows_max, tally)
    host._defaults = Defaults()
    return host, buffer, tally


def ticking() -> Callable[[], float]:
    """A clock whose every reading is another one, so that one reading more or less shows."""
    ticks = count(1)
    return lambda: next(ticks) ** 2 / 7


def failing(every: int) -> Callable[[], float]:
    readings = count(1)

    def clock() -> float:
        if (reading := next(readings)) % every == 0:
            raise OSError("no clock")
        return float(reading)

    return clock


class Held:
    """Turns and stages of a host that does one thing after another with them, and what it got to hear."""

    def __init__(self, host: Any) -> None:
        self.host, self.turns, self.stages, self.heard = host, [], [], []  # type: ignore[var-annotated]

    def does(self, what: str, which: int, value: Any) -> None:
        try:
            self._does(what, which, value)
        except Exception as error:
            self.heard.append((what, type(error)))

    def _does(self, what: str, which: int, value: Any) -> None:
        if what == "begin":
            self.turns.append(self.host.turn(value, route="support", language=which))
        elif what == "begin_named":
            self.turns.append(self.host.turn(session=value, self=which))
        elif not self.turns:
            return
        turn = self.turns[which % len(self.turns)]
        if what == "stage":
            self.stages.append(turn.stage(value))
        elif what == "leave_stage" and self.stages:
            self.heard.append(self.stages[which % len(self.stages)].__exit__(None, None, None))
        elif what == "end":
            self.heard.append(turn.__exit__((None, ValueError)[which % 2], None, None))
        elif what == "mark":
            turn.mark(value)
        elif what == "reached":
            turn.reached(value)
        elif what == "note":
            turn.note(tokens_in=value, self=which)
        elif what == "took":
            turn.took("vad", value)


ACTIONS = ("begin", "begin_named", "stage", "leave_stage", "leave_stage", "end", "mark", "reached", "note", "took")
things = st.tuples(
    st.sampled_from(ACTIONS), st.integers(0, 5), st.one_of(st.none(), st.integers(-1, 3), st.sampled_from(["a", "b"]))
)
clocks = st.sampled_from([ticking, lambda: failing(3), lambda: failing(2), lambda: iter([]).__next__])


@needs_compiled
@given(st.lists(things, max_size=40), clocks, st.integers(0, 3))
@settings(max_examples=300, deadline=None)
def test_both_leave_the_same_behind(
    script: list[tuple[str, int, Any]], clock: Callable[[], Callable[[], float]], rows_max: int
) -> None:
    """Also where the clock fails, turns end twice, stages overlap or come late, and the buffer is full."""
    left = []
    for module in (turns, IN_PYTHON):
        host, buffer, tally = recording(module, clock(), rows_max)
        held = Held(host)
        for what, which, value in script:
            held.does(what, which, value)
        rows = [[each for each in row if not isinstance(each, Defaults)] for row in buffer.turns]
        left.append((rows, tally.totals(), held.heard))
    assert left[0] == left[1]


@pytest.mark.parametrize("module", BOTH)
def test_the_clock_of_a_host_is_read_as_it_would_read_it(module: ModuleType) -> None:
    host, buffer, _ = recording(module, time.perf_counter)
    first = time.perf_counter()
    with host.turn("call-1") as turn:
        began = time.perf_counter()
        with turn.stage("retrieval"):
            time.sleep(0.002)
        ended = time.perf_counter()
    last = time.perf_counter()
    ((_, _, _, began_s, name, lasted_s, ended_s, error),) = buffer.turns
    assert first <= began_s <= began and ended <= ended_s <= last
    assert 0.002 <= lasted_s <= ended - began
    assert (name, error) == ("retrieval", None)


@pytest.mark.parametrize("module", BOTH)
def test_what_is_no_call_is_refused_as_python_would(module: ModuleType) -> None:
    host, _, _ = recording(module, ticking())
    wrongs: tuple[Callable[[], Any], ...] = (
        lambda: host.turn("call-1", "call-2"),
        lambda: host.turn("call-1", session="call-2"),
        lambda: host.turn().stage(),
        lambda: host.turn().stage("vad", "network"),
        lambda: host.turn().stage(title="vad"),
    )
    for wrong in wrongs:
        with pytest.raises(TypeError):
            wrong()
    assert isinstance(host.turn().stage(name="vad"), module.Stage)


@pytest.mark.parametrize("module", BOTH)
def test_dimensions_are_the_turns_own(module: ModuleType) -> None:
    """What a host does with its dict afterwards changes nothing that was recorded."""
    host, buffer, _ = recording(module, ticking())
    dimensions = {"route": "support"}
    with host.turn("call-1", **dimensions):
        dimensions["route"] = "sales"
    assert buffer.turns[0][2] == {"route": "support"}


@pytest.mark.parametrize("module", BOTH)
def test_nothing_is_kept_of_turns_that_were_taken(module: ModuleType) -> None:
    """References are counted: of all that turns were told, none is left over, however stages and turns ended."""
    host, buffer, _ = recording(module, time.perf_counter, rows_max=50)
    session, name, value = object(), "a stage of this test".upper(), object()

    def references() -> list[int]:
        gc.collect()
        return [*map(sys.getrefcount, (session, name, value, ValueError, buffer, time.perf_counter, None))][:-1]

    before = references()
    for number in range(100):
        with host.turn(session, route=value) as turn:
            with turn.stage(name):
                late = turn.stage(name)
            turn.note(tokens_in=value)
            if number % 2:
                turn.__exit__(ValueError, None, None)
        late.__exit__(None, None, None)
    host.turn(session, route=value)
    del turn, late
    buffer.take()
    assert references() == before


@pytest.mark.parametrize("module", BOTH)
def test_a_turn_that_holds_itself_is_collected(module: ModuleType) -> None:
    host, _, _ = recording(module, ticking())
    turn = host.turn()
    turn.note(tokens_in=turn)
    del turn
    gc.collect()
    assert not [each for each in gc.get_objects() if isinstance(each, module.Turn)]


@pytest.mark.parametrize("module", BOTH)
def test_a_stage_and_a_turn_that_hold_each_other_are_collected(module: ModuleType) -> None:
    """As they do where an object of a host that holds both is what the turn is told of, and is hung up on."""
    host, _, _ = recording(module, ticking())
    turn = host.turn()
    turn.note(tokens_in=turn.stage("asr"))
    del turn
    gc.collect()
    assert not [each for each in gc.get_objects() if isinstance(each, (module.Turn, module.Stage))]


@needs_compiled
def test_what_is_compiled_is_what_is_written() -> None:
    """A build that was left behind would be run in place of what somebody reads."""
    built = Path(sys.modules[COMPILED].__file__ or "")
    source = Path(turns.__file__).with_name("_hot_path.c")
    assert built.stat().st_mtime >= source.stat().st_mtime, (
        "the build of _hot_path.c is older than it: run `make setup`"
    )
