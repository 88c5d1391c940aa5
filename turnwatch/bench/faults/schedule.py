"""What will go wrong, when, and to whom: drawn from a seed before anything starts.

Each process has a track of its own, on which one fault follows another with time to come back in between, often too
little to recover. Tracks know nothing of each other, so a worker may be killed while another is frozen and the broker is
away. Faults of frames are set by window and not by the clock: they are the same ones on any machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

WINDOWS = 336
"""Of 10 s of event time each, 56 minutes a round: long enough for an incident to page, to end, and to be resolved."""
STORM_WINDOWS = WINDOWS - 24
"""The others are sent when all faults are over and everything is read: what was decided on a part of the data, while
workers were away, is decided again on all of it, as it is where traffic never ends."""
FAULTS_DEFAULT = 100

STATIC_WORKERS = ("worker-a", "worker-b")
"""With a stable name: killed and started anew they go on at once."""
DYNAMIC_WORKER = "worker-c"
"""Without one: when it is killed the group waits for its session to end; when it leaves and joins, all rebalance."""
KAFKA, CLICKHOUSE, ALERTMANAGER = "Kafka", "ClickHouse", "Alertmanager"

ProcessKind = Literal["killed", "frozen", "rebalanced", "restarted", "stopped"]
FrameKind = Literal["duplicated", "corrupted"]

FREEZE_S = 20.0
"""Longer than a worker lets its loop stand still (15 s), shorter than its session (30 s)."""
FREEZE_BEYOND_SESSION_S = 40.0
FIRST_FAULT_S = 3.0
LAST_FAULT_SHARE = 0.95
"""Of the storm's time: the last fault finds traffic that still flows after it."""
HARD_SHARE = 0.5
"""How often a server is ended by `kill -9`."""
STORM_S_PER_FAULT, STORM_S_MIN = 2.0, 100.0


@dataclass(frozen=True, slots=True)
class ProcessFault:
    """`lasts_s`: how long the target stays away or frozen. `is_hard`: ended by `kill -9`, not politely."""

    at_s: float
    target: str
    kind: ProcessKind
    lasts_s: float = 0.0
    is_hard: bool = False


@dataclass(frozen=True, slots=True)
class FrameFault:
    """`pick` chooses among the window's frames, as a share of them."""

    window: int
    kind: FrameKind
    pick: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """One round. Process faults are timed from its first window; `storm_s`: how long its stormy windows take."""

    storm_s: float
    processes: tuple[ProcessFault, ...]
    frames: tuple[FrameFault, ...]

    @property
    def faults(self) -> int:
        return len(self.processes) + len(self.frames)


@dataclass(frozen=True, slots=True)
class _Planned:
    """A fault without its time. `rest_s`: the shortest pause that follows it on its track."""

    kind: ProcessKind
    lasts_s: float
    rest_s: float
    is_hard: bool = False


def plan(faults: int, seed: int, is_soak: bool = False, storm_s_min: float = STORM_S_MIN) -> Schedule:
    """A round of `faults` faults; of 100, 24 are on processes. In a soak a worker may be frozen beyond its session."""
    chance = Random(seed)
    storm_s = max(storm_s_min, faults * STORM_S_PER_FAULT)
    tracks = _tracks(faults, chance, is_soak)
    end_s = storm_s * LAST_FAULT_SHARE
    placed = [fault for target, track in tracks.items() for fault in _placed(target, track, end_s, chance)]
    on_frames = max(2, faults - len(placed))
    return Schedule(
        storm_s,
        tuple(sorted(placed, key=lambda fault: fault.at_s)),
        tuple(sorted(_frame_faults(on_frames, chance), key=lambda fault: fault.window)),
    )


def _tracks(faults: int, chance: Random, is_soak: bool) -> dict[str, list[_Planned]]:
    def scaled(of_hundred: int) -> int:
        return -(-of_hundred * faults // FAULTS_DEFAULT)

    def server(kind: ProcessKind, down_s: tuple[float, float], is_hard: bool) -> _Planned:
        return _Planned(kind, chance.uniform(*down_s), rest_s=12.0, is_hard=is_hard)

    frozen = [
        FREEZE_BEYOND_SESSION_S if is_soak and chance.random() < HARD_SHARE else FREEZE_S for _ in range(scaled(2))
    ]
    static: dict[str, list[_Planned]] = {name: [] for name in STATIC_WORKERS}
    _deal(static, [_Planned("frozen", lasts_s, rest_s=8.0) for lasts_s in frozen])
    _deal(static, [_Planned("killed", 0.0, rest_s=chance.uniform(1.0, 6.0)) for _ in range(scaled(10))])
    joins = [_Planned("rebalanced", chance.uniform(1.0, 5.0), rest_s=6.0) for _ in range(scaled(4))]
    dies = [_Planned("killed", 0.0, rest_s=10.0) for _ in range(faults * 2 // FAULTS_DEFAULT)]
    hard_first = chance.random() < HARD_SHARE
    return static | {
        DYNAMIC_WORKER: [*joins, *dies],
        KAFKA: [server("restarted", (0.0, 3.0), (place % 2 == 0) == hard_first) for place in range(scaled(2))],
        CLICKHOUSE: [server("stopped", (4.0, 12.0), chance.random() < HARD_SHARE) for _ in range(scaled(2))],
        # Always politely: what it has notified is written down when it ends, so a kill makes Alertmanager repeat itself.
        ALERTMANAGER: [server("stopped", (4.0, 12.0), is_hard=False) for _ in range(scaled(2))],
    }


def _deal(tracks: dict[str, list[_Planned]], faults: Sequence[_Planned]) -> None:
    """One to each in turn."""
    for fault in faults:
        min(tracks.values(), key=len).append(fault)


def _placed(target: str, track: list[_Planned], end_s: float, chance: Random) -> Iterator[ProcessFault]:
    """The faults of one track in random order, with what time is left over spread at random between them."""
    chance.shuffle(track)
    busy_s = sum(fault.lasts_s + fault.rest_s for fault in track)
    slack_s = end_s - FIRST_FAULT_S - busy_s
    assert slack_s >= 0, f"the faults of {target} take {busy_s:.0f} s; there are {end_s:.0f} s"
    cuts = sorted(chance.uniform(0, slack_s) for _ in track)
    passed_s = FIRST_FAULT_S
    for fault, slack_before_s in zip(track, cuts, strict=True):
        yield ProcessFault(passed_s + slack_before_s, target, fault.kind, fault.lasts_s, fault.is_hard)
        passed_s += fault.lasts_s + fault.rest_s


def _frame_faults(count: int, chance: Random) -> Iterator[FrameFault]:
    """As many of each kind; not in the last windows, for what is wrong there is mended in later ones."""
    for place in range(count):
        kind: FrameKind = "duplicated" if place % 2 else "corrupted"
        yield FrameFault(chance.randrange(1, STORM_WINDOWS - 6), kind, chance.random())
