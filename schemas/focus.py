"""The columns of FOCUS, the FinOps Open Cost and Usage Specification, version 1.2, that bills and invoices have here.

Names, types, which may be null and which values are allowed are the specification's
(https://focus.finops.org/focus-specification/v1-2/). All its mandatory columns are here, the recommended ones but
AvailabilityZone, and those of its conditional ones whose condition a price list of ours meets. Columns of our own begin with `x_`
and stand last.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

FOCUS_VERSION = "1.2"

Kind = Literal["decimal", "instant", "text"]
Level = Literal["mandatory", "recommended", "conditional", "custom"]


class FocusColumn(NamedTuple):
    """One column; `allowed` values are all that it may have, where the specification names them."""

    name: str
    kind: Kind
    level: Level
    is_nullable: bool = False
    allowed: tuple[str, ...] = ()


CHARGE_CATEGORIES = ("Usage", "Purchase", "Tax", "Credit", "Adjustment")
SERVICE_CATEGORIES = (
    "AI and Machine Learning", "Analytics", "Business Applications", "Compute", "Databases", "Developer Tools",
    "Multicloud", "Identity", "Integration", "Internet of Things", "Management and Governance", "Media", "Migration",
    "Mobile", "Networking", "Security", "Storage", "Web", "Other",
)  # fmt: skip

FOCUS_COLUMNS = (
    FocusColumn("BilledCost", "decimal", "mandatory"),
    FocusColumn("BillingAccountId", "text", "mandatory"),
    FocusColumn("BillingAccountName", "text", "mandatory", is_nullable=True),
    FocusColumn("BillingCurrency", "text", "mandatory"),
    FocusColumn("BillingPeriodEnd", "instant", "mandatory"),
    FocusColumn("BillingPeriodStart", "instant", "mandatory"),
    FocusColumn("ChargeCategory", "text", "mandatory", allowed=CHARGE_CATEGORIES),
    FocusColumn("ChargeClass", "text", "mandatory", is_nullable=True, allowed=("Correction",)),
    FocusColumn("ChargeDescription", "text", "mandatory", is_nullable=True),
    FocusColumn("ChargeFrequency", "text", "recommended", allowed=("One-Time", "Recurring", "Usage-Based")),
    FocusColumn("ChargePeriodEnd", "instant", "mandatory"),
    FocusColumn("ChargePeriodStart", "instant", "mandatory"),
    FocusColumn("ConsumedQuantity", "decimal", "conditional", is_nullable=True),
    FocusColumn("ConsumedUnit", "text", "conditional", is_nullable=True),
    FocusColumn("ContractedCost", "decimal", "mandatory"),
    FocusColumn("ContractedUnitPrice", "decimal", "conditional", is_nullable=True),
    FocusColumn("EffectiveCost", "decimal", "mandatory"),
    FocusColumn("InvoiceId", "text", "recommended", is_nullable=True),
    FocusColumn("InvoiceIssuerName", "text", "mandatory"),
    FocusColumn("ListCost", "decimal", "mandatory"),
    FocusColumn("PricingCategory", "text", "conditional", True, ("Standard", "Dynamic", "Committed", "Other")),
    FocusColumn("PricingQuantity", "decimal", "mandatory", is_nullable=True),
    FocusColumn("PricingUnit", "text", "mandatory", is_nullable=True),
    FocusColumn("ProviderName", "text", "mandatory"),
    FocusColumn("PublisherName", "text", "mandatory"),
    FocusColumn("RegionId", "text", "conditional", is_nullable=True),
    FocusColumn("RegionName", "text", "conditional", is_nullable=True),
    FocusColumn("ServiceCategory", "text", "mandatory", allowed=SERVICE_CATEGORIES),
    FocusColumn("ServiceName", "text", "mandatory"),
    FocusColumn("ServiceSubcategory", "text", "recommended"),
    FocusColumn("SkuId", "text", "conditional", is_nullable=True),
    FocusColumn("SkuMeter", "text", "conditional", is_nullable=True),
    FocusColumn("SkuPriceId", "text", "conditional", is_nullable=True),
    FocusColumn("x_Bundle", "text", "custom"),
    FocusColumn("x_GpuType", "text", "custom", is_nullable=True),
    FocusColumn("x_ModelVersion", "text", "custom", is_nullable=True),
    FocusColumn("x_Pool", "text", "custom"),
    FocusColumn("x_Purchase", "text", "custom"),
    FocusColumn("x_UsedCost", "decimal", "custom"),
)

FOCUS_NAMES = tuple(column.name for column in FOCUS_COLUMNS)
