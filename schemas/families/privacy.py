"""Privacy: what the edge did with observations before anything left it: kept, generalised, held, released, refused."""

from __future__ import annotations

from schemas.declarations import Cut, Family, Key, Measure, PrivacyPartition
from schemas.dimensions import DIMENSIONS
from schemas.families.heartbeats import REPORTED_FAMILIES
from schemas.families.purposes import ASSURANCE
from schemas.refusals import Refusal

FATES = ("kept", "generalised", "held", "released", "refused")
"""Of an observation in a privacy partition: left with all of its dimensions, without some, waits for others below k, left
after it had waited; or was refused and counts nowhere."""

UNKNOWN = "unknown"
"""Stands for the families of what was refused before anybody could tell what it is."""

BECAUSE = ("none", *(each.name for each in DIMENSIONS.values() if each.is_identifying), *Refusal)

PRIVACY = Family(
    name="privacy",
    meaning="what the edge withheld before anything left it, and for which reason",
    kind="collector",
    purpose=ASSURANCE,
    since_minor=2,
    partitions=(PrivacyPartition("operational", ("region", "pool"), k_window_s=10),),
    keys=(
        Key(
            "reported_family",
            "the family that is reported on: what was refused is told in the one of its kind alone, a turn in `turns`; `unknown` of what did not say what it is, such as half a line",
            vocabulary=(*REPORTED_FAMILIES, UNKNOWN),
            first_values=len(REPORTED_FAMILIES),
        ),
        Key("fate", "what was done", vocabulary=FATES),
        Key("because", "the dimension that gave way, or the reason of a refusal", vocabulary=BECAUSE),
    ),
    measures=(
        Measure(
            "observations",
            "observations",
            "observations that this was done to; one that was refused is told once, and so is each private field that was dropped from one; one that gave up two dimensions of both, and in each family that counts it",
        ),
    ),
    cuts=(Cut("operational", ("pool",)), Cut("operational", ("pool", "region"))),
)
