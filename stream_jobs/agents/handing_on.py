"""Handing a fetched message on to the stages, without a detour where nothing has to be waited for.

For every message Faust lets four tasks race: the handing on, and three waits for reasons to give up on it. Nearly always
the handing on ends in its first step, for the queues have room, and the race decides nothing; yet it takes longer than
all that the stages do with a small frame, and leaves them one message at a time. So the first step is made here, and only
a handing on that has to wait takes part in the race. A message meets the same fate either way: its first step comes
before anything that the other three could do.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any

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
        try:
            waits_for = first.send(None)
        except BaseException as ended:
            for other in others:
                if isinstance(other, Coroutine):
                    other.close()
            if not isinstance(ended, StopIteration):
                raise
            return WaitResults([first], [ended.value], False)
        return await super().wait_first(_Begun(first, waits_for).end(), *others)


@dataclass(frozen=True, slots=True)
class _Begun:
    """A coroutine whose first step is made, and what it waits for since."""

    coroutine: Coroutine[Any, Any, Any]
    waits_for: Any

    async def end(self) -> Any:
        return await self

    def __await__(self) -> Generator[Any, Any, Any]:
        waits_for = self.waits_for
        while True:
            try:
                answer = yield waits_for
            except BaseException as error:  # Such as being cancelled, which is the coroutine's to hear.
                step = partial(self.coroutine.throw, error)
            else:
                step = partial(self.coroutine.send, answer)
            try:
                waits_for = step()
            except StopIteration as ended:
                return ended.value
