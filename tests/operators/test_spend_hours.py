"""What is kept of spend is what was sent: from frames through intake, totals and prices to hours, whatever dies on the way."""

from __future__ import annotations

from random import Random

import polars as pl

from schemas.families import COSTS
from schemas.instants import HOUR_MS
from schemas.spend import CELL, CELL_MEASURES, decode
from schemas.topics import SPEND
from stream_jobs.operators.cost.spend_hours import HOURS_SCHEMA, OPEN_MS, SpendHours
from tests.operators.family_worlds import Worker, counted, world
from tests.operators.test_pricing_watch import gathered, operational, priced, read, worker
from tests.operators.worlds import Crash


def kept(line: Worker) -> SpendHours:
    """What a stage keeps that hears all that a worker said, in its order."""
    hours = SpendHours()
    for each in line.said:
        if each.topic == SPEND:
            spend = decode(dict(each.headers), each.payload)
            assert hours.hear(spend.bucket_start_ms, pl.DataFrame(pl.from_arrow(spend.cells))) == 0
    return hours


def by_hour(line: Worker) -> pl.DataFrame:
    """The same from every cell that was said last, summed by a loop's dictionary."""
    rows = [
        {**row, "hour_ms": start_ms // HOUR_MS * HOUR_MS} for (start_ms, *_), row in gathered(read(line.said)).items()
    ]
    return pl.DataFrame(rows).group_by("hour_ms", *CELL).agg(pl.col(CELL_MEASURES).sum()).select(*HOURS_SCHEMA)


def test_hours_of_cells_are_the_sums_of_what_was_sent_at_its_prices() -> None:
    """A worker that dies at any moment says the same again; nothing of it counts twice."""
    dice = Random(1)

    def survive() -> None:
        if dice.random() < 0.02:
            raise Crash

    logs = world(COSTS, 1, range(13))
    line = worker(survive)
    line.run(logs, batch=4)
    hours = kept(line)
    order = ["hour_ms", *CELL]
    found = hours.between(0, 2**60).sort(order)
    assert found.equals(by_hour(line).sort(order))
    wanted = operational(priced(counted(COSTS, logs))).values()
    for name in ("turns", "successes", "used_nusd", "reserved_nusd", "uncosted_gpu_ms", "uncosted_tokens"):
        assert found[name].sum() == sum(row[name] for row in wanted), name


def test_folding_changes_no_figure_and_routes_of_a_pool_sum_to_what_their_rows_say() -> None:
    line = worker()
    line.run(world(COSTS, 3, range(13)), batch=4)
    hours = kept(line)
    before, routes = hours.between(0, 2**60), hours.route_hours(0)
    newest_ms = max(hours.known()) + HOUR_MS
    hours.age(newest_ms + OPEN_MS)
    order = ["hour_ms", *CELL]
    assert hours.between(0, 2**60).sort(order).equals(before.sort(order))
    assert hours.route_hours(0).equals(routes)
    sums = routes.group_by("hour_ms", "pool").agg(pl.col("told_nusd", "nusd").sum(), pl.len())
    assert ((sums["told_nusd"] - sums["nusd"]).abs() <= sums["len"]).all()
    restored = SpendHours()
    restored.restore({block.key: block.value or b"" for block in hours.unsaved_blocks(1) if block.value})
    assert restored.route_hours(0).equals(routes)
