"""Every family of the contract: what a producer sends, measure by measure, and in which privacy partitions it may be seen.

A family is declared in a module of its own; `schemas/declarations.py` says what a declaration consists of.
"""

from __future__ import annotations

from schemas.declarations import (
    COUNT_MAX,
    IDENTIFYING_MAX,
    SQUARES_MAX,
    Cut,
    Family,
    Key,
    Measure,
    Merge,
    PrivacyPartition,
    Purpose,
)
from schemas.families.costs import COSTS
from schemas.families.duplex import DUPLEX
from schemas.families.heartbeats import HEARTBEATS, REPORTED_FAMILIES
from schemas.families.outcomes import OUTCOMES
from schemas.families.partitions import AUDIENCE, CLIENT, OPERATIONAL, TENANCY
from schemas.families.privacy import PRIVACY, UNKNOWN
from schemas.families.quality import QUALITY
from schemas.families.queues import QUEUES
from schemas.families.releases import ARTIFACT_KINDS, RELEASES
from schemas.families.stages import BUCKET_INDEX_MAX, PARTS, SCALE_MAX, SCALE_OF_STAGE, STAGE_LATENCIES, STAGES, WHOLES
from schemas.families.streams import STREAMS
from schemas.families.tenants import TENANTS
from schemas.families.turns import TURNS
from schemas.indicators import ALL_INDICATORS, DUPLEX_INDICATORS, INDICATORS, Indicator

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        TURNS,
        STAGE_LATENCIES,
        STREAMS,
        HEARTBEATS,
        DUPLEX,
        OUTCOMES,
        TENANTS,
        QUEUES,
        QUALITY,
        COSTS,
        RELEASES,
        PRIVACY,
    )
}

INDICATORS_OF: dict[str, tuple[Indicator, ...]] = {TURNS.name: INDICATORS, DUPLEX.name: DUPLEX_INDICATORS}
"""By the name of the family that counts them."""

K_SESSIONS_MIN = 20
"""Fewest distinct sessions that a cell with an identifying dimension may stand for."""

__all__ = [
    "ALL_INDICATORS",
    "ARTIFACT_KINDS",
    "AUDIENCE",
    "BUCKET_INDEX_MAX",
    "CLIENT",
    "COSTS",
    "COUNT_MAX",
    "DUPLEX",
    "DUPLEX_INDICATORS",
    "FAMILIES",
    "HEARTBEATS",
    "IDENTIFYING_MAX",
    "INDICATORS",
    "INDICATORS_OF",
    "K_SESSIONS_MIN",
    "OPERATIONAL",
    "OUTCOMES",
    "PARTS",
    "PRIVACY",
    "QUALITY",
    "QUEUES",
    "RELEASES",
    "REPORTED_FAMILIES",
    "SCALE_MAX",
    "SCALE_OF_STAGE",
    "SQUARES_MAX",
    "STAGES",
    "STAGE_LATENCIES",
    "STREAMS",
    "TENANCY",
    "TENANTS",
    "TURNS",
    "UNKNOWN",
    "WHOLES",
    "Cut",
    "Family",
    "Indicator",
    "Key",
    "Measure",
    "Merge",
    "PrivacyPartition",
    "Purpose",
]
