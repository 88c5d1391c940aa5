"""Verdicts as rows of the table `verdicts`: one for the verdict itself, whose `metric` is empty, and one for each judgement."""

from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow as pa

from schemas.releases import way_back_text
from schemas.slices import cut_of
from schemas.tables import TABLES
from schemas.verdicts import Judgement, ReleaseVerdict

_TABLE = TABLES["verdicts"]
_UNSAID: dict[str, Any] = {
    column.name: "" if pa.types.is_string(column.arrow) else None if column.type.startswith("Nullable") else 0
    for column in _TABLE.columns
}
"""What a row holds of columns that are the other kind's."""


def rows(verdict: ReleaseVerdict) -> pa.Table:
    """Everything that a verdict says but the queries' answers, however long it is."""
    told = [_head(verdict), *(_UNSAID | _shared(verdict) | _judged(each) for each in verdict.judged)]
    times = {f"{name}_at": f"{name}_ms" for name in ("from", "to")} | {"at": "at_ms"}
    frame = pl.DataFrame(
        {name: [row[times.get(name, name)] for row in told] for name in _TABLE.column_names}, strict=False
    )
    as_times = [pl.col(name).cast(pl.Int64).cast(pl.Datetime("ms", "UTC")) for name in times]
    return frame.with_columns(as_times).to_arrow().cast(_TABLE.arrow_schema)


def _shared(verdict: ReleaseVerdict) -> dict[str, Any]:
    """What every row of a verdict says, so that each can be read alone."""
    named = ("release", "baseline", "decision", "policy", "policy_version", "from_ms", "to_ms", "at_ms", "who")
    return {name: getattr(verdict, name) for name in named} | {"version": verdict.at_ms}


def _head(verdict: ReleaseVerdict) -> dict[str, Any]:
    back = verdict.way_back
    blockers = (f"{each.slice}: {' '.join(each.reasons)}" for each in verdict.blockers)
    return (
        _UNSAID
        | _shared(verdict)
        | {
            "cut": "bundle",
            "slice": f"bundle={verdict.release}",
            "reason": " ".join(verdict.reasons),
            "because": verdict.because,
            "blockers": "; ".join(blockers),
            "insufficient": "; ".join(verdict.insufficient),
            "way_back": way_back_text(back.way) if back else "",
            "way_back_because": back.because if back else "",
            "asked": ";\n".join(verdict.asked),
            "alpha": verdict.alpha,
        }
    )


def _judged(judgement: Judgement) -> dict[str, Any]:
    told = judgement.model_dump(exclude={"baseline", "candidate"})
    values = {"baseline_value": judgement.baseline, "candidate_value": judgement.candidate}
    return told | values | {"cut": cut_of(judgement.slice), "is_protected": int(judgement.is_protected)}
