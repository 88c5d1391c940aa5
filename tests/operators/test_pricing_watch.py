"""What is priced in the stream is what the whole is priced at, whatever dies and however late; and all of it is said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any

import polars as pl
import pytest

from schemas.declarations import COUNT_MAX
from schemas.families import COSTS, Family
from schemas.prices import NO_PRICES, PRICED, UNCOSTED, Price, PriceList
from schemas.slices import slice_dimensions
from schemas.spend import BUCKET_MS, CELL, CELL_MEASURES, Spend, decode
from schemas.topics import SPEND
from stream_jobs.operators.cost.priced_slices import finest
from stream_jobs.operators.cost.pricing import Pricing
from stream_jobs.operators.cost.pricing_watch import SAID_EVERY_MS, STATED_MAX, TABLE, PricingWatch
from stream_jobs.operators.watching import Statement
from tests.operators.family_worlds import START_MS, Row, RowKey, Sent, Worker, counted, frame, lateness_windows, world
from tests.operators.worlds import Crash
from turnwatch.bench.fuzz.specimens import dimension_values

FINEST = {cut.name for cut in (COSTS.cuts[3], COSTS.cuts[5])}
TOLD = ("turns", "successes", "success_audio_ms", *PRICED, *UNCOSTED)


def price_list() -> PriceList:
    """Of the GPUs of the worlds one has a price, and one of its regions another one from the third bucket on."""
    gpu: dict[str, Any] = {"gpu_type": dimension_values("gpu_type")[0], "purchase": "reserved"}
    model = dimension_values("model_version")[0]
    prices = [
        Price("gpu_hour", Decimal("4.1"), 0, **gpu),
        Price(
            "gpu_hour",
            Decimal("7.77"),
            START_MS + 2 * BUCKET_MS,
            None,
            dimension_values("region")[0],
            gpu["gpu_type"],
            "reserved",
        ),
        Price("tokens_out", Decimal("9.3"), 0, model_version=model),
        Price("tokens_in", Decimal("2.7"), 0, START_MS + 5 * BUCKET_MS, model_version=model),
    ]
    return PriceList("test", tuple(prices))


def priced(rows: Mapping[RowKey, Row]) -> dict[RowKey, Row]:
    """Rows of totals at their prices, by slice and bucket: all at once, from the whole."""
    kept = {key: row for key, row in rows.items() if ",".join(slice_dimensions(key[0])) in FINEST}
    empty = dict.fromkeys((*CELL, "tenant"), "")
    uses = pl.DataFrame(
        [empty | slice_dimensions(text) | {"bucket_start_ms": at} | dict(row) for (text, at), row in kept.items()]
    )
    costs = Pricing(price_list()).priced(uses).select(TOLD).to_dicts()
    return dict(zip(kept, costs, strict=True))


def worker(survive: Any = lambda: None) -> Worker:
    return Worker(COSTS, survive, watching=lambda: (PricingWatch(0, Pricing(price_list())),))


def landed(line: Worker) -> dict[RowKey, Row]:
    """What table `spend_10m` holds."""
    rows = [row for _, row in line.landed[TABLE].values()]
    return {
        (row["slice"], round(row["bucket_start"].timestamp() * 1_000)): {name: row[name] for name in TOLD}
        for row in rows
    }


def read(said: Iterable[Statement]) -> list[Spend]:
    return [decode(dict(each.headers), each.payload) for each in said if each.topic == SPEND]


def gathered(said: Iterable[Spend]) -> dict[tuple[Any, ...], Row]:
    """Cells by bucket, as who hears all statements has them: each replaced unless what comes is older."""
    cells: dict[tuple[Any, ...], Row] = {}
    for spend in said:
        for row in spend.cells.to_pylist():
            key = (spend.bucket_start_ms, *(row[name] for name in CELL))
            if row["version"] >= cells.get(key, row)["version"]:
                cells[key] = row
    return cells


def operational(rows: Mapping[RowKey, Row]) -> dict[tuple[Any, ...], Row]:
    """Rows by bucket and cell, of those that are cells."""
    texts = {key: slice_dimensions(key[0]) for key in rows}
    return {
        (key[1], *(texts[key][name] for name in CELL)): row for key, row in rows.items() if set(texts[key]) == set(CELL)
    }


@pytest.mark.parametrize("seed", range(2))
def test_what_is_priced_bucket_by_bucket_is_the_price_of_what_was_sent(seed: int) -> None:
    logs = world(COSTS, seed, range(7))
    line = worker()
    line.run(logs, batch=3)
    wanted = priced(counted(COSTS, logs))
    assert landed(line) == wanted
    assert any(row["uncosted_gpu_ms"] for row in wanted.values()) and any(row["used_nusd"] for row in wanted.values())


@pytest.mark.parametrize("seed", range(3))
def test_a_crash_between_any_two_effects_leaves_no_row_and_no_statement_behind_however_late(seed: int) -> None:
    """Windows jump by more than the lateness, so that buckets are folded in between, some right after they changed."""
    dice = Random(seed)
    logs = world(COSTS, seed, [dice.randrange(lateness_windows(COSTS)) for _ in range(8)], frames=30)
    lives = [6]

    def survive() -> None:
        if lives[0] and dice.random() < 0.03:
            lives[0] -= 1
            raise Crash

    line = worker(survive)
    line.run(logs, batch=dice.randint(1, 4))
    assert landed(line) == priced(line.rows_of("costs_10m"))
    heard = {key: {name: row[name] for name in TOLD} for key, row in gathered(_to_the_end(line)).items()}
    assert heard == operational(landed(line))


def test_what_changed_just_before_it_was_folded_is_said_though_the_process_dies_within_the_minute() -> None:
    """No start tells the bucket again: it is gone from state."""
    beyond = lateness_windows(COSTS)
    log = [frame(COSTS, COSTS.partitions[0], offset, window) for offset, window in enumerate((0, 0, beyond))]
    _assert_all_is_said_though_it_dies(log)


def test_of_a_bucket_that_only_tenants_rows_keep_what_changed_last_is_said_before_it_goes() -> None:
    ours, tenancy = COSTS.partitions
    windows = ((tenancy, 0), (ours, 0), (ours, 0), (ours, lateness_windows(COSTS)))
    _assert_all_is_said_though_it_dies(
        [frame(COSTS, of, offset, window) for offset, (of, window) in enumerate(windows)]
    )


def _assert_all_is_said_though_it_dies(log: list[Sent]) -> None:
    """The second frame of a bucket and then one beyond its lateness come within a minute, and all of the bucket is said."""
    line = worker()
    line.run((log, []), batch=1)
    before = line.now_ms
    line.run(([], []), batch=1)
    assert line.now_ms - before < SAID_EVERY_MS and log[0].start_ms not in _open_buckets(line)
    heard = {key: {name: row[name] for name in TOLD} for key, row in gathered(read(line.said)).items()}
    assert heard == operational(priced(counted(COSTS, [log])))


def _open_buckets(line: Worker) -> set[int]:
    """Those of the operational partition."""
    return {int(key.split(b"|")[3]) for key in line.traffic_log.stored if key.startswith(b"costs|bucket|operational|")}


def _to_the_end(line: Worker) -> list[Spend]:
    """All that was said, with what a start after the last crash says once more of the buckets that are open."""
    line.now_ms += SAID_EVERY_MS
    line.heard -= 1
    line.run(([], []), batch=1)
    return read(line.said)


# -- when what is said --------------------------------------------------------------------------------------------------

BUCKET = START_MS // BUCKET_MS * BUCKET_MS
SLICE = "region=eu-west-1,pool=realtime,route={},bundle=b,model_version=m,gpu_type=h100,purchase=reserved"


@dataclass
class Told:
    """How far a shard has come, as a test says."""

    now_ms: int = 10**12
    decidable_ms: int = 0
    share: float = 0.9
    folded: tuple[int, ...] = ()

    def is_open(self, family: Family, bucket_start_ms: int) -> bool:
        return bucket_start_ms not in self.folded

    def decidable_until_ms(self, family: Family) -> int:
        return self.decidable_ms

    def completeness(self, family: Family, bucket_end_ms: int) -> float:
        return self.share


def totals(*routes: str, version: int = 1, start_ms: int = BUCKET) -> pl.DataFrame:
    """A turn of each route, as often as its version."""
    nothing = dict.fromkeys(COSTS.measure_names, 0)
    rows = [
        {"bucket_start_ms": start_ms, "slice": SLICE.format(route), **nothing, "turns": version, "version": version}
        for route in routes
    ]
    return pl.DataFrame(rows)


def said(watch: PricingWatch, known: Told) -> list[tuple[int, dict[str, int]]]:
    """By bucket, counted from `BUCKET`, the turns of each route that is told."""
    return [
        (
            (each.bucket_start_ms - BUCKET) // BUCKET_MS,
            dict(zip(each.cells["route"].to_pylist(), each.cells["turns"].to_pylist(), strict=True)),
        )
        for each in read(watch.statements(known))
    ]


def test_a_bucket_is_said_at_once_and_then_once_a_minute_as_it_is_by_then() -> None:
    watch, known = PricingWatch(0, Pricing(NO_PRICES)), Told()
    watch.tell(COSTS, totals("a"), 0)
    assert said(watch, known) == [(0, {"a": 1})]
    for version in (2, 3):
        watch.tell(COSTS, totals("a", "b", version=version), 0)
        known.now_ms += SAID_EVERY_MS // 3
        assert said(watch, known) == []
    watch.tell(COSTS, totals("c", start_ms=BUCKET + BUCKET_MS), 0)
    assert said(watch, known) == [(1, {"c": 1})], "each bucket has its own minute"
    known.now_ms += SAID_EVERY_MS // 3
    assert said(watch, known) == [(0, {"a": 3, "b": 3})]
    known.now_ms += SAID_EVERY_MS
    assert said(watch, known) == []


def test_a_clock_that_is_set_back_silences_nobody() -> None:
    watch, known = PricingWatch(0, Pricing(NO_PRICES)), Told()
    watch.tell(COSTS, totals("a"), 0)
    said(watch, known)
    watch.tell(COSTS, totals("a", version=2), 0)
    known.now_ms -= 1
    assert said(watch, known) == [(0, {"a": 2})]


def test_a_bucket_that_is_folded_is_said_before_it_goes() -> None:
    watch, known = PricingWatch(0, Pricing(NO_PRICES)), Told()
    watch.tell(COSTS, totals("a"), 0)
    said(watch, known)
    watch.tell(COSTS, totals("a", version=2), 0)
    known.folded = (BUCKET,)
    assert said(watch, known) == [(0, {"a": 2})]
    assert not watch._versions and not watch._said_at_ms, "nothing is remembered of what is gone"


def test_a_shard_says_that_it_has_come_to_the_end_of_a_bucket_even_where_nothing_was_used() -> None:
    watch, known = PricingWatch(3, Pricing(NO_PRICES)), Told(decidable_ms=BUCKET + 2 * BUCKET_MS)
    assert said(watch, known) == [(1, {})], "after a start the newest one"
    assert said(watch, known) == []
    watch.tell(COSTS, totals("a", start_ms=BUCKET + 2 * BUCKET_MS), 0)
    assert said(watch, known) == [(2, {"a": 1})]
    known.decidable_ms, known.share = BUCKET + 3 * BUCKET_MS, 0.97
    (decided,) = read(watch.statements(known))
    assert (decided.shard, decided.completeness, decided.decidable_until_ms) == (3, 0.97, known.decidable_ms)
    assert (decided.version, decided.cells.num_rows) == (1, 0), "as it was said a moment ago"
    known.decidable_ms = BUCKET + 30 * BUCKET_MS
    assert [at for at, _ in said(watch, known)] == list(range(30 - STATED_MAX, 30))


def test_what_is_said_is_all_that_was_used_and_what_has_no_price() -> None:
    watch = PricingWatch(0, Pricing(NO_PRICES))
    row = totals("a").with_columns(gpu_used_ms=pl.lit(70, pl.Int64), gpu_reserved_ms=pl.lit(90, pl.Int64))
    watch.tell(COSTS, row, 0)
    (spend,) = read(watch.statements(Told()))
    (cell,) = spend.cells.select(CELL_MEASURES).to_pylist()
    assert {name: value for name, value in cell.items() if value} == {
        "turns": 1,
        "gpu_used_ms": 70,
        "gpu_reserved_ms": 90,
        "uncosted_gpu_ms": 90,
    }


def test_a_cell_that_waits_takes_no_more_memory_than_is_said() -> None:
    watch = PricingWatch(0, Pricing(NO_PRICES))
    watch.tell(COSTS, totals(*(f"a-route-of-its-own-{place}" for place in range(1_000))), 0)
    assert 200 * 1_000 < watch._unsaid[BUCKET].nbytes <= 300 * 1_000


def test_a_total_that_no_fleet_can_have_is_told_as_the_most_there_can_be_so_that_the_others_are_read() -> None:
    watch = PricingWatch(0, Pricing(NO_PRICES))
    watch.tell(COSTS, pl.concat([totals("broken", version=2**45), totals("a")]), 0)
    assert said(watch, Told()) == [(0, {"a": 1, "broken": COUNT_MAX})]


def test_one_partition_that_changes_alone_takes_nothing_from_the_other() -> None:
    watch = PricingWatch(0, Pricing(NO_PRICES))
    watch.tell(COSTS, totals("a"), 0)
    tenancy = "pool=realtime,route=a,model_version=m,gpu_type=h100,purchase=reserved,tenant=*"
    watch.tell(COSTS, totals("a").with_columns(slice=pl.lit(tenancy)), 0)
    assert [table["tenant"].to_pylist() for _, table in watch.rows()] == [[""], ["*"]]
    assert said(watch, Told()) == [(0, {"a": 1})]


def test_slices_of_the_finest_cuts_are_cut_up_as_they_read_and_wider_ones_are_left_out() -> None:
    texts = [
        SLICE.format("a"),
        SLICE.format("__other__"),
        "pool=realtime,route=a,model_version=m,gpu_type=h100,purchase=spot,tenant=t-0123456789abcdef",
        "pool=realtime,route=a,model_version=m,gpu_type=h100,purchase=spot,tenant=*",
        "pool=realtime",
        "pool=realtime,route=a",
        "pool=realtime,bundle=b",
        "pool=realtime,tenant=*",
    ]
    found = finest(pl.DataFrame({"slice": texts}))
    assert found["slice"].to_list() == texts[:4]
    for row in found.iter_rows(named=True):
        dimensions = slice_dimensions(row["slice"])
        assert row["cut"] == ",".join(dimensions)
        assert {name: row[name] for name in (*CELL, "tenant")} == dict.fromkeys((*CELL, "tenant"), "") | dimensions
