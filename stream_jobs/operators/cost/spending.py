"""Spending: whether a success costs more than it did, a route costs and never succeeds, or a month will pass its budget.

Shards tell what each bucket of ten minutes cost (`schemas/spend.py`); one `Spending` hears all of them. A bucket is decided
once every shard has come past its end; a shard that is more than an hour behind is not waited for, but nothing ends without
it. What holds is stated with each decided bucket and judged with each decided hour: on whole hours, whose late data the next
judgement has in it.

Where judgements lie depends on the log alone, not on how it is read: `hear` one statement, then state what is due.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from schemas.findings import LISTED_MAX, Finding, Findings
from schemas.instants import HOUR_MS
from schemas.silences import LAGGING_MAX_MS
from schemas.spend import BUCKET_MS, Spend
from schemas.spend_policies import SpendPolicy
from stream_jobs.operators.cost.judging import judged
from stream_jobs.operators.cost.spend_hours import SpendHours
from stream_jobs.operators.totals.blocks import Block, body, pack_json, stamped, unpack_json

QUESTION = "cost"
HOLDS_S = 3_600
"""A statement comes every ten minutes; after so long without one, nobody knows."""
REMEMBERED_MAX = 1_500
"""Findings of which it is known since when they hold."""
_JUDGED = b"cost|judged"


class Spending:
    """State of a whole deployment of `shards`, and the operator on it."""

    def __init__(self, shards: int, policy: SpendPolicy) -> None:
        self._shards, self._policy = shards, policy
        self._hours = SpendHours()
        self._heard: dict[int, tuple[int, float]] = {}
        """By shard: the end of the newest bucket that it has decided, and on what share of volume."""
        self._stated_ms = 0
        self._judged_ms = 0
        self._since: dict[str, int] = {}
        """By name of a finding."""
        self._findings: list[Finding] | None = None
        self._is_unsaved = False

    @property
    def decided_ms(self) -> int:
        """Up to where every shard has come that is not left behind."""
        return min((end_ms for end_ms, _ in self._in_time()), default=0)

    @property
    def completeness(self) -> float:
        """The least share of volume that a shard has decided on; 0 while one is left behind, or was never heard of."""
        in_time = self._in_time()
        return min(share for _, share in in_time) if len(in_time) == self._shards else 0.0

    def hear(self, spend: Spend) -> int:
        """Takes in one statement of a shard; how many of its cells came after their hour was folded, and are left out."""
        too_late = self._hours.hear(spend.bucket_start_ms, pl.DataFrame(pl.from_arrow(spend.cells)))
        end_ms = spend.bucket_start_ms + BUCKET_MS
        is_decided = end_ms <= spend.decidable_until_ms and spend.part == spend.parts - 1
        if is_decided and end_ms >= self._heard.get(spend.shard, (0, 0.0))[0]:
            self._heard[spend.shard] = (end_ms, spend.completeness)
            self._is_unsaved = True
        return too_late

    def findings(self) -> Iterator[Findings]:
        """What holds, if a bucket was decided since the last call."""
        decided_ms = self.decided_ms
        if decided_ms <= self._stated_ms:
            return
        if decided_ms // HOUR_MS * HOUR_MS > self._judged_ms:
            self._judge(decided_ms // HOUR_MS * HOUR_MS)
        self._stated_ms, self._is_unsaved = decided_ms, True
        found = self._found()
        yield Findings(
            question=QUESTION,
            shard=0,
            decided_ms=decided_ms,
            completeness=self.completeness,
            holds_s=HOLDS_S,
            findings=tuple(found[:LISTED_MAX]),
            unlisted=max(0, len(found) - LISTED_MAX),
        )

    def unsaved_blocks(self, applied_offset: int) -> Iterator[Block]:
        """What changed since the last call, stamped with the newest offset applied; to be confirmed before `marker`."""
        yield from self._hours.unsaved_blocks(applied_offset)

    def marker(self, applied_offset: int) -> Iterator[Block]:
        """How far it has come, and the keys of what is kept no more."""
        if self._is_unsaved:
            content = [list(self._heard.items()), self._stated_ms, self._judged_ms, self._since]
            yield Block(_JUDGED, stamped(applied_offset, pack_json(content)))
            self._is_unsaved = False
        yield from self._hours.forgotten_blocks()

    def restore(self, stored: dict[bytes, bytes]) -> None:
        """Takes up what `unsaved_blocks` and `marker` wrote."""
        self._hours.restore(stored)
        if _JUDGED in stored:
            heard, self._stated_ms, self._judged_ms, self._since = unpack_json(body(stored[_JUDGED]))
            self._heard = {shard: (end_ms, share) for shard, (end_ms, share) in heard}
        self._findings = None

    def _in_time(self) -> list[tuple[int, float]]:
        newest_ms = max((end_ms for end_ms, _ in self._heard.values()), default=0)
        return [each for each in self._heard.values() if each[0] >= newest_ms - LAGGING_MAX_MS]

    def _judge(self, end_ms: int) -> None:
        self._judged_ms = end_ms
        self._findings = judged(self._hours, self._policy, self._since, end_ms)
        self._since = {each.name: each.since_ms for each in self._findings[:REMEMBERED_MAX]}
        self._hours.age(end_ms)

    def _found(self) -> list[Finding]:
        """What was judged last; judged again on the same hours after a start."""
        if self._findings is None:
            self._findings = judged(self._hours, self._policy, self._since, self._judged_ms)
        return self._findings
