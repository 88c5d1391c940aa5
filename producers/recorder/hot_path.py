"""The steps that every turn pays for, and nothing else: a turn begins, its stages are timed, it ends.

`_hot_path.c` is the same in C, built where the package is installed with a compiler, and takes half of the time or less.
Which of the two a process has makes no other difference, and `tests/recorder/test_hot_path.py` holds them to it.

Nothing is looked up, checked or converted here. Clocks are called by a local name, since Python looks up the method of an
object with slots anew each time. For the same reason objects are made without `__init__` and filled where they are made,
and what runs for every turn calls no method for what it can do itself.

The list that a turn leaves: session, defaults, dimensions, begin, then two entries for each thing that was told (its name
and its value, of a stage that was timed the seconds), then the end and the class of the exception that ended it.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from producers.recorder.buffer import Buffer
from producers.recorder.cells import Defaults

if TYPE_CHECKING:
    from producers.recorder.turns import Stage, Turn

_turn_type: type[Turn]
_stage_type: type[Stage]


def register(turn: type[Turn], stage: type[Stage], /) -> None:
    """Of which classes turns and stages are made."""
    global _turn_type, _stage_type
    _turn_type, _stage_type = turn, stage


class RecordsTurns:
    """Whoever turns begin with: it knows where they will wait, and the dimensions that hold now."""

    _buffer: Buffer
    _defaults: Defaults

    # Python compares the name of each dimension with every parameter's that may be named: so `self` may not.
    def turn(self, /, session: object = None, **dimensions: Any) -> Turn:
        """A turn of this session that begins now. It keeps the dimensions that hold now, whatever is changed later."""
        turn = _turn_type()
        turn._buffer = buffer = self._buffer
        turn.clock = clock = buffer.clock
        turn._began = turn._last = began = clock()
        turn._row = [session, self._defaults, dimensions, began]
        return turn


class BegunTurn:
    """A turn that has begun: stages and the end of it."""

    __slots__ = ("_began", "_buffer", "_last", "_row", "clock")

    _buffer: Buffer
    _row: list[Any] | None
    _began: float
    _last: float
    clock: Callable[[], float]

    def stage(self, name: str) -> Stage:
        """Times a part of the turn from now to the end of the `with` block. Timed twice, it adds up."""
        stage = _stage_type()
        stage._turn = self
        stage._name = name
        clock = self.clock
        stage._began = clock()
        return stage

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            row, self._row = self._row, None
            if row is None:
                self._buffer.missed("after_end")
                return
            clock, buffer = self.clock, self._buffer
            row.extend((clock(), kind))
            # What Buffer.put() does, written out: this runs for every turn.
            if len(buffer.turns) < buffer.rows_max:
                buffer.turns.append(row)
            else:
                buffer.put(row)
        except Exception:
            self._buffer.missed("internal")


class TimedStage:
    """A stage that has begun: the end of it."""

    __slots__ = ("_began", "_name", "_turn")

    _turn: BegunTurn
    _name: str
    _began: float

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # What Turn.tell() does, written out: this runs five times a turn.
        turn = self._turn
        clock = turn.clock
        try:
            turn._row.extend((self._name, clock() - self._began))  # type: ignore[union-attr]
        except Exception:
            turn._buffer.missed("after_end")
