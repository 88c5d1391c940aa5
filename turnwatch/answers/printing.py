"""Answers as one JSON document, or as a table for eyes."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.counted import counted
from turnwatch.printable import printable

Format = Literal["table", "json"]
Answer = Mapping[str, Any]


def print_answer(answer: Answer | Sequence[Answer], columns: Sequence[str], output: Format) -> None:
    """One answer or a list of them; `columns` are the table's."""
    if output == "json":
        print(json.dumps(answer, ensure_ascii=False))
        return
    rows = [answer] if isinstance(answer, Mapping) else answer
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # As text: names are of the user, and square brackets in them would be read as styles.
        table.add_row(*(Text(printable(_shown(row[column]))) for column in columns))
    console.print(table)
    console.print(counted(len(rows), "row"), style="dim")


def _shown(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6g}"
        case list():
            return ", ".join(map(_shown, value)) or "-"
        case dict():
            return " ".join(f"{name}={_shown(each)}" for name, each in value.items()) or "-"
        case _:
            return str(value)
