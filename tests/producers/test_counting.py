"""Counting at the edge against scalar twins that read one observation at a time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from math import floor
from typing import Any

import polars as pl
import pytest

from producers.aggregate import outcome_rows, stage_rows
from producers.counting import rows_of
from producers.queues import last_samples, queue_rows, without_gauges
from producers.releases import nobody_serves, release_rows, served
from schemas.families import COSTS, FAMILIES, OUTCOMES, QUALITY, QUEUES, RELEASES, Family, PrivacyPartition
from schemas.rows import FRAME, arrow_schema, violations
from tests.producers.observed import OBSERVED, Row, bills, deployments, labels, outcomes_world, samples

SEEDS = range(3)
Cells = dict[tuple[Any, ...], dict[str, int]]


def cells_of(rows: pl.DataFrame, family: Family, partition: PrivacyPartition) -> Cells:
    keys = (*partition.dimensions, *family.key_names)
    return {
        tuple(row[name] for name in keys): {name: row[name] for name in family.measure_names} for row in rows.to_dicts()
    }


def counted(
    observed: Iterable[Row], keys: Iterable[str], family: Family, count: Callable[[Row], dict[str, int]]
) -> Cells:
    """The sums of what `count` says of each observation, cell by cell."""
    cells: dict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
    for row in observed:
        cells[tuple(row[name] for name in keys)].update(count(row))
    return {cell: {name: counts[name] for name in family.measure_names} for cell, counts in cells.items()}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("partition", OUTCOMES.partitions, ids=lambda each: each.name)
def test_outcomes_are_what_counting_one_by_one_gives(seed: int, partition: PrivacyPartition) -> None:
    def one(turn: Row) -> dict[str, int]:
        claims = {
            "successes": "is_success", "errors": "is_error", "abandonments": "is_abandoned",
            "interruptions": "is_interrupted", "handoffs": "is_handoff", "cancellations": "is_cancelled",
            "refusals": "is_refused", "synthetic_voices": "is_synthetic_voice", "lookups_stale": "is_retrieval_stale",
        }  # fmt: skip
        jitter = None if turn["jitter_ms"] is None else floor(turn["jitter_ms"] + 0.5)
        of_jitter = {
            "jitter_turns": jitter is not None,
            "jitter_ms_sum": jitter or 0,
            "jitter_ms_sumsq": (jitter or 0) ** 2,
        }
        amounts = {name: turn[name] for name in OUTCOMES.measure_names if name in turn}
        said = {name: turn[claim] is True for name, claim in claims.items()}
        return {"outcomes": 1, "lookups": turn["is_retrieval_stale"] is not None, **said, **of_jitter, **amounts}

    turns = outcomes_world(seed)
    found = cells_of(outcome_rows(turns, partition), OUTCOMES, partition)
    assert found == counted(turns.to_dicts(), partition.dimensions, OUTCOMES, one)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_interrupted_turn_is_counted_apart_and_every_turn_once(seed: int) -> None:
    turns = outcomes_world(seed)
    rows = stage_rows(turns)
    timed = [turn for turn in turns.to_dicts() if turn["turn_ms"] is not None]
    for stage, is_interrupted in (("interrupted", True), ("turn", False)):
        of_stage = [
            floor(turn["turn_ms"] + 0.5) for turn in timed if (turn["is_interrupted"] is True) is is_interrupted
        ]
        told = rows.filter(pl.col("stage") == stage)
        assert (told["observations"].sum(), told["latency_ms_sum"].sum()) == (len(of_stage), sum(of_stage))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("partition", QUALITY.partitions, ids=lambda each: each.name)
def test_labels_are_what_counting_one_by_one_gives(seed: int, partition: PrivacyPartition) -> None:
    def one(call: Row) -> dict[str, int]:
        words, errors = call["words"], call["word_errors"]
        squares = {"words_sumsq": words**2, "word_errors_sumsq": errors**2, "word_errors_by_words": words * errors}
        return {"calls": 1} | {name: call[name] for name in QUALITY.measure_names if name in call} | squares

    calls = labels(seed)
    found = cells_of(rows_of(QUALITY, partition, calls), QUALITY, partition)
    assert found == counted(calls.to_dicts(), partition.dimensions, QUALITY, one)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("partition", COSTS.partitions, ids=lambda each: each.name)
def test_costs_are_what_counting_one_by_one_gives(seed: int, partition: PrivacyPartition) -> None:
    def one(line: Row) -> dict[str, int]:
        turns, gpu_ms = line["turns"], line["gpu_used_ms"]
        square = (gpu_ms // turns) ** 2 * turns if turns else 0
        assert turns != 1 or square == gpu_ms**2
        return {name: line[name] for name in COSTS.measure_names if name in line} | {"gpu_used_ms_sumsq": square}

    lines = bills(seed)
    found = cells_of(rows_of(COSTS, partition, lines), COSTS, partition)
    assert found == counted(lines.to_dicts(), partition.dimensions, COSTS, one)


# -- queues ------------------------------------------------------------------------------------------------------------


def newest(window: list[Row]) -> dict[tuple[str, str], Row]:
    """Each engine's last sample; of one instant the one that came last."""
    last: dict[tuple[str, str], Row] = {}
    for sample in window:
        known = last.get((sample["host"], sample["queue"]))
        if known is None or sample["at_ms"] >= known["at_ms"]:
            last[sample["host"], sample["queue"]] = sample
    return last


@pytest.mark.parametrize("seed", SEEDS)
def test_queues_are_what_counting_one_by_one_gives(seed: int) -> None:
    (partition,) = QUEUES.partitions
    before, now = samples(seed, 30), samples(seed + 100)
    keys = (*partition.dimensions, "queue")
    gauges = [measure.name for measure in QUEUES.measures if measure.merge == "gauge"]
    counters = [name for name in now.columns if name in QUEUES.measure_names and name not in gauges]
    wanted = counted(now.to_dicts(), keys, QUEUES, lambda row: {name: row[name] for name in counters})
    first, last = newest(before.to_dicts()), newest(now.to_dicts())
    for engine, sample in last.items():
        cell = wanted[tuple(sample[name] for name in keys)]
        for name in gauges:
            cell[name] += sample[name]
        if engine in first and all(first[engine][name] == sample[name] for name in keys):
            cell["depth_from"] += first[engine]["depth"]
            cell["depth_to"] += sample["depth"]
    assert any(cell["depth_to"] for cell in wanted.values())
    assert cells_of(queue_rows(now, partition, last_samples(before)), QUEUES, partition) == wanted


def test_growth_joins_from_window_to_window_and_who_comes_or_goes_is_no_jump() -> None:
    (partition,) = QUEUES.partitions
    depths = {"gpu-0": (3, 7, 20, 12), "gpu-1": (None, 500, 510, None)}
    grown, before = [], None
    for window in range(4):
        told = [(host, series[window]) for host, series in depths.items() if series[window] is not None]
        one = samples(1, len(told)).with_columns(
            region=pl.lit("eu-west-1"), pool=pl.lit("realtime"), bundle=pl.lit("v1"), queue=pl.lit("retrieval"),
            host=pl.Series([host for host, _ in told]), depth=pl.Series([depth for _, depth in told]),
        )  # fmt: skip
        row = queue_rows(one, partition, before).row(0, named=True)
        grown.append(row["depth_to"] - row["depth_from"])
        before = last_samples(one)
    assert grown == [0, 7 - 3, 20 - 7 + 510 - 500, 12 - 20]


def test_samples_that_come_too_late_count_without_their_gauges() -> None:
    (partition,) = QUEUES.partitions
    rows = queue_rows(samples(1), partition)
    late = without_gauges(rows)
    assert late["arrivals"].sum() == rows["arrivals"].sum() > 0
    assert late.select("depth", "servers", "kv_blocks_used", "depth_to").sum().row(0) == (0, 0, 0, 0)


# -- releases ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_deployments_are_what_following_each_host_gives_from_window_to_window(seed: int) -> None:
    (partition,) = RELEASES.partitions
    live = nobody_serves()
    serving: set[tuple[str, ...]] = set()
    for window in range(3):
        changes = deployments(seed * 10 + window, 25)
        cells: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        for change in sorted(changes.to_dicts(), key=lambda each: each["at_ms"]):
            what = tuple(change[name] for name in ("region", "pool", "bundle", "artifact", "artifact_kind"))
            if change["is_start"] is ((change["host"], *what) in serving):
                continue
            cells[what]["deployments" if change["is_start"] else "retirements"] += 1
            serving ^= {(change["host"], *what)}
        for each in serving:
            cells[each[1:]]["hosts"] += 1
        found = served(live, changes)
        wanted = {cell: {name: counts[name] for name in RELEASES.measure_names} for cell, counts in cells.items()}
        assert cells_of(release_rows(found, partition), RELEASES, partition) == wanted
        live = found.live


# -- all ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [FAMILIES[name] for name in ("turns", "outcomes", "stages", "queues", "quality", "costs")], ids=lambda each: each.name)  # fmt: skip
def test_rows_keep_the_contract_in_every_partition_whatever_the_order(family: Family) -> None:
    observed = OBSERVED[family.kind](1)
    for partition in family.partitions:
        rows = rows_of(family, partition, observed)
        assert rows.equals(
            rows_of(family, partition, observed.sort("at_ms" if "at_ms" in observed.columns else "ended_at_ms"))
        )
        absent = [pl.lit(None, pl.String).alias(name) for name in family.dimensions if name not in partition.dimensions]
        whole = rows.with_columns(*absent, pl.lit(0).alias(FRAME))
        assert violations(whole, whole, family, partition) == {}
        whole.select(arrow_schema(family).names).to_arrow().cast(arrow_schema(family))


def test_a_window_without_observations_has_no_rows() -> None:
    for family in (OUTCOMES, QUEUES, QUALITY, COSTS):
        for partition in family.partitions:
            assert rows_of(family, partition, OBSERVED[family.kind](1).clear()).is_empty()
    assert release_rows(served(nobody_serves(), deployments(1).clear()), RELEASES.partitions[0]).is_empty()
