"""Price lists as files: what `kind: PriceList` may say, and what is wrong when it says else."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from alerts.document_sentences import Name, Number, Part, Text, between, twice, wrong
from alerts.one_document import read_one
from schemas.dimensions import DIMENSIONS
from schemas.prices import HOSTED, Price, PriceList, Resource, overlap

SHIPPED_PRICES = Path(__file__).parent / "prices" / "example.yaml"

PRICES_MAX = 10_000


def _instant(written: str) -> str:
    """A day in the one spelling whose order as text is that in time."""
    try:
        is_day = date.fromisoformat(written).isoformat() == written
    except ValueError:
        is_day = False
    if not is_day:
        raise wrong(f'"{written[:30]}" is no day: write one such as "2026-01-31"; it begins at 00:00 UTC.')
    return written


def _of(dimension: str) -> StringConstraints:
    return StringConstraints(pattern=rf"^(?:{DIMENSIONS[dimension].pattern})$")


Day = Annotated[str, AfterValidator(_instant)]
Usd = Annotated[Number, between("price in US dollars", "0", "1000000")]


class PricePart(Part):
    """One price. GPU hours name `gpuType` and `purchase`, tokens `modelVersion`."""

    resource: Resource
    usd: Usd
    from_: Annotated[Day, Field(alias="from")]
    until: Day | None = None
    region: Annotated[str, _of("region")] | None = None
    gpu_type: Annotated[str, _of("gpu_type")] | None = None
    purchase: Literal["reserved", "on_demand", "spot", "owned"] | None = None
    model_version: Annotated[str, _of("model_version")] | None = None

    @model_validator(mode="after")
    def _is_of_something(self) -> Self:
        if self.resource == "gpu_hour" and not (self.gpu_type and self.purchase and self.model_version is None):
            raise wrong("A GPU hour is priced by `gpuType` and `purchase`: write both, and no `modelVersion`.")
        if self.resource != "gpu_hour" and not (self.model_version and not (self.gpu_type or self.purchase)):
            raise wrong(
                f"Tokens of {HOSTED} models are priced by `modelVersion`: write it, and no `gpuType` or `purchase`."
            )
        if self.until is not None and self.until <= self.from_:
            raise wrong("The price ends before it begins: `until` is the first day on which it does not hold.")
        return self

    @property
    def price(self) -> Price:
        return Price(
            self.resource,
            self.usd,
            _ms(self.from_),
            None if self.until is None else _ms(self.until),
            self.region,
            self.gpu_type,
            self.purchase,
            self.model_version,
        )


class PriceMetadata(Part):
    name: Name


class PriceSpec(Part):
    description: Text | None = None
    currency: Literal["USD"]
    prices: Annotated[list[PricePart], Field(min_length=1, max_length=PRICES_MAX)]

    @model_validator(mode="after")
    def _has_one_price_for_a_moment(self) -> Self:
        prices = tuple(part.price for part in self.prices)
        found = overlap(prices)
        if found:
            told = " ".join(name for name in found[1].thing if name)
            earlier, later = (next(at for at, price in enumerate(prices) if price is each) for each in found)
            said = f"There are two prices of {told} on {_day(found[1].from_ms)}"
            raise twice(said, ("prices", earlier), ("prices", later), "end the one that begins first, or remove one.")
        return self


class PriceDocument(Part):
    api_version: Literal["turnwatch/v1"]
    kind: Literal["PriceList"]
    metadata: PriceMetadata
    spec: PriceSpec


def load_prices(file: Path = SHIPPED_PRICES) -> PriceList:
    """The one price list of a file; everything that is wrong in it at once as `WrongFiles`."""
    written = read_one(file, PriceDocument, "a price list", "lists")
    return PriceList(written.metadata.name, tuple(part.price for part in written.spec.prices))


def _ms(day: str) -> int:
    begins = datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC)
    return int(begins.timestamp()) * 1_000


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).date().isoformat()
