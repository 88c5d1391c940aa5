"""Abuse bursts: minutes in which a tenant has surely many more turns of a synthetic voice than is usual for it.

Usual is what the tenant had in the hour before, minute by minute, without the minutes of its own bursts. Whether c turns in
one minute are surely more than `times` what S turns in n minutes stand for is decided exactly: of c + S Poisson turns at
that very ratio, those of the minute are Binomial(c + S, times ÷ (times + n)), and the chance of c or more is the
regularised incomplete beta function I(c, S + 1) of that share (Przyborowski and Wilenski 1940).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import betainc

from schemas.counted import counted
from schemas.dimensions import GENERALISED
from schemas.families.purposes import ABUSE
from schemas.findings import Finding
from schemas.slices import slice_dimensions

ALERT = "AbuseBurst"
RUNBOOK = "docs/runbooks/abuse.md"
USUAL = {"slice": pl.String, "usual_voices": pl.Int64, "usual_minutes": pl.Int64}
"""Of a slice: turns of a synthetic voice, and in how many minutes those were all."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AbuseRule:
    """A burst has `voices_min` turns of a synthetic voice a minute and is surely more than `times` what is usual.

    `error` is the chance at which a minute of exactly `times` the usual is called one. Without `minutes_min` minutes to
    compare with nothing begins.
    """

    voices_min: int = 60
    times: float = 3.0
    error: float = 1e-6
    minutes_min: int = 10


def surely_above(
    voices: NDArray[np.int64], usual_voices: NDArray[np.int64], usual_minutes: NDArray[np.int64], rule: AbuseRule
) -> NDArray[np.bool_]:
    """Which minutes are surely above `rule.times` what is usual; none of those that have too few minutes to compare with."""
    share = rule.times / (rule.times + np.maximum(usual_minutes, 1))
    chance = betainc(np.maximum(voices, 1), usual_voices + 1, share)
    return np.asarray((voices > 0) & (usual_minutes >= rule.minutes_min) & (chance <= rule.error), dtype=np.bool_)


def bursting(minute: pl.DataFrame, usual: pl.DataFrame, is_open: pl.Series, rule: AbuseRule) -> pl.DataFrame:
    """The slices of a minute (slice, voices) that show a burst, with their `USUAL`.

    `is_open` are slices whose burst goes on: for those it is enough to be above what was usual when it began, which `usual`
    has of them.
    """
    known = minute.join(usual, on="slice", how="left", maintain_order="left")
    voices, usual_voices, usual_minutes = (
        known[name].fill_null(0).to_numpy() for name in ("voices", "usual_voices", "usual_minutes")
    )
    is_sure = surely_above(voices, usual_voices, usual_minutes, rule)
    known = known.with_columns(is_sure=pl.Series(is_sure, dtype=pl.Boolean))
    is_above = pl.col("voices") * pl.col("usual_minutes") > pl.col("usual_voices") * rule.times
    shows = pl.when(pl.col("slice").is_in(is_open.implode())).then(is_above).otherwise("is_sure")
    return known.filter(shows & (pl.col("voices") >= rule.voices_min)).select("slice", "voices", *list(USUAL)[1:])


def abuse_burst(row: Row) -> Finding:
    """A burst that lasts: slice, since_ms, voices of the newest minute, voices_since, `USUAL`, and whether it shows."""
    usual = row["usual_voices"] / row["usual_minutes"]
    times = f", {row['voices'] / usual:,.0f} times the usual" if usual >= 1 else "; usual are"
    now = (
        f"had {counted(row['voices'], 'turn')} of a synthetic voice in the last minute{times} {usual:,.1f}"
        if row["is_shown"]
        else f"had many turns of a synthetic voice, and in the last minute {row['voices']:,}; it ends when that lasts"
    )
    return Finding(
        alert=ALERT,
        slice=row["slice"],
        severity="page",
        since_ms=row["since_ms"],
        summary=f"{_who(row['slice'])} {now}; {row['voices_since']:,} since it began.",
        action="Limit the tenant's new calls at the gateway, and ask it what they are; block its key if nobody knows.",
        runbook=RUNBOOK,
        labels={"owner": ABUSE.owner},
        facts={
            "voices_in_minute": float(row["voices"]),
            "usual_voices_in_minute": usual,
            "voices_since": float(row["voices_since"]),
        },
    )


def _who(slice_text: str) -> str:
    dimensions = slice_dimensions(slice_text)
    tenant, pool = dimensions["tenant"], dimensions["pool"]
    named = "Tenants that are not told apart" if tenant == GENERALISED else f"Tenant {tenant}"
    return f"{named} of pool {pool}"
