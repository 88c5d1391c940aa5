"""`turnwatch query`: answers that lose nothing on their way, and refusals in one sentence."""

from __future__ import annotations

import csv
import io
import json

import pytest

from schemas.warehouse import ClickHouseAddress
from stack.clickhouse import ClickHouseServer
from stream_jobs.sinks.clickhouse import WarehouseError
from turnwatch.query import Format, QueryRefused, ask, print_answer, readable

HARD = r"""SELECT 18446744073709551615 AS large, -9223372036854775808 AS small, NULL AS missing, inf AS endless,
  toDateTime64('2026-01-02 03:04:05.678', 3, 'UTC') AS instant, toDate('2026-01-02') AS day, toDecimal64('0.1', 3) AS money,
  [1, 2] AS list, 'a "quoted", it''s ü\nline' AS text, '[red]\x1b[31m' AS markup, 0.1 + 0.2 AS inexact"""


@pytest.fixture(scope="module")
def server(clickhouse_server: ClickHouseServer) -> ClickHouseAddress:
    return ClickHouseAddress(clickhouse_server.url)


def printed(server: ClickHouseAddress, sql: str, output: Format) -> str:
    stream = io.StringIO()
    print_answer(ask(server, sql, output), output, stream)
    return stream.getvalue()


def test_json_is_one_document_that_loses_nothing(server: ClickHouseAddress) -> None:
    assert json.loads(printed(server, HARD, "json")) == [
        {
            "large": 18446744073709551615,
            "small": -9223372036854775808,
            "missing": None,
            "endless": "inf",
            "instant": "2026-01-02T03:04:05.678Z",
            "day": "2026-01-02",
            "money": 0.1,
            "list": [1, 2],
            "text": 'a "quoted", it\'s ü\nline',
            "markup": "[red]\x1b[31m",
            "inexact": 0.1 + 0.2,
        }
    ]


def test_csv_has_a_header_and_quotes_what_needs_it(server: ClickHouseAddress) -> None:
    header, row = csv.reader(io.StringIO(printed(server, HARD, "csv")))
    values = dict(zip(header, row, strict=True))
    assert (values["large"], values["missing"], values["instant"]) == (
        str(2**64 - 1),
        r"\N",
        "2026-01-02T03:04:05.678Z",
    )
    assert values["text"] == 'a "quoted", it\'s ü\nline'


def test_a_table_shows_values_as_they_are_and_leaves_the_terminal_alone(server: ClickHouseAddress) -> None:
    shown = printed(server, HARD, "table")
    assert str(2**64 - 1) in shown and "null" in shown and r"[red]\x1b[31m" in shown and "\x1b" not in shown
    assert shown.endswith("1 row\n") and len(shown.splitlines()) == 3


@pytest.mark.parametrize(("output", "expected"), [("json", "[]\n"), ("csv", '"a"\n'), ("table", "a\n0 rows\n")])
def test_no_rows_are_an_answer_too(server: ClickHouseAddress, output: Format, expected: str) -> None:
    assert printed(server, "SELECT 1 AS a WHERE 0", output) == expected


def test_a_long_table_is_cut_and_says_so(server: ClickHouseAddress) -> None:
    lines = printed(server, "SELECT number FROM numbers(1500)", "table").splitlines()
    assert lines[-1] == "1,500 rows; 500 of them not shown, --format csv prints all" and len(lines) == 1_002


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO traffic_1m (turns) VALUES (1)",
        "WITH 1 AS x INSERT INTO traffic_1m (turns) SELECT x",
        "SELECT 1 INTO OUTFILE 'x.csv'",
        "/* SELECT */ DROP TABLE pages",
        "-- SELECT\nALTER TABLE pages DELETE WHERE 1",
        "(TRUNCATE TABLE pages)",
        "SET readonly = 0",
        "SELECT 1; SELECT 2",
        "SELECT 1 FORMAT JSON",
        " ; ",
        "",
    ],
)
def test_what_is_not_one_reading_statement_is_refused_before_it_is_sent(sql: str) -> None:
    with pytest.raises(QueryRefused):
        readable(sql)


@pytest.mark.parametrize(
    ("sql", "sent"),
    [
        ("SELECT 1;", "SELECT 1"),
        ("SELECT 'INSERT; --' AS `drop`; ; ", "SELECT 'INSERT; --' AS `drop`"),
        ("-- how much; so far?\nSELECT 1", "-- how much; so far?\nSELECT 1"),
        ("(SELECT 1) UNION ALL (SELECT 2)", "(SELECT 1) UNION ALL (SELECT 2)"),
        ("SELECT formatReadableSize(1) AS format", "SELECT formatReadableSize(1) AS format"),
    ],
)
def test_a_reading_statement_is_sent_as_written(server: ClickHouseAddress, sql: str, sent: str) -> None:
    assert readable(sql) == sent
    assert ask(server, sql, "csv")


def test_clickhouse_itself_is_told_to_refuse_changes(
    server: ClickHouseAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The words of a statement are a courtesy; what holds is the setting that goes with it."""
    monkeypatch.setattr("turnwatch.query.readable", lambda sql: sql)
    with pytest.raises(QueryRefused, match=r"only reading is allowed \(code 164, READONLY\)"):
        ask(server, "CREATE TABLE forbidden (a Int8) ENGINE = Memory", "json")
    with pytest.raises(QueryRefused, match="code 164"):
        ask(server, "SELECT 1 SETTINGS readonly = 0", "json")


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT nope FROM system.one", "code 47, UNKNOWN_IDENTIFIER"),
        ("SELECT 1 FROM no_such_table", "run `turnwatch prepare`"),
        ("SELECT 1 +", "code 62"),
        ("SELECT throwIf(number = 900000) FROM numbers(1000000)", "code 395"),
    ],
)
def test_a_refusal_is_one_sentence_with_the_code(server: ClickHouseAddress, sql: str, said: str) -> None:
    with pytest.raises(QueryRefused) as refused:
        ask(server, sql, "csv")
    sentence = str(refused.value)
    assert said in sentence and "\n" not in sentence and "version" not in sentence and "for url" not in sentence


def test_clickhouse_away_is_no_fault_of_the_statement(unused_tcp_port: int) -> None:
    with pytest.raises(WarehouseError, match="cannot be reached"):
        ask(ClickHouseAddress(f"http://127.0.0.1:{unused_tcp_port}"), "SELECT 1", "json")
