"""Duplex: what happened in calls in which both may speak at once."""

from __future__ import annotations

from schemas.declarations import Cut, Family, Measure, PrivacyPartition
from schemas.families.partitions import OPERATIONAL
from schemas.families.purposes import SERVICE_LEVELS
from schemas.indicators import DUPLEX_INDICATORS

DUPLEX = Family(
    name="duplex",
    meaning="full-duplex events by kind, and how many missed each objective",
    kind="duplex",
    purpose=SERVICE_LEVELS,
    since_minor=1,
    partitions=(
        PrivacyPartition("operational", ("region", "pool", "route", "bundle", "duplex_event"), OPERATIONAL.k_window_s),
    ),
    measures=(
        Measure("events", "events", "events of the kind in the window"),
        *(measure for indicator in DUPLEX_INDICATORS for measure in indicator.measures),
    ),
    cuts=(
        Cut("operational", ("pool",)),
        Cut("operational", ("pool", "duplex_event")),
        Cut("operational", ("pool", "region")),
        Cut("operational", ("pool", "route")),
        Cut("operational", ("pool", "bundle")),
    ),
)
