"""One turn while it is served: what the serving thread pays for.

A turn collects what is told of it in one flat list and, when it ends, hands the list to the buffer. Nothing is looked
up, checked or converted here: names, values and dimensions are judged later, by the thread that sends. There is no lock,
since extending a list and appending to a deque are single steps to every other thread, and nothing is global: a turn belongs to whoever
holds it, so tasks and threads each have their own, and one turn may be passed to several of them.

Clocks are called by a local name, since Python looks up the method of an object with slots anew each time. For the same
reason objects are made without `__init__` and filled where they are made, and what runs for every turn calls no method
for what it can do itself.

The list: session, defaults, dimensions, begin, then two entries for each thing that was told (its name and its value, of
a stage that was timed the seconds), then the end and the class of the exception that ended it.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from producers.recorder.buffer import Buffer
from producers.recorder.cells import Defaults

HEAD, TAIL, STEP = 4, 2, 2
"""Entries before what was told, after it, and of each thing that was told."""


class RecordsTurns:
    """Whoever turns begin with: it knows where they will wait, and the dimensions that hold now."""

    _buffer: Buffer
    _defaults: Defaults

    # Python compares the name of each dimension with every parameter's that may be named: so `self` may not.
    def turn(self, /, session: object = None, **dimensions: Any) -> Turn:
        """A turn of this session that begins now. It keeps the dimensions that hold now, whatever is changed later."""
        turn = Turn()
        turn._buffer = buffer = self._buffer
        turn.clock = clock = buffer.clock
        turn._began = turn._last = began = clock()
        turn._row = [session, self._defaults, dimensions, began]
        return turn


class Turn:
    """One turn, from the end of the user's speech to the end of the answer. Use as a context manager, async or not.

    A turn that ends with an exception is an error; the exception passes through. No method raises.
    """

    __slots__ = ("_began", "_buffer", "_last", "_row", "clock")

    _buffer: Buffer
    _row: list[Any] | None
    _began: float
    _last: float
    clock: Callable[[], float]

    def stage(self, name: str) -> Stage:
        """Times a part of the turn from now to the end of the `with` block. Timed twice, it adds up."""
        stage = Stage()
        stage._turn = self
        stage._name = name
        clock = self.clock
        stage._began = clock()
        return stage

    def mark(self, name: str) -> None:
        """The part `name` ends now; it began where the part before it ended, or with the turn."""
        now = self.clock()
        self.tell(name, now - self._last)
        self._last = now

    def reached(self, name: str) -> None:
        """The whole `name` (`first_audio`, `heard`) is reached now; it began with the turn."""
        self.tell(name, self.clock() - self._began)

    def took(self, name: str, milliseconds: float) -> None:
        """A stage that somebody else has timed."""
        try:
            if milliseconds < 0:
                self._buffer.missed("negative")  # Told on, it would be a clock that went back.
            else:
                self.tell(name, milliseconds / 1_000)
        except Exception:
            self._buffer.missed("malformed")

    def note(self, /, **facts: float | bool | None) -> None:
        """Amounts (`tokens_in=812`) and outcomes (`is_abandoned=True`). What is noted twice adds up, or is
        true once; `None` says nothing."""
        for name, value in facts.items():
            self.tell(name, value)

    def tell(self, name: object, value: object) -> None:
        """Keeps one value, or counts that it came after the turn's end."""
        try:
            self._row.extend((name, value))  # type: ignore[union-attr]  # None once the turn has ended.
        except Exception:
            self._buffer.missed("after_end")

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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, at)


class Stage:
    """The timer of one stage; an exception inside of it ends the stage and passes through."""

    __slots__ = ("_began", "_name", "_turn")

    _turn: Turn
    _name: str
    _began: float

    # Nothing is to be done, and calling `bool` does that without a frame of Python: `with` calls it without arguments, and
    # `ExitStack` with the stage.
    __enter__ = bool

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # What Turn.tell() does, written out: this runs five times a turn.
        turn = self._turn
        clock = turn.clock
        try:
            turn._row.extend((self._name, clock() - self._began))  # type: ignore[union-attr]
        except Exception:
            turn._buffer.missed("after_end")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, at)
