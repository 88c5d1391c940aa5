"""Views for analysts: rows per minute without their versions, so that a plain SELECT is right.

Tables keep absolutes and are right only when read with FINAL; a view says it once for everybody. Quantiles come out of
the exponential histograms: each bucket stands at the harmonic middle of its bounds, 2·low·high ÷ (low + high), which
keeps the relative error within (base - 1) ÷ (base + 1): 0.55 % at scale 6 (`turn`, `first_audio`), 1.1 % at scale 5.
"""

from __future__ import annotations

from dataclasses import dataclass

from schemas.histograms import ZERO_INDEX
from schemas.tables import FAMILY_TABLES, TABLES, Table


@dataclass(frozen=True, slots=True)
class View:
    name: str
    question: str
    select: str


QUANTILES = (0.5, 0.95, 0.99)

_LOW, _HIGH = "exp2(bucket_index * exp2(-scale))", "exp2((bucket_index + 1) * exp2(-scale))"
LATENCY_MS = f"if(bucket_index = {ZERO_INDEX}, 0., 2 * {_LOW} * {_HIGH} / ({_LOW} + {_HIGH}))"
"""The latency in ms that a bucket stands for."""


def _per_minute(name: str) -> View:
    table = TABLES[f"{name}_1m"]
    columns = ", ".join(column for column in table.column_names if column != "version")
    return View(name, f"{table.question} Each row once.", f"SELECT {columns}\nFROM {table.name} FINAL")


def _stage_quantiles(table: Table) -> View:
    histogram = {"scale", "bucket_index", "observations", "latency_ms_sum", "latency_ms_sumsq", "version"}
    keys = ", ".join(name for name in table.column_names if name not in histogram)
    levels = ", ".join(str(quantile) for quantile in QUANTILES)
    named = ",\n    ".join(
        f"quantiles_ms[{place}] AS p{quantile * 100:g}_ms" for place, quantile in enumerate(QUANTILES, 1)
    )
    select = f"""WITH quantilesExactWeighted({levels})({LATENCY_MS}, observations) AS quantiles_ms
SELECT {keys},
    sum(observations) AS observed,
    sum(latency_ms_sum) / observed AS mean_ms,
    {named}
FROM {table.name} FINAL
WHERE observations > 0
GROUP BY {keys}"""
    return View(
        "stage_quantiles", "How long did each stage take, at its median and in its tail? Buckets of 1 min.", select
    )


_DECLARED = (
    *(_per_minute(name) for tables in FAMILY_TABLES.values() for name in tables),
    _stage_quantiles(TABLES["stage_latency_1m"]),
)

VIEWS: dict[str, View] = {view.name: view for view in _DECLARED}
