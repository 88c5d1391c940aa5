"""Stretches of time out of a CSV: what was wrong, or what was excluded, from when to when and on which slice."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from re import fullmatch

import polars as pl

from schemas.failures import BadInput
from schemas.slices import EVERYTHING, SLICE_PATTERN
from turnwatch.backtest.tables import read_instants
from turnwatch.csv_text import other_fields


@dataclass(frozen=True, slots=True)
class Kind:
    """What a line of the file is, for sentences, and the columns that it may have."""

    name: str
    columns: tuple[str, ...]
    slice_hint: str = "write one as pool=realtime,region=eu-west-1"


@dataclass(frozen=True, slots=True)
class Stretch:
    """One line; `values` are its fields as they were written."""

    where: str
    from_ms: int
    to_ms: int
    slice: str
    values: Mapping[str, str]


def read_stretches(path: Path, kind: Kind, otherwise: str = "") -> list[Stretch]:
    """The lines of a CSV of from, to and, if wanted, the kind's other columns; `otherwise` is said where there is no file.

    Raises `BadInput` with the line of what cannot be meant.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file))
    except FileNotFoundError:
        raise BadInput(f"{path}: there is no such file{otherwise}.") from None
    except (OSError, UnicodeDecodeError, csv.Error):
        raise BadInput(f"{path}: this cannot be read as CSV.") from None
    header = lines[0] if lines else []
    unknown = [name for name in header if name not in kind.columns]
    if unknown or not {"from", "to"} <= set(header):
        what = f"there is no column {unknown[0]!r}" if unknown else "the columns from and to are needed"
        raise BadInput(f"{path}:1: {what}: write {','.join(kind.columns)}.")
    return [_stretch(f"{path}:{number}", kind, header, line) for number, line in enumerate(lines[1:], 2) if line]


def _stretch(where: str, kind: Kind, header: Sequence[str], line: Sequence[str]) -> Stretch:
    if len(line) != len(header):
        raise other_fields(where, len(line), len(header))
    values = dict(zip(header, line, strict=True))
    written = pl.Series([values["from"], values["to"]])
    from_ms, to_ms = read_instants(written, f"an {kind.name}'s time", lambda _: where).tolist()
    if from_ms >= to_ms:
        raise BadInput(f"{where}: the {kind.name} ends before it begins: write the earlier time first.")
    text = values.get("slice") or EVERYTHING
    if not fullmatch(SLICE_PATTERN, text):
        raise BadInput(f"{where}: {text!r} is no slice: {kind.slice_hint}.")
    return Stretch(where, from_ms, to_ms, text, values)
