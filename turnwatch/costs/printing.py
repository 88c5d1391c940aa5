"""Rows of money as a table for eyes, or as CSV."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from turnwatch.answers.printing import print_answer
from turnwatch.printable import printable

Format = Literal["table", "csv", "json"]


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], prices: str, output: Format) -> None:
    """Prints `columns` of the rows, and below a table the name of the price list; a field that a row does not have is empty."""
    told = [{name: row.get(name) for name in columns} for row in rows]
    if output == "csv":
        writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(told)
    else:
        print_answer(told, columns, "table")
        print(printable(f"prices: {prices}"))
