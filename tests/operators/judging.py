"""Counts of slices judged at one instant, without a stream before them; and the same judged once more, slice by slice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import polars as pl

from schemas.burns import Burn, Quiet
from schemas.slices import cut_of
from schemas.slos import PolicyRow, Severity, WatchedSlo
from stream_jobs.operators.burn_rate.error_budget import HISTORY_KNOWN_MS
from stream_jobs.operators.burn_rate.history import History
from stream_jobs.operators.burn_rate.judging import judge, strongest
from stream_jobs.operators.burn_rate.pending import pending
from stream_jobs.operators.burn_rate.windows import Watch, Windows, is_coarse
from stream_jobs.operators.totals.slice_numbers import SliceNumbers
from tests.operators.evidence_twin import evidence_is_enough

END_MS = 1_700_006_400_000
"""A midnight, so that windows of every length begin on a bucket of their resolution."""

Alert = tuple[str, Severity]
"""Slice and severity."""
Turns = tuple[int, int]
"""Bad and total."""
Told = Mapping[str, Mapping[int, Turns]]
"""Counts by slice and by how many seconds before the end their bucket of 10 s began."""


Rows = tuple[dict[Alert, str], dict[Alert, str], set[Alert], set[Alert]]
"""By which row each burns or is held; and what is holding, and quiet."""


@dataclass
class Said:
    burns: dict[Alert, Burn] = field(default_factory=dict)
    held: dict[Alert, Burn] = field(default_factory=dict)
    holding: set[Alert] = field(default_factory=set)
    quiet: set[Alert] = field(default_factory=set)
    left_out: int = 0

    @property
    def rows(self) -> Rows:
        """By which row each burns or is held; and what is listed without one."""
        burns, held = ({alert: burn.row for alert, burn in each.items()} for each in (self.burns, self.held))
        return burns, held, self.holding, self.quiet


def judged(watched: WatchedSlo, told: Told) -> Said:
    """What a shard would state at `END_MS`."""
    texts = list(told)
    history, slices = History(["turns"], watched.slo.period_s), SliceNumbers(watched.slo.period_s * 1_000)
    for text, buckets in told.items():
        first_ms = END_MS - max(buckets) * 1_000
        slices.hear(pl.DataFrame({"slice": [text], "bucket_start_ms": [first_ms]}))
    for number, buckets in enumerate(told.values()):
        _fill(history, number, buckets)
    windows = Windows(history, END_MS, END_MS, slices.by_minute)
    cuts = np.array([watched.slo.cuts.index(cut_of(text)) for text in texts], dtype=np.int64)
    coarse = np.array([is_coarse(text) for text in texts])
    watch = Watch(watched, 0, np.arange(len(texts)), coarse, cuts)
    found = judge(watch, windows, slices)
    waiting = pending([watch], [found], windows, slices)
    return Said(
        _by_alert(strongest(found.burns)), _by_alert(waiting.held), _listed(waiting.holding), _listed(found.quiet),
        waiting.left_out,
    )  # fmt: skip


def twin(watched: WatchedSlo, told: Told) -> Rows:
    """The same from the text of the policy, one slice and row after the other, with fractions."""
    quiet: set[Alert] = set()
    rows: dict[str, dict[Alert, tuple[Fraction, int, str]]] = {"burns": {}, "held": {}}
    keeps: set[Alert] = set()
    part = Fraction(watched.life.resolve_below)
    for text, buckets in told.items():
        for row in watched.rows:
            alert = (text, row.severity)
            long, short = _within(buckets, row.long_s), _within(buckets, row.short_s)
            fires_at = _fires_at(watched, row, _within(buckets, watched.slo.period_s))
            if _share(long) > part * fires_at and short[1] == 0:
                quiet.add(alert)
            if min(_share(long), _share(short)) > part * fires_at and _evident(watched, row, buckets, part * fires_at):
                keeps.add(alert)
            if min(_share(long), _share(short)) > fires_at:
                kind = "burns" if _evident(watched, row, buckets, fires_at) else "held"
                mine = (-_share(long), row.long_s, row.name)
                rows[kind][alert] = min(mine, rows[kind].get(alert, mine))
    burns = {alert: name for alert, (_, _, name) in rows["burns"].items()}
    held = {alert: name for alert, (_, _, name) in rows["held"].items() if alert not in burns}
    return burns, held, keeps - burns.keys() - held.keys(), quiet


def _fires_at(watched: WatchedSlo, row: PolicyRow, period: Turns) -> Fraction:
    rate = 1 - Fraction(watched.slo.objective)
    if row.kind != "exhausts":
        return Fraction(row.threshold)
    assert row.within_s is not None
    left = 1 - _share(period) / rate
    return rate * max(Fraction(1), left * watched.slo.period_s / row.within_s)


def _evident(watched: WatchedSlo, row: PolicyRow, buckets: Mapping[int, Turns], share: Fraction) -> bool:
    if row.kind == "any_event":
        return True
    history_ms = min(max(buckets), watched.slo.period_s) * 1_000
    expected: float | None = None
    if history_ms >= HISTORY_KNOWN_MS:
        whole = watched.slo.period_s * 1_000 / history_ms
        expected = _within(buckets, watched.slo.period_s)[1] * whole * float(watched.slo.budget_rate)
    return evidence_is_enough(*_within(buckets, row.long_s), share, expected, watched.low_traffic)


def _within(buckets: Mapping[int, Turns], length_s: int) -> Turns:
    found = [turns for age_s, turns in buckets.items() if age_s <= length_s]
    return sum(bad for bad, _ in found), sum(total for _, total in found)


def _share(turns: Turns) -> Fraction:
    bad, total = turns
    return Fraction(bad, total) if total else Fraction(0)


def _fill(history: History, number: int, buckets: Mapping[int, Turns]) -> None:
    """The counts at every resolution, as the stream would have left them."""
    for level, resolution in enumerate(history.resolutions):
        sums: dict[int, np.ndarray[tuple[int], np.dtype[np.int64]]] = {}
        for age_s, turns in buckets.items():
            start_ms = resolution.start(END_MS - age_s * 1_000)
            sums[start_ms] = sums.get(start_ms, np.zeros(2, dtype=np.int64)) + np.array(turns)
        for start_ms, counts in sums.items():
            history.assign(level, start_ms, np.array([number]), counts.reshape(1, 1, 2))


def _by_alert(burns: Iterable[Burn]) -> dict[Alert, Burn]:
    found = list(burns)
    by_alert = {(burn.slice, burn.severity): burn for burn in found}
    assert len(by_alert) == len(found), "each is stated once"
    return by_alert


def _listed(listed: Iterable[Quiet]) -> set[Alert]:
    return {(each.slice, each.severity) for each in listed}
