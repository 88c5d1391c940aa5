"""Worlds: what a few producers send, in the order in which the logs take it in, and what disturbs it on the way.

A world is a handful of numbers, so that a failing one can be read, shrunk, and written down as a test. Everything else
follows from them: rows from small alphabets, so that cells collide; retries, replayed files, delays within lateness and
beyond it, wrong clocks, restarts, and frames that break the contract. At the end every producer reports twice more, with
counts of zero, so that a last decision is made on everything that was sent before.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pyarrow as pa

from schemas.families import FAMILIES
from schemas.frames import FrameHeader, encode
from schemas.rows import arrow_schema

START_MS = 1_700_000_040_000 // 3_600_000 * 3_600_000
LEAP = 4_000
"""Fewer than a fence remembers below the first number that comes at all, or a mended frame would come too late for it."""
FIRST_INCARNATION = 100
SETTLES_FROM_S = 1_800
"""Before a pause so long everything is read: a source that lags by an hour is no longer waited for, by design."""
DELIVERY_MS = 500

Kind = Literal[
    "repeated",  # A producer's retry: the same record twice.
    "replayed",  # A whole file again: all that this producer has sent.
    "delayed",
    "ahead",  # A clock that is 20 s fast: within the bound.
    "future",  # A clock that is a minute fast: beyond it.
    "ancient",  # A clock that is eight days slow.
    "restarted",  # A new incarnation from here on.
    "leaping",  # A thousand numbers skipped, and some: they are missing for as long as frames that old are taken in.
    "corrupted",
    "mended",  # Corrupted, and put through again later.
]
KINDS: tuple[Kind, ...] = (
    "repeated",
    "replayed",
    "delayed",
    "ahead",
    "future",
    "ancient",
    "restarted",
    "leaping",
    "corrupted",
    "mended",
)


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What happens to the sending at `place` (modulo how many there are); `by` is how far, in places, or which way."""

    kind: Kind
    place: int
    by: int = 1


FaultKind = Literal["kill", "freeze", "stall", "join", "leave", "rebalance"]
FAULTS: tuple[FaultKind, ...] = ("kill", "freeze", "stall", "join", "leave", "rebalance")


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to a worker once `at` effects have taken place. `who` picks the worker, modulo how many live.

    A `freeze` is a SIGSTOP that nobody notices; a `stall` one that lasts until the worker's partitions are given away.
    """

    kind: FaultKind
    at: int
    who: int = 0


@dataclass(frozen=True, slots=True)
class World:
    """One simulated fleet. `gaps_s`: event time between successive windows. `seed` settles whatever is not said here.

    `compacts`: whether changelogs are compacted. `slices_max`: slices that a cut admits. `is_live`: whether grace and
    silence go by the clock, or by event time as in a replay. `is_split`: whether state and messages come in very small
    pieces, as they do in large ones with thousands of slices.
    """

    seed: int = 0
    partitions: int = 1
    producers: int = 1
    gaps_s: tuple[int, ...] = (10,)
    families: tuple[str, ...] = ("stages", "streams", "heartbeats")
    disturbances: tuple[Disturbance, ...] = ()
    faults: tuple[Fault, ...] = ()
    workers: int = 1
    slices_max: int = 5_000
    compacts: bool = False
    is_live: bool = True
    is_split: bool = False

    def dice(self, purpose: str) -> random.Random:
        return random.Random(f"{self.seed}:{purpose}")


@dataclass(frozen=True, slots=True)
class Sending:
    """One record of an aggregates topic. `due_ms`: when it was first sent; `append_ms`: when its log took it in."""

    family: str
    source: int
    producer: str
    incarnation: int
    sequence: int
    privacy: str
    window_start_ms: int
    rows: tuple[dict[str, Any], ...]
    due_ms: int
    append_ms: int = 0
    broken: int | None = None
    settles_first: bool = False

    @property
    def window_ms(self) -> int:
        return 60_000 if self.privacy == "audience" else 10_000

    @property
    def window_end_ms(self) -> int:
        return self.window_start_ms + self.window_ms

    def record(self) -> tuple[list[tuple[str, bytes]], bytes]:
        """Headers and payload, as a producer's encoder writes them, and as what breaks them leaves them."""
        family = FAMILIES[self.family]
        header = FrameHeader(
            family,
            family.partition(self.privacy),
            self.producer,
            self.incarnation,
            self.sequence,
            self.window_start_ms,
        )
        absent: dict[str, Any] = dict.fromkeys(family.dimensions)
        rows = [absent | row for row in (self.rows if self.broken is None else _broken_rows(self))]
        headers, payload = encode(header, pa.Table.from_pylist(rows, schema=arrow_schema(family)))
        return (headers, payload) if self.broken is None else _broken_record(self.broken, headers, payload)


BREAKAGES = 6
"""In transport a changed byte, a lost header, a lost payload; in its values a negative count, one too large, no region."""


def _broken_rows(sending: Sending) -> Sequence[dict[str, Any]]:
    first, *others = sending.rows
    measure = FAMILIES[sending.family].measure_names[0]
    changes: dict[int | None, dict[str, Any]] = {
        3: {measure: -1},
        4: {measure: 2**40 + 1},
        5: {"region": "No Such Place"},
    }
    return [first | changes.get(sending.broken, {}), *others]


def _broken_record(
    breakage: int, headers: list[tuple[str, bytes]], payload: bytes
) -> tuple[list[tuple[str, bytes]], bytes]:
    if breakage == 0:
        return headers, payload[:-9] + bytes([payload[-9] ^ 0x40]) + payload[-8:]
    if breakage == 1:
        return [pair for pair in headers if pair[0] != "tw-sequence"], payload
    return headers, b"" if breakage == 2 else payload


def sendings(world: World) -> tuple[Sending, ...]:
    """Everything that the logs take in, in order of append time, with the closing reports last."""
    planned = _numbered(world, list(_planned(world)))
    segments = _disturbed(world, planned)
    taken = _stamped(sending for segment in segments for sending in segment)
    return (*taken, *_closing(world, taken))


def _planned(world: World) -> Iterator[Sending]:
    """What each producer has to say at the end of each window."""
    dice = world.dice("plan")
    end_ms = START_MS
    for place, gap_s in enumerate((10, *world.gaps_s)):
        end_ms += gap_s * 1_000
        settles = place > 0 and gap_s >= SETTLES_FROM_S
        for producer in range(world.producers):
            for family, privacy in _reported(world, dice):
                width_ms = 60_000 if privacy == "audience" else 10_000
                yield Sending(
                    family,
                    producer % world.partitions,
                    f"host-{producer}",
                    FIRST_INCARNATION,
                    0,
                    privacy,
                    end_ms // width_ms * width_ms - width_ms,
                    tuple(_rows(dice, family, privacy)),
                    end_ms + DELIVERY_MS,
                    settles_first=settles,
                )
                settles = False


def _reported(world: World, dice: random.Random) -> Iterator[tuple[str, str]]:
    yield "turns", "operational"
    if dice.random() < 0.35:
        yield "turns", "audience"
    if world.families and dice.random() < 0.6:
        yield dice.choice(world.families), "operational"


def _numbered(world: World, planned: list[Sending]) -> list[Sending]:
    """Identities, as producers that restart and leap give them; and windows, as their clocks tell them."""
    starts = {d.place % len(planned) for d in world.disturbances if d.kind == "restarted"}
    leaps = {d.place % len(planned) for d in world.disturbances if d.kind == "leaping"}
    shifts_ms = {"ahead": 20_000, "future": 60_000, "ancient": -8 * 86_400_000}
    shifted = {d.place % len(planned): shifts_ms[d.kind] for d in world.disturbances if d.kind in shifts_ms}
    incarnations: dict[str, int] = {}
    sequences: dict[tuple[str, int, str], int] = {}
    numbered = []
    for place, sending in enumerate(planned):
        incarnation = incarnations.get(sending.producer, FIRST_INCARNATION) + (place in starts)
        incarnations[sending.producer] = incarnation
        key = (sending.producer, incarnation, sending.family)
        sequence = sequences.get(key, 0) + (LEAP if place in leaps else 0)
        sequences[key] = sequence + 1
        by_ms = shifted.get(place, 0)
        is_aligned = by_ms % sending.window_ms == 0
        start_ms = sending.window_start_ms + (by_ms if is_aligned else 0)
        numbered.append(replace(sending, incarnation=incarnation, sequence=sequence, window_start_ms=start_ms))
    return numbered


def _disturbed(world: World, planned: list[Sending]) -> list[list[Sending]]:
    """The order in which the logs get them: by pauses, because news is never held up across one; repeats may be."""
    segments: list[list[Sending]] = [[]]
    for sending in planned:
        if sending.settles_first:
            segments.append([])
        segments[-1].append(sending)
    firsts = [segment[0] for segment in segments]
    for disturbance in world.disturbances:
        _disturb(segments, planned[disturbance.place % len(planned)], disturbance)
    return [_settling(segment, first.settles_first) for segment, first in zip(segments, firsts, strict=True)]


def _disturb(segments: list[list[Sending]], of: Sending, how: Disturbance) -> None:
    segment = next(
        (each for each in segments if any(one == of or replace(one, broken=None) == of for one in each)), segments[0]
    )
    place = next(index for index, one in enumerate(segment) if replace(one, broken=None) == of)
    sending = segment[place]
    if how.kind == "repeated":
        segment.insert(place + how.by, sending)
    elif how.kind == "replayed":
        seen = [one for each in segments for one in each if one.producer == of.producer and one.due_ms <= of.due_ms]
        last = segments[-1] if how.by % 2 else segment
        last.extend(seen)
    elif how.kind == "delayed":
        segment.insert(place + how.by, segment.pop(place))
    elif how.kind in ("corrupted", "mended"):
        segment[place] = replace(sending, broken=how.by % BREAKAGES)
        if how.kind == "mended":
            segment.insert(place + how.by, replace(sending, broken=None))


def _settling(segment: list[Sending], settles: bool) -> list[Sending]:
    return [replace(sending, settles_first=settles and place == 0) for place, sending in enumerate(segment)]


def _stamped(ordered: Iterator[Sending]) -> list[Sending]:
    """With the append time that each has for the broker, which never goes back."""
    clock_ms, stamped = 0, []
    for sending in ordered:
        clock_ms = max(clock_ms + 1, sending.due_ms)
        stamped.append(replace(sending, append_ms=clock_ms))
    return stamped


def _closing(world: World, taken: Sequence[Sending]) -> Iterator[Sending]:
    """Reports of zero: of both privacy partitions up to shortly before a full minute, then up to that minute."""
    last_ms = max(sending.append_ms for sending in taken)
    end_ms = (last_ms // 60_000 + 2) * 60_000
    for round_end_ms, privacies in ((end_ms - 10_000, ("operational", "audience")), (end_ms, ("operational",))):
        settles = True
        for producer in range(world.producers):
            for privacy in privacies:
                width_ms = 60_000 if privacy == "audience" else 10_000
                start_ms = (end_ms if privacy == "audience" else round_end_ms) - width_ms
                at_ms = round_end_ms + DELIVERY_MS + producer
                incarnation = FIRST_INCARNATION + 1_000 + (round_end_ms == end_ms)
                place = privacies.index(privacy)
                yield Sending(
                    "turns",
                    producer % world.partitions,
                    f"host-{producer}",
                    incarnation,
                    place,
                    privacy,
                    start_ms,
                    (_zeros(privacy),),
                    at_ms,
                    at_ms,
                    settles_first=settles,
                )
                settles = False


def _zeros(privacy: str) -> dict[str, Any]:
    return _dimensions(random.Random(0), "turns", privacy) | dict.fromkeys(FAMILIES["turns"].measure_names, 0)


def _rows(dice: random.Random, family: str, privacy: str) -> Iterator[dict[str, Any]]:
    for _ in range(dice.randint(1, 3)):
        yield _dimensions(dice, family, privacy) | _keys(dice, family) | _measures(dice, family)


def _dimensions(dice: random.Random, family: str, privacy: str) -> dict[str, Any]:
    pool = {"pool": dice.choice(["realtime", "realtime", "batch"])}
    if privacy == "audience":
        return pool | {"language": dice.choice(["de", "en", "*"]), "device_class": dice.choice(["phone", "car"])}
    region = {"region": dice.choice(["eu-west-1", "us-east-1"])}
    if family == "heartbeats":
        return region
    return pool | region | {"route": dice.choice(["support", "sales"]), "bundle": dice.choice(["v1", "v2"])}


def _keys(dice: random.Random, family: str) -> dict[str, Any]:
    if family == "stages":
        index = dice.choice([-32_768, 10, 11])
        return {"stage": dice.choice(["queue_wait", "turn"]), "scale": dice.choice([4, 5]), "bucket_index": index}
    if family == "streams":
        return {"second": dice.choice([0, 0, 3, 9])}
    return {"reported_family": dice.choice(["turns", "streams"])} if family == "heartbeats" else {}


def _measures(dice: random.Random, family: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for measure in FAMILIES[family].measures:
        most = counts[measure.part_of] if measure.part_of else dice.choice([3, 30])
        counts[measure.name] = dice.randint(0, most)
    return counts
