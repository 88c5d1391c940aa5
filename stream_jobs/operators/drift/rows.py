"""Rows that tell of drift: for each hour what every figure of a slice was, what it was compared with, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.arrays import Flags, Floats
from schemas.drift_table import DRIFT, FAMILIES
from schemas.slices import EVERYTHING
from schemas.table_columns import slice_columns
from stream_jobs.operators.drift.figures import Judged
from stream_jobs.operators.drift.references import Referred
from stream_jobs.operators.drift.series import Series
from stream_jobs.operators.drift.slices import DriftSlices
from stream_jobs.operators.quotients import quotient
from stream_jobs.operators.totals.rollup_rows import timestamp, with_dimensions

STATES = ("no_reference", "not_enough", "steady", "learning", "drifted")
_NO_REFERENCE, _NOT_ENOUGH, _STEADY, _LEARNING, _DRIFTED = range(len(STATES))


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour as it was judged. `versions`: of what each slice's sums were told from."""

    start_ms: int
    excess: Floats
    judged: Judged
    is_learnt: Flags
    referred: Referred
    versions: Floats


@dataclass(frozen=True, slots=True)
class Drifting:
    """A figure that drifts: what it is since it began to, and what the reference of those hours is."""

    slice: str
    measure: str
    began_ms: int
    found_ms: int
    value: float
    reference_value: float
    samples: float
    reference_samples: float
    evidence: float
    reference: str
    reference_slice: str


@dataclass(frozen=True, slots=True)
class Retold:
    """What is told again of an hour: slices, by number, of which anything changed, and figures of which something else is said."""

    slices: list[int]
    figures: Flags


@dataclass(frozen=True, slots=True)
class HourRows:
    """Rows of an hour as arrays: the number of each one's slice, its figure and state by their places, and what else is told."""

    start_ms: int
    reference: str
    number: NDArray[np.int64]
    figure: NDArray[np.int64]
    state: NDArray[np.int64]
    version: NDArray[np.int64]
    reference_number: NDArray[np.int64]
    values: dict[str, Floats]


def rows_of(hour: Hour, series: Series, slices: DriftSlices, again: Retold | None) -> HourRows:
    """Rows of slices that had any of what a figure is counted over, or drift; of an hour that was told before those of `again`."""
    is_told = _is_told(hour, series)
    if again is not None:
        is_mine = np.zeros(is_told.shape[1], dtype=bool)
        is_mine[again.slices] = True
        is_told = (is_told & is_mine[None, :]) | again.figures
    is_told &= _is_named(slices)[None, :]
    figure, number = np.nonzero(is_told)
    return HourRows(
        hour.start_ms,
        hour.referred.kind,
        number,
        figure,
        _states(hour, series)[is_told],
        hour.versions[number].astype(np.int64),
        hour.referred.numbers[number],
        _values(hour, series, is_told),
    )


def told(hours: Sequence[HourRows], figures: Sequence[str], slices: DriftSlices) -> pl.DataFrame:
    """Rows of several hours as one frame, slices by number: a frame of each would take longer than to judge its hour."""
    counts = [len(each.number) for each in hours]
    texts = pl.Series(slices.texts, dtype=pl.String)

    def joined(name: str) -> NDArray[np.int64]:
        return np.concatenate([getattr(each, name) for each in hours])

    columns: dict[str, object] = {
        "number": joined("number"),
        "measure": pl.Series(figures, dtype=pl.String).gather(joined("figure")),
        "bucket_start_ms": np.repeat(np.array([each.start_ms for each in hours], dtype=np.int64), counts),
        "state": pl.Series(STATES, dtype=pl.String).gather(joined("state")),
        "version": joined("version"),
        "reference": pl.Series([each.reference for each in hours], dtype=pl.String).gather(
            np.repeat(np.arange(len(hours)), counts)
        ),
        "reference_slice": texts.gather(joined("reference_number")),
    }
    columns |= {name: np.concatenate([each.values[name] for each in hours]) for name in hours[0].values}
    rows = pl.DataFrame(columns).with_columns(pl.col(pl.Float64).fill_nan(None))
    return rows.with_columns(pl.col("samples", "reference_samples", "since_ms").cast(pl.Int64))


def said_of(hour: Hour, series: Series) -> NDArray[np.int64]:
    """What rows say of each figure, as a number to tell it from what they said before: -1 where there is none, its state, or since
    when it drifts, in ms.
    """
    said = np.where(series.is_drifted, series.began_ms.astype(np.int64), _states(hour, series))
    return np.where(_is_told(hour, series), said, -1)


def is_said_otherwise(now: NDArray[np.int64], before: NDArray[np.int64] | None) -> Flags:
    """Figures of which rows said something else; where nobody knows what they said, after a start, those that drift."""
    if before is None:
        return np.asarray(now > _DRIFTED, dtype=np.bool_)
    known = before.shape[1]
    return np.pad(now[:, :known] != before, ((0, 0), (0, now.shape[1] - known)))


class NamedSlices:
    """What the table says of a slice, by number: its text, cut and dimensions. Each is cut up once."""

    def __init__(self, slices: DriftSlices) -> None:
        self._slices, self._changes, self._known = slices, -1, pl.DataFrame()
        self._dimensions = [column.name for column in slice_columns(*FAMILIES) if column.name != "slice"]

    def named(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows as the table has them, of rows with the number of their slice."""
        if self._changes != self._slices.changes:
            texts = pl.DataFrame({"slice": [text or EVERYTHING for text in self._slices.texts]})
            known = with_dimensions(texts.unique(), DRIFT)
            self._known = texts.join(known, on="slice", how="left", maintain_order="left")
            self._changes = self._slices.changes
        of = self._known[rows["number"]].select("slice", *self._dimensions)
        at = timestamp("bucket_start_ms").alias("bucket_start"), timestamp("since_ms").alias("since")
        return pl.concat([rows.with_columns(at), of], how="horizontal").select(DRIFT.column_names)


def drifting(series: Series, figures: Sequence[str], slices: DriftSlices, referred: Referred | None) -> list[Drifting]:
    """What drifts now, what has most evidence first."""
    evidence = np.log10(np.maximum(series.evidence, 1.0))
    found = []
    for figure, number in zip(*np.nonzero(series.is_drifted), strict=True):
        bad, total, old_bad, old_total = series.since[:, figure, number].tolist()
        known = referred is not None and number < len(referred.numbers)
        found.append(
            Drifting(
                slice=slices.texts[number],
                measure=figures[figure],
                began_ms=int(series.began_ms[figure, number]),
                found_ms=int(series.found_ms[figure, number]),
                value=bad / total if total else 0.0,
                reference_value=old_bad / old_total if old_total else 0.0,
                samples=total,
                reference_samples=old_total,
                evidence=float(evidence[figure, number]),
                reference=referred.kind if referred and known else "none",
                reference_slice=slices.texts[referred.numbers[number]] if referred and known else slices.texts[number],
            )
        )
    return sorted(found, key=lambda each: (-each.evidence, each.slice, each.measure))


def _values(hour: Hour, series: Series, is_told: Flags) -> dict[str, Floats]:
    """What is told of those figures of slices."""
    bad, total, old_bad, old_total = hour.judged.hour[:, is_told]
    evidence = series.evidence_of(is_told)
    return {
        "value": quotient(bad, total),
        "reference_value": quotient(old_bad, old_total),
        "samples": total,
        "reference_samples": old_total,
        "excess": hour.excess[is_told],
        "evidence": np.log10(np.maximum(evidence, 1.0)),
        "spread": hour.judged.spread[is_told],
        "divergence_bits": hour.judged.divergence[is_told],
        "since_ms": np.where(series.is_drifted, series.began_ms, np.nan)[is_told],
    }


def _is_told(hour: Hour, series: Series) -> Flags:
    return np.asarray((hour.judged.hour[1] > 0) | series.is_drifted, dtype=np.bool_)


def _states(hour: Hour, series: Series) -> NDArray[np.int64]:
    """What is said of each figure, as its place among `STATES`; what is not known is never steady."""
    has_reference = hour.judged.hour[3] > 0
    is_drifted, is_enough = series.is_drifted, hour.judged.is_enough
    found = np.full(is_drifted.shape, _NO_REFERENCE, dtype=np.int64)
    found[has_reference] = _NOT_ENOUGH
    found[is_enough] = _STEADY
    found[is_enough & ~hour.is_learnt] = _LEARNING
    found[is_drifted] = _DRIFTED
    return found


def _is_named(slices: DriftSlices) -> Flags:
    return np.array([bool(text) for text in slices.texts], dtype=np.bool_)
