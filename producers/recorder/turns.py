"""One turn while it is served: what the serving thread pays for.

A turn collects what is told of it in one flat list and, when it ends, hands the list to the buffer. Nothing is looked
up, checked or converted here: names, values and dimensions are judged later, by the thread that sends. There is no lock,
since extending a list and appending to a deque are single steps to every other thread, and nothing is global: a turn belongs to whoever
holds it, so tasks and threads each have their own, and one turn may be passed to several of them.

What every turn pays for is in `hot_path.py`, and in C where it could be compiled; here is what a host may tell besides.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from producers.recorder.cells import Misplaced
from schemas.refusals import Refusal

try:
    from producers.recorder._hot_path import BegunTurn, RecordsTurns, TimedStage, register

    IS_COMPILED = True
except ImportError:
    from producers.recorder.hot_path import BegunTurn, RecordsTurns, TimedStage, register

    IS_COMPILED = False

__all__ = ["HEAD", "IS_COMPILED", "STEP", "TAIL", "RecordsTurns", "Stage", "Turn"]

HEAD, TAIL, STEP = 4, 2, 2
"""Entries before what was told, after it, and of each thing that was told."""

_BELOW_ZERO = Misplaced(Refusal.NEGATIVE, Refusal.UNKNOWN_FIELD)


class Turn(BegunTurn):
    """One turn, from the end of the user's speech to the end of the answer. Use as a context manager, async or not.

    A turn that ends with an exception is an error; the exception passes through. No method raises.
    """

    __slots__ = ()

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
            # Told on as it is, a number below zero would be a clock of ours that went back, and a claim a number.
            if milliseconds < 0:
                self.tell(name, _BELOW_ZERO)
            else:
                self.tell(name, milliseconds if isinstance(milliseconds, bool) else milliseconds / 1_000)
        except Exception:  # No number: the thread that sends says what it is.
            self.tell(name, milliseconds)

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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, at)


class Stage(TimedStage):
    """The timer of one stage; an exception inside of it ends the stage and passes through."""

    __slots__ = ()

    # Nothing is to be done, and calling `bool` does that without a frame of Python: `with` calls it without arguments, and
    # `ExitStack` with the stage.
    __enter__ = bool

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, at)


register(Turn, Stage)
