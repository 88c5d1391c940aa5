"""The two sides of a comparison: a period of ClickHouse, or a file, each as what it told of rates."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from schemas.declarations import Family
from schemas.failures import BadInput
from schemas.rates import RATES, Rate
from schemas.slices import slice_text
from turnwatch.answers.cost_periods import Stretch, named
from turnwatch.answers.narrowing import narrowed
from turnwatch.drift.cuttings import Cutting, cuttings
from turnwatch.drift.files import FAMILIES_OF_RATES, FileRows, read_rows
from turnwatch.drift.stored import StoredPeriod
from turnwatch.drift.told import WINDOW, above_of, divided, told_of
from turnwatch.places import clickhouse
from turnwatch.settings import load

SERIES = {WINDOW: pl.Int64, "numerator": pl.Float64, "denominator": pl.Float64}


@dataclass(frozen=True, slots=True)
class Asked:
    """What is compared with what. `least`: the relative change that counts as none; `samples_min`: fewer are not enough."""

    old: str
    new: str
    where: tuple[str, ...] = ()
    old_where: tuple[str, ...] = ()
    new_where: tuple[str, ...] = ()
    rates: tuple[str, ...] = ()
    cuts: tuple[str, ...] = ()
    share: float = 0.8
    least: float = 0.02
    samples_min: int = 200


@dataclass(frozen=True, slots=True)
class StoredSide:
    """A period of ClickHouse: how the user named it, what it told (`TOLD`), and the cuts that it was told by."""

    name: str
    period: StoredPeriod
    cuts: Mapping[tuple[str, str], Cutting]
    told: pl.DataFrame
    notes: tuple[str, ...] = ()

    @property
    def stretch(self) -> Stretch:
        return Stretch(self.period.from_ms, self.period.to_ms)

    def series(self, cut: str, text: str, rate: Rate) -> pl.DataFrame:
        """The windows of one slice (`SERIES`), in order of time; of all slices together where `text` is empty."""
        return self.period.series(self.cuts[rate.family, cut], text, rate)


@dataclass(frozen=True, slots=True)
class FileSide:
    """A file; `sliced` are its rows with cut, slice and window. Without a `stretch` it said nothing of time."""

    name: str
    sliced: pl.DataFrame
    told: pl.DataFrame
    stretch: Stretch | None = None
    notes: tuple[str, ...] = ()

    def series(self, cut: str, text: str, rate: Rate) -> pl.DataFrame:
        """As of `StoredSide`; empty where the file said nothing of time."""
        of_slice = self.sliced.filter(pl.col("cut") == cut, (pl.col("slice") == text) | (text == ""), divided(rate))
        windows = of_slice.group_by(WINDOW).agg(
            numerator=above_of(rate).sum(), denominator=pl.col(rate.denominator).sum()
        )
        return windows.sort(WINDOW).cast(SERIES) if len(windows) > 1 else pl.DataFrame(schema=SERIES)  # type: ignore[arg-type]


Side = StoredSide | FileSide


def read_sides(asked: Asked, now_ms: int) -> tuple[Side, Side]:
    """Reads both; raises `BadInput` where they cannot be compared."""
    old, new = named(asked.old, now_ms), named(asked.new, now_ms)
    _refuse_the_same(asked, old, new)
    return _side(asked, asked.old, old, asked.old_where), _side(asked, asked.new, new, asked.new_where)


def _side(asked: Asked, text: str, source: Path | Stretch, where: Sequence[str]) -> Side:
    name = " ".join([text, *asked.where, *where])
    of_file = read_rows(source) if isinstance(source, Path) else None
    families = (of_file.family,) if of_file else _families(asked.rates)
    known = dict.fromkeys(dimension for family in families for dimension in family.dimensions)
    only = narrowed((asked.where, where), list(known), "rates of " + " and ".join(each.name for each in families))
    if of_file and of_file.is_sliced:
        side: Side = _of_slices(name, asked, of_file, only)
    else:
        apart = {each.partition("=")[0] for each in (*asked.old_where, *asked.new_where)}
        cut = cuttings(families, asked.cuts, set(only), apart)
        side = _of_rows(name, of_file, cut, only) if of_file else _stored(name, asked, source, cut, only)
    if side.told.is_empty():
        why = "; ".join(of_file.notes) if of_file and of_file.notes else "name another period"
        raise BadInput(f"{name}: nothing was told of {' or '.join(asked.rates) or 'any rate'}: {why}.")
    return side


def _families(rates: Sequence[str]) -> tuple[Family, ...]:
    of = {RATES[name].family for name in rates} or {family.name for family in FAMILIES_OF_RATES}
    return tuple(family for family in FAMILIES_OF_RATES if family.name in of)


def _stored(
    name: str, asked: Asked, source: Path | Stretch, cut: Sequence[Cutting], only: Mapping[str, frozenset[str]]
) -> StoredSide:
    assert isinstance(source, Stretch)
    period = StoredPeriod(clickhouse(load()), source.from_ms, source.to_ms, only)
    rates = [rate for rate in RATES.values() if not asked.rates or rate.name in asked.rates]
    known = {(each.family.name, each.name): each for each in cut}
    return StoredSide(name, period, known, period.told(cut, rates))


def _of_rows(name: str, read: FileRows, cut: Sequence[Cutting], only: Mapping[str, Collection[str]]) -> FileSide:
    if missing := [dimension for dimension in only if dimension not in read.rows.columns]:
        raise BadInput(f"{name}: the file has no column {missing[0]} to be narrowed by.")
    rows = read.rows.filter(pl.lit(True), *(pl.col(name).is_in(list(values)) for name, values in only.items()))
    parts = [
        rows.filter(pl.col("cut") == each.cut.name).with_columns(slice_text(each.dimensions), cut=pl.lit(each.name))
        for each in cut
        if set(each.cut.dimensions) <= set(rows.columns)
    ]
    sliced = pl.concat(parts) if parts else rows.clear().with_columns(slice=pl.lit(""))
    stretch = Stretch(int(sliced[WINDOW].min()), int(sliced[WINDOW].max()) + 1) if len(sliced) else None  # type: ignore[arg-type]
    return FileSide(name, sliced, told_of(sliced, read.family), stretch, _notes(name, read))


def _of_slices(name: str, asked: Asked, read: FileRows, only: Mapping[str, Collection[str]]) -> FileSide:
    if only:
        raise BadInput(
            f"{name}: slices of a JSON file have no dimensions to be narrowed by: leave those out of the file."
        )
    rows = read.rows
    for cut in asked.cuts:
        if cut not in rows["cut"].to_list():
            raise BadInput(f"{name}: no slice is of the cut {cut}: there are {'; '.join(rows['cut'].unique().sort())}.")
    rows = rows.filter(pl.col("cut").is_in(list(asked.cuts))) if asked.cuts else rows
    return FileSide(name, rows, told_of(rows, read.family), None, _notes(name, read))


def _notes(name: str, read: FileRows) -> tuple[str, ...]:
    return tuple(f"{name}: {note}" for note in read.notes)


def _refuse_the_same(asked: Asked, old: Path | Stretch, new: Path | Stretch) -> None:
    """What is on both sides did not change; sides that no slice is on both of may be of one time."""
    if _are_apart(asked.old_where, asked.new_where):
        return
    if isinstance(old, Path) and isinstance(new, Path) and old.samefile(new):
        raise BadInput(
            f"{asked.new}: this is --old as well: a period is compared with another one, or one slice with another by "
            "--old-where and --new-where."
        )
    if isinstance(old, Stretch) and isinstance(new, Stretch) and old.overlaps(new):
        raise BadInput(
            f"--old {asked.old} and --new {asked.new} overlap: name periods of which one ends before the other begins, "
            "or tell them apart with --old-where and --new-where."
        )


def _are_apart(old_where: Sequence[str], new_where: Sequence[str]) -> bool:
    """Whether a dimension is narrowed on both sides, and to other values."""
    old, new = ({each.partition("=")[0]: set[str]() for each in where} for where in (old_where, new_where))
    for values, where in ((old, old_where), (new, new_where)):
        for name, _, value in (each.partition("=") for each in where):
            values[name].add(value)
    return any(values.isdisjoint(new[name]) for name, values in old.items() if name in new)
