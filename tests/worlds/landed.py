"""What has come out of a world: the newest version of every row, what was refused, and every decision."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from schemas.burns import Decision
from schemas.rollups import decode
from schemas.tables import TABLES
from schemas.topics import BURNS, DEAD_LETTERS, ROLLUPS, changelog
from stream_jobs.operators.totals.blocks import body, unpack_json
from tests.worlds.logs import Cluster
from tests.worlds.oracle import INDICATORS, TOLD, BucketKey, Row, Truth, add, truth, verdicts
from tests.worlds.plant import Ran
from tests.worlds.sendings import Sending, World, sendings

ORIGIN = ("origin_topic", "origin_partition", "origin_offset", "producer")
OF_STAGES = ("stage", "scale", "bucket_index")
KEYS: dict[str, tuple[str, ...]] = {
    "traffic": ("slice", "bucket_start"),
    "burn_rate": ("slice", "indicator", "bucket_start"),
    "concurrency": ("slice", "bucket_start"),
    "stage_latency": ("slice", *OF_STAGES, "bucket_start"),
    "heartbeats": ("slice", "reported_family", "bucket_start"),
    "turns_late": ("slice", "bucket_start", *ORIGIN),
    "stages_late": ("slice", *OF_STAGES, "bucket_start", *ORIGIN),
    "streams_late": ("slice", "second", "bucket_start", *ORIGIN),
    "heartbeats_late": ("slice", "reported_family", "bucket_start", *ORIGIN),
}
"""Columns that tell the rows of a table apart, in the oracle's order."""
SHOWN = 3


def newest_rows(cluster: Cluster) -> dict[str, list[Row]]:
    """By table: of all rows with one sorting key the one with the largest version, the last of equal ones."""
    tables: dict[str, dict[BucketKey, Row]] = {name: {} for name in TABLES}
    for log in cluster.of_topic(ROLLUPS):
        for record in log:
            read = decode(dict(record.headers), record.value or b"")
            assert isinstance(read, tuple), read
            name, rows, _ = read
            for row in rows.to_pylist():
                key = tuple(row[column] for column in TABLES[name].order_by)
                known = tables[name].get(key)
                if known is None or row["version"] >= known["version"]:
                    tables[name][key] = row
    return {name: list(rows.values()) for name, rows in tables.items()}


def decisions(cluster: Cluster) -> list[Decision]:
    """Every statement of every shard, in the order of the log."""
    return [Decision.model_validate_json(record.value or b"") for log in cluster.of_topic(BURNS) for record in log]


def refused(cluster: Cluster) -> dict[tuple[str, int, int], str]:
    """Family, partition and offset of each dead letter, and its reason."""
    letters = [json.loads(record.value or b"") for log in cluster.of_topic(DEAD_LETTERS) for record in log]
    return {
        (letter["topic"].removeprefix("aggregates."), letter["partition"], letter["offset"]): letter["reason"]
        for letter in letters
    }


def differences(world: World, ran: Ran, sent: tuple[Sending, ...] | None = None) -> list[str]:
    """A line for everything that is not as it must be. `sent`: what the oracle believes was sent."""
    expected = truth(sendings(world) if sent is None else sent, world.slices_max)
    rows = newest_rows(ran.cluster)
    return [
        *_unlike_tables(expected, rows),
        *_unlike_fates(expected, ran.cluster),
        *([] if _lagging(rows, "turns") else _unlike_verdicts(expected, rows["burn_windows"], decisions(ran.cluster))),
        *_skipped(ran.cluster),
    ]


def _unlike_tables(expected: Truth, rows: dict[str, list[Row]]) -> Iterator[str]:
    """Late frames apart; rows that came late only because their partition lagged are added, as the views do."""
    found: dict[str, dict[BucketKey, Row]] = {}
    for name, wanted in expected.tables().items():
        measures = next(iter(wanted.values()), {})
        own = [row for row in rows[name] if not name.endswith("_late") or row["origin_topic"].startswith("aggregates.")]
        found[name] = {_key(row, _keys(name)): {measure: row[measure] for measure in measures} for row in own}
    for family in ("turns", "stages", "heartbeats"):
        for row in _lagging(rows, family):
            _add_lagging(found, family, row)
    for name, wanted in expected.tables().items():
        if not (name.startswith("concurrency") and _lagging(rows, "streams")):  # Peaks do not add up.
            yield from _unlike(name, wanted, found[name])


def _lagging(rows: dict[str, list[Row]], family: str) -> list[Row]:
    """Rows of a source partition for buckets that were closed without it."""
    return [row for row in rows[f"{family}_late"] if row["origin_topic"].startswith("partials.")]


def _add_lagging(found: dict[str, dict[BucketKey, Row]], family: str, row: Row) -> None:
    is_wide = "language=" in row["slice"] or "device_class=" in row["slice"]
    for suffix, width_ms in (("10s", 10_000), ("1m", 60_000)):
        if is_wide and suffix == "10s":
            continue
        at = row | {"bucket_start": _ms(row["bucket_start"]) // width_ms * width_ms}
        name = {"turns": "traffic", "stages": "stage_latency"}.get(family, family)
        add(found[f"{name}_{suffix}"], _key(at, KEYS[name]), {measure: row[measure] for measure in TOLD[family]})
        for indicator in INDICATORS if family == "turns" else ():
            bad, total = row[f"{indicator}_bad"], row[f"{indicator}_total"]
            if total:
                key = _key(at | {"indicator": indicator}, KEYS["burn_rate"])
                add(found[f"burn_rate_{suffix}"], key, {"bad": bad, "total": total})


def _keys(table: str) -> tuple[str, ...]:
    return KEYS.get(table) or KEYS[table.rpartition("_")[0]]


def _key(row: Row, names: Sequence[str]) -> BucketKey:
    return tuple(_ms(row[name]) if name == "bucket_start" else row[name] for name in names)


def _ms(instant: datetime | int) -> int:
    return instant if isinstance(instant, int) else round(instant.timestamp() * 1_000)


def _unlike_fates(expected: Truth, cluster: Cluster) -> Iterator[str]:
    """Whatever was not taken in is in the dead letters, and nothing else; a repeat is no fault, and late rows land."""
    wanted = {place: fate for place, fate in expected.fates.items() if fate not in ("taken", "late", "repeated")}
    reasons = {"future": "window_from_future", "ancient": "window_too_old", "expired": "fence_expired"}
    found = refused(cluster)
    yield from _unlike(
        "dead_letters",
        {place: reasons.get(fate, "broken") for place, fate in wanted.items()},
        {place: reason if reason in reasons.values() else "broken" for place, reason in found.items()},
    )


def _unlike_verdicts(expected: Truth, windows: list[Row], said: list[Decision]) -> Iterator[str]:
    wanted, end_ms = verdicts(expected), expected.end_ms
    told = {
        (row["slo"], row["slice"], row["window_s"]): (row["bad"], row["total"])
        for row in windows
        if _ms(row["decided_at"]) == end_ms
    }
    yield from _unlike("burn_windows", wanted.windows, told)
    last = {decision.shard: decision for decision in said if decision.decided_ms == end_ms}
    for name, burns in (("burns", wanted.burns), ("held", wanted.held)):
        found = {
            (burn.slo, burn.slice, burn.severity): (
                burn.row,
                burn.long_bad,
                burn.long_total,
                burn.short_bad,
                burn.short_total,
            )
            for decision in last.values()
            for burn in getattr(decision, name)
        }
        yield from _unlike(name, burns, found)
    for name, kept in (("quiet", wanted.quiet), ("holding", wanted.holding)):
        listed = {(each.slo, each.slice, each.severity): True for one in last.values() for each in getattr(one, name)}
        yield from _unlike(name, dict.fromkeys(kept, True), listed)


def _skipped(cluster: Cluster) -> Iterator[str]:
    """A shard decides every bucket end from the first one that it saved as decided, but for what is an hour old."""
    decided: dict[int, set[int]] = {}
    for decision in decisions(cluster):
        decided.setdefault(decision.shard, set()).add(decision.decided_ms)
    for shard, log in enumerate(cluster.of_topic(changelog("burn_rate"))):
        saved = next((unpack_json(body(one.value)) for one in log if one.key == b"decided" and one.value), None)
        ends = {end_ms for end_ms in decided.get(shard, ()) if saved is not None and end_ms >= saved}
        for before_ms, end_ms in pairwise(sorted(ends)):
            if end_ms > before_ms + 10_000 and end_ms + 3_600_000 not in ends:
                yield f"shard {shard} decided nothing between {before_ms} and {end_ms}"


def _unlike(name: str, wanted: Mapping[Any, object], found: Mapping[Any, object]) -> Iterator[str]:
    missing, surplus = wanted.keys() - found.keys(), found.keys() - wanted.keys()
    unlike = [key for key in wanted.keys() & found.keys() if wanted[key] != found[key]]
    if missing or surplus or unlike:
        shown = [
            f"{key}: {found.get(key)} for {wanted.get(key)}" for key in sorted({*missing, *surplus, *unlike}, key=str)
        ]
        yield (
            f"{name}: {len(missing)} missing, {len(surplus)} unexpected, {len(unlike)} different of {len(wanted)}: "
            + "; ".join(shown[:SHOWN])
        )
