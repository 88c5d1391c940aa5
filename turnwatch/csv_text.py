"""CSV files as columns of text, with the line that each row stands in; what cannot be read as such is a sentence."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from schemas.failures import BadInput


def text_rows(path: Path, header: str) -> pl.DataFrame:
    """Every field as it is written, `None` where a line has no more; `header` is what an empty file is to begin with."""
    try:
        return pl.read_csv(path, infer_schema=False)
    except pl.exceptions.NoDataError:
        raise BadInput(f"{path}:1: the file is empty: give a header ({header}) and rows.") from None
    except (pl.exceptions.ComputeError, pl.exceptions.PolarsError):
        raise BadInput(f"{path}:{_ragged_line(path)}: the line does not have the fields of the header.") from None


def _ragged_line(path: Path) -> int:
    """The first line that has another number of fields than the header, or is no text."""
    fields = None
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            count = line.count(b",")
            fields = count if fields is None else fields
            if count != fields or not _is_text(line):
                return number
    return 1


def _is_text(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
