"""The orderly end of a worker: what was taken in is applied, saved and committed, then what was decided on it is told.

Whoever asks a worker to stop waits for it, and kills it when it takes too long. So there is one bound for all of it, and
each step has until its share of the bound: the stages, the pager and whoever runs beside them, leaving the group. A step
that does not need its time leaves it to the next. Nothing that is cut short is lost: what was not saved is read again,
and what was not told is told by whoever goes on.

A failure on the way is a failure of the worker, as at any other time. Then nothing is told: what the stages decided last
may not be saved.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka.errors import KafkaError

from stream_jobs.agents.diversion import Halted
from stream_jobs.agents.pulse import StageFailure

log = logging.getLogger("turnwatch.worker")

STOP_WITHIN_S = 25.0
"""What the settings say, too: less than what supervisors wait before they kill. Kubernetes and our compose file: 30 s."""
SAVED_BY, TOLD_BY, LEFT_BY = 0.4, 0.7, 0.9
"""Shares of the bound by which the stages have saved, pages are told and companions have ended, and the group is left."""

Task = asyncio.Task[None]


@dataclass(frozen=True, slots=True)
class Deadline:
    """When an end that was asked for just now has to be over."""

    within_s: float
    asked_s: float = field(default_factory=time.monotonic)

    def left_s(self, share: float) -> float:
        return max(0.0, self.asked_s + share * self.within_s - time.monotonic())


@dataclass(frozen=True, slots=True)
class Ending:
    """What runs when a worker is asked to stop, all but the pager having heard it; `commit` says how far stages have come."""

    stages: Sequence[Task]
    companions: Sequence[Task]
    watches: Sequence[Task]
    """They end by failing only."""
    commit: Callable[[], Awaitable[None]]
    pager: Task
    stop_pager: asyncio.Event

    async def drain(self, deadline: Deadline) -> None:
        """Raises what failed meanwhile. Stages are waited for, not cancelled: what is saved whole is not read again."""
        await _waited(self.stages, deadline.left_s(SAVED_BY))
        _raise_failures([*self.stages, *self.watches])
        _require_ended(self.stages, deadline)
        await self._committed(deadline)
        self.stop_pager.set()
        await _waited([self.pager, *self.companions], deadline.left_s(TOLD_BY))
        _raise_failures([self.pager, *self.companions, *self.watches])
        if not self.pager.done():
            log.warning("pages_untold: Alertmanager took too long; whoever goes on with the state tells it.")
        for companion in self.companions:
            if not companion.done():
                log.warning("stop_cut_short: %s has not ended in time; it is read again.", companion.get_name())

    async def _committed(self, deadline: Deadline) -> None:
        try:
            async with asyncio.timeout(deadline.left_s(TOLD_BY)):
                await self.commit()
        except TimeoutError:
            raise StageFailure(
                "Kafka did not confirm the offsets of what was saved before the worker had to end: it is read again, "
                "which changes nothing."
            ) from None


async def _waited(tasks: Iterable[Task], timeout_s: float) -> None:
    if tasks := list(tasks):
        await asyncio.wait(tasks, timeout=timeout_s)


def _raise_failures(tasks: Iterable[Task]) -> None:
    """Logs every failure and raises one of them; a halt before others, for somebody has to be told."""
    failed = [task for task in tasks if task.done() and not task.cancelled() and task.exception() is not None]
    for task in failed:
        log.error("stop_failed: %s: %s", task.get_name(), str(task.exception()) or type(task.exception()).__name__)
    for task in sorted(failed, key=lambda task: not isinstance(task.exception(), Halted)):
        raise_failure(task)


def raise_failure(task: asyncio.Task[Any]) -> None:
    """Raises what a task that is done ended with, if it failed."""
    error = task.exception()
    if isinstance(error, KafkaError):  # Weather, not a defect.
        raise StageFailure(
            f"Kafka went away while the worker was busy ({task.get_name()}: {type(error).__name__}): "
            "start the worker anew once Kafka is there; it goes on from what is saved."
        ) from error
    if error is not None:
        raise error


def _require_ended(stages: Iterable[Task], deadline: Deadline) -> None:
    late = [task.get_name() for task in stages if not task.done()]
    if late:
        raise StageFailure(
            f"Asked to stop, {' and '.join(late)} did not save within {SAVED_BY * deadline.within_s:.0f} s: what is not "
            "saved is read again by whoever goes on. If Kafka is well, raise TURNWATCH_STOP_WITHIN_S."
        )
