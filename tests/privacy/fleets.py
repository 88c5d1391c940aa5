"""Seeded fleets with a session planted in them that no other is like, and the frames that a collector makes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.random import Generator

from producers.collector import WINDOW_MS, Collector, Frame
from producers.kinds import KINDS
from producers.observations import TURN_COLUMNS, with_unsaid
from tests.privacy.attacker import Class, Target
from tests.privacy.studies import OF_TURNS, Study

START_MS = 1_700_000_040_000 // 3_600_000 * 3_600_000
MINUTE_MS = 60_000
MINUTES = 3
PERIODS = 3
"""Windows of kinds that are counted more slowly."""
POOL = "realtime"
PLANTED_SESSION = 2**63
UNLIKE = {"language": "cy", "device_class": "headset", "tenant": "t-00000000000000ff", "client_version": "9.9"}
"""What only one planted session is."""
ALIKE = {"language": "is", "device_class": "car", "tenant": "t-00000000000000bb", "client_version": "2.0"}
"""What some are, each for itself."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Observations as they come in: `moment` is the step of the study in which the collector is given them."""

    observed: pl.DataFrame
    targets: tuple[Target, ...]


def fleet(seed: int) -> Fleet:
    """Three minutes of one region, quiet pools and late turns among them, and two planted sessions whose turns fail.

    In some fleets each session takes one turn, in others the same people come back, or the planted one talks a lot.
    """
    rng = np.random.default_rng(seed)
    parts = [_minute(rng, minute, seed) for minute in range(MINUTES)]
    planted = [_planted(parts[1], place, values) for place, values in enumerate((UNLIKE, ALIKE))]
    talk = [planted[0]] * (25 if seed % 4 == 1 else 0)
    turns = with_unsaid(pl.concat([*parts, *talk, *planted]), {"moment": pl.Int64(), **TURN_COLUMNS})
    return Fleet(turns, tuple(target_of(turn, OF_TURNS) for turn in turns.tail(len(planted)).to_dicts()))


def frames_of(observed: pl.DataFrame, study: Study = OF_TURNS) -> list[Frame]:
    """All frames of a collector that is given the observations as they come in, to a step after the last of them.

    It closes no more than one window of 10 s a step, as if those before had ended in silence.
    """
    under_attack, out = Collector("eu-west-1-collector-0", "eu-west-1", 1, START_MS), list[Frame]()
    for moment in range(steps(study)):
        under_attack.observe(study.kind, observed.filter(moment=moment).drop("moment"))
        end_ms = START_MS + (moment + 1) * study.step_ms
        under_attack.restore({"_open_ms": end_ms - WINDOW_MS})
        out += under_attack.close(end_ms)
    return out


def steps(study: Study) -> int:
    """Windows of every length have ended by then."""
    return (MINUTES + 1) * MINUTE_MS // study.step_ms if study is OF_TURNS else PERIODS + 1


def behind(
    observed: pl.DataFrame, classes: frozenset[Class], class_of: Callable[[Target], Class], study: Study
) -> pl.DataFrame:
    """The observations of a group of classes: who they are is what the attacker cannot know, and who judges it does."""
    window = pl.col(KINDS[study.kind].time) // study.step_ms * study.step_ms
    own = observed.filter(pool=POOL).group_by("moment", window.alias("window"), *study.dimensions)
    found = [observed.clear()]
    for (moment, window_ms, *values), rows in own:
        told = dict(zip(study.dimensions, map(str, values), strict=True))
        if class_of(Target(int(str(moment)), int(str(window_ms)), told)) in classes:
            found.append(rows)
    return pl.concat(found)


def target_of(row: Mapping[str, Any], study: Study) -> Target:
    values = {name: str(row[name]) for name in study.dimensions}
    return Target(row["moment"], row[KINDS[study.kind].time] // study.step_ms * study.step_ms, values)


def _minute(rng: Generator, minute: int, seed: int) -> pl.DataFrame:
    """Turns of one minute, each of a session of its own or of one that was there before; some come a minute late."""
    count = int(rng.integers(50, 140))
    if seed % 3 == 0 and minute == 0:  # Then the pool is below k, and held.
        count = int(rng.integers(5, 18))

    def some(values: list[str], weights: list[float]) -> list[str]:
        return [str(value) for value in rng.choice(values, count, p=weights)]

    is_late = rng.random(count) < 0.06
    sessions = rng.integers(0, 100, count) if seed % 2 else minute * 1_000 + np.arange(count)
    return pl.DataFrame(
        {
            "moment": minute * 6 + is_late * 6,
            "ended_at_ms": START_MS + minute * MINUTE_MS + rng.integers(0, 10_000, count),
            "session": sessions.astype(np.uint64),
            "region": ["eu-west-1"] * count,
            "pool": some(["realtime", "batch"], [0.95, 0.05]),
            "route": some(["support", "sales"], [0.7, 0.3]),
            "bundle": ["v1"] * count,
            "language": some(["en", "de", "is"], [0.6, 0.3, 0.1]),
            "device_class": some(["phone", "car"], [0.75, 0.25]),
            "tenant": some(["t-00000000000000aa", "t-00000000000000bb"], [0.65, 0.35]),
            "client_version": some(["1.0", "2.0"], [0.7, 0.3]),
            "connection": some(["wifi", "pstn"], [0.6, 0.4]),
            "audio_in_ms": rng.integers(100, 5_000, count),
            **{name: np.zeros(count, dtype=np.int64) for name in ("audio_out_ms", "tokens_in", "tokens_out")},
            "turn_ms": rng.integers(100, 5_000, count).astype(np.float64),
            "is_error": [False] * count,
            "is_abandoned": [False] * count,
            "is_retrieval_stale": [False] * count,
        }
    )


def _planted(minute: pl.DataFrame, place: int, values: dict[str, str]) -> pl.DataFrame:
    one = minute.filter(pl.col("pool") == POOL, pl.col("moment") == 6).head(1)
    facts = {"session": PLANTED_SESSION + place, "is_error": True, "is_retrieval_stale": True, **values}
    return one.with_columns(pl.lit(value).cast(one.schema[name]).alias(name) for name, value in facts.items())
