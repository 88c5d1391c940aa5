"""Rows of rates out of files: a CSV file as `turnwatch query` exports a view, or a JSON object of slice → counts.

    turnwatch query "SELECT * FROM quality" --format csv > quality.csv
    {"accent=england": {"calls": 122, "words": 980, "word_errors": 401}, …}

A CSV file says which family it is of by its measures; figures of JSON that are none are passed over, and named, as are rows of
CSV whose slices cannot be told. A slice of JSON that is written `dimension=value` belongs to the cut of its dimensions, any
other to the cut `slices`. A part is never more than what it is a part of.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import polars as pl

from schemas.counted import counted
from schemas.declarations import Family
from schemas.dimensions import DIMENSIONS
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
_ALIKE = 0.8
"""From which likeness on one name is taken for another, misspelt: less would take `stage` for `age`."""
FAMILIES_OF_RATES = tuple(FAMILIES[name] for name in dict.fromkeys(rate.family for rate in RATES.values()))


@dataclass(frozen=True, slots=True)
class FileRows:
    """Rows of one family, with `cut`, `window_ms` and measures; of CSV with dimensions, of JSON with `slice`. `notes` say what was
    passed over, and what may be misspelt.
    """

    family: Family
    rows: pl.DataFrame
    is_sliced: bool
    notes: tuple[str, ...] = ()


def read_rows(path: Path) -> FileRows:
    """Reads a file; raises `BadInput` with file, line and field where it cannot be meant."""
    return _read_json(path) if path.suffix == ".json" else _read_csv(path)


def _read_csv(path: Path) -> FileRows:
    rows = numbered(text_rows(path, f"cut,{_TIME},…"))
    for name in ("cut", _TIME):
        if name not in rows.columns:
            raise BadInput(f"{path}:1: column {name} is missing: {_EXPORT}.")
    family = _family(f"{path}:1: its columns", rows.columns, _EXPORT)
    _refuse_misspelt(path, rows.columns, family)
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
    return FileRows(family, typed, is_sliced=False, notes=tuple(_unsliced(typed, family)))


def _refuse_misspelt(path: Path, columns: Sequence[str], family: Family) -> None:
    """An export has more columns than are read here, but one that is nearly called as one that is missing is meant to be it."""
    known = {*family.dimensions, *family.measure_names}
    for name in columns:
        if name not in known and (meant := _meant(name, known.difference(columns))):
            raise BadInput(f"{path}:1: column {name[:100]!r} is unknown: did you mean {meant}?")


def _unsliced(rows: pl.DataFrame, family: Family) -> Iterator[str]:
    """Which rows are of no slice: of cuts that the family does not have, or of dimensions that the file does not tell."""
    of = {cut.name: cut.dimensions for cut in family.cuts}
    for cut, count in rows["cut"].fill_null("").value_counts().sort("cut").iter_rows():
        why = (
            "no column " + missing[0]
            if (missing := [each for each in of.get(cut, ()) if each not in rows.columns])
            else ""
        )
        why = why if cut in of else f"no such cut of {family.name}"
        if why:
            yield f"passed over: {counted(count, 'row')} of the cut {cut[:100]!r}, as there is {why}"


def _read_json(path: Path) -> FileRows:
    read = read_object(path)
    if not read:
        raise BadInput(f"{path}: there is no slice in it: write slice → counts, such as words and word_errors.")
    for text, figures in read.items():
        if not isinstance(figures, dict):
            raise BadInput(f"{path}: slice {text[:100]!r}: write an object of counts, such as words and word_errors.")
        if not figures:
            raise BadInput(
                f"{path}: slice {text[:100]!r} has no counts: write them, 0 of what there was none, or leave it out."
            )
        if "=" in text and not all(
            name and equals for name, equals, _ in (part.partition("=") for part in text.split(","))
        ):
            raise BadInput(f"{path}: slice {text[:100]!r}: each part is NAME=VALUE, such as pool=realtime,accent=us.")
    names = list(dict.fromkeys(name for figures in read.values() for name in figures))
    family = _family(f"{path}: its slices", names, "write counts such as words and word_errors")
    measures = [name for name in family.measure_names if name in names]
    rows = {"slice": list(read), "cut": [cut_of(text) if "=" in text else SLICES for text in read]}
    counts = {
        name: [_count(f"{path}: slice {text[:100]!r}", name, figures.get(name, 0)) for text, figures in read.items()]
        for name in measures
    }
    for text, figures in read.items():
        _refuse_halves(f"{path}: slice {text[:100]!r}", figures, family, measures)
    frame = pl.DataFrame({**rows, **counts}, schema_overrides=dict.fromkeys(measures, pl.Int64))
    notes = (*_passed_over(names, measures, family), *_misspelt_dimensions(rows["cut"]))
    return FileRows(family, frame.with_columns(pl.lit(0, pl.Int64).alias(WINDOW)), True, notes)


def _passed_over(names: Sequence[str], measures: Sequence[str], family: Family) -> Iterator[str]:
    untold = set(family.measure_names).difference(measures)
    others = [name for name in names if name not in measures]
    told = [f"{name} (did you mean {meant}?)" if (meant := _meant(name, untold)) else name for name in others]
    if told:
        yield f"passed over, as no rate is made of them: {', '.join(told)}"


def _misspelt_dimensions(cuts: Sequence[str]) -> Iterator[str]:
    """Whoever writes JSON may have dimensions of their own, but one that is nearly called as one of ours may be meant to be it."""
    for name in dict.fromkeys(name for cut in cuts if cut != SLICES for name in cut.split(",")):
        if name not in DIMENSIONS and (meant := _meant(name, DIMENSIONS)):
            yield f"slices are told by {name}, which nobody declared: did you mean {meant}?"


def _meant(name: str, known: Collection[str]) -> str | None:
    """The one of these that is nearly called so, if there is any."""
    return next(iter(get_close_matches(name[:100], sorted(known), n=1, cutoff=_ALIKE)), None)


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


def _family(what: str, names: Sequence[str], remedy: str) -> Family:
    """The family that counts most of these, with the measures of a rate at least."""
    told = set(names)
    having = [
        family
        for family in FAMILIES_OF_RATES
        if any({rate.numerator, rate.denominator} <= told for rate in rates_of(family))
    ]
    if not having:
        counts = {name for family in FAMILIES_OF_RATES for name in family.measure_names}
        close = [(name, meant) for name in names if name not in counts and (meant := _meant(name, counts - told))]
        meant = f"did you mean {close[0][1]} by {close[0][0][:100]!r}?" if close else f"{remedy}."
        raise BadInput(f"{what} make no rate, such as words and word_errors: {meant}")
    return max(having, key=lambda family: len(told.intersection(family.measure_names)))
