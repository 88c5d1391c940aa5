"""What becomes of queues: how loaded they are, how long until waits break their objective, how many replicas are missing.

A queue that grows breaks its objective when whoever comes last has to wait for longer than the threshold: when depth
reaches threshold x service rate. At the present growth that takes (threshold x rate - depth) ÷ growth. Growth and rate
are means of the last minutes, each with a Student interval at half of the allowed error (Bonferroni), from which the
interval of the time follows. Little's law gives the wait where a queue neither grows nor shrinks, and only there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from schemas.arrays import Floats

MINUTES_MIN = 3
"""Fewest minutes that an interval is said from."""


@dataclass(frozen=True, slots=True)
class QueueMinutes:
    """Some minutes of n queues: arrays of shape (n, minutes), oldest first, and `depth` (n) at the end of the last one.

    `growth`: requests by which the queue grew in the minute. `busy_ms` and `available_ms`: of all replicas together.
    """

    depth: Floats
    growth: Floats
    arrivals: Floats
    served: Floats
    busy_ms: Floats
    available_ms: Floats


@dataclass(frozen=True, slots=True)
class Outlook:
    """Of n queues. Not a number says that it is unknown, infinity that it never comes to it.

    `utilisation`: busy time ÷ available time. `wait_s`: mean wait by Little's law, where the queue is stationary.
    `breaks_in_s`, with `soonest_s` and `latest_s`: until whoever comes last waits for longer than the threshold; 0 where
    they do already. `replicas_missing`: to serve at the wanted utilisation what arrived in the last minute.
    """

    utilisation: Floats
    wait_s: Floats
    breaks_in_s: Floats
    soonest_s: Floats
    latest_s: Floats
    replicas_missing: Floats


def outlook(
    minutes: QueueMinutes, threshold_s: float, target_utilisation: float = 0.7, confidence: float = 0.9
) -> Outlook:
    """How each queue goes on if nothing changes.

    Raises `ValueError` for a threshold that is not positive, or a utilisation outside (0, 1].
    """
    if not threshold_s > 0:
        raise ValueError(f"threshold_s is {threshold_s}; it has to be above 0.")
    if not 0 < target_utilisation <= 1:
        raise ValueError(f"target_utilisation is {target_utilisation}; it has to be above 0 and at most 1.")
    growth, rate = _mean(minutes.growth, confidence), _mean(minutes.served, confidence)
    threshold_min = threshold_s / 60
    with np.errstate(divide="ignore", invalid="ignore"):
        utilisation = minutes.busy_ms.sum(axis=1) / minutes.available_ms.sum(axis=1)
        arrivals = minutes.arrivals.mean(axis=1)
        is_stationary = (growth.low <= 0) & (growth.high >= 0) & (arrivals > 0)
        wait_s = np.where(is_stationary, minutes.depth / arrivals * 60, np.nan)
    return Outlook(
        utilisation,
        wait_s,
        _time_s(threshold_min * rate.middle - minutes.depth, growth.middle),
        _time_s(threshold_min * rate.low - minutes.depth, growth.high),
        _time_s(threshold_min * rate.high - minutes.depth, growth.low),
        _missing(minutes.arrivals[:, -1] * _service_min(minutes) / target_utilisation, minutes.available_ms),
    )


@dataclass(frozen=True, slots=True)
class _Mean:
    low: Floats
    middle: Floats
    high: Floats


def _mean(values: Floats, confidence: float) -> _Mean:
    count = values.shape[1]
    middle = values.mean(axis=1)
    if count < MINUTES_MIN:
        unknown = np.full(len(values), np.nan)
        return _Mean(unknown, middle, unknown)
    # Of Student's t: scipy.stats has it too, and takes half a second to load.
    quantile = float(stdtrit(count - 1, 1 - (1 - confidence) / 4))
    half = quantile * values.std(axis=1, ddof=1) / np.sqrt(count)
    return _Mean(middle - half, middle, middle + half)


def _time_s(room: Floats, growth: Floats) -> Floats:
    """Seconds until requests that come at `growth` a minute fill what room there is; 0 without room."""
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = np.where(growth > 0, room / growth * 60, np.inf)
    return np.where(np.isnan(room) | np.isnan(growth), np.nan, np.where(room <= 0, 0.0, needed))


def _service_min(minutes: QueueMinutes) -> Floats:
    """How long a replica took for each that was served in the last minute; where none was, in all of the minutes."""
    last_ms, last = minutes.busy_ms[:, -1], minutes.served[:, -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        of_all = minutes.busy_ms.sum(axis=1) / minutes.served.sum(axis=1)
        return np.where(last > 0, last_ms / last, of_all) / 60_000


def _missing(needed: Floats, available_ms: Floats) -> Floats:
    """Replicas beyond those that were there in the last minute; what rounds to a whole number is one."""
    there = available_ms[:, -1] / 60_000
    return np.where(np.isfinite(needed), np.maximum(np.ceil(needed - there - 1e-9), 0), np.nan)
