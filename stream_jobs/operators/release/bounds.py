"""Is a metric worse by more than is allowed, surely not, or not known? Shares and means, at any look.

The excess is how much worse the candidate is beyond what is allowed. Its interval takes the variance by units where the
family tells their squares, or how windows scatter where that is more (units of one window need not be independent); where
nobody tells squares, windows alone (`anytime_few.student_radius`). Shares of few events have bounds that need no variance;
those and the others have half of alpha each, so both may be used at every look. So have parts of what comes by the dozen, of
which neither side has any: windows that never varied say nothing, but units without a single event do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from schemas.arrays import Flags, Floats
from schemas.canary import WatchedMetric
from stream_jobs.operators.release.anytime import Bounds, evidence, mixture_radius
from stream_jobs.operators.release.anytime_few import share_bounds, student_radius
from stream_jobs.operators.release.pairs import PairedSums

EVENTS_RICH = 20
"""Events, and as many units without, that each side has before its share is taken for normal."""
SCATTER_WINDOWS = 8
"""Windows from which on their scatter is held against what units explain: of fewer it is noise."""
GUESSED_VARIATION_SQ = {"share": 0.5, "mean": 0.01, "quantile": 0.1}
"""Until then it is guessed: the squared coefficient of variation of a window's own rate around the common one. Few events in a
window are taken for nearly independent, many for a bad minute."""
NONE_SEEN = 3.0
"""Events that there may have been where none was: the rule of three."""

LONGER_TIMES = 2.0
"""How many times as long as all of them units with events are taken to be, in what is counted, where nobody saw one."""


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of one metric of n slices. `excess` bounds how much worse than allowed the candidate is."""

    baseline: Floats
    candidate: Floats
    allowed: Floats
    excess: Bounds
    is_worse: Flags
    is_inside: Flags
    by_events: Flags
    """Whether sparse events alone say that it is worse."""


OUTAGE_TIMES = 20
"""How many times what is allowed an outage is: what other bounds are sharpest for."""


def judged(watched: WatchedMetric, sums: PairedSums, alpha: Floats) -> Found:
    """Bounds of every slice, `alpha` being what is spent on each."""
    baseline, candidate = sums.baseline.ratio, sums.candidate.ratio
    allowed = _allowed(watched, baseline)
    is_share = watched.metric.kind == "share"
    is_halved = is_share or watched.metric.is_part
    excess = _by_variance(watched, sums, allowed, alpha / 2 if is_halved else alpha)
    by_events = np.zeros(len(baseline), dtype=np.bool_)
    if is_share:
        few, by_events = _by_events(watched, sums, alpha / 2)
        is_rich = _is_rich(sums)
        low, high = (np.where(is_rich, one, other) for one, other in ((excess.low, few.low), (excess.high, few.high)))
        excess = Bounds(low, high)
        by_events &= ~is_rich
    excess = known(excess)
    if watched.metric.is_part:
        excess = Bounds(excess.low, np.fmin(excess.high, _where_none_was_seen(watched, sums, alpha / 2)))
    by_events &= ~(excess.low > 0)
    return Found(baseline, candidate, allowed, excess, (excess.low > 0) | by_events, excess.high <= 0, by_events)


def known(bounds: Bounds) -> Bounds:
    """Infinite where there is no bound."""
    low, high = (np.where(np.isnan(each), none, each) for each, none in ((bounds.low, -np.inf), (bounds.high, np.inf)))
    return Bounds(low, high)


def _allowed(watched: WatchedMetric, baseline: Floats) -> Floats:
    """By how much the metric may be worse, in its own unit."""
    if watched.allowed_ratio is None:
        return np.full_like(baseline, watched.allowed_delta or 0.0)
    return np.asarray(watched.allowed_ratio * np.fmax(baseline, watched.floor) - baseline, dtype=np.float64)


def _by_variance(watched: WatchedMetric, sums: PairedSums, allowed: Floats, alpha: Floats) -> Bounds:
    """The excess over the allowed difference, or over the allowed ratio of the baseline or its floor, whichever is more."""
    half = _radius(watched, sums, allowed, alpha)
    beyond = sums.difference - (watched.allowed_delta or 0.0)
    if watched.floor:
        # Better than the floor's ratio is inside, whatever the baseline's own is: both have to be passed.
        beyond = np.fmin(beyond, sums.candidate.ratio - (watched.allowed_ratio or 1.0) * watched.floor)
    return Bounds(beyond - half, beyond + half)


def _radius(watched: WatchedMetric, sums: PairedSums, allowed: Floats, alpha: Floats) -> Floats:
    """Half the interval's width. A scatter that a dozen windows told is itself uncertain, and tails of t do not shrink with alpha as
    normal ones do: so it never counts alone, but beside what t says of the windows, or what was guessed of them, if that is more.
    """
    by_units, by_windows = sums.unit_variance, sums.window_variance
    guessed, measured = _guessed_and_measured(watched, sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        effective = np.minimum(sums.w**2 / sums.w_sq, sums.windows)
        few = student_radius(np.sqrt(by_windows), np.nan_to_num(effective, nan=0.0), alpha)
        sharp_at = np.where(allowed > 0, allowed, 0.1 * np.fmax(np.abs(sums.baseline.ratio), 1e-9))
        # Half of alpha each: bounds that are sharp for what is allowed would let an outage wait.
        radius, careful = (
            np.fmin(
                *(mixture_radius(1 / (by_units * each), alpha / 2, sharp_at * times) for times in (1, OUTAGE_TIMES))
            )
            for each in (measured, np.fmax(guessed, measured))
        )
    beside = np.where(measured > guessed, few, np.fmin(few, careful))
    radius = np.where(sums.windows >= SCATTER_WINDOWS, np.fmax(radius, beside), careful)
    # What never varied at all is not known to be exact: it may be that nobody counts it.
    few = np.where(by_windows > 0, few, np.inf)
    return np.where(np.isnan(by_units), few, np.where(by_units > 0, radius, np.inf))


def never_varied(sums: PairedSums) -> Flags:
    """Whether nobody tells how units vary, and windows of neither side ever did: nothing bounds what that is worth."""
    return np.asarray(np.isnan(sums.unit_variance) & ~(sums.window_variance > 0) & (sums.windows > 1), dtype=np.bool_)


def dispersion(watched: WatchedMetric, sums: PairedSums) -> Floats:
    """How many times more windows scatter than independent units would, at least 1; guessed while windows are few.

    A window whose rate has coefficient of variation c adds (c x rate)^2 on either side to the variance of its difference.
    """
    guessed, measured = _guessed_and_measured(watched, sums)
    return np.where(sums.windows >= SCATTER_WINDOWS, measured, np.fmax(guessed, measured))


def _guessed_and_measured(watched: WatchedMetric, sums: PairedSums) -> tuple[Floats, Floats]:
    with np.errstate(divide="ignore", invalid="ignore"):
        # A baseline without errors may have a bad minute too: nobody saw that it has none.
        seen = np.fmax(sums.baseline.ratio, NONE_SEEN / sums.baseline.denominator)
        before = np.fmax(seen, np.fmax(watched.floor, watched.allowed_delta or 0.0))
        own = 2 * GUESSED_VARIATION_SQ[watched.metric.kind] * before * sums.candidate.ratio
        guessed = 1 + own / (sums.windows * sums.unit_variance)
        measured = np.fmax(sums.window_variance / sums.unit_variance, 1.0)
    guessed, measured = (np.where(np.isfinite(each), each, 1.0) for each in (guessed, measured))
    return guessed, measured


def _where_none_was_seen(watched: WatchedMetric, sums: PairedSums, alpha: Floats) -> Floats:
    """How much worse than allowed the candidate is at most where neither side has a single event; infinite elsewhere.

    By units as independent: a share of theirs, which none of so many bounds, may have events, and holds at most `LONGER_TIMES`
    as much as its number would of what is counted, all of it bad. The baseline may have none.
    """
    share = share_bounds(np.zeros_like(sums.windows), sums.candidate.units, alpha).high
    at_most = np.minimum(LONGER_TIMES * share, 1.0)
    within = (watched.allowed_delta or 0.0) if watched.allowed_ratio is None else watched.allowed_ratio * watched.floor
    is_none = (sums.candidate.numerator == 0) & (sums.baseline.numerator == 0)
    is_none &= (sums.candidate.denominator > 0) & (sums.baseline.denominator > 0) & (sums.windows >= SCATTER_WINDOWS)
    return np.where(is_none, at_most - within, np.inf)


def _is_rich(sums: PairedSums) -> Flags:
    sides = (sums.candidate, sums.baseline)
    fewest = [np.minimum(each.numerator, each.denominator - each.numerator) for each in sides]
    return np.asarray(np.minimum(*fewest) >= EVENTS_RICH, dtype=np.bool_)


def _by_events(watched: WatchedMetric, sums: PairedSums, alpha: Floats) -> tuple[Bounds, Flags]:
    """Bounds of the excess of shares, and whether a ratio of rates is surely above the allowed one."""
    times = dispersion(watched, sums)
    of_each = alpha / 2 if watched.allowed_ratio is None else alpha / 4  # The rest is the evidence's.
    mine, others = (
        share_bounds(side.numerator / times, side.denominator / times, of_each)
        for side in (sums.candidate, sums.baseline)
    )
    if watched.allowed_ratio is None:
        delta = watched.allowed_delta or 0.0
        return Bounds(mine.low - others.high - delta, mine.high - others.low - delta), np.zeros_like(times, np.bool_)
    ratio, floor = watched.allowed_ratio, watched.floor
    bounds = Bounds(mine.low - ratio * np.fmax(others.high, floor), mine.high - ratio * np.fmax(others.low, floor))
    surely = evidence(sums.events / times[:, None]) >= 2 / alpha
    return bounds, surely & (mine.low > ratio * floor)
