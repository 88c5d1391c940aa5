"""Invoices: CSV files in the columns of FOCUS. What is needed is checked, other columns are passed over.

Of each line its cost, currency, category, charge period and SKU are needed; region and quantity are used where they are.
Costs are rounded to the nano-dollar, line by line. Every mistake is told with file, line, column and value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import polars as pl

from schemas.failures import BadInput
from schemas.focus import CHARGE_CATEGORIES, FOCUS_VERSION
from schemas.instants import HOUR_MS
from schemas.prices import TOKENS_PRICED
from stream_jobs.operators.cost.reconciliation import LINE, REGION, SKU, overlapping
from turnwatch.costs.money import CURRENCY
from turnwatch.csv_text import FILE_LINE, numbered, refuse, text_rows

NEEDED = ("BillingCurrency", "ChargeCategory", "ChargePeriodStart", "ChargePeriodEnd", "SkuPriceId")
_USED = ("RegionId", "PricingQuantity", "PricingUnit", "ContractedUnitPrice", "ChargeClass")
INVOICED_SKU = "invoiced_sku"
_NUMBER = r"^-?[0-9]{1,9}(?:\.[0-9]{1,60})?$"
_SCIENTIFIC = r"^-?[0-9]{1,9}(?:\.[0-9]{1,60})?E-?[0-9]{1,2}$"
_BELOW = 10**9
_NUSD_MAX = 2**62
"""More does not fit into sums."""
_INSTANT = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$"
_UNITS = {"GPU-Hours": HOUR_MS, f"{TOKENS_PRICED} Tokens": TOKENS_PRICED, "1000 Tokens": 1_000, "Tokens": 1}
"""How much of what is metered, ms or tokens, one of a unit is."""


@dataclass(frozen=True, slots=True)
class Invoice:
    """Usage, one row per SKU, region and charge period; and the sums of what is no usage.

    `charges`: line, sku (what it is here), invoiced_sku (what the invoice calls it; several, separated by commas, where
    they are one here), region (empty where the invoice names none), from_ms, to_ms, invoiced_nusd, invoiced_quantity
    (ms or tokens, null in a unit that is not ours). `others`: what it is, invoiced_nusd. `skus`: all that are invoiced.
    """

    charges: pl.DataFrame
    others: pl.DataFrame
    skus: frozenset[str]


def read_invoice(path: Path, cost: str, skus: dict[str, str]) -> Invoice:
    """The invoice of a file, by the column `cost`; `skus` says which of ours a SkuPriceId is, if it has another name."""
    rows = _checked(path, _columns(path, cost), cost)
    is_usage = (pl.col("ChargeCategory") == "Usage") & (pl.col("ChargeClass") == "")
    usage = rows.filter(is_usage)
    refuse(path, usage.filter(pl.col("SkuPriceId") == ""), "SkuPriceId", "is missing: usage is of a SKU")
    charges = _charges(usage, skus)
    if charges.is_empty():
        raise BadInput(f"{path}: the invoice has no line of usage: there is nothing to compare.")
    _refuse_ambiguous(path, charges)
    kind = pl.when(pl.col("ChargeClass") != "").then("ChargeClass").otherwise("ChargeCategory").alias(SKU)
    others = rows.filter(~is_usage).group_by(kind).agg(pl.col("invoiced_nusd").sum()).sort(SKU)
    return Invoice(charges, others, frozenset(usage["SkuPriceId"]))


def read_skus(path: Path) -> dict[str, str]:
    """SkuPriceId of an invoice → ours, by the lines after the header; raises `BadInput` where one is given twice, or not at all."""
    read = text_rows(path, "SkuPriceId,ours")
    if read.columns != ["SkuPriceId", "ours"]:
        raise BadInput(f"{path}:1: the columns are SkuPriceId,ours.")
    rows = read.with_row_index(FILE_LINE, offset=2).with_columns(pl.col("SkuPriceId", "ours").str.strip_chars())
    for name in ("SkuPriceId", "ours"):
        missing = rows.filter(pl.col(name).fill_null("") == "")
        refuse(path, missing, name, "is missing: write both, or leave the line out")
    refuse(path, rows.filter(~pl.col("SkuPriceId").is_first_distinct()), "SkuPriceId", "was told before")
    return dict(zip(rows["SkuPriceId"], rows["ours"], strict=True))


def refuse_unknown(path: Path, skus: Mapping[str, str], known: Set[str]) -> None:
    """Raises `BadInput` where `ours` is neither priced nor metered."""
    for line, (name, ours) in enumerate(skus.items(), start=2):
        if ours not in known:
            close = get_close_matches(ours, sorted(known), n=1)
            meant = f"did you mean {close[0]}?" if close else "name one that `turnwatch cost export` writes."
            raise BadInput(
                f"{path}:{line}: ours {ours[:100]!r} of {name[:100]} is neither in the price list nor was it metered: {meant}"
            )


def unused(path: Path, skus: Mapping[str, str], invoice: Invoice) -> Iterator[str]:
    """A sentence about every name that the invoice does not have."""
    for line, name in enumerate(skus, start=2):
        if name not in invoice.skus:
            yield f"{path}:{line}: SkuPriceId {name[:100]!r} is not in the invoice, so this line changes nothing."


def _columns(path: Path, cost: str) -> pl.DataFrame:
    rows = text_rows(path, ",".join((cost, *NEEDED)))
    for name in (cost, *NEEDED):
        if name not in rows.columns:
            alike = _alike(name, rows.columns)
            meant = f"{alike[:100]!r} is not its name" if alike else "the invoice needs it"
            raise BadInput(f"{path}:1: column {name} of FOCUS {FOCUS_VERSION} is missing: {meant}.")
    optional = [pl.lit("").alias(name) for name in _USED if name not in rows.columns]
    told = dict.fromkeys((cost, *NEEDED, *_USED))
    texts = (pl.col(name).fill_null("").str.strip_chars() for name in told)
    return numbered(rows).with_columns(optional).select(FILE_LINE, *texts)


def _alike(name: str, found: Sequence[str]) -> str | None:
    """The column that probably was renamed: `billed_cost` of BilledCost."""
    plain = {each.replace("_", "").replace(" ", "").lower(): each for each in found}
    close = get_close_matches(name.lower(), plain, n=1, cutoff=0.8)
    return plain[close[0]] if close else None


def _checked(path: Path, rows: pl.DataFrame, cost: str) -> pl.DataFrame:
    why = f"is not {CURRENCY}, the currency of the prices: convert the invoice, or reconcile it where prices are in its currency"
    refuse(path, rows.filter(pl.col("BillingCurrency") != CURRENCY), "BillingCurrency", why)
    unknown = rows.filter(~pl.col("ChargeCategory").is_in(CHARGE_CATEGORIES))
    refuse(path, unknown, "ChargeCategory", "is no category of FOCUS")
    number = "is no number as FOCUS writes it, such as -12.50 or 35.2E-7, below 10^9"
    refuse(path, rows.filter(~_is_number(cost)), cost, number)
    for name in ("PricingQuantity", "ContractedUnitPrice"):
        refuse(path, rows.filter(~_is_number(name) & (pl.col(name) != "")), name, number)
    refuse(path, rows.filter(_float("ContractedUnitPrice") < 0), "ContractedUnitPrice", "is negative, and no price is")
    typed = rows.with_columns(
        invoiced_nusd=_nano(cost), from_ms=_instant_ms("ChargePeriodStart"), to_ms=_instant_ms("ChargePeriodEnd")
    )
    if typed["invoiced_nusd"].abs().cast(pl.Float64).sum() > _NUSD_MAX:
        raise BadInput(f"{path}: the costs of all lines are more than 4 * 10^9 dollars: reconcile a shorter time.")
    for name, instant in (("ChargePeriodStart", "from_ms"), ("ChargePeriodEnd", "to_ms")):
        refuse(path, typed.filter(pl.col(instant).is_null()), name, "is no time such as 2026-10-01T00:00:00Z")
    ends_early = pl.col("to_ms") <= pl.col("from_ms")
    refuse(path, typed.filter(ends_early), "ChargePeriodEnd", "does not come after ChargePeriodStart")
    return typed


def _charges(usage: pl.DataFrame, skus: dict[str, str]) -> pl.DataFrame:
    """Lines of one SKU, region and period are one charge: resources are not metered apart."""
    unit = pl.col("PricingUnit").replace_strict(_UNITS, default=None, return_dtype=pl.Int64)
    quantity = (_float("PricingQuantity") * unit).round()
    is_whole = quantity.is_not_null().all()
    return (
        usage.group_by(
            pl.col("SkuPriceId").replace(skus).alias(SKU), pl.col("RegionId").alias(REGION), "from_ms", "to_ms"
        )
        .agg(
            pl.col("SkuPriceId").unique().sort().str.join(", ").alias(INVOICED_SKU),
            pl.col("invoiced_nusd").sum(),
            pl.when(is_whole).then(quantity.sum()).alias("invoiced_quantity"),
            pl.col(FILE_LINE).min(),
        )
        .sort("from_ms", SKU, REGION, "to_ms")
        .with_row_index(LINE)
    )


def _refuse_ambiguous(path: Path, charges: pl.DataFrame) -> None:
    """Raises where what was metered could belong to two charges."""
    mixed = (pl.col(REGION) == "") & (pl.col(REGION).n_unique().over(SKU) > 1)
    why = "has no RegionId here and one in other lines: name the region of all, or of none"
    refuse(path, charges.filter(mixed).rename({INVOICED_SKU: "SkuPriceId"}), "SkuPriceId", why)
    why = "has two charge periods that overlap: write each time once"
    refuse(path, overlapping(charges).rename({INVOICED_SKU: "SkuPriceId"}), "SkuPriceId", why)


def _is_number(name: str) -> pl.Expr:
    return pl.col(name).str.contains(f"{_NUMBER}|{_SCIENTIFIC}") & (_float(name).abs() < _BELOW).fill_null(False)


def _float(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Float64, strict=False)


def _nano(name: str) -> pl.Expr:
    """Nano-dollars of decimals as they are written, half of one away from zero; of E notation as floating point has it."""
    written = pl.col(name)
    digits = written.str.strip_prefix("-").str.split_exact(".", 1).struct
    fraction = digits.field("field_1").fill_null("").str.pad_end(10, "0").str.slice(0, 10).cast(pl.Int64, strict=False)
    size = digits.field("field_0").cast(pl.Int64, strict=False) * 10**9 + (fraction + 5) // 10
    exact = pl.when(written.str.starts_with("-")).then(-size).otherwise(size)
    near = (_float(name) * 10**9).round().cast(pl.Int64, strict=False)
    return pl.when(written.str.contains("E")).then(near).otherwise(exact)


def _instant_ms(name: str) -> pl.Expr:
    instant = pl.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="ms", strict=False).dt.epoch("ms")
    return pl.when(pl.col(name).str.contains(_INSTANT)).then(instant)
