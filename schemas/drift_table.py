"""The table of drift: each figure of each slice in each hour, with what it was compared with and what came of it."""

from __future__ import annotations

import pyarrow as pa

from schemas.families import OUTCOMES, QUALITY, STAGE_LATENCIES, TENANTS
from schemas.table_columns import BUCKET, VERSION, Column, Table, count, share, slice_columns, text

FAMILIES = (QUALITY, OUTCOMES, TENANTS, STAGE_LATENCIES)
"""Those whose slices are looked at for drift."""


def _nullable(name: str, comment: str) -> Column:
    return Column(name, "Nullable(Float64)", comment, pa.float64())


DRIFT = Table(
    "drift_1h",
    "What was each figure of each slice in each hour, what was it compared with, and does it drift?",
    (
        *slice_columns(*FAMILIES),
        text("measure", "the figure, such as word_error_rate; of a stage its latencies' shape, such as heard_shape"),
        BUCKET,
        text(
            "state",
            "drifted, steady, learning (how it strays by itself is not known yet), not_enough or no_reference; none but "
            "the second says that it is well",
        ),
        _nullable(
            "value", "the figure in this hour: a share, or in its unit; of a shape its population stability index"
        ),
        _nullable("reference_value", "the same of what it is compared with; of a shape 0"),
        count("samples", "what the figure is over: words, turns, observations"),
        count("reference_samples", "the same of its reference"),
        _nullable("excess", "standard deviations above what is tolerated; null where nothing was compared"),
        share("evidence", "decimal logarithm of the evidence that it changed, when this hour was judged last"),
        share("spread", "how many times the variance of independent samples, or calls, its own hours have; at least 1"),
        _nullable("divergence_bits", "of a shape the Jensen-Shannon divergence from its reference (bits)"),
        text("reference", "week_before, day_before, frozen or none"),
        text("reference_slice", "the slice that it is compared with: itself, or with the bundle before its own"),
        Column(
            "since",
            "Nullable(DateTime64(3, 'UTC'))",
            "when what drifts began to, event time",
            pa.timestamp("ms", tz="UTC"),
        ),
        VERSION,
    ),
    ("measure", "cut", "slice", "bucket_start"),
    "bucket_start",
    QUALITY.retention_d,
)
