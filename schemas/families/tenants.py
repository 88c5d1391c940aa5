"""Tenants: what their turns looked up and called, and how many spoke with a synthetic voice.

It counts nothing that `costs` counts of tenants too, not even turns: each has a gate of its own, and the difference of two
counts of the same turns could be about one session.
"""

from __future__ import annotations

from schemas.declarations import Cut, Family, Measure
from schemas.families.partitions import TENANCY
from schemas.families.purposes import ABUSE, CONVERSATION
from schemas.noise import Noise

A_QUARTER_A_MINUTE = 360.0
"""Epsilon of a day of 1,440 minutes: a session of ten minutes that comes in time is in eleven, and spends 2.75."""

TENANTS = Family(
    name="tenants",
    meaning="what turns of each tenant looked up and called, and which of them spoke with a synthetic voice",
    kind="turns",
    purpose=CONVERSATION,
    since_minor=2,
    partitions=(TENANCY,),
    measures=(
        Measure("tenant_lookups", "turns", "turns that retrieved something"),
        Measure("tenant_lookups_stale", "turns", "turns that retrieved from a stale index", part_of="tenant_lookups"),
        Measure("tenant_tool_calls", "calls", "tool calls", purpose=ABUSE),
        Measure(
            "tenant_tool_calls_unsafe",
            "calls",
            "tool calls that a safety check found wrong",
            part_of="tenant_tool_calls",
            purpose=ABUSE,
            noise=Noise(A_QUARTER_A_MINUTE, windows_per_day=1_440, clip=2),
        ),
        Measure("tenant_synthetic_voices", "turns", "turns spoken by a synthetic voice", purpose=ABUSE),
        Measure(
            "tenant_handoffs",
            "turns",
            "turns that were handed to a human",
            noise=Noise(A_QUARTER_A_MINUTE, windows_per_day=1_440, clip=1),
        ),
    ),
    cuts=(Cut("tenancy", ("pool", "tenant")),),
)
