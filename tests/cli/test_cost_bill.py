"""`turnwatch cost bill` and `export`: rows that sum to the bill, in whatever form, and sentences where there is none."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from alerts.check import REPOSITORY
from schemas.failures import BadInput
from schemas.focus import FOCUS_COLUMNS, FOCUS_NAMES
from schemas.instants import DAY_MS
from schemas.warehouse import ClickHouseAddress
from stream_jobs.operators.cost.pricing import NANO
from tests.cli.cost_exports import PRICES, exported, price_file
from tests.operators.cost_worlds import reserved, uses
from turnwatch.cli import app
from turnwatch.costs.bill_rows import Bill, told_rows
from turnwatch.costs.cost_rows import RANGE_MAX_D, stored
from turnwatch.sentences import exit_code_for

PAGE = (REPOSITORY / "docs" / "costs.md").read_text(encoding="utf-8")
MONEY = ("used_usd", "reserved_usd")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("costs")
    told = pl.concat([uses(7), reserved(7)], how="diagonal")
    return {"--data": str(exported(folder / "costs.csv", told)), "--prices": str(price_file(folder / "prices.yaml"))}


def ran(command: str, world: dict[str, str], *words: str) -> str:
    given = [word for pair in world.items() for word in pair]
    ended = CliRunner().invoke(app, ["cost", command, *given, *words])
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def refused(command: str, world: dict[str, str], **others: str) -> str:
    options = world | {f"--{name}": value for name, value in others.items()}
    given = [word for pair in options.items() for word in pair]
    ended = CliRunner().invoke(app, ["cost", command, *given])
    assert isinstance(ended.exception, BadInput), ended.output
    assert exit_code_for(ended.exception) == 2
    return str(ended.exception)


@pytest.mark.parametrize("by", ["tenant", "route", "pool", "bundle", "region"])
def test_rows_sum_to_the_bill_however_it_is_shared(world: dict[str, str], by: str) -> None:
    bill = json.loads(ran("bill", world, "--by", by, "--format", "json"))
    assert len(bill["rows"]) == {"tenant": 3, "route": 3}.get(by, 2)
    for name in MONEY:
        assert sum(Decimal(row[name]) for row in bill["rows"]) == Decimal(bill["total"][name])
    for name in ("turns", "successes"):
        assert sum(row[name] for row in bill["rows"]) == bill["total"][name] > 0
    of_pools = json.loads(ran("bill", world, "--by", "pool", "--format", "json"))
    assert bill["total"]["reserved_usd"] == of_pools["total"]["reserved_usd"], "one bill, whoever's it is"
    assert (bill["from"], bill["currency"], bill["prices"]) == ("2026-10-01T00:00:00Z", "USD", "contract")


def test_the_dearest_comes_first_and_what_is_nobodys_last(world: dict[str, str]) -> None:
    rows = json.loads(ran("bill", world, "--format", "json"))["rows"]
    assert rows[-1]["tenant"] == "unattributed"
    costs = [Decimal(row["reserved_usd"]) for row in rows[:-1]]
    assert costs == sorted(costs, reverse=True) and costs[-1] > 0


def test_a_success_costs_all_that_was_paid_for(world: dict[str, str]) -> None:
    total = json.loads(ran("bill", world, "--by", "route", "--format", "json"))["total"]
    assert Decimal(total["usd_per_success"]) == round(Decimal(total["reserved_usd"]) / total["successes"], 9)
    minutes = total["successes"] * 4_000 / 60_000
    assert float(total["usd_per_success_minute"]) == pytest.approx(float(total["reserved_usd"]) / minutes)


def test_what_has_no_price_is_shown_and_said(world: dict[str, str]) -> None:
    bill = json.loads(ran("bill", world, "--by", "pool", "--format", "json"))
    assert bill["total"]["uncosted_gpu_hours"] > 0 and bill["total"]["uncosted_tokens"] > 0
    assert sum(row["uncosted_tokens"] for row in bill["rows"]) == bill["total"]["uncosted_tokens"]
    assert any("have no price" in note for note in bill["notes"])


def test_a_route_that_is_dear_for_nothing_is_flagged(tmp_path: Path, world: dict[str, str]) -> None:
    """What no turn used is no route; where something has no price, the cost is not known."""
    known = uses(7).filter((pl.col("gpu_type") == "h100") & (pl.col("tokens_audio") == 0))
    is_sales = pl.col("route") == "sales"
    told = known.with_columns(
        gpu_used_ms=pl.when(is_sales).then(900_000).otherwise(1_000).cast(pl.Int64),
        successes=pl.when(is_sales).then(0).otherwise("turns"),
        success_audio_ms=pl.when(is_sales).then(0).otherwise(4_000).cast(pl.Int64),
    )
    data = exported(
        tmp_path / "costs.csv", pl.concat([told, reserved(7).filter(pl.col("gpu_type") == "h100")], how="diagonal")
    )
    rows = json.loads(ran("bill", {**world, "--data": str(data)}, "--by", "route", "--format", "json"))["rows"]
    assert {row["route"]: (row["infinite"], row["flagged"]) for row in rows} == {
        "sales": (True, True), "support": (False, False), "shared": (None, None),
    }  # fmt: skip
    unknown = json.loads(ran("bill", world, "--by", "route", "--format", "json"))["rows"]
    assert {(row["infinite"], row["flagged"]) for row in unknown} == {(None, None)}


def test_a_route_whose_success_costs_the_same_is_not_flagged_though_its_rate_is_no_decimal() -> None:
    """A dollar for the one success of three turns, and a dollar for that of one."""
    rows = pl.DataFrame({"route": ["a", "c"], "turns": [3, 1], "successes": [1, 1]}).with_columns(
        success_audio_ms=4_000, used_nusd=NANO, reserved_nusd=NANO, uncosted_gpu_ms=0, uncosted_tokens=0
    )
    found = told_rows(Bill("route", 0, 1, rows, rows.drop("route").sum()))
    assert [(row["route"], row["usd_per_success"], row["flagged"]) for row in found] == [
        ("a", "1.000000000", False), ("c", "1.000000000", False),
    ]  # fmt: skip


def test_csv_has_a_row_each_and_the_total(world: dict[str, str]) -> None:
    rows = list(csv.DictReader(io.StringIO(ran("bill", world, "--format", "csv"))))
    assert rows[-1]["tenant"] == "total"
    assert sum(Decimal(row["used_usd"]) for row in rows[:-1]) == Decimal(rows[-1]["used_usd"])


def test_use_that_nobody_told_as_paid_for_is_said(tmp_path: Path, world: dict[str, str]) -> None:
    alone = {**world, "--data": str(exported(tmp_path / "costs.csv", uses(7)))}
    notes = json.loads(ran("bill", alone, "--by", "pool", "--format", "json"))["notes"]
    assert any("do not tell `gpu_reserved_ms`" in note for note in notes)


def test_more_turns_of_tenants_than_of_routes_are_said(tmp_path: Path, world: dict[str, str]) -> None:
    """The privacy gate releases each partition by itself, so one may have told more than the other."""
    told = pl.concat([uses(7), reserved(7)], how="diagonal")
    path = exported(tmp_path / "costs.csv", told)
    held = [line for line in path.read_text().splitlines() if not line.startswith('"region') or "sales" not in line]
    path.write_text("\n".join(held))
    bill = json.loads(ran("bill", {**world, "--data": str(path)}, "--format", "json"))
    nobody = bill["rows"][-1]
    assert nobody["tenant"] == "unattributed" and nobody["turns"] < 0
    (note,) = [each for each in bill["notes"] if "below zero" in each]
    assert f"{-nobody['turns']:,} turns" in note and f"{-nobody['successes']:,} successes" in note
    quiet = json.loads(ran("bill", world, "--format", "json"))
    assert not [each for each in quiet["notes"] if "below zero" in each]


NOBODYS = "turnwatch: No price list is set, so these are the prices of the shipped one, example, which are nobody's: "


@pytest.mark.parametrize(
    ("command", "words"),
    [("bill", ("--format", "csv")), ("bill", ("--format", "json")), ("bill", ()), ("export", ())],
)
def test_prices_that_nobody_gave_are_said_once_and_not_where_rows_are(
    world: dict[str, str], monkeypatch: pytest.MonkeyPatch, command: str, words: tuple[str, ...]
) -> None:
    monkeypatch.delenv("TURNWATCH_PRICES", raising=False)
    ended = CliRunner().invoke(app, ["cost", command, "--data", world["--data"], *words])
    assert ended.exit_code == 0 and ended.stderr.count(NOBODYS) == 1
    assert "No price list" not in ended.stdout
    given = [word for pair in world.items() for word in pair]
    assert "No price list" not in CliRunner().invoke(app, ["cost", command, *given, *words]).stderr
    monkeypatch.setenv("TURNWATCH_PRICES", world["--prices"])
    assert "No price list" not in CliRunner().invoke(app, ["cost", command, "--data", world["--data"], *words]).stderr


@pytest.mark.parametrize("words", [("bill", "--data"), ("reconcile",), ("export", "--data")])
def test_beside_what_goes_wrong_nothing_is_said_of_prices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.delenv("TURNWATCH_PRICES", raising=False)
    (tmp_path / "wrong.csv").write_text("a,b\n1,2\n")
    ended = CliRunner().invoke(app, ["cost", *words, str(tmp_path / "wrong.csv")])
    assert isinstance(ended.exception, BadInput) and ended.stderr == ""


def test_a_table_names_the_prices_that_it_is_of(world: dict[str, str]) -> None:
    assert ran("bill", world).splitlines()[-1] == "prices: contract"
    assert "prices: contract" not in ran("bill", world, "--format", "csv")


WRONG_PRICES: list[tuple[str, Callable[[str], str]]] = [
    ("USD", lambda text: text.replace("currency: USD", "currency: EUR")),
    ("-2.6", lambda text: text.replace("usd: 2.60", "usd: -2.60")),
    ("usd", lambda text: text.replace("usd: 2.60, ", "")),
    ("two prices of gpu_hour h100 reserved on 2026-10-02", lambda text: text.replace("2026-10-02\" }\n    - { resource: gpu_hour, gpuType: h100, purchase: reserved, usd: 2.40", "2026-10-09\" }\n    - { resource: gpu_hour, gpuType: h100, purchase: reserved, usd: 2.40")),
]  # fmt: skip


@pytest.mark.parametrize(("named", "change"), WRONG_PRICES, ids=["currency", "negative", "missing", "two"])
def test_prices_that_cannot_be_meant_are_a_sentence(
    tmp_path: Path, world: dict[str, str], named: str, change: Callable[[str], str]
) -> None:
    text = change(PRICES)
    assert text != PRICES
    sentence = refused("bill", world, prices=str(price_file(tmp_path / "prices.yaml", text)))
    assert named in sentence and "prices.yaml:" in sentence


def test_data_that_is_not_there_is_a_sentence(world: dict[str, str]) -> None:
    assert refused("bill", world, data="nowhere.csv") == "nowhere.csv: there is no such file."
    assert "is no range of time" in refused("bill", world, data="last month")


def test_as_many_days_as_costs_are_kept_for_may_be_asked_at_any_time_of_day() -> None:
    """They end now, and 11:17 is in the middle of ten minutes: these belong to the bill as a whole."""
    nowhere, now_ms = ClickHouseAddress("http://127.0.0.1:1/none"), 1_790_853_420_000
    found = stored(nowhere, now_ms - RANGE_MAX_D * DAY_MS, now_ms)
    assert (found.to_ms, found.to_ms - found.from_ms) == (now_ms + 180_000, RANGE_MAX_D * DAY_MS + 600_000)
    with pytest.raises(BadInput, match="longer than the 400 days"):
        stored(nowhere, now_ms - RANGE_MAX_D * DAY_MS - 1, now_ms)


# -- FOCUS ---------------------------------------------------------------------------------------------------------------


def lines(world: dict[str, str], *words: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(ran("export", world, *words))))


def test_an_export_has_the_columns_of_focus_and_no_field_that_it_forbids(world: dict[str, str]) -> None:
    found = lines(world)
    assert tuple(found[0]) == FOCUS_NAMES
    for column in FOCUS_COLUMNS:
        values = {row[column.name] for row in found}
        assert column.is_nullable or "" not in values, column.name
        assert not column.allowed or values <= {*column.allowed, ""}, column.name
        if column.kind == "decimal":
            assert all(Decimal(value) >= 0 for value in values if value), column.name
        if column.kind == "instant":
            assert all(value.endswith(":00Z") and "T" in value for value in values), column.name


def test_an_export_bills_what_the_bill_bills(world: dict[str, str]) -> None:
    total: Any = json.loads(ran("bill", world, "--by", "pool", "--format", "json"))["total"]
    found = lines(world, "--provider", "Metal Inc", "--account", "a-1")
    for column, name in (("BilledCost", "reserved_usd"), ("x_UsedCost", "used_usd")):
        assert sum(Decimal(row[column]) for row in found) == Decimal(total[name])
    assert {row["ProviderName"] for row in found} == {"Metal Inc"}
    assert {row["BillingPeriodEnd"] for row in found} == {"2026-11-01T00:00:00Z"}


def test_quantity_times_price_is_the_cost(world: dict[str, str]) -> None:
    """Off by no more than what 144 rows of a day were rounded by."""
    for row in lines(world):
        product = Decimal(row["PricingQuantity"]) * Decimal(row["ContractedUnitPrice"])
        assert abs(product - Decimal(row["ContractedCost"])) <= Decimal("0.000000150"), row


def test_a_price_that_changes_at_midnight_is_on_the_lines_of_its_day(world: dict[str, str]) -> None:
    prices = {
        (row["ChargePeriodStart"][:10], row["ContractedUnitPrice"])
        for row in lines(world)
        if row["SkuPriceId"] == "gpu_hour/h100/reserved" and row["RegionId"] == "eu-west-1"
    }
    assert prices == {("2026-10-01", "2.600000000"), ("2026-10-02", "2.400000000")}


def test_the_page_shows_what_its_file_costs(tmp_path: Path) -> None:
    sample, printed = re.findall(
        r"^```(?:csv)?\n(bucket_start.*?|\$ turnwatch cost bill.*?)\n```$", PAGE, re.DOTALL | re.MULTILINE
    )
    file = tmp_path / "costs.csv"
    file.write_text(sample)
    shown = CliRunner().invoke(app, ["cost", "bill", "--data", str(file), "--by", "route"]).stdout
    assert [line.rstrip() for line in shown.splitlines()[: printed.count("\n")]] == printed.splitlines()[1:]
