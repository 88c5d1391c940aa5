"""Where reading begins anew: at the committed offset, and at the beginning of a partition that has none.

While partitions change hands Faust drops records that it has fetched already, and seeks back to what is committed. It
leaves a partition alone whose offsets nobody has committed yet, so what it dropped there would never be read: the first
records of a new topic, when workers join as it fills. (Seen by `turnwatch bench faults`: the first window of half of the
producers, lost without a word.) Therefore the seek is completed here, and it is kept where reading has to begin, so that
a stage can tell a record that comes first from one that comes after a gap. What retention removed before it was read is
such a gap: reading has to begin at what is committed, wherever the log begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from stream_jobs.agents.handing_on import PromptConsumer


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where reading of a partition has to begin, and the oldest record that Kafka still has of it."""

    offset: int
    kept_from: int

    @property
    def removed(self) -> int:
        """Records that retention removed before they were read."""
        return max(0, self.kept_from - self.offset)


class RewindingConsumer(PromptConsumer):
    """A consumer of which every source partition begins at a known offset."""

    logger = driver.logger  # What it says stays where Faust's consumers say it.

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._begins: dict[TP, Beginning] = {}
        self._generation = -1

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seeks source partitions to what comes next, also those that nobody has committed."""
        generation = self.app.consumer_generation_id
        committed = await super().seek_to_committed()
        sources = [tp for tp in committed if not self._is_changelog_tp(tp)]
        if sources:
            earliest = await self.earliest_offsets(*sources)
            await self.seek_wait({tp: earliest[tp] for tp in sources if not committed[tp]})
            self._begins = {tp: _beginning(committed[tp], earliest[tp]) for tp in sources}
            self._generation = generation
        return committed

    def begins(self, tp: TP) -> Beginning | None:
        """Where to begin since partitions were given out last; nothing until it has been sought."""
        return self._begins.get(tp) if self._generation == self.app.consumer_generation_id else None


def _beginning(committed: int | None, earliest: int) -> Beginning:
    return Beginning(earliest if committed is None else committed, earliest)
