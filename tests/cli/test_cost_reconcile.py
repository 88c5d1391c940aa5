"""`turnwatch cost reconcile`: our own export agrees to the nano-dollar, what differs is named, and what cannot be read refused."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from schemas.failures import BadInput, Foreseen
from tests.cli.cost_exports import exported, price_file
from tests.operators.cost_worlds import reserved, uses
from turnwatch.cli import app
from turnwatch.costs import reconcile
from turnwatch.sentences import exit_code_for

Lines = list[dict[str, str]]
RESERVED = "gpu_hour/h100/reserved"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("costs")
    told = pl.concat([uses(7), reserved(7)], how="diagonal")
    return {"--data": str(exported(folder / "costs.csv", told)), "--prices": str(price_file(folder / "prices.yaml"))}


@pytest.fixture(scope="module")
def invoice(world: dict[str, str]) -> Lines:
    """The provider bills what we metered: our own export."""
    ended = CliRunner().invoke(app, ["cost", "export", *given(world)])
    return list(csv.DictReader(io.StringIO(ended.stdout)))


def given(options: dict[str, str]) -> list[str]:
    return [word for pair in options.items() for word in pair]


def written(path: Path, lines: Lines) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, lines[0])
        writer.writeheader()
        writer.writerows(lines)
    return path


def ran(world: dict[str, str], path: Path, *words: str) -> tuple[int, Any]:
    ended = CliRunner().invoke(app, ["cost", "reconcile", str(path), *given(world), *words, "--format", "json"])
    assert ended.stdout, ended.output
    answer = json.loads(ended.stdout)
    for name in ("invoiced_usd", "ours_usd", "difference_usd"):
        assert sum(Decimal(line[name]) for line in answer["lines"]) == Decimal(answer["total"][name])
    return ended.exit_code, answer


def test_what_was_exported_agrees_line_by_line_to_the_nano_dollar(
    world: dict[str, str], invoice: Lines, tmp_path: Path
) -> None:
    """What has no price is not in the export, and told as ours alone."""
    code, answer = ran(world, written(tmp_path / "i.csv", invoice), "--tolerance", "0")
    priced = [line for line in answer["lines"] if not line["our_uncosted"]]
    assert {line["status"] for line in priced} == {"agrees"}
    assert answer["total"]["difference_usd"] == "0.000000000"
    unpriced = {line["sku"]: (line["status"], line["because"]) for line in answer["lines"] if line["our_uncosted"]}
    assert unpriced == {
        "gpu_hour/l4/on_demand": ("only_ours", "no_price"),
        "tokens_audio/hosted-large-3/hosted": ("only_ours", "no_price"),
        "gpu_hour/a100-mig-1g/owned": ("not_compared", None),
    }
    assert code == 1


def test_an_invoice_that_agrees_is_exit_code_0_on_whatever_cost_is_compared(
    tmp_path: Path, world: dict[str, str]
) -> None:
    told = pl.concat([uses(7), reserved(7)], how="diagonal").filter(pl.col("gpu_type") == "h100")
    priced = {**world, "--data": str(exported(tmp_path / "costs.csv", told))}
    path = tmp_path / "i.csv"
    assert CliRunner().invoke(app, ["cost", "export", *given(priced), "--out", str(path)]).exit_code == 0
    for cost in ("BilledCost", "EffectiveCost", "ContractedCost", "ListCost"):
        code, answer = ran(priced, path, "--cost", cost, "--tolerance", "0")
        assert (code, answer["agrees"], answer["compared"]) == (0, True, cost)


def changed(invoice: Lines, change: Callable[[dict[str, str]], dict[str, str]]) -> Lines:
    return [change(dict(line)) if line["SkuPriceId"] == RESERVED else line for line in invoice]


def of_sku(answer: Any, sku: str = RESERVED) -> list[Any]:
    return [line for line in answer["lines"] if line["sku"] == sku]


def test_a_higher_price_is_told_as_such_line_by_line(world: dict[str, str], invoice: Lines, tmp_path: Path) -> None:
    dearer = changed(invoice, lambda line: {**line, "BilledCost": str(Decimal(line["BilledCost"]) * 2)})
    code, answer = ran(world, written(tmp_path / "i.csv", dearer))
    lines = of_sku(answer)
    assert code == 1 and len(lines) == 4, "two regions, two days"
    assert {(line["status"], line["because"]) for line in lines} == {("differs", "price")}
    assert all(Decimal(line["difference_usd"]) == Decimal(line["ours_usd"]) for line in lines)


def test_more_hours_than_were_metered_are_told_as_such(world: dict[str, str], invoice: Lines, tmp_path: Path) -> None:
    def longer(line: dict[str, str]) -> dict[str, str]:
        return {**line, **{name: str(Decimal(line[name]) * 2) for name in ("BilledCost", "PricingQuantity")}}

    lines = of_sku(ran(world, written(tmp_path / "i.csv", changed(invoice, longer)))[1])
    assert {(line["status"], line["because"]) for line in lines} == {("differs", "quantity")}


def test_a_line_that_only_one_side_has_is_whose_it_is(world: dict[str, str], invoice: Lines, tmp_path: Path) -> None:
    without = [line for line in invoice if line["SkuPriceId"] != RESERVED]
    storage = {**invoice[0], "SkuPriceId": "storage", "BilledCost": "12.5"}
    _, answer = ran(world, written(tmp_path / "i.csv", [*without, storage]))
    assert {line["status"] for line in of_sku(answer)} == {"only_ours"}
    assert [(line["status"], line["difference_usd"]) for line in of_sku(answer, "storage")] == [
        ("only_invoiced", "12.500000000")
    ]


def test_what_is_no_usage_is_told_and_not_compared(world: dict[str, str], invoice: Lines, tmp_path: Path) -> None:
    tax = {**invoice[0], "ChargeCategory": "Tax", "SkuPriceId": "", "BilledCost": "35.2E-7"}
    credit = {**tax, "ChargeCategory": "Credit", "BilledCost": "-100"}
    correction = {**invoice[0], "ChargeClass": "Correction", "BilledCost": "-1.0000000005"}
    _, answer = ran(world, written(tmp_path / "i.csv", [*invoice, tax, credit, correction]))
    others = {line["sku"]: line["difference_usd"] for line in answer["lines"] if line["status"] == "not_compared"}
    assert others.pop("gpu_hour/a100-mig-1g/owned") == "0.000000000", "nobody invoices what is owned"
    assert others == {"Correction": "-1.000000001", "Credit": "-100.000000000", "Tax": "0.000003520"}


def test_an_invoice_of_months_and_without_regions_is_compared_as_such(
    world: dict[str, str], invoice: Lines, tmp_path: Path
) -> None:
    cost = sum(Decimal(line["BilledCost"]) for line in invoice if line["SkuPriceId"] == RESERVED)
    month = {
        **invoice[0],
        "SkuPriceId": "p5-committed",
        "BilledCost": str(cost),
        "PricingUnit": "Hours",
        "RegionId": "",
    }
    month |= {"ChargePeriodStart": "2026-10-01T00:00:00Z", "ChargePeriodEnd": "2026-11-01T00:00:00Z"}
    skus = tmp_path / "skus.csv"
    skus.write_text(f"SkuPriceId,ours\np5-committed,{RESERVED}\n")
    path = written(tmp_path / "i.csv", [month])
    _, answer = ran(world, path, "--skus", str(skus), "--tolerance", "0")
    (line,) = of_sku(answer)
    assert (line["status"], line["region"], line["invoiced_quantity"]) == ("agrees", None, None)
    assert line["invoiced_sku"] == "p5-committed"
    assert {each["invoiced_sku"] for each in answer["lines"] if each["status"] == "only_ours"} == {None}


def test_skus_that_nothing_here_is_of_are_refused_and_those_that_are_not_invoiced_are_noted(
    world: dict[str, str], invoice: Lines, tmp_path: Path
) -> None:
    path, skus = written(tmp_path / "i.csv", invoice), tmp_path / "skus.csv"
    skus.write_text(f"SkuPriceId,ours\nfoo,gpu_hour/l4/on_demand\n{RESERVED},gpu_hour/h100/resrved\n")
    words = ("--skus", str(skus))
    said = refused(world, path, *words)
    assert said.startswith(f"{skus}:3: ours 'gpu_hour/h100/resrved' of {RESERVED} is neither") and said.endswith(
        f"did you mean {RESERVED}?"
    )
    skus.write_text(f"SkuPriceId,ours\nfoo, gpu_hour/l4/on_demand\n{RESERVED},gpu_hour/h100/on_demand\n")
    ended = CliRunner().invoke(app, ["cost", "reconcile", str(path), *given(world), *words])
    assert (
        ended.stderr == f"turnwatch: {skus}:2: SkuPriceId 'foo' is not in the invoice, so this line changes nothing.\n"
    )
    assert RESERVED in ended.stdout, "by its own name"


class Away(Foreseen):
    """What a server that is away is told with."""


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (Away("ClickHouse is away."), "turnwatch: ClickHouse is away.\n"),
        (OSError(28, "No space left on device", "/tmp/x"), "turnwatch: /tmp/x: No space left on device.\n"),
        (ZeroDivisionError(), "there is no verdict: this is a defect"),
    ],
)
def test_what_goes_wrong_is_no_difference(
    wrong: Exception, sentence: str, invoice: Lines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise wrong

    monkeypatch.setattr(reconcile, "_costs", failing)
    ended = CliRunner().invoke(app, ["cost", "reconcile", str(written(tmp_path / "i.csv", invoice))])
    assert (ended.exit_code, ended.stdout) == (4, "")
    assert sentence in ended.stderr
    assert ("Traceback" in ended.stderr) == isinstance(wrong, ZeroDivisionError)


def refused(world: dict[str, str], path: Path, *words: str) -> str:
    ended = CliRunner().invoke(app, ["cost", "reconcile", str(path), *given(world), *words])
    assert isinstance(ended.exception, BadInput), ended.output
    assert exit_code_for(ended.exception) == 2
    return str(ended.exception)


WRONG: list[tuple[str, dict[str, str]]] = [
    (":3: BillingCurrency 'EUR' is not USD", {"BillingCurrency": "EUR"}),
    (":3: BillingCurrency is not USD", {"BillingCurrency": ""}),
    (":3: BilledCost '$12' is no number", {"BilledCost": "$12"}),
    (":3: BilledCost is no number", {"BilledCost": ""}),
    (":3: BilledCost '1,200.5' is no number", {"BilledCost": "1,200.5"}),
    (
        ":3: BilledCost '5E10' is no number as FOCUS writes it, such as -12.50 or 35.2E-7, below 10^9",
        {"BilledCost": "5E10"},
    ),
    (":3: BilledCost '-1E9' is no number", {"BilledCost": "-1E9"}),
    (":3: BilledCost '1E99' is no number", {"BilledCost": "1E99"}),
    (":3: PricingQuantity '5E13' is no number", {"PricingQuantity": "5E13"}),
    (":3: ContractedUnitPrice '-4.10' is negative", {"ContractedUnitPrice": "-4.10"}),
    (":3: ChargeCategory 'usage' is no category of FOCUS", {"ChargeCategory": "usage"}),
    (":3: ChargePeriodStart '2026-10-01' is no time", {"ChargePeriodStart": "2026-10-01"}),
    (":3: ChargePeriodStart '2026-13-01T00:00:00Z' is no time", {"ChargePeriodStart": "2026-13-01T00:00:00Z"}),
    (":3: ChargePeriodEnd '2026-09-01T00:00:00Z' does not come after", {"ChargePeriodEnd": "2026-09-01T00:00:00Z"}),
    (":3: SkuPriceId is missing", {"SkuPriceId": ""}),
]


@pytest.mark.parametrize(("sentence", "change"), WRONG, ids=[sentence for sentence, _ in WRONG])
def test_a_field_that_cannot_be_meant_is_a_sentence_with_its_line(
    world: dict[str, str], invoice: Lines, tmp_path: Path, sentence: str, change: dict[str, str]
) -> None:
    path = written(tmp_path / "i.csv", [invoice[0], {**invoice[1], **change}, *invoice[2:]])
    assert refused(world, path).startswith(f"{path}{sentence}")


def test_costs_whose_sum_cannot_be_held_are_a_sentence(world: dict[str, str], invoice: Lines, tmp_path: Path) -> None:
    """Twenty thousand millions would wrap around."""
    large = [{**line, "BilledCost": "9.9E8"} for line in invoice]
    assert len(large) >= 20
    assert refused(world, written(tmp_path / "i.csv", large)).endswith(
        "more than 4 * 10^9 dollars: reconcile a shorter time."
    )


def test_a_file_as_spreadsheets_write_it_is_read(world: dict[str, str], invoice: Lines, tmp_path: Path) -> None:
    """With a byte order mark, carriage returns, and an empty line at its end."""
    path = written(tmp_path / "i.csv", invoice)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b"\r\n")
    assert ran(world, path)[1]["total"]["difference_usd"] == "0.000000000"


def test_columns_that_are_missing_or_renamed_are_a_sentence(
    world: dict[str, str], invoice: Lines, tmp_path: Path
) -> None:
    renamed = [
        {"billed_cost" if name == "BilledCost" else name: value for name, value in line.items()} for line in invoice
    ]
    path = written(tmp_path / "i.csv", renamed)
    assert (
        refused(world, path) == f"{path}:1: column BilledCost of FOCUS 1.2 is missing: 'billed_cost' is not its name."
    )
    path = written(tmp_path / "i.csv", [{"Service": "GPU", "Amount": "4"}])
    assert refused(world, path).endswith("column BilledCost of FOCUS 1.2 is missing: the invoice needs it.")


def test_time_that_is_invoiced_twice_is_a_sentence(world: dict[str, str], invoice: Lines, tmp_path: Path) -> None:
    first = next(line for line in invoice if line["SkuPriceId"] == RESERVED)
    path = written(tmp_path / "i.csv", [*invoice, {**first, "ChargePeriodEnd": "2026-11-01T00:00:00Z"}])
    assert f"SkuPriceId '{RESERVED}' has two charge periods that overlap" in refused(world, path)
    path = written(tmp_path / "i.csv", [*invoice, {**first, "RegionId": ""}])
    assert "has no RegionId here and one in other lines" in refused(world, path)


def test_an_invoice_without_usage_and_skus_that_are_told_twice_are_sentences(
    world: dict[str, str], invoice: Lines, tmp_path: Path
) -> None:
    path = written(tmp_path / "i.csv", [{**invoice[0], "ChargeCategory": "Tax"}])
    assert refused(world, path).endswith("there is nothing to compare.")
    skus = tmp_path / "skus.csv"
    skus.write_text("SkuPriceId,ours\np5,a\np5,b\n")
    assert refused(world, path, "--skus", str(skus)) == f"{skus}:3: SkuPriceId 'p5' was told before."
