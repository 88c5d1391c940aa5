"""Surprises: what goes wrong where Faust would swallow it.

Whatever a table's store raises, Faust logs and forgets: its worker stays, with its partitions and without their state,
and does nothing. So a store raises nothing. It keeps the first error, and whoever supervises the worker waits for that
beside everything else, also while Faust is still starting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

NOT_OURS = (KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError)
"""What asks to end, and is no surprise. All else is one, also what polars panics with, which is no `Exception`."""


@dataclass(slots=True)
class Surprise:
    """The first error of one stage's store."""

    error: BaseException | None = None
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keeps what is raised within, and raises nothing."""
        try:
            yield
        except NOT_OURS:
            raise
        except BaseException as error:
            self.keep(error)

    def keep(self, error: BaseException) -> None:
        if self.error is None:
            self.error = error
            self._came.set()

    def check(self) -> None:
        """Raises what was kept, if anything was."""
        if self.error is not None:
            raise self.error

    async def raised(self) -> None:
        """Waits for the surprise, for ever if none comes, and raises it."""
        await self._came.wait()
        self.check()
