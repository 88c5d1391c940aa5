"""What must come out of a world, computed once more from what was sent, record by record.

This is the contract (`docs/contract.md`, `docs/decisions/`) read a second time, in plain Python over plain rows. Nothing of
`schemas` or of the operators is used but the declared objectives: cuts, fences, lateness, slices, buckets and windows are
stated here. `Truth` holds every row of every table, the fate of every record, and what burns at the last decision.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import comb
from typing import Any, Literal

from tests.worlds.objectives import CAPACITY, WATCHED
from tests.worlds.sendings import Sending

Row = dict[str, Any]
Fate = Literal["taken", "repeated", "broken", "future", "ancient", "late", "expired"]

OPERATIONAL_CUTS = (("pool",), ("pool", "region"), ("pool", "route"), ("pool", "bundle"), ("pool", "region", "bundle"))
CUTS = {
    ("turns", "operational"): OPERATIONAL_CUTS,
    ("turns", "audience"): (("pool", "language"), ("pool", "device_class"), ("pool", "language", "device_class")),
    ("stages", "operational"): OPERATIONAL_CUTS,
    ("streams", "operational"): OPERATIONAL_CUTS,
    ("heartbeats", "operational"): (("region",),),
}
KEYS = {
    "turns": (),
    "stages": ("stage", "scale", "bucket_index"),
    "streams": ("second",),
    "heartbeats": ("reported_family",),
}
AMOUNTS = ("audio_in_ms", "audio_out_ms", "tokens_in", "tokens_out", "turn_latency_ms_sum", "turn_latency_ms_sumsq")
TOLD = {
    "turns": ("turns", *AMOUNTS),
    "stages": ("observations", "latency_ms_sum", "latency_ms_sumsq"),
    "heartbeats": ("rows_sent", "observations_seen", "observations_dropped", "observations_held"),
}
INDICATORS = (
    "first_partial_500ms",
    "first_audio_1800ms",
    "turn_4000ms",
    "queue_wait_250ms",
    "turn_error",
    "abandonment",
    "retrieval_stale",
    "privacy_error",
)
STAYS_WHEN_CUT_IS_FULL = ("pool",)
"""Dimensions of a closed vocabulary that identify nobody; the others become `__other__`."""

LATENESS_MS = 120_000
FUTURE_MS = 30_000
ANCIENT_MS = 7 * 86_400_000
REMEMBERED = 131_072
INCARNATIONS = 32


@dataclass(slots=True)
class Numbers:
    """Sequence numbers of one incarnation that came, and below which number all others are given up."""

    came: set[int] = field(default_factory=set)
    given_up_below: int = 0

    def take(self, number: int) -> Fate:
        if number in self.came:
            return "expired" if number < self.given_up_below else "repeated"
        if number < self.given_up_below:
            return "expired"
        self.came.add(number)
        self.given_up_below = max(self.given_up_below, number - REMEMBERED)
        return "taken"


@dataclass(slots=True)
class SourceLog:
    """One log of frames, read from its beginning: who has sent what, and how far each privacy partition is."""

    slices_max: int
    newest_ms: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, dict[int, Numbers]] = field(default_factory=lambda: defaultdict(dict))
    slices: dict[tuple[str, tuple[str, ...]], set[str]] = field(default_factory=lambda: defaultdict(set))

    def judge(self, sending: Sending) -> Fate:
        if sending.broken == 1:  # Its headers cannot be read.
            return "broken"
        if sending.window_end_ms > sending.append_ms + FUTURE_MS:
            return "future"
        if sending.window_end_ms < sending.append_ms - ANCIENT_MS:
            return "ancient"
        if sending.broken is not None:
            return "broken"
        fate = self._take(sending)
        if fate != "taken":
            return fate
        newest_ms = self.newest_ms.get(sending.privacy, 0)
        if sending.window_end_ms + LATENESS_MS < newest_ms:
            return "late"
        self.newest_ms[sending.privacy] = max(newest_ms, sending.window_end_ms)
        return "taken"

    def _take(self, sending: Sending) -> Fate:
        known = self.numbers[sending.producer]
        if sending.incarnation not in known:
            if len(known) >= INCARNATIONS:
                if sending.incarnation < min(known):
                    return "expired"
                del known[min(known)]
            known[sending.incarnation] = Numbers()
        return known[sending.incarnation].take(sending.sequence)

    def sliced(self, sending: Sending) -> Iterator[tuple[str, Row]]:
        """(slice, row) for each row and each cut; a cut that is full counts new slices under `__other__`."""
        for cut in CUTS[sending.family, sending.privacy]:
            admitted = self.slices[sending.privacy, cut]
            for text in sorted({_slice(cut, row) for row in sending.rows} - admitted):
                if len(admitted) < self.slices_max:
                    admitted.add(text)
            for row in sending.rows:
                text = _slice(cut, row)
                yield (text if text in admitted else _slice(cut, row, is_other=True)), row


def _slice(cut: Sequence[str], row: Row, is_other: bool = False) -> str:
    values = {name: row[name] for name in cut}
    if is_other:
        values = {name: row[name] if name in STAYS_WHEN_CUT_IS_FULL else "__other__" for name in cut}
    return ",".join(f"{name}={value}" for name, value in values.items())


BucketKey = tuple[Any, ...]
"""Slice, keys of the family, bucket start."""


@dataclass(slots=True)
class Truth:
    """`buckets`: sums of every measure by (family, privacy partition), then slice, keys and bucket start.

    `late`: the same of frames that came too late, by family, and each frame apart: their keys end with where it lies.
    """

    fates: dict[tuple[str, int, int], Fate] = field(default_factory=dict)
    buckets: dict[tuple[str, str], dict[BucketKey, Row]] = field(default_factory=lambda: defaultdict(dict))
    late: dict[str, dict[BucketKey, Row]] = field(default_factory=lambda: defaultdict(dict))
    end_ms: int = 0

    def tables(self) -> dict[str, dict[BucketKey, Row]]:
        """Every row that must be in a table: by its key, without its version."""
        tables: dict[str, dict[BucketKey, Row]] = {}
        for suffix, width_ms in (("10s", 10_000), ("1m", 60_000)):
            turns = self._at("turns", width_ms)
            tables[f"traffic_{suffix}"] = _chosen(turns, TOLD["turns"])
            tables[f"burn_rate_{suffix}"] = _judged(turns)
            tables[f"stage_latency_{suffix}"] = _chosen(self._at("stages", width_ms), TOLD["stages"])
            tables[f"heartbeats_{suffix}"] = _chosen(self._at("heartbeats", width_ms), TOLD["heartbeats"])
        fine = _concurrency(self._at("streams", 10_000))
        tables["concurrency_10s"], tables["concurrency_1m"] = fine, _concurrency_by_minute(fine)
        return tables | {f"{family}_late": self.late[family] for family in KEYS}

    def window(self, text: str, indicator: str, length_s: int) -> tuple[int, int]:
        """Bad and total of a slice in the window that ends with the last decision; its start is rounded outward."""
        is_by_minute = "language=" in text or "device_class=" in text
        privacy = "audience" if is_by_minute else "operational"
        step_s = next(step_s for step_s, most_s in RESOLUTIONS if length_s <= most_s)
        step_ms = max(step_s * 1_000, 60_000 if is_by_minute else 0)
        first_ms = (self.end_ms - length_s * 1_000) // step_ms * step_ms
        found = [
            (row[f"{indicator}_bad"], row[f"{indicator}_total"])
            for (of, start_ms), row in self.buckets["turns", privacy].items()
            if of == text and first_ms <= start_ms < self.end_ms
        ]
        return sum(bad for bad, _ in found), sum(total for _, total in found)

    def slices(self) -> list[str]:
        """Slices of turns."""
        return sorted({key[0] for (family, _), rows in self.buckets.items() if family == "turns" for key in rows})

    def _at(self, family: str, width_ms: int) -> dict[BucketKey, Row]:
        privacies = {"operational": 10_000, "audience": 60_000}
        coarse: dict[BucketKey, Row] = {}
        for privacy, bucket_ms in privacies.items():
            for (*key, start_ms), row in self.buckets[family, privacy].items() if bucket_ms <= width_ms else ():
                add(coarse, (*key, start_ms // width_ms * width_ms), row)
        return coarse


RESOLUTIONS = ((10, 600), (60, 6 * 3_600), (600, 3 * 86_400), (3_600, 10**9))
"""What a window's start is rounded to, for windows up to a length: both in seconds."""


def truth(sent: Iterable[Sending], slices_max: int) -> Truth:
    """Everything that follows from these records in the order of their logs."""
    logs: dict[tuple[str, int], SourceLog] = {}
    lengths: defaultdict[tuple[str, int], int] = defaultdict(int)
    found = Truth()
    for sending in sent:
        place = (sending.family, sending.source)
        log = logs.setdefault(place, SourceLog(slices_max))
        position = (*place, lengths[place])
        lengths[place] += 1
        fate = found.fates[position] = log.judge(sending)
        if fate not in ("taken", "late"):
            continue
        found.end_ms = max(found.end_ms, sending.window_end_ms)
        for text, row in log.sliced(sending):
            key = (text, *(row[name] for name in KEYS[sending.family]), sending.window_start_ms)
            counts = {name: value for name, value in row.items() if name not in _NO_MEASURES}
            if fate == "taken":
                add(found.buckets[sending.family, sending.privacy], key, counts)
            else:
                origin = (f"aggregates.{sending.family}", *position[1:], sending.producer)
                add(found.late[sending.family], (*key, *origin), counts)
    return found


_NO_MEASURES = {"pool", "region", "route", "bundle", "language", "device_class"} | {
    name for names in KEYS.values() for name in names
}


def add(rows: dict[BucketKey, Row], key: BucketKey, row: Row) -> None:
    known = rows.setdefault(key, dict.fromkeys(row, 0))
    for name, value in row.items():
        known[name] += value


# -- tables ------------------------------------------------------------------------------------------------------------


def _chosen(rows: dict[BucketKey, Row], names: Sequence[str]) -> dict[BucketKey, Row]:
    return {key: {name: row[name] for name in names} for key, row in rows.items()}


def _judged(rows: dict[BucketKey, Row]) -> dict[BucketKey, Row]:
    return {
        (text, indicator, start_ms): {"bad": row[f"{indicator}_bad"], "total": row[f"{indicator}_total"]}
        for (text, start_ms), row in rows.items()
        for indicator in INDICATORS
        if row[f"{indicator}_total"] > 0
    }


def _concurrency(seconds: dict[BucketKey, Row]) -> dict[BucketKey, Row]:
    of_bucket: defaultdict[BucketKey, dict[int, Row]] = defaultdict(dict)
    for (text, second, start_ms), row in seconds.items():
        of_bucket[text, start_ms][second] = row
    return {key: _peaks(rows) for key, rows in of_bucket.items()}


def _peaks(seconds: dict[int, Row]) -> Row:
    """The largest running count, if in each second the ends come first, and if the starts do."""
    at_start = sum(row["active_at_start"] for row in seconds.values())
    ends_first, starts_first, running = [at_start], [at_start], at_start
    for _, row in sorted(seconds.items()):
        starts_first.append(running + row["starts"])
        running += row["starts"] - row["ends"]
        ends_first.append(running)
    peak_upper = max(0, *starts_first)
    return {
        "active_at_start": at_start,
        "starts": sum(row["starts"] for row in seconds.values()),
        "ends": sum(row["ends"] for row in seconds.values()),
        "peak_lower": max(0, *ends_first),
        "peak_upper": peak_upper,
        "replicas_needed": _replicas(peak_upper),
    }


def _replicas(streams: int) -> int:
    """Streams x (1 - savings) x GPU seconds per audio second / utilisation, rounded up."""
    load = Fraction(streams) * (1 - Fraction(CAPACITY.vad_savings)) * Fraction(CAPACITY.gpu_seconds_per_audio_second)
    exact = load / Fraction(CAPACITY.target_utilization)
    return int(exact) + (exact > int(exact))


def _concurrency_by_minute(fine: dict[BucketKey, Row]) -> dict[BucketKey, Row]:
    minutes: defaultdict[BucketKey, list[Row]] = defaultdict(list)
    for (text, start_ms), row in sorted(fine.items()):
        minutes[text, start_ms // 60_000 * 60_000].append(row)
    return {
        key: {
            "active_at_start": rows[0]["active_at_start"],
            **{name: sum(row[name] for row in rows) for name in ("starts", "ends")},
            **{name: max(row[name] for row in rows) for name in ("peak_lower", "peak_upper", "replicas_needed")},
        }
        for key, rows in minutes.items()
    }


# -- the last decision -------------------------------------------------------------------------------------------------


Alert = tuple[str, str, str]
"""Slo, slice and severity."""
Counts = tuple[str, int, int, int, int]
"""The row with its bad and total of both windows."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What the last decision has to say: windows by (slo, slice, length), what burns, and on what there is too little
    evidence; slices that have gone quiet, and those that are near enough to a row to keep an alert."""

    windows: dict[tuple[str, str, int], tuple[int, int]] = field(default_factory=dict)
    burns: dict[Alert, Counts] = field(default_factory=dict)
    held: dict[Alert, Counts] = field(default_factory=dict)
    quiet: set[Alert] = field(default_factory=set)
    holding: set[Alert] = field(default_factory=set)


def verdicts(found: Truth) -> Verdicts:
    said = Verdicts()
    for watched in WATCHED:
        slo = watched.slo
        lengths = {s for row in watched.rows for s in (row.long_s, row.short_s)} | {slo.period_s}
        for text in found.slices():
            names = [part.split("=")[0] for part in text.split(",")]
            if ",".join(names) not in slo.cuts or f"pool={slo.pool}" not in text.split(","):
                continue
            counts = {length: found.window(text, slo.indicator.name, length) for length in lengths}
            budget = 1 - Fraction(slo.objective)
            if len(names) == 1 or any(_share(of) > budget for of in counts.values()):
                said.windows.update({(slo.name, text, length): of for length, of in counts.items()})
            _judge(said, watched, text, counts)
    return said


def _judge(said: Verdicts, watched: Any, text: str, counts: dict[int, tuple[int, int]]) -> None:
    exceeded: list[tuple[Fraction, int, Any]] = []
    keeps: set[Alert] = set()
    for row in watched.rows:
        long, short, key = counts[row.long_s], counts[row.short_s], (watched.slo.name, text, row.severity)
        threshold = Fraction(row.threshold)
        near = threshold * Fraction(watched.life.resolve_below)
        if _share(long) > near and short[1] == 0:
            said.quiet.add(key)
        if min(_share(long), _share(short)) > near and _is_evident(*long, near, watched):
            keeps.add(key)
        if min(_share(long), _share(short)) > threshold:
            exceeded.append((-_share(long), row.long_s, row))
    for _, _, row in sorted(exceeded, key=lambda each: (each[0], each[1], each[2].name)):
        key = (watched.slo.name, text, row.severity)
        is_evident = _is_evident(*counts[row.long_s], Fraction(row.threshold), watched)
        told = said.burns if is_evident else said.held
        told.setdefault(key, (row.name, *counts[row.long_s], *counts[row.short_s]))
    for key in said.burns.keys() & said.held.keys():
        del said.held[key]
    said.holding.update(keeps - said.burns.keys() - said.held.keys())


def _share(counts: tuple[int, int]) -> Fraction:
    bad, total = counts
    return Fraction(bad, total) if total else Fraction(0)


def _is_evident(bad: int, total: int, share: Fraction, watched: Any) -> bool:
    """Whether so many bad ones would be rarer than 1 - confidence if the share were the threshold: the bound, inverted."""
    so_many = sum(comb(total, n) * share**n * (1 - share) ** (total - n) for n in range(bad, total + 1))
    return so_many < 1 - Fraction(str(watched.low_traffic.confidence))
