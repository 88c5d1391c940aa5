"""Handing a fetched message on to the stages, without a detour where nothing has to be waited for.

For every message Faust lets four tasks race: the handing on, and three waits for reasons to give up on it. Nearly always
the handing on ends in its first step, for the queues have room, and the race decides nothing; yet it takes longer than
all that the stages do with a small frame, and leaves them one message at a time. So the first step is made here, and only
a handing on that has to wait takes part in the race. A message meets the same fate either way: its first step comes
before anything that the other three could do.

What waits with a limit of time remembers the task that it began in, and cancels that when the time is over: `asyncio.timeout`,
and from Python 3.12 on `asyncio.wait_for`, by which Faust waits for a full producer. So a first step is not made as the
fetcher's, whose end would be the worker's, but as that of whatever task goes on with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, NoReturn

from faust.transport.drivers import aiokafka as driver
from mode.services import WaitResults


class PromptConsumer(driver.Consumer):
    """Faust's consumer, but a message that can be handed on at once is."""

    logger = driver.logger  # What it says stays where Faust's consumers say it.

    async def wait_first(self, *awaited: Any, timeout: Any = None) -> WaitResults:
        """The first of `awaited` to end; begins with the first of them, and with the others only if that has to wait."""
        first, *others = awaited
        if not isinstance(first, Coroutine) or timeout is not None or self._stopped.is_set() or self._crashed.is_set():
            return await super().wait_first(*awaited, timeout=timeout)
        begun = _Begun(first)
        try:
            begun.make_first_step()
        except BaseException as ended:
            for other in others:
                if isinstance(other, Coroutine):
                    other.close()
            if not isinstance(ended, StopIteration):
                raise
            return WaitResults([first], [ended.value], False)
        begun.task = asyncio.create_task(begun)
        return await super().wait_first(begun.task, *others)


class _Begun(Coroutine[Any, Any, Any]):
    """A coroutine whose first step was made before there was a task for it, and what it takes for its task meanwhile.

    A task that goes on with it is told what the first step waits for, and may be cancelled before it is: the coroutine hears
    of that where it waits, as one whose task had made the step.
    """

    __slots__ = ("_coroutine", "_is_untold", "_waits_for", "task")

    task: asyncio.Task[Any]
    """That goes on with it."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine, self._is_untold = coroutine, True

    def make_first_step(self) -> None:
        """Raises what the coroutine does, and `StopIteration` where that was all of it."""
        loop, here = asyncio.get_running_loop(), asyncio.current_task()
        assert here is not None
        asyncio.tasks._leave_task(loop, here)
        asyncio.tasks._enter_task(loop, self)  # type: ignore[arg-type]  # It is asked only for what stands below.
        try:
            self._waits_for = self._coroutine.send(None)
        finally:
            asyncio.tasks._leave_task(loop, self)  # type: ignore[arg-type]
            asyncio.tasks._enter_task(loop, here)

    def cancel(self, msg: Any = None) -> bool:
        return self.task.cancel(msg)

    def cancelling(self) -> int:
        return self.task.cancelling() if hasattr(self, "task") else 0

    def uncancel(self) -> int:
        return self.task.uncancel()

    def send(self, value: Any) -> Any:
        if self._is_untold:
            self._is_untold = False
            return self._waits_for
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        self._is_untold = False
        return self._coroutine.throw(*error)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> NoReturn:
        raise TypeError("A task goes on with what has begun.")
