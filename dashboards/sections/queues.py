"""Panels about queues: what is saturated, which queue it began with, and what holds it back."""

from __future__ import annotations

from dashboards.panels import Chart, Column, Figures, Grid, Place, Steps
from dashboards.queries import Query, queues
from dashboards.queries.queues import QUEUE_NAMES
from dashboards.queries.selection import SLICE_VARIABLES
from dashboards.sections.findings import findings
from dashboards.variables import STAGES_UID, drill_down
from schemas.indicators import INDICATORS
from schemas.saturation import GROWTH_PER_MINUTE, P95_MS, TARGET_UTILISATION

_ALLOWED_MS = next(each.threshold_ms for each in INDICATORS if each.stage == "queue_wait")
"""The wait that the objectives about waiting allow."""
assert _ALLOWED_MS is not None
_WAIT = Steps(ticket=float(_ALLOWED_MS), page=float(P95_MS))
_BUSY = Steps(ticket=TARGET_UTILISATION)
_GROWS = Steps(page=float(GROWTH_PER_MINUTE))
_SIZE = Place(12, 8)


def worst() -> Figures:
    columns: dict[str, Column] = {
        "deepest queue": Column("count:requests"),
        "longest mean wait": Column("ms", steps=_WAIT),
        "busiest": Column("percentunit", 0, steps=_BUSY),
        "queues above target utilisation": Column("none", 0),
    }
    meaning = (
        f"Of the last {queues.NOW_MIN} minutes of the range, the worst slice of the cut that is shown. A mean wait above "
        f"{_ALLOWED_MS} ms breaks the objective about waiting; one above {P95_MS} ms is a queue that does not keep up. "
        f"Replicas are meant to be busy for {TARGET_UTILISATION:.0%} of their time."
    )
    return Figures(queues.WORST_NOW, "Queues now", meaning, Place(14, 4), columns)


def saturated() -> Grid:
    facts: dict[str, Column] = {
        "first_queue": Column(width=130),
        "depth": Column("count:requests"),
        "growth_min": Column("count:requests/min", steps=_GROWS),
        "latency_ms": Column("ms", steps=Steps(page=float(P95_MS))),
        "last_waits_s": Column("s", 1),
        "breaks_in_s": Column("s", 0),
        "gone_in_s": Column("s", 0),
        "utilisation": Column("percentunit", 0, steps=_BUSY),
        "replicas_missing": Column("none", 1),
        "batch_share": Column("percentunit", 0),
        "advice": Column(width=180),
    }
    meaning = (
        f"A queue is saturated where it grew by {GROWTH_PER_MINUTE} requests in a minute while its latency was {P95_MS} ms or "
        "more. 'first_queue' is the one of the slice that began to grow first: begin there. 'breaks_in_s' is when waits pass "
        f"{_ALLOWED_MS} ms, 'gone_in_s' when it is gone at its pace, 'replicas_missing' what it takes beyond those there."
    )
    return findings(
        "saturated", "saturation", "Saturated queues", facts, Place(24, 8), meaning=meaning, label=queues.QUEUE,
        to=drill_down(*SLICE_VARIABLES, to=STAGES_UID), chosen=(*SLICE_VARIABLES, queues.QUEUE),
    )  # fmt: skip


def queues_now() -> Grid:
    columns: dict[str, Column] = {
        "queue": Column(width=150),
        "pool": Column(width=80, link=drill_down("pool", "region", "bundle", to=STAGES_UID)),
        "region": Column(width=110),
        "bundle": Column(width=110),
        "depth": Column("count:requests"),
        "growth_min": Column("count:requests/min", steps=_GROWS),
        "wait_ms": Column("ms", steps=_WAIT),
        "arrivals_min": Column("count:requests/min"),
        "served_min": Column("count:requests/min"),
        "servers": Column("count:replicas"),
        "utilisation": Column("percentunit", 0, steps=_BUSY),
        "batch_occupancy": Column("percentunit", 0),
        "kv_share": Column("percentunit", 0),
        "preemptions_min": Column("count:requests/min"),
        "batch_share": Column("percentunit", 1),
        "drafts_accepted_share": Column("percentunit", 0),
    }
    meaning = (
        f"Each queue of each slice of the shown cut over the last {queues.NOW_MIN} minutes of the range, slowest first; choose "
        "a region or a bundle for its slices. What comes faster than it is served grows. A full batch or cache, or "
        "preemptions, say what is short; batch work on a realtime pool can be shed."
    )
    return Grid(queues.QUEUES_NOW, "Each queue, slowest first", meaning, Place(24, 8), columns)


def depth() -> Chart:
    meaning = (
        "Requests that wait for each stage, at the worst instant of each step. The queue that rose first is where to look; "
        "those behind it fill because of it."
    )
    return _of_queues(queues.DEPTH, "Queue depth", meaning, "count:requests", "requests that wait")


def growth() -> Chart:
    meaning = (
        "By how many requests a minute each queue grew, from what engines had at both ends of it, so that one which comes or "
        f"goes is no jump. At the dashed line, {GROWTH_PER_MINUTE} a minute, it counts as saturated if it is slow as well."
    )
    return _of_queues(queues.GROWTH, "Growth", meaning, "count:requests/min", "requests per minute", _GROWS)


def mean_wait() -> Chart:
    meaning = (
        "Mean wait of the requests that began to be served, by what they waited for. Dashed: what the objective about waiting "
        f"allows, {_ALLOWED_MS} ms, and what counts as slow, {P95_MS} ms."
    )
    return _of_queues(queues.MEAN_WAIT, "Mean wait", meaning, "ms", "mean wait", _WAIT)


def stage_p95() -> Chart:
    meaning = (
        "95th percentile of each stage that is waited for, out of its histogram, off by 1.1 % at most. At the dashed line, "
        f"{P95_MS} ms, a queue that grows counts as saturated."
    )
    steps = Steps(page=float(P95_MS))
    return _of_queues(queues.STAGE_P95, "p95 of the stages behind the queues", meaning, "ms", "latency", steps)


def utilisation() -> Chart:
    meaning = (
        "Share of their time that the replicas behind each queue were serving. Above the dashed line, "
        f"{TARGET_UTILISATION:.0%}, waits begin to grow faster than load: add replicas, or shed."
    )
    return _of_shares(queues.UTILISATION, "Utilisation", meaning, "busy ÷ available time", _BUSY)


def batch_occupancy() -> Chart:
    meaning = (
        "Share of the places in batches that requests filled. Near 1 batches are full: more replicas help, and more batching does not. "
        "Low while a queue grows: something else holds it back."
    )
    return _of_shares(queues.BATCH_OCCUPANCY, "Batch occupancy", meaning, "filled ÷ all places")


def kv_cache() -> Chart:
    meaning = (
        "Share of the blocks of KV cache in use, at the worst instant of each step. Near 1 requests are put back and begin "
        "again: shorter contexts or more memory help, and more computing power does not."
    )
    return _of_shares(queues.KV_CACHE, "KV cache in use", meaning, "used ÷ all blocks")


def batch_share() -> Chart:
    meaning = (
        "Share of the requests that came which were of batch work. On a realtime pool it should be near 0: what is above can be "
        "sent to a batch pool, which is the quickest way to make room."
    )
    return _of_shares(queues.BATCH_SHARE, "Batch work among arrivals", meaning, "share of arrivals")


def _of_shares(query: Query, title: str, meaning: str, axis: str, steps: Steps | None = None) -> Chart:
    place = Place(12, 8)
    return Chart(query, title, meaning, "percentunit", place, axis=axis, steps=steps, series=QUEUE_NAMES, low=0, high=1)


def _of_queues(query: Query, title: str, meaning: str, unit: str, axis: str, steps: Steps | None = None) -> Chart:
    return Chart(query, title, meaning, unit, _SIZE, axis=axis, steps=steps, series=QUEUE_NAMES)
