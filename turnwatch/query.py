"""`turnwatch query`: one question to ClickHouse, answered as a table, as CSV or as one JSON document. It never writes.

ClickHouse itself writes CSV and JSON, so that no value passes through another type on its way: 64-bit integers stay
exact, missing values are `null` (`\\N` in CSV), infinities are the strings "inf" and "-inf", times are ISO 8601 in UTC.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any, Literal, TextIO

from clickhouse_connect.driver.exceptions import ClickHouseError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.counted import counted
from schemas.failures import BadInput
from schemas.warehouse import ClickHouseAddress
from stream_jobs.sinks.clickhouse import connect, explained, is_about_the_statement
from turnwatch.places import clickhouse
from turnwatch.printable import printable
from turnwatch.settings import load

Format = Literal["table", "csv", "json"]

QUERY_TIMEOUT_S = 300.0
TABLE_ROWS_MAX = 1_000
"""Rows of a table on a terminal; CSV and JSON print all."""
PIPED_WIDTH = 10_000

_WIRE_FORMAT: dict[Format, str] = {"table": "JSONCompact", "csv": "CSVWithNames", "json": "JSONEachRow"}
_SETTINGS = {
    "readonly": 2,
    "wait_end_of_query": 1,
    "date_time_output_format": "iso",
    "output_format_json_array_of_rows": 1,
    "output_format_json_quote_64bit_integers": 0,
    "output_format_json_quote_denormals": 1,
}
"""`readonly` 2: a query may change its own settings and nothing else. Waiting for the end makes a late error an error."""

_READING = frozenset({"SELECT", "WITH", "FROM", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS"})
_WRITING = frozenset({"INSERT", "OUTFILE"})
_TOKEN = re.compile(
    r"(?P<skipped>--[^\n]*|/\*.*?\*/|'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.)*`|\"(?:[^\"\\]|\\.)*\")|(?P<word>\w+)|(?P<sign>;)",
    re.DOTALL,
)


class QueryRefused(BadInput):
    """A statement that is not run, or that ClickHouse did not take; the message is a sentence."""


def run_query(sql: str, output: Format) -> int:
    """Asks the ClickHouse of the settings, prints the answer, and returns the exit code."""
    print_answer(ask(clickhouse(load()), sql, output), output, sys.stdout)
    return 0


def ask(address: ClickHouseAddress, sql: str, output: Format) -> str:
    """The answer as ClickHouse writes it; raises `QueryRefused`, or `WarehouseError` when ClickHouse is away."""
    statement = readable(sql)
    client = connect(address, read_timeout_s=QUERY_TIMEOUT_S)
    try:
        answer = client.raw_query(
            statement, settings=_SETTINGS, transport_settings={"X-ClickHouse-Format": _WIRE_FORMAT[output]}
        )
    except ClickHouseError as error:
        trouble = explained(error, address)
        raise (QueryRefused(str(trouble)) if is_about_the_statement(trouble) else trouble) from error
    finally:
        client.close()
    return answer.decode("utf-8", "replace")


def readable(sql: str) -> str:
    """The statement without a closing semicolon, if all it does is read."""
    tokens = [token for token in _TOKEN.finditer(sql) if not token["skipped"]]
    while tokens and tokens[-1]["sign"]:
        sql = sql[: tokens.pop().start()]
    words = [token["word"].upper() for token in tokens if token["word"]]
    if not words:
        raise QueryRefused('There is no statement: write one, such as "SELECT count() FROM traffic".')
    if any(token["sign"] for token in tokens):
        raise QueryRefused("There is more than one statement: ask them one at a time.")
    writing = next(iter(_WRITING.intersection(words)), None)
    if words[0] not in _READING or writing:
        raise QueryRefused(f"The statement holds {writing or words[0]}, and `turnwatch query` only reads.")
    if len(words) > 2 and words[-2] == "FORMAT":
        raise QueryRefused(f"Leave out FORMAT {words[-1]}: the option --format chooses between table, csv and json.")
    return sql.rstrip()


def print_answer(answer: str, output: Format, stream: TextIO) -> None:
    if output == "table":
        _print_table(json.loads(answer) if answer.strip() else {"meta": [], "data": []}, stream)
        return
    text = answer if answer.strip() or output == "csv" else "[]"
    stream.write(text if text.endswith("\n") or not text else f"{text}\n")


def _print_table(answer: dict[str, Any], stream: TextIO) -> None:
    console = Console(file=stream, width=None if stream.isatty() else PIPED_WIDTH, highlight=False)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in answer["meta"]:
        is_number = re.search(r"^(Nullable\()?(U?Int|Float|Decimal)", column["type"])
        table.add_column(_shown(column["name"]), justify="right" if is_number else "left", overflow="fold")
    rows = answer["data"]
    for row in rows[:TABLE_ROWS_MAX]:
        table.add_row(*(_shown(value) for value in row))
    if answer["meta"]:
        console.print(table)
    omitted = len(rows) - TABLE_ROWS_MAX
    more = f"; {omitted} of them not shown, --format csv prints all" if omitted > 0 else ""
    console.print(f"{counted(len(rows), 'row')}{more}", style="dim")


def _shown(value: Any) -> Text:
    """A value as plain text: no markup, and nothing that moves a terminal's cursor."""
    if value is None:
        return Text("null", style="dim")
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return Text(printable(text))
