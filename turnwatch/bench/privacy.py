"""Does privacy blind the product? Of what a scenario's truth is about, the share that leaves the edge as such.

Each shipped scenario is simulated at its own size (20,000 concurrent calls) until something happens to a slice of it. From
then on every collector's observations of one k-window pass the gate. An observation keeps its slice when it is released with
all of the identifying dimensions that the truth names; where two partitions hold them, when both release it so. That is of
turns, but where no partition of turns has such a dimension (accents), it is of labelled calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl
from rich.console import Console
from rich.progress import track

from producers.cells import cells_of, identifying, of_nobody_generalised
from producers.counting import rows_of, sifted
from producers.fleet.choice import AnyScenario, chosen, listed, minutes_of, observations_of, truth_document
from producers.gate import GIVEN_UP, judged
from producers.kinds import KINDS
from schemas.dimensions import DIMENSIONS
from schemas.families import K_SESSIONS_MIN, Family, PrivacyPartition

KEPT_SHARE_MIN = 0.90
START_MS = 1_790_000_000_000 // 86_400_000 * 86_400_000 + 12 * 3_600_000
"""Noon, at a whole hour, so that windows of every length begin with the scenario."""
DEFAULT_MINUTES = 60.0

Slice = Mapping[str, Sequence[str]]
View = tuple[Family, PrivacyPartition]


@dataclass(frozen=True, slots=True)
class Kept:
    """Of one event: observations of its slice in one window, and how many of them left as what they are.

    `kind` is what they are observations of; None where the slice names nothing that identifies, which is never given up.
    """

    scenario: str
    slice: str
    kind: str | None
    observations: int = 0
    kept: int = 0

    @property
    def share(self) -> float:
        if self.kind is None:
            return 1.0
        return self.kept / self.observations if self.observations else 0.0

    @property
    def is_within(self) -> bool:
        return self.share >= KEPT_SHARE_MIN

    @property
    def line(self) -> str:
        of = f"of={self.kind} observations={self.observations}" if self.kind else "of=nothing_that_identifies"
        return (
            f"scenario={self.scenario} slice={self.slice} {of} kept_share={self.share:.4f} limit={KEPT_SHARE_MIN:.2f}"
        )


def run_privacy(seed: int, scenario: str) -> int:
    """Prints a line for each event of the scenario, or of every shipped one (`all`); 1 when one keeps less than the limit."""
    names = [each.name for each in listed()] if scenario == "all" else [scenario]
    scenarios = [chosen(name) for name in names]
    shown = track(scenarios, "simulating", console=Console(stderr=True))
    results = [kept for each in shown for kept in measured(each, seed)]
    for kept in results:
        print(kept.line)
    return 0 if all(kept.is_within for kept in results) else 1


def measured(scenario: AnyScenario, seed: int) -> Iterator[Kept]:
    """What each event's slice keeps in the first window after it begins."""
    minutes = minutes_of(scenario) or DEFAULT_MINUTES
    truth = truth_document(scenario, seed, START_MS, int(minutes * 60_000))
    windows = _Windows(scenario, seed)
    for event in truth["events"]:
        if event["slice"]:
            yield _of_event(windows, event["slice"], event["from_ms"])


@dataclass(slots=True)
class _Windows:
    """What collectors observed, each window simulated once."""

    scenario: AnyScenario
    seed: int
    known: dict[tuple[str, int, int], dict[str, pl.DataFrame]] = field(default_factory=dict)

    def observed(self, kind: str, begin_ms: int, width_ms: int) -> dict[str, pl.DataFrame]:
        """By producer, the observations of the kind in the window."""
        window = (kind, begin_ms, width_ms)
        if window not in self.known:
            steps = observations_of(kind, self.scenario, self.seed, START_MS, begin_ms + width_ms - START_MS)
            self.known[window] = _observed(steps, kind, begin_ms)
        return self.known[window]


def _of_event(windows: _Windows, where: Slice, from_ms: int) -> Kept:
    text = ",".join(f"{name}={'|'.join(values)}" for name, values in where.items())
    kind, views = views_of(where)
    if not views:
        return Kept(windows.scenario.name, text, None)
    width_ms = max(partition.k_window_s for _, partition in views) * 1_000
    begin_ms = -(-from_ms // width_ms) * width_ms
    counts = [counted(rows, where, views) for rows in windows.observed(kind, begin_ms, width_ms).values()]
    return Kept(
        windows.scenario.name, text, kind, sum(of_slice for of_slice, _ in counts), sum(kept for _, kept in counts)
    )


def views_of(where: Slice) -> tuple[str, list[View]]:
    """The kind of observation whose partitions hold all identifying dimensions of the slice, and those partitions."""
    names = {name for name in where if DIMENSIONS[name].is_identifying}
    for kind in KINDS.values():
        views = [(family, each) for family in kind.families for each in family.partitions if names & {*each.dimensions}]
        if names <= {name for _, partition in views for name in partition.dimensions}:
            return kind.name, views
    raise AssertionError(f"no kind of observation has all of {sorted(names)}")


def _observed(
    steps: Iterable[tuple[int, dict[str, pl.DataFrame]]], kind: str, begin_ms: int
) -> dict[str, pl.DataFrame]:
    """What each collector observed of the kind from `begin_ms` on."""
    parts: dict[str, list[pl.DataFrame]] = {}
    for step_ms, observations in steps:
        if step_ms >= begin_ms:
            for producer, rows in observations.items():
                parts.setdefault(producer, []).append(rows)
    return {producer: sifted(kind, pl.concat(rows)).sound for producer, rows in parts.items()}


def counted(observations: pl.DataFrame, where: Slice, views: Sequence[View]) -> tuple[int, int]:
    """Observations of the slice, and those of them that every view releases with the dimensions that the slice names."""
    is_in = pl.all_horizontal(pl.col(name).is_in(list(values)) for name, values in where.items())
    is_kept = [_is_kept(observations, where, family, partition) for family, partition in views]
    of_slice = pl.DataFrame(is_kept).filter(observations.select(is_in).to_series())
    return len(of_slice), int(of_slice.select(pl.all_horizontal(pl.all()).sum()).item())


def _is_kept(observations: pl.DataFrame, where: Slice, family: Family, partition: PrivacyPartition) -> pl.Series:
    """For each observation whether it is released with the values that the slice goes by."""
    told = of_nobody_generalised(observations, partition)
    cells = cells_of(told, rows_of(family, partition, told), family, partition, K_SESSIONS_MIN)
    steps = judged(cells, family, partition, K_SESSIONS_MIN).select(*partition.dimensions, GIVEN_UP)
    given_up = told.select(partition.dimensions).join(steps, on=partition.dimensions, how="left", maintain_order="left")
    first_needed = min(place for place, name in enumerate(identifying(partition)) if name in where)
    return (given_up[GIVEN_UP] <= first_needed).fill_null(False).alias(f"{family.name}.{partition.name}")
