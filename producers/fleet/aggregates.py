"""Rows of families drawn directly, window by window, for runs that are too long to have every turn in them.

Of each cell the number of turns is drawn, and then, for each stage, how many of them fall into each bucket of its histogram
(multinomial), and how many had each outcome (binomial). One by one every measure has the distribution that counting turns
gives. What that leaves out: within a window and cell, stages and sums are drawn apart, so a turn that is slow in a stage is
no more often slow as a whole; and only the operational partition of `turns`, `stages` and `streams` is told, because
without sessions there is no privacy to be kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.random import Generator
from numpy.typing import NDArray

from producers.fleet.aggregate_classes import Classes, Drawable, GroupWindow
from producers.fleet.bins import Bins
from producers.fleet.calibration import load_calibration
from producers.fleet.cells import Cell, CellCounts, Stepped
from producers.fleet.demand import burst_factors
from producers.fleet.outlook import Outlook
from producers.fleet.rows import producer_of
from producers.fleet.scenario_file import ScenarioFile
from producers.fleet.timeline import STEP_MS
from producers.fleet.turns import AUDIO_MS_PER_TOKEN, SPEECH_MS_MEAN, SPEECH_MS_SHAPE, TOKENS_OUT_SHAPE
from schemas.families import INDICATORS, OPERATIONAL, SCALE_OF_STAGE, STAGE_LATENCIES, STREAMS, TURNS
from schemas.histograms import ZERO_INDEX, bucket_indexes

Counts = NDArray[np.int64]
Columns = dict[str, Counts]
Histogram = dict[str, "NDArray[np.integer[Any]]"]
"""Columns of the rows of one stage: place of the cell, keys and measures; the stage by its place in `_STAGE_NAMES`."""
_STAGE_NAMES = tuple(SCALE_OF_STAGE)
WAIT = next(indicator for indicator in INDICATORS if indicator.stage == "queue_wait")


@dataclass(frozen=True, slots=True)
class Window:
    """Rows of one window of 10 s, by family; every frame has `producer` besides the family's columns."""

    start_ms: int
    rows: dict[str, pl.DataFrame]
    silent: frozenset[str]

    @property
    def turns(self) -> int:
        return int(self.rows["turns"]["turns"].sum())


def draw_windows(
    scenario: ScenarioFile, seed: int, start_ms: int, duration_ms: int, tables: Classes | None = None
) -> Iterator[Window]:
    """The fleet's windows from `start_ms` on. `tables` are those of an earlier run of the same scenario and start.

    Raises BadInput where the scenario has what cannot be drawn directly.
    """
    classes = tables or Classes(Outlook.of(scenario, start_ms))
    outlook = classes.outlook
    shares = np.array([each.share for each in classes.callers])
    counts = CellCounts.at(outlook, shares, np.random.default_rng((seed, 0)))
    regions = outlook.crowd.vocabularies["region"].names
    bursts = {region: burst_factors(load_calibration().bursts, seed, place) for place, region in enumerate(regions)}
    for step in range(-(-duration_ms // STEP_MS)):
        begin_ms, rng = start_ms + step * STEP_MS, np.random.default_rng((seed, step + 2))
        in_force = outlook.in_force(begin_ms)
        stepped = counts.stepped(begin_ms, in_force, {region: next(each) for region, each in bursts.items()}, rng)
        silent = in_force.silent_regions
        heard = [place for place, cell in enumerate(counts.cells) if cell.region not in silent]
        producers = [producer_of(cell.region, cell.collector) for cell in counts.cells]
        yield Window(
            begin_ms,
            _rows(classes, counts.cells, stepped, heard, begin_ms, rng),
            frozenset(name for name, cell in zip(producers, counts.cells, strict=True) if cell.region in silent),
        )


def _rows(
    classes: Classes, cells: tuple[Cell, ...], stepped: Stepped, heard: list[int], begin_ms: int, rng: Generator
) -> dict[str, pl.DataFrame]:
    turns = np.zeros_like(stepped.turns)
    turns[heard] = stepped.turns[heard]
    measures = {name: np.zeros(len(cells), dtype=np.int64) for name in TURNS.measure_names}
    stages: list[Histogram] = []
    for window in classes.groups(cells, turns, begin_ms):
        for drawable, places, counts in window.parts:
            _add(measures, places, _outcomes(drawable, counts.sum(axis=1), rng))
            for columns, histogram in _latencies(drawable, places, counts, rng):
                _add(measures, places, columns)
                stages.append(histogram)
        columns, histogram = _waits(window, rng)
        _add(measures, np.arange(len(cells)), {name: _spread(each, len(cells)) for name, each in columns.items()})
        stages.append(histogram)
    named = _named(cells)
    whole = named.hstack(pl.DataFrame(measures)).filter(pl.col("turns") > 0)
    return {"turns": whole, "stages": _stage_rows(named, stages), "streams": _stream_rows(named, stepped, heard, rng)}


def _add(measures: Columns, places: NDArray[np.intp], columns: Columns) -> None:
    for name, column in columns.items():
        measures[name][places] += column


def _waits(window: GroupWindow, rng: Generator) -> tuple[dict[str, NDArray[np.intp]], Histogram]:
    """The waits of a group: a stretch of a run under the same load, so that a bad moment is one for many turns.

    The columns are the places of the turns that were judged, and of those that waited too long.
    """
    places = np.concatenate([np.repeat(at, counts.sum(axis=1)) for _, at, counts in window.parts])
    rng.shuffle(places)
    begin = int(rng.integers(len(window.waits_ms)))
    waits_ms = np.take(window.waits_ms, np.arange(begin, begin + len(places)), mode="wrap")
    keys = places.astype(np.int64) << 32 | (bucket_indexes(waits_ms, SCALE_OF_STAGE[WAIT.stage or ""]) - ZERO_INDEX)
    found, of = np.unique(keys, return_inverse=True)
    whole_ms = np.floor(waits_ms + 0.5)
    histogram = {
        "place": found >> 32,
        "stage": np.full(len(found), _STAGE_NAMES.index("queue_wait")),
        "scale": np.full(len(found), SCALE_OF_STAGE["queue_wait"], dtype=np.int32),
        "bucket_index": ((found & 0xFFFFFFFF) + ZERO_INDEX).astype(np.int32),
        "observations": np.bincount(of),
        "latency_ms_sum": np.bincount(of, weights=whole_ms).astype(np.int64),
        "latency_ms_sumsq": np.bincount(of, weights=whole_ms**2).astype(np.int64),
    }
    return {WAIT.total: places, WAIT.bad: places[waits_ms > float(WAIT.threshold_ms or 0)]}, histogram


def _spread(places: NDArray[np.intp], cells: int) -> Counts:
    return np.bincount(places, minlength=cells)


def _latencies(
    drawable: Drawable, places: NDArray[np.intp], counts: Counts, rng: Generator
) -> Iterator[tuple[Columns, Histogram]]:
    """Of each stage: what it adds to the measures of turns, and its histogram's rows by place of the cell."""
    interrupted = rng.binomial(counts, drawable.interrupted_share)
    of_stage = {"turn": counts - interrupted, "interrupted": interrupted}
    for stage, (happens, by_connection) in drawable.stages.items():
        of = of_stage.get(stage, counts)
        for column, bins in enumerate(by_connection):
            judged = of[:, column] if len(by_connection) > 1 else of.sum(axis=1)
            judged = judged if happens == 1.0 else rng.binomial(judged, happens)
            if judged.any():
                found = bins.drawn(rng, judged)
                yield _measures_of(stage, judged, found, bins), _histogram(stage, places, found, bins)


def _measures_of(stage: str, judged: Counts, found: Counts, bins: Bins) -> Columns:
    """What a stage adds to the measures of family `turns`."""
    columns: Columns = {}
    for indicator in INDICATORS:
        if indicator.stage == stage:
            columns |= {indicator.total: judged, indicator.bad: found[:, bins.is_bad].sum(axis=1)}
    if stage in ("turn", "interrupted"):
        columns["turn_latency_ms_sum"] = np.rint(found @ bins.middle_ms).astype(np.int64)
        columns["turn_latency_ms_sumsq"] = np.rint(found @ bins.mean_square_ms).astype(np.int64)
    return columns


def _histogram(stage: str, places: NDArray[np.intp], found: Counts, bins: Bins) -> Histogram:
    """A row for each cell and bucket that has any."""
    starts = bins.bucket_starts
    observations = np.add.reduceat(found, starts, axis=1)
    sums = np.add.reduceat(found * bins.middle_ms, starts, axis=1)
    squares = np.add.reduceat(found * bins.mean_square_ms, starts, axis=1)
    cell, bucket = np.nonzero(observations)
    return {
        "place": places[cell],
        "stage": np.full(len(cell), _STAGE_NAMES.index(stage)),
        "scale": np.full(len(cell), SCALE_OF_STAGE[stage], dtype=np.int32),
        "bucket_index": bins.bucket[starts][bucket],
        "observations": observations[cell, bucket],
        "latency_ms_sum": np.rint(sums[cell, bucket]).astype(np.int64),
        "latency_ms_sumsq": np.rint(squares[cell, bucket]).astype(np.int64),
    }


def _outcomes(drawable: Drawable, counts: Counts, rng: Generator) -> Columns:
    """Outcomes, and sums of tokens and audio: a sum of gamma amounts is gamma, of prompts it is drawn bin by bin."""
    fleet = drawable.fleet
    lookups = rng.binomial(counts, fleet.retrieval_share)
    extra = rng.gamma(np.maximum(counts, 1e-9) * TOKENS_OUT_SHAPE, (fleet.tokens_out_mean - 1) / TOKENS_OUT_SHAPE)
    tokens_out = np.where(counts > 0, counts + extra, 0.0)
    spoken = rng.gamma(np.maximum(counts, 1e-9) * SPEECH_MS_SHAPE, SPEECH_MS_MEAN / SPEECH_MS_SHAPE)
    has_audio = drawable.has_audio
    return {
        "turns": counts,
        "tokens_in": drawable.prompt_sums(rng, counts),
        "tokens_out": np.rint(tokens_out).astype(np.int64),
        "audio_in_ms": np.rint(spoken * has_audio * (counts > 0)).astype(np.int64),
        "audio_out_ms": np.rint(tokens_out * AUDIO_MS_PER_TOKEN * has_audio).astype(np.int64),
        "turn_error_total": counts,
        "turn_error_bad": rng.binomial(counts, fleet.error_share),
        "abandonment_total": counts,
        "abandonment_bad": rng.binomial(counts, fleet.abandoned_share),
        "retrieval_stale_total": lookups,
        "retrieval_stale_bad": rng.binomial(lookups, drawable.stale_share),
        "privacy_error_total": counts,
    }


def _named(cells: tuple[Cell, ...]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "producer": [producer_of(cell.region, cell.collector) for cell in cells],
            **{name: [getattr(cell, name) for cell in cells] for name in OPERATIONAL.dimensions},
        }
    )


def _stage_rows(named: pl.DataFrame, stages: list[Histogram]) -> pl.DataFrame:
    """Rows of all classes, added up where classes share a cell and bucket."""
    if not stages:
        return pl.DataFrame()
    columns = {name: np.concatenate([each[name] for each in stages]) for name in stages[0]}
    rows = pl.DataFrame({**columns, "stage": pl.Series(_STAGE_NAMES).gather(columns["stage"])})
    keys = ["place", *STAGE_LATENCIES.key_names]
    summed = rows if rows.select(pl.struct(keys).is_unique().all()).item() else rows.group_by(keys).sum()
    return named[summed["place"]].hstack(summed.drop("place"))


def _stream_rows(named: pl.DataFrame, stepped: Stepped, heard: list[int], rng: Generator) -> pl.DataFrame:
    """Ten rows of each cell at most: starts and ends are spread evenly over the window's seconds."""
    seconds = np.full(10, 0.1)
    starts, ends = (rng.multinomial(counts[heard], seconds) for counts in (stepped.starts, stepped.ends))
    active = np.zeros_like(starts)
    active[:, 0] = stepped.live[heard]
    rows = named[heard].select(pl.all().repeat_by(10).explode())
    counted = rows.with_columns(
        pl.Series("second", np.tile(np.arange(10, dtype=np.int32), len(heard))),
        **{
            name: pl.Series(each.reshape(-1))
            for name, each in zip(STREAMS.measure_names, (active, starts, ends), strict=True)
        },
    )
    return counted.filter((pl.col("second") == 0) | (pl.col("starts") + pl.col("ends") > 0))
