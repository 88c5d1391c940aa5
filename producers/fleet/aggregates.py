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

from producers.fleet.aggregate_classes import Classes, Drawable
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

Counts = NDArray[np.int64]
Columns = dict[str, Counts]
Histogram = dict[str, "NDArray[np.integer[Any]]"]
"""Columns of the rows of one stage: place of the cell, keys and measures; the stage by its place in `_STAGE_NAMES`."""
_STAGE_NAMES = tuple(SCALE_OF_STAGE)


@dataclass(frozen=True, slots=True)
class Window:
    """Rows of one window of 10 s, by family; every frame has `producer` besides the family's columns."""

    start_ms: int
    rows: dict[str, pl.DataFrame]
    silent: frozenset[str]


def draw_windows(scenario: ScenarioFile, seed: int, start_ms: int, duration_ms: int) -> Iterator[Window]:
    """The fleet's windows from `start_ms` on. Raises BadInput where the scenario has what cannot be drawn directly."""
    outlook = Outlook.of(scenario, start_ms)
    classes = Classes(outlook)
    counts = CellCounts.at(outlook, np.random.default_rng((seed, 0)))
    regions = outlook.crowd.vocabularies["region"].names
    bursts = {region: burst_factors(load_calibration().bursts, seed, place) for place, region in enumerate(regions)}
    for each in bursts.values():
        next(each)  # That of the step before the first one, which turns by turn has, too.
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
    turns = np.zeros(len(cells), dtype=np.int64)
    turns[heard] = stepped.turns[heard]
    measures = {name: np.zeros(len(cells), dtype=np.int64) for name in TURNS.measure_names}
    stages: list[Histogram] = []
    parts = list(classes.parts(cells, turns, begin_ms, rng))
    for drawable, places, counts in parts:
        _add(measures, places, _outcomes(drawable, counts, rng))
        for columns, histogram in _latencies(drawable, places, counts, rng):
            _add(measures, places, columns)
            stages.append(histogram)
    named = _named(cells)
    whole = named.hstack(pl.DataFrame(measures)).filter(pl.col("turns") > 0)
    return {"turns": whole, "stages": _stage_rows(named, stages), "streams": _stream_rows(named, stepped, heard, rng)}


def _add(measures: Columns, places: NDArray[np.intp], columns: Columns) -> None:
    for name, column in columns.items():
        measures[name][places] += column


def _latencies(
    drawable: Drawable, places: NDArray[np.intp], counts: Counts, rng: Generator
) -> Iterator[tuple[Columns, Histogram]]:
    """Of each stage: what it adds to the measures of turns, and its histogram's rows by place of the cell."""
    interrupted = rng.binomial(counts, drawable.interrupted_share)
    of_stage = {"turn": counts - interrupted, "interrupted": interrupted}
    for stage, (happens, bins) in drawable.stages.items():
        judged = of_stage[stage] if stage in of_stage else rng.binomial(counts, happens)
        found = bins.drawn(rng, judged)
        columns: Columns = {}
        for indicator in INDICATORS:
            if indicator.stage == stage:
                columns |= {indicator.total: judged, indicator.bad: found[:, bins.is_bad].sum(axis=1)}
        if stage in of_stage:
            columns["turn_latency_ms_sum"] = np.rint(found @ bins.middle_ms).astype(np.int64)
            columns["turn_latency_ms_sumsq"] = np.rint(found @ bins.mean_square_ms).astype(np.int64)
        yield columns, _histogram(stage, places, found, bins)


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
        **{name: pl.Series(each.reshape(-1)) for name, each in zip(STREAMS.measure_names, (active, starts, ends), strict=True)},
    )
    return counted.filter((pl.col("second") == 0) | (pl.col("starts") + pl.col("ends") > 0))
