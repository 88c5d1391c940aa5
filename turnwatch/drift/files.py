"""Rows of rates out of files: a CSV file as `turnwatch query` exports a view, or a JSON object of slice → counts.

    turnwatch query "SELECT * FROM quality" --format csv > quality.csv
    {"accent=england": {"calls": 122, "words": 980, "word_errors": 401}, …}

A CSV file says which family it is of by its measures; figures of JSON that are none are passed over, and named. A slice of
JSON that is written `dimension=value` belongs to the cut of its dimensions, any other to the cut `slices`. A part is never
more than what it is a part of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from schemas.declarations import Family
from schemas.failures import BadInput
from schemas.families import FAMILIES
from schemas.rates import RATES, Rate, rates_of
from schemas.slices import cut_of
from turnwatch.answers.json_figures import read_number, read_object
from turnwatch.csv_text import numbered, refuse, refuse_unlike, text_rows
from turnwatch.drift.told import WINDOW

SLICES = "slices"
"""The cut of slices that are named like nothing we declare."""
COUNT_MAX = 10**18

_TIME = "bucket_start"
_COUNT = r"^[0-9]{1,18}$"
_INSTANT = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:\.0+)?(?:Z|\+00:?00)?$"
_EXPORT = 'export it with turnwatch query "SELECT * FROM quality" --format csv'
FAMILIES_OF_RATES = tuple(FAMILIES[name] for name in dict.fromkeys(rate.family for rate in RATES.values()))


@dataclass(frozen=True, slots=True)
class FileRows:
    """Rows of one family, with `cut`, `window_ms` and measures; of CSV with dimensions, of JSON with `slice`."""

    family: Family
    rows: pl.DataFrame
    is_sliced: bool
    passed_over: tuple[str, ...] = ()


def read_rows(path: Path) -> FileRows:
    """Reads a file; raises `BadInput` with file, line and field where it cannot be meant."""
    return _read_json(path) if path.suffix == ".json" else _read_csv(path)


def _read_csv(path: Path) -> FileRows:
    rows = numbered(text_rows(path, f"cut,{_TIME},…"))
    for name in ("cut", _TIME):
        if name not in rows.columns:
            raise BadInput(f"{path}:1: column {name} is missing: {_EXPORT}.")
    family = _family(f"{path}:1: its columns", rows.columns)
    dimensions = [name for name in family.dimensions if name in rows.columns]
    measures = [name for name in family.measure_names if name in rows.columns]
    refuse_unlike(path, rows, _TIME, _INSTANT, "is no beginning of a bucket, such as 2026-10-01T00:10:00Z")
    for name in measures:
        refuse_unlike(path, rows, name, _COUNT, "is no count: write a whole number that is not negative")
    instant = pl.col(_TIME).str.slice(0, 19).str.replace("T", " ").str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False)
    for rate in _shares(family, measures):
        above = pl.col(rate.numerator).cast(pl.Int64) > pl.col(rate.denominator).cast(pl.Int64)
        refuse(path, rows.filter(above), rate.numerator, f"is more than the {rate.denominator} that it is a part of")
    typed = rows.select(
        "cut",
        *(pl.col(name).fill_null("") for name in dimensions),
        instant.dt.epoch("ms").alias(WINDOW),
        pl.col(measures).cast(pl.Int64),
    )
    refuse(path, rows.filter(typed[WINDOW].is_null()), _TIME, "is no day or time that there is")
    twice = rows.filter(~typed.select(pl.struct("cut", *dimensions, WINDOW).is_first_distinct()).to_series())
    refuse(path, twice, _TIME, f"of this slice was told before: {_EXPORT}, where each stands once")
    return FileRows(family, typed, is_sliced=False)


def _read_json(path: Path) -> FileRows:
    read = read_object(path)
    for text, figures in read.items():
        if not isinstance(figures, dict):
            raise BadInput(f"{path}: slice {text[:100]!r}: write an object of counts, such as words and word_errors.")
        if "=" in text and not all(
            name and equals for name, equals, _ in (part.partition("=") for part in text.split(","))
        ):
            raise BadInput(f"{path}: slice {text[:100]!r}: each part is NAME=VALUE, such as pool=realtime,accent=us.")
    names = list(dict.fromkeys(name for figures in read.values() for name in figures))
    family = _family(f"{path}: its slices", names)
    measures = [name for name in family.measure_names if name in names]
    rows = {"slice": list(read), "cut": [cut_of(text) if "=" in text else SLICES for text in read]}
    counts = {
        name: [_count(f"{path}: slice {text[:100]!r}", name, figures.get(name, 0)) for text, figures in read.items()]
        for name in measures
    }
    for text, figures in read.items():
        _refuse_halves(f"{path}: slice {text[:100]!r}", figures, family, measures)
    frame = pl.DataFrame({**rows, **counts}, schema_overrides=dict.fromkeys(measures, pl.Int64))
    passed_over = tuple(name for name in names if name not in measures)
    return FileRows(family, frame.with_columns(pl.lit(0, pl.Int64).alias(WINDOW)), True, passed_over)


def _refuse_halves(where: str, figures: Mapping[str, object], family: Family, measures: Sequence[str]) -> None:
    """What a slice is told without is not 0; and no part is more than what it is a part of."""
    for rate in rates_of(family):
        is_told = {rate.numerator, rate.denominator} <= set(measures) and rate.denominator in figures
        if is_told and rate.numerator not in figures:
            raise BadInput(
                f"{where}: {rate.numerator} is missing beside {rate.denominator}: write it, 0 if there are none."
            )
    for rate in _shares(family, measures):
        above, below = (_count(where, name, figures.get(name, 0)) for name in (rate.numerator, rate.denominator))
        if above > below:
            raise BadInput(
                f"{where}: {rate.numerator} {above} is more than the {rate.denominator} that it is a part of."
            )


def _shares(family: Family, measures: Sequence[str]) -> list[Rate]:
    return [
        rate
        for rate in rates_of(family)
        if rate.kind == "share" and {rate.numerator, rate.denominator} <= set(measures)
    ]


def _count(where: str, name: str, value: object) -> int:
    number = read_number(where, name, value)
    if number != number.to_integral_value() or number >= COUNT_MAX:
        raise BadInput(f"{where}: {name} {number} is no count: write a whole number below 10^18.")
    return int(number)


def _family(what: str, names: Sequence[str]) -> Family:
    """The family that counts most of these, with the measures of a rate at least."""
    told = set(names)
    having = [
        family
        for family in FAMILIES_OF_RATES
        if any({rate.numerator, rate.denominator} <= told for rate in rates_of(family))
    ]
    if not having:
        raise BadInput(f"{what} make no rate, such as words and word_errors: {_EXPORT}.")
    return max(having, key=lambda family: len(told.intersection(family.measure_names)))
