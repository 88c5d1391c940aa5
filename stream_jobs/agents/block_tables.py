"""Faust tables whose values are blocks of a stage's state: what they keep while recovering, and whom they hand it to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import faust
from faust.stores import memory
from faust.types import TP, EventT

from schemas.failures import Foreseen
from stream_jobs.operators.totals.blocks import NOTHING_APPLIED, applied_offset, unreadable_state

if TYPE_CHECKING:
    from stream_jobs.agents.exact import Stage


class BlockStore(memory.Store[bytes, bytes]):
    """Keeps blocks by partition while a table recovers, then hands them to its stage."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._blocks: defaultdict[int, dict[bytes, bytes]] = defaultdict(dict)

    @property
    def _stage(self) -> Stage:
        assert isinstance(self.table, BlockTable)
        return self.table.stage

    def apply_changelog_batch(self, batch: Iterable[EventT[Any]], to_key: Any, to_value: Any) -> None:
        with self._stage.surprise.kept():
            for event in batch:
                message = event.message
                try:
                    self._keep(message.partition, message.key, message.value)
                except Foreseen as error:
                    raise self._stage.refused(message.partition, message.key, error) from None

    def _keep(self, partition: int, key: bytes | None, value: bytes | None) -> None:
        if key is None:
            raise unreadable_state("It has no key.")
        blocks = self._blocks[partition]
        if value is None:
            blocks.pop(key, None)
        elif applied_offset(value) >= (applied_offset(blocks[key]) if key in blocks else NOTHING_APPLIED):
            blocks[key] = value

    def persisted_offset(self, tp: TP) -> int | None:
        return -1  # Nothing is kept across a rebalance: every recovery reads the whole changelog.

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        self._blocks.clear()
        self._stage.let_go()

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        self.app.consumer.stop_flow()
        owned = {tp.partition: self._blocks.pop(tp.partition, {}) for tp in active_tps}
        self._blocks.clear()
        with self._stage.surprise.kept():
            self._stage.surprise.check()  # What was read is not whole then, and nothing may be made of it.
            self._stage.take_over(owned)
            await self._stage.check_judged()


class BlockTable(faust.Table[bytes, bytes]):
    """A table whose store is a `BlockStore`; `stage` is set by the stage that owns it."""

    stage: Stage

    def _new_store(self) -> BlockStore:
        return BlockStore(
            "memory://", self.app, self, table_name=self.name, key_type=bytes, value_type=bytes, loop=self.loop
        )
