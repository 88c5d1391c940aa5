"""Labelled calls of the board's world, of which one accent is understood worse by the canary, and the hours of drift."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from schemas.drift_measures import MEASURE_NAMES
from tests.board.world import BUNDLES, REGIONS, ROUTES
from tests.board.world_cells import HOUR_MS, Timed, cells_of, hours_of

ACCENTS = ("scottish", "general")


def quality(random: np.random.Generator, world: Timed) -> pl.DataFrame:
    """Labelled calls, of the operational partition and of speech: a dimension that a partition has not is null."""
    hours = hours_of(world, 168)
    calls = pl.concat(
        [
            cells_of(hours, region=REGIONS, pool=("realtime",), route=ROUTES, bundle=BUNDLES),
            cells_of(hours, pool=("realtime",), bundle=BUNDLES, accent=ACCENTS, noise_class=("quiet", "noisy")),
            cells_of(hours, pool=("realtime",), bundle=BUNDLES, language=("de", "*")),
        ],
        how="diagonal",
    )
    count = random.poisson(12, calls.height)
    worse = ((calls["accent"] == ACCENTS[0]) & (calls["bundle"] == BUNDLES[1])).fill_null(False).to_numpy()
    place = np.repeat(np.arange(calls.height), count)
    said = random.integers(40, 120, len(place))
    missed = random.binomial(said, np.where(worse, 0.16, 0.08)[place] * random.uniform(0.5, 1.5, len(place)))

    def summed(of_calls: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.int64]]:
        return np.bincount(place, of_calls, calls.height).astype(np.int64)

    columns = {
        "calls": count, "words": summed(said), "word_errors": summed(missed),
        "words_sumsq": summed(said**2), "word_errors_sumsq": summed(missed**2), "word_errors_by_words": summed(said * missed),
        "characters": summed(said * 5), "character_errors": summed(missed * 2), "entities": count * 4, "entity_errors": count // 3,
        "endpoints": count * 6, "endpoint_errors": count // 4, "partials": count * 30,
        "partials_rewritten": count * 2, "answers": count * 5, "answers_corrected": count // 5,
        "answers_ungrounded": count // 6, "citations": count * 3, "citations_stale": count // 7,
        "lookups_aged": count * 2, "index_age_s_sum": count * 7_200,
    }  # fmt: skip
    return calls.with_columns(*(pl.Series(name, values) for name, values in columns.items()))


_DRIFT_SLICES = (
    ("word_error_rate", {"pool": "realtime", "bundle": BUNDLES[1], "accent": ACCENTS[0]}, "drifted", 0.16, 0.08),
    ("word_error_rate", {"pool": "realtime", "bundle": BUNDLES[1], "accent": ACCENTS[1]}, "steady", 0.08, 0.08),
    ("word_error_rate", {"pool": "realtime", "bundle": BUNDLES[1]}, "steady", 0.09, 0.08),
    ("failure_rate", {"pool": "realtime", "route": ROUTES[0]}, "steady", 0.031, 0.03),
    ("failure_rate", {"pool": "realtime", "region": REGIONS[1]}, "learning", 0.029, 0.03),
    ("jitter_ms", {"pool": "realtime", "connection": "cellular", "codec": "opus"}, "not_enough", 31.0, None),
    ("word_error_rate", {"pool": "realtime", "bundle": BUNDLES[0], "language": "de"}, "steady", 0.08, 0.08),
    ("word_error_rate", {"pool": "realtime", "bundle": BUNDLES[0], "noise_class": "noisy"}, "steady", 0.12, 0.12),
    ("failure_rate", {"pool": "realtime", "bundle": BUNDLES[0], "device_class": "car"}, "steady", 0.03, 0.03),
    ("failure_rate", {"pool": "realtime", "bundle": BUNDLES[0], "client_version": "4.2.0"}, "learning", 0.03, 0.03),
    ("tenant_stale_lookup_rate", {"pool": "realtime", "tenant": "t-0123456789abcdef"}, "steady", 0.01, 0.01),
    ("heard_shape", {"pool": "realtime", "bundle": BUNDLES[1]}, "drifted", 0.21, 0.0),
    ("heard_shape", {"pool": "batch", "route": ROUTES[1]}, "no_reference", None, None),
)
DRIFT_HOURS = 36
assert {measure for measure, *_ in _DRIFT_SLICES} <= set(MEASURE_NAMES)


def drift(random: np.random.Generator, world: Timed) -> pl.DataFrame:
    """A week of hours; what drifts began to `DRIFT_HOURS` before the newest one ended."""
    hours = hours_of(world, 168)
    began_ms = int(hours["bucket_ms"][-DRIFT_HOURS])
    since_h = (pl.col("bucket_ms") - began_ms) / HOUR_MS
    parts = []
    for measure, dimensions, state, value, reference in _DRIFT_SLICES:
        is_drifting = (state == "drifted") & (since_h >= 0)
        usual = reference if reference is not None else value
        noise = pl.Series(1 + 0.02 * random.standard_normal(hours.height))
        before = None if usual is None else pl.lit(usual) * noise
        now = None if value is None else pl.lit(value) * noise
        parts.append(
            hours.with_columns(
                *(pl.lit(name).alias(key) for key, name in dimensions.items()),
                slice=pl.lit(",".join(f"{key}={name}" for key, name in dimensions.items())),
                cut=pl.lit(",".join(dimensions)),
                measure=pl.lit(measure),
                state=pl.when(is_drifting).then(pl.lit(state)).otherwise(pl.lit(state.replace("drifted", "steady"))),
                value=pl.lit(None, pl.Float64) if now is None else pl.when(is_drifting).then(now).otherwise(before),
                reference_value=pl.lit(reference, pl.Float64),
                samples=pl.lit(4_000),
                reference_samples=pl.lit(5_000 if reference is not None else 0),
                excess=pl.lit(None, pl.Float64)
                if state in ("not_enough", "no_reference")
                else pl.when(is_drifting).then(4.0).otherwise(-1.0),
                evidence=pl.when(is_drifting).then(since_h * 0.7).otherwise(0.0),
                spread=pl.lit(1.4),
                divergence_bits=pl.lit(0.05 if measure.endswith("shape") else None, pl.Float64),
                reference=pl.lit("none" if reference is None else "week_before"),
                reference_slice=pl.lit(",".join(f"{key}={name}" for key, name in dimensions.items())),
                since=pl.when(is_drifting).then(pl.from_epoch(pl.lit(began_ms), "ms").dt.replace_time_zone("UTC")),
            )
        )
    return pl.concat(parts, how="diagonal")
