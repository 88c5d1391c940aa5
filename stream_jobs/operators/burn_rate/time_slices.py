"""Time slices: minutes that are good or bad, for objectives whose budget is of minutes (OpenSLO: `Timeslices`).

A minute with turns counts 1, and is bad where its share of bad turns is above 1 - `timeSliceTarget`. The history keeps such
minutes in columns of their own, one for each indicator and target that any objective asks for, assigned from the minute's
turns whenever those change; coarser buckets, windows and counters then add up minutes as they add up turns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from schemas.arrays import Floats
from schemas.slos import TIME_SLICE_S, LowTraffic, Slo, WatchedSlo
from stream_jobs.operators.burn_rate.arithmetic import exceeds, shares
from stream_jobs.operators.burn_rate.evidence import share_at_least
from stream_jobs.operators.burn_rate.history import TIME_SLICES, Counts


def column_of(slo: Slo) -> str:
    """The column of the history that counts for an objective: its indicator's turns, or the minutes that its target judges."""
    if slo.time_slice_target is None:
        return slo.indicator.name
    return f"{TIME_SLICES}{slo.indicator.name}|{format(slo.time_slice_target.normalize(), 'f')}"


def slices_by_column(watched: Iterable[WatchedSlo]) -> dict[str, tuple[str, Decimal]]:
    """Indicator and target of every column of minutes that these objectives ask for."""
    return {
        column_of(each.slo): (each.slo.indicator.name, each.slo.time_slice_target)
        for each in watched
        if each.slo.time_slice_target is not None
    }


def judgeable(watched: WatchedSlo) -> WatchedSlo:
    """The objective with the rows that minutes can judge: one whose short window is below a time slice is passed over."""
    if watched.slo.time_slice_target is None:
        return watched
    return replace(watched, rows=tuple(row for row in watched.rows if row.short_s >= TIME_SLICE_S))


def slice_counts(turns: Counts, target: Decimal) -> Counts:
    """Minutes told from their turns (bad, total), both of shape (n, 2): 1 where there were turns, bad where too few were good.

    >>> slice_counts(np.array([[5, 100], [6, 100], [0, 0]]), Decimal("0.95")).tolist()
    [[0, 1], [1, 1], [0, 0]]
    """
    return np.stack([exceeds(turns, 1 - target), turns[:, 1] > 0], axis=1).astype(np.int64)


def minutes_are_evident(
    turns: Counts,
    minutes: Counts,
    thresholds: Floats,
    allowed: Decimal,
    budgets: Floats,
    rule: LowTraffic,
) -> NDArray[np.bool_]:
    """Whether long windows hold enough failures to wake somebody, by their turns and their minutes, of shape (n, 2) each.

    `thresholds` are the row's, as shares of minutes, `allowed` is the share of turns that a minute may have bad, and
    `budgets` are the minutes that each period may have bad; not a number where that is not known yet. Enough are
    `bad_events_min` bad turns, that weigh something in the budget, and that chance does not explain: the lower bound of
    the turns' bad share is above what a minute may have, or that of the minutes' above the row's threshold and what chance
    makes of the turns. Why: docs/decisions/0014-time-slices.md.
    """
    bad = turns[:, 0]
    many = bad >= 10 * rule.bad_events_min
    with np.errstate(invalid="ignore"):
        weighs = many | (minutes[:, 0] >= float(rule.budget_share_min) * budgets)
    by_turns = share_at_least(turns, rule.confidence) > float(allowed)
    by_minutes = share_at_least(minutes, rule.confidence) > thresholds + bad_by_chance(turns, minutes, allowed)
    return np.asarray((bad >= rule.bad_events_min) & weighs & (by_turns | by_minutes), dtype=np.bool_)


def bad_by_chance(turns: Counts, minutes: Counts, allowed: Decimal) -> Floats:
    """The share of minutes that chance alone makes bad, were every turn bad with the window's own share of bad turns.

    That is the binomial tail above what a minute of mean traffic may have bad; of at least one turn, since fewer are none.
    Between whole turns it is taken as the larger side.

    >>> bad_by_chance(np.array([[3, 60]]), np.array([[3, 60]]), Decimal("0.1")).round(3).tolist()
    [0.05]
    """
    mean = turns[:, 1] / np.maximum(minutes[:, 1], 1)
    at_least = np.maximum(1.0, mean * float(allowed))
    return np.asarray(betainc(at_least, np.maximum(mean - at_least, 0) + 1, shares(turns)), dtype=np.float64)
