"""Spend policies as files: what `kind: SpendPolicy` may say, and what is wrong when it says else. `docs/spend.md` shows how."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from alerts.document_sentences import Name, Number, Part, Text, between, one_of, twice, wrong
from alerts.one_document import read_one
from schemas.dimensions import DIMENSIONS
from schemas.spend_policies import WINDOW_HOURS_MAX, Budget, SpendPolicy

STANDARD_SPEND = Path(__file__).parent / "spend_policies" / "standard.yaml"

BUDGETS_MAX = 500


def _hours(written: int) -> int:
    if not 1 <= written <= WINDOW_HOURS_MAX:
        raise wrong(f"{written} is no window in whole hours: write 1 to {WINDOW_HOURS_MAX}.")
    return written


def _count(written: int) -> int:
    if not 1 <= written <= 1_000_000_000:
        raise wrong(f"{written} is no number of turns to ask for: write 1 to 1000000000.")
    return written


def _above_zero(written: Decimal) -> Decimal:
    if written == 0:
        raise wrong("A budget of 0 is always spent: write what may be spent in a month, or remove it.")
    return written


Share = Annotated[Number, between("share", "0", "1")]
Tolerance = Annotated[Number, between("tolerance", "0", "10")]
Usd = Annotated[Number, between("amount in US dollars", "0", "1000000000")]
Hours = Annotated[int, AfterValidator(_hours)]
Count = Annotated[int, AfterValidator(_count)]
Pool = Annotated[str, one_of("No pool", DIMENSIONS["pool"].vocabulary)]
Route = Annotated[str, StringConstraints(pattern=DIMENSIONS["route"].full_pattern)]


class BudgetPart(Part):
    """What may be spent in a month. Without `pool` it is of everything; a `route` is one of a pool."""

    usd_month: Annotated[Usd, AfterValidator(_above_zero)]
    pool: Pool | None = None
    route: Route | None = None

    @model_validator(mode="after")
    def _has_a_pool(self) -> Self:
        if self.route is not None and self.pool is None:
            raise wrong("A route is served by pools: name the `pool` that this budget is of as well.")
        return self

    @property
    def budget(self) -> Budget:
        return Budget(self.usd_month, self.pool, self.route)


class WithoutSuccessPart(Part):
    usd_min: Usd = Decimal(1)
    turns_min: Count = 20


class SpendMetadata(Part):
    name: Name
    owner: Name


class SpendSpec(Part):
    description: Text | None = None
    currency: Literal["USD"]
    tolerance: Tolerance = Decimal("0.10")
    success_gain: Share = Decimal("0.01")
    window_hours: Hours = 3
    successes_min: Count = 1_000
    without_success: WithoutSuccessPart = WithoutSuccessPart()
    budgets: Annotated[list[BudgetPart], Field(default_factory=list, max_length=BUDGETS_MAX)]

    @model_validator(mode="after")
    def _has_one_budget_for_a_slice(self) -> Self:
        slices = [part.budget.slice for part in self.budgets]
        for place, each in enumerate(slices):
            if (first := slices.index(each)) < place:
                said = f"There are two budgets of {each}"
                raise twice(said, ("budgets", first), ("budgets", place), "keep one of them.")
        return self


class SpendDocument(Part):
    api_version: Literal["turnwatch/v1"]
    kind: Literal["SpendPolicy"]
    metadata: SpendMetadata
    spec: SpendSpec


def load_spend_policy(file: Path = STANDARD_SPEND) -> SpendPolicy:
    """The one policy of a file; everything that is wrong in it at once as `WrongFiles`."""
    written = read_one(file, SpendDocument, "a spend policy", "policies")
    spec = written.spec
    return SpendPolicy(
        name=written.metadata.name,
        owner=written.metadata.owner,
        tolerance=spec.tolerance,
        success_gain=spec.success_gain,
        window_h=spec.window_hours,
        successes_min=spec.successes_min,
        turns_min=spec.without_success.turns_min,
        usd_min=spec.without_success.usd_min,
        budgets=tuple(part.budget for part in spec.budgets),
    )
