"""The stage that a page names: which of the growths that the shards state belongs to which alert.

It is that of the slice which explains the burn, or else that of the alert's own slice, stated at about the time the alert
began: up to two minutes before, because minutes are stated, and five after, because what grew shows better when it has
gone on for a while. The newest counts. From then on the alert keeps what it was given, so that a page still says what
grew when an hour has passed. A growth that comes after its alert is added at the next decision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from alerts.attribution import Explanation
from schemas.burns import Burn, StageGrowth
from schemas.growths import Growths
from schemas.slos import MINUTES

NAMED_BEFORE_MS = 120_000
NAMED_AFTER_MS = 300_000
_OF_TURNS = ("turns", MINUTES)
REMEMBERED_MS = 15 * 60_000
"""How far behind the newest statement of its shard another one is kept: decisions of a replay come later than growths."""

Statement = tuple[int, int]
"""A shard, and the instant its statement is of."""


@dataclass(frozen=True, slots=True)
class GrownStages:
    """What the shards stated within the last quarter of an hour of event time; at most 500 growths a statement.

    A restart forgets it: alerts that have their stage keep it, and the next minute's statement names the others'.
    """

    statements: Mapping[Statement, Mapping[str, StageGrowth]] = field(default_factory=dict)
    """The growths by slice."""

    def heard(self, growths: Growths) -> GrownStages:
        """With this statement; one of the same shard and instant is replaced."""
        statements = {
            **self.statements,
            (growths.shard, growths.decided_ms): {each.slice: each for each in growths.grown},
        }
        newest_ms = max(at_ms for shard, at_ms in statements if shard == growths.shard)
        is_old = {
            (shard, at_ms)
            for shard, at_ms in statements
            if shard == growths.shard and at_ms <= newest_ms - REMEMBERED_MS
        }
        return GrownStages({key: grown for key, grown in statements.items() if key not in is_old})

    def of(self, text: str, starts_ms: int) -> StageGrowth | None:
        """What grew in this slice when an alert began at `starts_ms`, as the newest statement of that time says."""
        found = [
            (at_ms, grown[text])
            for (_, at_ms), grown in self.statements.items()
            if text in grown and -NAMED_BEFORE_MS <= at_ms - starts_ms <= NAMED_AFTER_MS
        ]
        return max(found, key=lambda each: each[0])[1] if found else None

    def named(self, burn: Burn, explanation: Explanation | None, starts_ms: int) -> StageGrowth | None:
        """The growth that a page of this burn names: where several slices explain it, one that they have in common.

        A page that any bad turn makes, or of events that are no turns, is not for time that a turn took.
        """
        if burn.factor == 0 or burn.unit not in _OF_TURNS:
            return None
        explaining = explanation.slices if explanation is not None else ()
        found = [growth for text in explaining if (growth := self.of(text, starts_ms)) is not None]
        return _in_common(found) or self.of(burn.slice, starts_ms)


def _in_common(growths: Sequence[StageGrowth]) -> StageGrowth | None:
    """Of growths of one stage that which added most time in all; nothing where stages differ."""
    if len({growth.stage for growth in growths}) != 1:
        return None
    return max(growths, key=lambda growth: (growth.added_ms * growth.observed_now, growth.slice))
