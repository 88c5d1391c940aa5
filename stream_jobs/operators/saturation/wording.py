"""What a finding about a queue says: what it is, why, and what to do; from the figures of one episode as a row.

Rows are `queue_figures.figures` with the columns of `queue_episodes` and `queue_pressure.timed`. What is not known is null
and not told. Facts are named for their unit: `_min` a minute, `_s` seconds, `_ms` milliseconds, `_share` 0 to 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

from schemas.findings import FACTS_MAX, Figure, Finding
from schemas.instants import MINUTE_MS
from schemas.slices import slice_dimensions
from stream_jobs.operators.saturation.saturation import ACTION

SATURATED, BATCH_ON_REALTIME = "Saturated", "BatchOnRealtimePool"
RUNBOOK = "docs/runbooks/saturation.md"
ROLL_BACK, SHED, WATCH = "roll_back", "shed_batch", "watch"
GONE_SOON_S = 900.0
"""A queue that is gone so soon at its pace is only watched."""
ROSE = 1.1
"""How much more of something is more, and less is less."""
KV_FULL, BATCH_FULL = 0.9, 0.95
"""Shares from which on a cache and a batch count as full."""
REALTIME = "realtime"
_SENTENCE_MAX = 600
_FACTS = (
    "depth",
    "growth_min",
    "latency_ms",
    "latency_from",
    "last_waits_s",
    "breaks_in_s",
    "soonest_s",
    "latest_s",
    "gone_in_s",
    "utilisation",
    "replicas_missing",
    "replicas_missing_without_batch",
    "arrivals_min",
    "arrivals_min_before",
    "service_ms",
    "service_ms_before",
    "servers",
    "servers_before",
    "batch_share",
    "batch_occupancy",
    "kv_share",
    "preemptions_min",
    "first_queue",
)
Row = Mapping[str, Any]


def saturated(row: Row, wait_s: float) -> Finding:
    """A queue that grows and is slow, of an episode that was heard of in this minute."""
    causes = [*_causes(row)]
    said = [_grown(row), _breaks(row, wait_s), _first(row), *causes]
    facts = _facts(row, _FACTS) | {"advice": _advice(row)}
    if row["replicas_missing"] == 0 and row["gone_in_s"] is None:
        del facts["replicas_missing"]  # Something holds it back: that none is missing would be read as all being well.
    return Finding(
        alert=SATURATED,
        slice=row["slice"],
        severity="page" if row["is_page"] else "ticket",
        since_ms=row["since_ms"],
        summary=_sentence("; ".join(filter(None, said))),
        action=_sentence(_action(row)),
        runbook=RUNBOOK,
        labels={"queue": row["queue"]},
        facts=facts,
    )


def batch_on_realtime(row: Row) -> Finding:
    """Batch work on a realtime pool, told of the queue that has most of it."""
    share, count = percent(row["batch_share"]), round(row["batch_arrivals"])
    return Finding(
        alert=BATCH_ON_REALTIME,
        slice=row["slice"],
        severity="ticket",
        since_ms=row["since_ms"],
        summary=_sentence(
            f"Batch work is on the realtime pool: {count:,} of the requests that came to {row['slice']} for "
            f"{row['loaded_queue']} in the last minute, {share}, were of batch work"
        ),
        action="Send this batch work to a batch pool; where the realtime queues are saturated, shed it first.",
        runbook=RUNBOOK,
        facts=_facts(row, ("batch_share", "batch_arrivals", "loaded_queue")) | {"advice": SHED},
    )


def still(row: Row) -> Finding:
    """An episode that nothing was heard of in this minute: what was found has not been seen to end."""
    is_batch = row["alert"] == BATCH_ON_REALTIME
    what = "Batch work was on the realtime pool" if is_batch else f"The {row['queue']} queue was saturated"
    return Finding(
        alert=row["alert"],
        slice=row["slice"],
        severity="page" if row["is_page"] else "ticket",
        since_ms=row["since_ms"],
        summary=_sentence(
            f"{what} in {row['slice']}, and shows no pressure in the last minute; it ends when that lasts"
        ),
        action="Watch whether it ends: nothing more is needed while it shows no pressure.",
        runbook=RUNBOOK,
        labels={} if is_batch else {"queue": row["queue"]},
    )


def _grown(row: Row) -> str:
    slow = "p95" if row["latency_from"] == "p95" else "waits of"
    latency = f"{slow} {milliseconds(row['latency_ms'])}" if row["latency_ms"] is not None else "latency unknown"
    if row["is_growing"]:
        grown = f"grew by {row['growth_min']:,.0f} requests a minute to {row['depth']:,}"
    elif row["gone_in_s"] is not None:
        gone = _gone(row["gone_in_s"])
        grown = f"shrank by {-row['growth_min']:,.0f} requests a minute to {row['depth']:,}, and is gone {gone} at that pace"
    else:
        grown = f"has {row['depth']:,} requests waiting and does not recover"
    return f"The {row['queue']} queue of {row['slice']} {grown}, with {latency}"


def _gone(gone_in_s: float) -> str:
    """
    >>> _gone(1.4), _gone(250.0)
    ('within a minute', 'in 4 min')
    """
    return "within a minute" if gone_in_s < 60 else f"in {seconds(gone_in_s)}"


def _breaks(row: Row, wait_s: float) -> str:
    if not row["is_realtime"]:
        return ""
    allowed, last_s = milliseconds(wait_s * 1_000), row["last_waits_s"]
    if row["breaks_in_s"] == 0 and last_s is not None:
        return f"whoever comes last waits for {seconds(last_s)}, and {allowed} are allowed"
    if row["breaks_in_s"] == 0:
        return f"waits are beyond the {allowed} that are allowed"
    if row["breaks_in_s"] is None or not isfinite(row["breaks_in_s"]):
        return ""
    soonest, latest = row["soonest_s"], row["latest_s"]
    between = f" ({seconds(soonest)} to {seconds(latest)})" if soonest is not None and latest is not None else ""
    return f"waits pass the {allowed} that are allowed in {seconds(row['breaks_in_s'])}{between}"


def _first(row: Row) -> str:
    if row["first_queue"] in (None, row["queue"]):
        return ""
    before = (row["grew_ms"] - row["first_ms"]) // MINUTE_MS
    if before < 0:
        return ""
    when = f"{before} min before" if before > 0 else "in the same minute and comes before it"
    return f"the {row['first_queue']} queue began to grow {when}: look there first"


def _causes(row: Row) -> Iterator[str]:
    """What is different from before the queue grew, and what is full."""
    if _rose(row, "arrivals_min"):
        yield f"{row['arrivals_min']:,.0f} requests came in the last minute, {row['arrivals_min_before']:,.0f} a minute before"
    if _rose(row, "service_ms"):
        yield f"each takes {milliseconds(row['service_ms'])} of a replica, {milliseconds(row['service_ms_before'])} before"
    if row["servers_before"] is not None and row["servers"] < row["servers_before"]:
        told = "" if row["is_whole"] else " of those that have reported"
        yield f"{row['servers']:,} replicas serve{told}, {row['servers_before']:,} before"
    if _is_at_least(row, "batch_share", 0.01) and row["is_realtime"]:
        yield f"{percent(row['batch_share'])} of what came in the last minute is batch work"
    if _is_at_least(row, "kv_share", KV_FULL):
        yield f"the KV cache is {percent(row['kv_share'])} full"
    if _is_at_least(row, "preemptions_min", 1):
        yield f"{row['preemptions_min']:,.0f} requests a minute are put back for want of cache"
    if _is_at_least(row, "batch_occupancy", BATCH_FULL):
        yield f"batches are {percent(row['batch_occupancy'])} full"


def _advice(row: Row) -> str:
    if row.get("deployed_ms") is not None:
        return ROLL_BACK
    return WATCH if _is_gone_soon(row) else ACTION


def _is_gone_soon(row: Row) -> bool:
    return row["gone_in_s"] is not None and row["gone_in_s"] <= GONE_SOON_S


def _action(row: Row) -> str:
    needed = _needed(row)
    bundle = slice_dimensions(row["slice"]).get("bundle")
    if row.get("deployed_ms") is not None and bundle is not None:
        before = (row["grew_ms"] - row["deployed_ms"]) // MINUTE_MS
        return (
            f"Roll back {bundle}: it was deployed here {before} min before its queue began to grow. Where the pool's other "
            f"bundles grow too, the load is the cause: for what came in the last minute {needed}."
        )
    if _is_gone_soon(row):
        return f"Watch it shrink: what waits is gone {_gone(row['gone_in_s'])} at the pace of the last minute."
    if _has_batch(row, "batch_share"):
        both = f"{_needed(row, '_without_batch')} without it, and {needed} with it" if _missing(row) else needed
        share = percent(row["batch_share"])
        return f"Shed the batch work, {share} of what came in the last minute. For what came then {both}."
    first = "Shed batch work where there is any, or add capacity"
    if _has_batch(row, "batch_share_lately"):
        first = "Add capacity, as batch work comes no more"
    return f"{first}: for what came in the last minute {needed}. What waits already takes more for a while."


def _has_batch(row: Row, name: str) -> bool:
    return row["is_realtime"] and _is_at_least(row, name, 0.01)


def _missing(row: Row, kind: str = "") -> float | None:
    """Replicas that a slice misses; of a bundle whose own would do, those that its pool's regions miss."""
    own: float | None = row[f"replicas_missing{kind}"]
    return row[f"regions_missing{kind}"] if own == 0 and row["regions_missing"] else own


def _needed(row: Row, kind: str = "") -> str:
    """How many are missing, as a clause. Of a queue that breaks it is never said that none is: something holds it back."""
    missing, is_of_region = _missing(row, kind), row["of_pool"] is None
    if missing is None or not isfinite(missing):
        return "nobody knows how many replicas are missing, as nothing was served to its end"
    if missing == 0 and kind:
        return "no replica is missing" if is_of_region else "no replica of all regions together is missing"
    if missing == 0:
        return _held_back(is_of_region)
    least = "" if is_of_region else "at least "
    where = "" if kind else _where(row)
    return f"{least}{missing:,.0f} {'replica is' if missing == 1 else 'replicas are'} missing{where}"


def _where(row: Row) -> str:
    """The regions that miss replicas; of a bundle only where they are its pool's figure, as nobody knows its own regions."""
    if not row["missing_where"]:
        return ""
    regions = ", ".join(row["missing_where"])
    if row["slice"] == row["of_pool"]:
        return f" in {regions}"
    return f" in its pool's {regions}" if row["replicas_missing"] == 0 else ""


def _held_back(is_of_region: bool) -> str:
    if is_of_region:
        return "its replicas would have the time, so one bundle, or a limit of each such as its batch or cache, holds it back"
    return (
        "its replicas would have the time if any of them could serve it, so one region or bundle, or a limit of each such as "
        "its batch or cache, holds it back: the finding of that region says how many replicas are missing there"
    )


def _facts(row: Row, names: tuple[str, ...]) -> dict[str, Figure]:
    known = {name: row[name] for name in names if row.get(name) is not None}
    told = {name: value for name, value in known.items() if isinstance(value, str) or isfinite(value)}
    assert len(told) < FACTS_MAX
    return told


def _rose(row: Row, name: str) -> bool:
    before = row[f"{name}_before"]
    return before is not None and row[name] is not None and row[name] > before * ROSE


def _is_at_least(row: Row, name: str, least: float) -> bool:
    return row[name] is not None and row[name] >= least


def _sentence(text: str) -> str:
    return text if len(text) <= _SENTENCE_MAX else f"{text[: _SENTENCE_MAX - 1]}…"


def percent(share: float) -> str:
    """A share as one says it.

    >>> percent(0.2213), percent(0.999)
    ('22 %', '99.9 %')
    """
    return f"{share * 100:.3g} %" if share > 0.99 or share < 0.01 else f"{share * 100:.2g} %"


def milliseconds(value: float) -> str:
    """
    >>> milliseconds(250.0), milliseconds(3_212.0)
    ('250 ms', '3.2 s')
    """
    return f"{value:.0f} ms" if value < 1_000 else seconds(value / 1_000)


def seconds(value: float) -> str:
    """A span as one says it.

    >>> seconds(0.3), seconds(9.42), seconds(250.0), seconds(9_000.0), seconds(float("inf"))
    ('0.3 s', '9.4 s', '4 min', '2.5 h', 'never')
    """
    if not isfinite(value):
        return "never"
    if value < 99.5:
        return f"{value:.1f} s" if value < 9.95 else f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 5_400 else f"{value / 3_600:.1f} h"
