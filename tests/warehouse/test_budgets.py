"""Budgets, as counted and corrected: ClickHouse, the backtest and an oracle with fractions agree on random worlds.

A world is drawn as turns of single cells. What lands is summed from them by cut; what the oracle says of an exclusion is
read off the cells themselves, so nothing of how cuts are chosen is in it but whether there is one that can tell.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from clickhouse_connect.driver.client import Client

from alerts.policies import policy_for
from schemas import objectives
from schemas.exclusions import Exclusion, exclusion_id, rows
from schemas.families import TURNS, PrivacyPartition
from schemas.slices import EVERYTHING
from schemas.slos import Slo
from schemas.tables import TABLES
from schemas.warehouse import ClickHouseAddress
from tests.backtest.rows import SLO as SHIPPED
from turnwatch.backtest.exclusions import read_excluded
from turnwatch.backtest.judgement import budget_curve
from turnwatch.backtest.warehouse import read_warehouse

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
DAYS = 11
MINUTES = 90
"""How many minutes of the days have turns."""
VALUES = {
    "region": ("eu-west-1", "us-east-2"),
    "pool": ("realtime",),
    "route": ("assistant", "booking"),
    "bundle": ("v1", "v2"),
    "language": ("de", "en"),
    "device_class": ("phone", "car"),
}
ALL_CUTS = tuple(cut.name for cut in TURNS.cuts)
SLO = replace(SHIPPED, name="of-a-week", period_s=7 * 86_400, objective=Decimal("0.99"), cuts=ALL_CUTS)
SEEDS = (0, 4)
Pairs = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class World:
    """Bad and total turns by privacy partition, minute and cell, up to the end of the newest minute; and what is excluded."""

    newest_ms: int
    cells: dict[str, dict[int, dict[Pairs, tuple[int, int]]]]
    events: tuple[Exclusion, ...]

    @property
    def in_force(self) -> list[Exclusion]:
        gone = {event.id for event in self.events if event.action == "withdrawn"}
        return [event for event in self.events if event.id not in gone and event.slo in (EVERYTHING, SLO.name)]


def drawn(seed: int) -> World:
    draw = random.Random(seed)
    newest_ms = int(time.time() * 1_000) // HOUR_MS * HOUR_MS - draw.randrange(60) * MINUTE_MS
    first_ms = newest_ms - DAYS * DAY_MS
    minutes = {newest_ms - MINUTE_MS} | {
        first_ms // MINUTE_MS * MINUTE_MS + draw.randrange(DAYS * 1_440) * MINUTE_MS for _ in range(MINUTES)
    }
    cells = {each.name: {minute: _cells(draw, each) for minute in sorted(minutes)} for each in TURNS.partitions}
    return World(newest_ms, cells, tuple(_events(draw, first_ms)))


def _cells(draw: random.Random, partition: PrivacyPartition) -> dict[Pairs, tuple[int, int]]:
    found = {}
    for _ in range(4):
        cell = frozenset((name, draw.choice(VALUES[name])) for name in partition.dimensions)
        total = draw.randrange(1, 50)
        found[cell] = (draw.randrange(min(total, 3) + 1), total)
    return found


def _events(draw: random.Random, first_ms: int) -> Iterator[Exclusion]:
    for number in range(5):
        partition = draw.choice(TURNS.partitions)
        names = [name for name in partition.dimensions if draw.random() < 0.4]
        text = ",".join(f"{name}={draw.choice(VALUES[name])}" for name in names) or EVERYTHING
        from_ms = first_ms // MINUTE_MS * MINUTE_MS + draw.randrange((DAYS + 1) * 1_440) * MINUTE_MS
        to_ms = from_ms + draw.randrange(1, 3 * 1_440) * MINUTE_MS
        slo = draw.choice((EVERYTHING, SLO.name, SLO.name, "another"))
        event = Exclusion(
            id=exclusion_id(slo, text, from_ms, to_ms), action="declared", slo=slo, slice=text, from_ms=from_ms,
            to_ms=to_ms, who="ana", why="drill", at_ms=first_ms + number,
        )  # fmt: skip
        yield event
        if number == 0:
            yield event.model_copy(update={"action": "withdrawn", "at_ms": first_ms + 99, "who": "ben"})


def pairs_of(text: str) -> Pairs:
    return frozenset((pair.split("=")[0], pair.split("=")[1]) for pair in text.split(",") if "=" in pair)


def partition_of(text: str) -> tuple[str, list[set[str]]]:
    """The privacy partition of a slice, and the dimensions of each of its cuts."""
    names = {name for name, _ in pairs_of(text)}
    own = next(cut.partition for cut in TURNS.cuts if set(cut.dimensions) == names)
    return own, [set(cut.dimensions) for cut in TURNS.cuts if cut.partition == own]


def slices(world: World) -> list[str]:
    found = set()
    for cut in TURNS.cuts:
        for cells in world.cells[cut.partition].values():
            found |= {",".join(f"{name}={dict(cell)[name]}" for name in cut.dimensions) for cell in cells}
    return sorted(found)


def landed(world: World) -> pl.DataFrame:
    told: list[dict[str, Any]] = []
    for text in slices(world):
        partition, _ = partition_of(text)
        for minute, cells in world.cells[partition].items():
            inside = [counts for cell, counts in cells.items() if pairs_of(text) <= cell]
            if inside:
                bad, total = (sum(each[place] for each in inside) for place in (0, 1))
                cut = ",".join(name for name, _ in (pair.split("=") for pair in text.split(",")))
                told.append(
                    {"slice": text, "cut": cut, "minute": minute, "bad": bad, "total": total, **dict(pairs_of(text))}
                )
    return pl.DataFrame(told, infer_schema_length=None)


def insert(client: Client, world: World, slos: tuple[Slo, ...] = (SLO,)) -> None:
    table = TABLES["burn_rate_1m"]
    frame = landed(world).with_columns(
        pl.col("minute").cast(pl.Datetime("ms", "UTC")).alias("bucket_start"),
        indicator=pl.lit(SLO.indicator.name),
        version=pl.lit(1),
    )
    absent = [pl.lit("").alias(name) for name in table.column_names if name not in frame.columns]
    told = frame.with_columns(absent).select(pl.col(table.column_names)).with_columns(pl.col(pl.String).fill_null(""))
    client.insert_arrow(table.name, told.to_arrow().cast(table.arrow_schema))
    client.insert_arrow("exclusions", rows(world.events))
    client.insert_arrow("objectives", objectives.rows(slos, 1_700_000_000_000))


def oracle(world: World, text: str, first_ms: int, instant_ms: int) -> tuple[int, int, tuple[int, int] | None]:
    """Bad and total turns between two instants, and of those the excluded ones, unless they are unknown."""
    partition, cuts = partition_of(text)
    bad = total = taken_bad = taken_total = 0
    is_unknown = False
    for minute, cells in world.cells[partition].items():
        if not first_ms <= minute < instant_ms:
            continue
        active = [pairs_of(each.slice) for each in world.in_force if each.from_ms <= minute < each.to_ms]
        own = {cell: counts for cell, counts in cells.items() if pairs_of(text) <= cell}
        bad, total = bad + sum(each[0] for each in own.values()), total + sum(each[1] for each in own.values())
        if own and not _can_be_told(text, active, cuts):
            is_unknown = True
            continue
        for cell, counts in own.items():
            if any(each <= cell for each in active):
                taken_bad, taken_total = taken_bad + counts[0], taken_total + counts[1]
            elif any(each <= pairs_of(text) for each in active):
                raise AssertionError("a slice inside of an excluded one consists of excluded cells")
    return bad, total, None if is_unknown else (taken_bad, taken_total)


def _can_be_told(text: str, active: list[Pairs], cuts: list[set[str]]) -> bool:
    own = dict(pairs_of(text))
    near = [each for each in active if all(own.get(name, value) == value for name, value in each)]
    if not near or any(each <= pairs_of(text) for each in near):
        return True
    needed = set(own).union(*({name for name, _ in each} for each in near))
    return any(needed <= cut for cut in cuts)


def spent(bad: int, total: int) -> float:
    return 0.0 if total == 0 else float(Fraction(bad, total) / Fraction(SLO.budget_rate))


def left(bad: int, total: int) -> float:
    return 1.0 if total == 0 else float(1 - Fraction(bad, total) / Fraction(SLO.budget_rate))


def near(value: float) -> Any:
    return pytest.approx(value, rel=1e-9, abs=1e-12)


def budgets(client: Client) -> pl.DataFrame:
    asked = "SELECT *, toUnixTimestamp64Milli(decided_at) AS instant_ms FROM budgets ORDER BY slice, day"
    return pl.DataFrame(client.query_arrow(asked, use_strings=True))


@pytest.mark.parametrize("seed", SEEDS)
def test_clickhouse_the_backtest_and_fractions_agree(client: Client, address: ClickHouseAddress, seed: int) -> None:
    world = drawn(seed)
    insert(client, world)
    told = budgets(client)
    assert set(told["slice"]) == set(slices(world))
    known = unknown = 0
    for row in told.iter_rows(named=True):
        is_known = _agrees_with_the_oracle(world, row)
        known, unknown = known + bool(is_known and row["excluded_total"]), unknown + (not is_known)
    assert known and unknown, f"seed {seed} has exclusions that count, and such as nobody can tell"
    _agrees_with_the_backtest(address, world, told)


def _agrees_with_the_oracle(world: World, row: dict[str, Any]) -> bool:
    """Whether the correction is known, after comparing everything."""
    instant_ms, text = row["instant_ms"], row["slice"]
    bad, total, excluded = oracle(world, text, (instant_ms - SLO.period_s * 1_000) // HOUR_MS * HOUR_MS, instant_ms)
    today_bad, _, of_today = oracle(world, text, (instant_ms - 1) // DAY_MS * DAY_MS, instant_ms)
    assert (row["bad"], row["total"]) == (bad, total), row
    assert row["budget_left"] == near(left(bad, total))
    assert row["spent_today"] == near(spent(today_bad, total))
    if excluded is None:
        assert row["excluded_bad"] is row["corrected_budget_left"] is row["corrected_spent_today"] is None
        return False
    assert of_today is not None
    assert (row["excluded_bad"], row["excluded_total"]) == excluded, row
    assert row["corrected_budget_left"] == near(left(bad - excluded[0], total - excluded[1]))
    assert row["corrected_spent_today"] == near(spent(today_bad - of_today[0], total - excluded[1]))
    return True


def _agrees_with_the_backtest(address: ClickHouseAddress, world: World, told: pl.DataFrame) -> None:
    from_ms = world.newest_ms - (DAYS + 1) * DAY_MS
    (series,) = read_warehouse(address, SLO, from_ms, world.newest_ms, None)
    exclusions = read_excluded(address)
    assert len(exclusions) == len({each.id for each in world.events}) - 1
    for place, text in enumerate(series.slices):
        curve = budget_curve(series, policy_for(SLO), place, exclusions)
        both = told.filter(pl.col("slice") == text).join(curve, on="instant_ms", how="inner")
        assert both.height == told.filter(pl.col("slice") == text).height
        assert both["left"].to_list() == pytest.approx(both["budget_left"].to_list(), rel=1e-9, abs=1e-12)
        for mine, its in zip(both["corrected"], both["corrected_budget_left"], strict=True):
            assert (mine is None) == (its is None)
            assert mine is None or mine == near(its)


def today(client: Client, text: str) -> dict[str, Any]:
    return next(row for row in reversed(budgets(client).rows(named=True)) if row["slice"] == text)


def excluding(text: str, from_ms: int, to_ms: int, **changed: Any) -> Exclusion:
    about: dict[str, Any] = {"slo": SLO.name, "slice": text, "from_ms": from_ms, "to_ms": to_ms}
    about |= {"id": exclusion_id(SLO.name, text, from_ms, to_ms), "action": "declared", "at_ms": 1_000}
    return Exclusion(**({"who": "ana", "why": "drill"} | about | changed))


def test_an_exclusion_counts_at_once_and_what_is_withdrawn_does_not(client: Client) -> None:
    world = replace(drawn(1), events=())
    insert(client, world)
    fleet, newest_ms = "pool=realtime", world.newest_ms
    before = today(client, fleet)
    assert before["corrected_budget_left"] == before["budget_left"] < 1 and before["excluded_bad"] == 0
    assert before["one_failure_costs"] == near(1 / (before["total"] * float(SLO.budget_rate)))
    event = excluding(fleet, newest_ms - 10 * DAY_MS, newest_ms + DAY_MS)
    client.insert_arrow("exclusions", rows([event]))
    during = today(client, fleet)
    assert (during["excluded_bad"], during["corrected_budget_left"]) == (before["bad"], 1)
    assert during["budget_left"] == before["budget_left"]
    client.insert_arrow("exclusions", rows([event.model_copy(update={"action": "withdrawn", "at_ms": 2_000})]))
    assert today(client, fleet) == before


def test_without_rows_that_tell_how_much_a_correction_is_unknown(client: Client) -> None:
    """The contract knows a cut that would tell; that its rows are not there must not look like no turns."""
    world = replace(drawn(1), events=())
    insert(client, world)
    region = excluding("region=eu-west-1", world.newest_ms - 10 * DAY_MS, world.newest_ms)
    client.insert_arrow("exclusions", rows([region]))
    assert 0 < today(client, "pool=realtime")["excluded_total"] < today(client, "pool=realtime")["total"]
    client.command("DELETE FROM burn_rate_1m WHERE cut = 'pool,region' AND slice != 'pool=realtime,region=eu-west-1'")
    assert today(client, "pool=realtime")["excluded_total"] is None
    assert today(client, "pool=realtime")["corrected_budget_left"] is None
    inside = today(client, "pool=realtime,region=eu-west-1")
    assert inside["excluded_total"] == inside["total"]


def test_budgets_are_those_of_the_newest_start_of_a_worker(client: Client) -> None:
    insert(client, replace(drawn(1), events=()), (SLO, replace(SLO, name="removed-since")))
    assert set(budgets(client)["slo"]) == {SLO.name, "removed-since"}
    stricter = replace(SLO, objective=Decimal("0.999"), cuts=("pool",))
    client.insert_arrow("objectives", objectives.rows([stricter], 1_700_000_001_000))
    told = budgets(client)
    assert (set(told["slo"]), set(told["cut"]), set(told["objective"])) == ({SLO.name}, {"pool"}, {0.999})


def test_budgets_of_time_slices_are_left_out() -> None:
    assert objectives.rows([replace(SLO, budgeting="time_slices", time_slice_target=Decimal("0.9"))], 0).num_rows == 0


def test_the_query_of_the_page_on_budgets_answers(client: Client) -> None:
    insert(client, drawn(1))
    page = (Path(__file__).parents[2] / "docs" / "budgets.md").read_text(encoding="utf-8")
    (sql,) = re.findall(r'turnwatch query "\n(.*?)"\n```', page, re.DOTALL)
    (row,) = client.query(sql).named_results()
    assert (row["slo"], row["slice"]) == (SLO.name, "pool=realtime")
