"""How far a shard has come, as the watches of `turnwatch bench questions` are told: everything is decided at once."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.families import Family

START_MS = 1_790_000_000_000 // 3_600_000 * 3_600_000


@dataclass
class Now:
    """A `Known` that is moved on from round to round."""

    now_ms: int = START_MS

    def is_open(self, family: Family, bucket_start_ms: int) -> bool:
        return bucket_start_ms + family.lateness_s * 1_000 >= self.now_ms

    def decidable_until_ms(self, family: Family) -> int:
        return self.now_ms

    def completeness(self, family: Family, bucket_end_ms: int) -> float:
        return 1.0
