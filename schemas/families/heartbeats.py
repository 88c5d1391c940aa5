"""Heartbeats: that a producer is alive, and what it sent, dropped and held."""

from __future__ import annotations

from schemas.declarations import Cut, Family, Key, Measure, PrivacyPartition
from schemas.families.purposes import ASSURANCE

REPORTED_FAMILIES = (
    "turns",
    "stages",
    "streams",
    "duplex",
    "outcomes",
    "queues",
    "quality",
    "costs",
    "releases",
    "tenants",
)

HEARTBEATS = Family(
    name="heartbeats",
    meaning="that a producer is alive, and what it sent, dropped and held, family by family",
    kind="collector",
    purpose=ASSURANCE,
    partitions=(PrivacyPartition("operational", ("region",), k_window_s=10),),
    keys=(Key("reported_family", "the family that is reported on", vocabulary=REPORTED_FAMILIES, first_values=4),),
    measures=(
        Measure("rows_sent", "rows", "rows of the reported family sent for the window"),
        Measure("observations_seen", "observations", "observations of the reported family taken in"),
        Measure(
            "observations_dropped",
            "observations",
            "observations that a full buffer or a failed check dropped",
            part_of="observations_seen",
        ),
        Measure("observations_held", "observations", "observations held back below k, which join a later window"),
    ),
    cuts=(Cut("operational", ("region",)),),
)
