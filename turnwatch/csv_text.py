"""CSV files as columns of text, with the line that each row stands in; what cannot be read as such is a sentence."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from schemas.counted import counted
from schemas.failures import BadInput

FILE_LINE = "line of the file"
"""The column that `numbered` adds."""


def text_rows(path: Path, header: str) -> pl.DataFrame:
    """Every field as it is written, `None` where a line has no more; `header` is what an empty file is to begin with."""
    try:
        return pl.read_csv(path, infer_schema=False)
    except pl.exceptions.NoDataError:
        raise BadInput(f"{path}:1: the file is empty: give a header ({header}) and rows.") from None
    except (pl.exceptions.ComputeError, pl.exceptions.PolarsError):
        raise _unreadable(path) from None


def numbered(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with their `FILE_LINE`, without blank ones."""
    return rows.with_row_index(FILE_LINE, offset=2).filter(~pl.all_horizontal(pl.col(rows.columns).is_null()))


def refuse(path: Path, wrong: pl.DataFrame, name: str, why: str) -> None:
    """Raises `BadInput` about the first of these rows, if there is any: its line, the column, what stands there, and why not."""
    for line, written in wrong.sort(FILE_LINE).select(FILE_LINE, pl.col(name).alias("written")).head(1).iter_rows():
        raise BadInput(f"{path}:{line}: {name}{f' {written[:100]!r}' if written else ''} {why}.")


def refuse_unlike(path: Path, rows: pl.DataFrame, name: str, pattern: str, why: str) -> None:
    """Raises `BadInput` about the first row whose column is empty, or else is not as the pattern says."""
    refuse(path, rows.filter(pl.col(name).fill_null("") == ""), name, "is missing: write it, or leave the row out")
    refuse(path, rows.filter(~pl.col(name).str.contains(pattern)), name, why)


def other_fields(where: str, found: int, wanted: int) -> BadInput:
    """What is said of a line that has other fields than the header."""
    quoting = ": a text with a comma goes in double quotes" if found > wanted else ""
    return BadInput(f"{where}: the line has {counted(found, 'field')}, the header {wanted}{quoting}.")


def _unreadable(path: Path) -> BadInput:
    """About the first line that has more fields than the header, or is no text."""
    wanted = None
    with path.open("rb") as file:
        lines = csv.reader(_texts(path, file), strict=True)
        try:
            for fields in lines:
                wanted = wanted or len(fields)
                if len(fields) > wanted:
                    return other_fields(f"{path}:{lines.line_num}", len(fields), wanted)
        except csv.Error as error:
            return BadInput(f"{path}:{lines.line_num}: the line is no CSV ({error}).")
        except BadInput as error:
            return error
    return BadInput(f"{path}: this cannot be read as CSV.")


def _texts(path: Path, lines: Iterator[bytes]) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError:
            raise BadInput(f"{path}:{number}: the line is no text in UTF-8: save the file as UTF-8.") from None
