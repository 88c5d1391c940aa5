"""Which figure of which slice got worse than its reference, since when: hour by hour, for tickets and for whoever asks.

Labelled quality, what became of turns, and the shape of stages' latencies are compared with what they were (`drift_references.py`),
slice by slice (`drift_ratios.py`, `drift_shapes.py`), and followed over time (`drift_series.py`). A change is one finding from
when it is found until it is over; a page is never made of it. Every hour of every figure is a row of `drift_1h`, which says
so where there is not enough to say anything.

Families are decided at their own pace, and each is judged as its hours are. What is found is stated every ten minutes.
False alarms of a week are divided over shards and families.

Why so: docs/decisions/0019-drift-hour-by-hour.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pyarrow as pa

from schemas.drift_measures import RATIOS
from schemas.drift_policies import STANDARD, DriftPolicy
from schemas.families import OUTCOMES, QUALITY, STAGE_LATENCIES, TENANTS, Family
from schemas.findings import LISTED_MAX, Findings
from schemas.instants import HOUR_MS, MINUTE_MS
from schemas.tables import TABLES
from schemas.topics import FINDINGS
from stream_jobs.operators.drift.buckets import Spans
from stream_jobs.operators.drift.family import DriftFamily, Share
from stream_jobs.operators.drift.figures import Figures, Ratios, Shapes
from stream_jobs.operators.drift.slices import DriftSlices
from stream_jobs.operators.drift.wording import finding
from stream_jobs.operators.totals.blocks import Block, body, pack_json, stamped, unpack_json
from stream_jobs.operators.watching import Known, Statement

QUESTION = "drift"
TABLE = "drift_1h"
HOLDS_S = 3 * 3_600
"""A statement comes with each decided hour at the latest; after three hours without one, nobody knows."""
STATED_EVERY_MS = 10 * MINUTE_MS
SLICES_MAX = 1_000
"""Of a family in a shard."""
SHAPE_SLICES_MAX = 100
"""Histograms take twenty times as much memory as ratios."""
_DAYS_KEPT = 7
_OF_MINUTES = Spans(MINUTE_MS, 65 * MINUTE_MS, 63 * MINUTE_MS, (_DAYS_KEPT * 24 + 2) * HOUR_MS)
"""Of a family that tells minutes: a source partition may lag an hour behind, and three minutes are its lateness and slack."""
_OF_LABELS = Spans(HOUR_MS, 77 * HOUR_MS, 6 * HOUR_MS, (_DAYS_KEPT * 24 + 78) * HOUR_MS)
"""Of `quality`: three days of lateness, an hour, and three more for a source partition that lags."""
_STATED = f"{QUALITY.name}|decided|{QUESTION}|stated".encode()


class DriftWatch:
    """The figures of one shard's slices: a `Watch` of labelled quality, outcomes, tenants and stage latencies."""

    families = (QUALITY, OUTCOMES, TENANTS, STAGE_LATENCIES)

    def __init__(self, shard: int, shards: int, policy: DriftPolicy = STANDARD, slices_max: int = SLICES_MAX) -> None:
        self._shard, self._policy = shard, policy
        figures = _figures(policy)
        share = Share(policy, shards * max(1, len(figures)))
        self._of = {
            family.name: DriftFamily(
                f"{QUALITY.name}|{QUESTION}|{family.name}",
                figures[family.name],
                DriftSlices(family, min(slices_max, SHAPE_SLICES_MAX) if family is STAGE_LATENCIES else slices_max),
                _OF_LABELS if family is QUALITY else _OF_MINUTES,
                share,
            )
            for family in self.families
            if family.name in figures
        }
        self._decided_ms = dict.fromkeys(self._of, 0)
        self._stated_ms = 0
        self._is_unsaved = False

    @property
    def left_out(self) -> int:
        """Slices that are not watched, being too many; of histograms there is room for fewer."""
        return max((each.left_out for each in self._of.values()), default=0)

    def tell(self, family: Family, totals: pl.DataFrame, oldest_open_ms: int) -> None:
        """Takes whole buckets as they are known now; each replaces what was told of it."""
        if family.name in self._of and len(totals):
            self._of[family.name].tell(totals)

    def rows(self) -> Iterator[tuple[str, pa.Table]]:
        """Rows of `drift_1h`: of the hours that were decided when `statements` was asked last, and of those that changed."""
        for name, each in self._of.items():
            for found in each.judge(self._decided_ms[name]):
                told = found.to_arrow(compat_level=pl.CompatLevel.oldest())
                yield TABLE, told.cast(TABLES[TABLE].arrow_schema)

    def statements(self, known: Known) -> Iterator[Statement]:
        """All that drifts, every ten minutes of event time."""
        families = [family for family in self.families if family.name in self._of]
        self._decided_ms = {family.name: known.decidable_until_ms(family) for family in families}
        decided_ms = max(self._decided_ms.values(), default=0) // STATED_EVERY_MS * STATED_EVERY_MS
        if decided_ms <= self._stated_ms:
            return
        self._stated_ms, self._is_unsaved = decided_ms, True
        judged = [(family, self._of[family.name].judged_ms) for family in families]
        shares = [known.completeness(family, end_ms) for family, end_ms in judged if end_ms]
        if shares:
            yield Statement(FINDINGS, self._findings(decided_ms, min(shares)).model_dump_json().encode())

    def unsaved_blocks(self, applied_offset: int) -> Iterator[Block]:
        """What changed since the last call, stamped with the newest offset applied."""
        for name, each in self._of.items():
            yield from each.unsaved_blocks(applied_offset, self._decided_ms[name])
        if self._is_unsaved:
            yield Block(_STATED, stamped(applied_offset, pack_json(self._stated_ms)))
            self._is_unsaved = False

    def forgotten_blocks(self) -> Iterator[Block]:
        """The keys of what is kept no more."""
        for each in self._of.values():
            yield from each.forgotten_blocks()

    def restore(self, stored: dict[bytes, bytes]) -> None:
        """Takes up what `unsaved_blocks` wrote, among other blocks."""
        for each in self._of.values():
            each.restore(stored)
        if _STATED in stored:
            self._stated_ms = int(unpack_json(body(stored[_STATED])))

    def _findings(self, decided_ms: int, completeness: float) -> Findings:
        drifting = sorted(
            (each for family in self._of.values() for each in family.drifting()),
            key=lambda each: (-each.evidence, each.slice, each.measure),
        )
        return Findings(
            question=QUESTION,
            shard=self._shard,
            decided_ms=decided_ms,
            completeness=completeness,
            holds_s=HOLDS_S,
            findings=tuple(finding(each, self._policy) for each in drifting[:LISTED_MAX]),
            unlisted=max(0, len(drifting) - LISTED_MAX),
        )


def _figures(policy: DriftPolicy) -> dict[str, Figures]:
    """By family what it is watched for; a family of which nothing is watched is left out."""
    found: dict[str, Figures] = {}
    for family in (QUALITY, OUTCOMES, TENANTS):
        watched = [each for each in policy.ratios if RATIOS[each.name].family is family]
        if watched:
            found[family.name] = Ratios(watched)
    if policy.shapes:
        found[STAGE_LATENCIES.name] = Shapes(policy.shapes)
    return found
