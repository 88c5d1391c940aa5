"""The ClickHouse of the local stack behaves as a server does towards the ordinary client."""

from __future__ import annotations

import http.client
import json
import threading
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import clickhouse_connect
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

from stack.clickhouse import ClickHouseServer, start_clickhouse
from stack.failures import StackFailure

COLUMNS = ["n", "kind", "at", "parts", "maybe"]
ROWS = [(1, "a", datetime(2026, 1, 1), [1.5, 2.0], None), (2, "b", datetime(2026, 1, 2), [], -3)]


def connect(server: ClickHouseServer, **options: Any) -> Client:
    return clickhouse_connect.get_client(host="127.0.0.1", port=server.port, **options)


@pytest.fixture
def client(clickhouse_server: ClickHouseServer) -> Iterator[Client]:
    client = connect(clickhouse_server)
    yield client
    client.close()


@pytest.fixture
def table(client: Client) -> Iterator[str]:
    name = f"t_{uuid.uuid4().hex}"
    client.command(
        f"CREATE TABLE {name} (n UInt64, kind LowCardinality(String), at DateTime('UTC'), parts Array(Float64), "
        "maybe Nullable(Int8)) ENGINE = MergeTree ORDER BY n"
    )
    yield name
    client.command(f"DROP TABLE {name}")


def ask(
    server: ClickHouseServer, body: bytes | None = None, headers: dict[str, str] | None = None, **parameters: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    try:
        method = "GET" if body is None else "POST"
        connection.request(method, f"/?{urlencode(parameters)}", body=body, headers=headers or {})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


@pytest.mark.parametrize("compression", [False, "lz4", "zstd", "gzip"])
def test_rows_come_back_as_they_were_inserted(
    clickhouse_server: ClickHouseServer, table: str, compression: str | bool
) -> None:
    client = connect(clickhouse_server, compress=compression)
    summary = client.insert(table, ROWS, column_names=COLUMNS)
    assert summary.written_rows == 2
    assert client.query(f"SELECT * FROM {table} ORDER BY n").result_rows == ROWS


def test_arrow_tables_come_back_as_they_were_inserted(client: Client, table: str) -> None:
    numbers = pa.table({"n": pa.array(range(200_000), pa.uint64())})
    client.insert_arrow(table, numbers)
    assert client.query_arrow(f"SELECT n FROM {table} ORDER BY n").column("n").to_pylist() == list(range(200_000))


def test_an_insert_lands_as_one_part_and_a_broken_one_as_none(clickhouse_server: ClickHouseServer, table: str) -> None:
    lines = b"".join(b"%d\tx\n" % number for number in range(100_000))
    insert = f"INSERT INTO {table} (n, kind) FORMAT TabSeparated"
    assert ask(clickhouse_server, lines, query=insert)[0] == 200
    status, _, body = ask(clickhouse_server, b"1\tx\nbroken\n", query=insert)
    assert (status, b"CANNOT_PARSE_INPUT_ASSERTION_FAILED" in body) == (400, True)
    counted = ask(clickhouse_server, query=f"SELECT count(), countDistinct(_part) FROM {table}")
    assert counted[2] == b"100000\t1\n"


def test_rows_that_the_table_refuses_are_never_acknowledged(clickhouse_server: ClickHouseServer, table: str) -> None:
    """Also where the refusal comes after the data has been read, as with a constraint."""
    ask(clickhouse_server, f"ALTER TABLE {table} ADD CONSTRAINT small CHECK n < 10".encode())
    _, headers, body = ask(clickhouse_server, b"1\n10\n", query=f"INSERT INTO {table} (n) FORMAT CSV")
    assert headers["X-ClickHouse-Exception-Code"] == "469"
    assert b"violated at row 2" in body and b"/proc" not in body
    insert = f"INSERT INTO {table} (n) SETTINGS max_insert_threads = 1 FORMAT CSV"
    _, headers, _ = ask(clickhouse_server, b"1\n9\n", query=insert)
    assert json.loads(headers["X-ClickHouse-Summary"])["written_rows"] == "2"
    assert ask(clickhouse_server, query=f"SELECT groupArray(n) FROM {table}")[2] == b"[1,9]\n"


def test_values_and_data_behind_the_statement_are_both_read(clickhouse_server: ClickHouseServer, table: str) -> None:
    assert ask(clickhouse_server, f"INSERT INTO {table} (n) VALUES (1), (1 + 1)".encode())[0] == 200
    assert ask(clickhouse_server, f'INSERT INTO {table} (n) FORMAT JSONEachRow\n{{"n": 3}}'.encode())[0] == 200
    assert (
        ask(clickhouse_server, query=f"SELECT groupArray(n) FROM (SELECT n FROM {table} ORDER BY n)")[2] == b"[1,2,3]\n"
    )


def test_parameters_arrive_whatever_they_contain(client: Client) -> None:
    text = "tab\t quote' back\\slash \n🎧"
    answer = client.query("SELECT {n:UInt8} + 1, {text:String}", parameters={"n": 4, "text": text})
    assert answer.result_rows == [(5, text)]


def test_long_parameters_travel_in_a_form(clickhouse_server: ClickHouseServer) -> None:
    client = connect(clickhouse_server, form_encode_query_params=True)
    assert client.query("SELECT length({text:String})", parameters={"text": "x" * 100_000}).result_rows == [(100_000,)]


def test_settings_and_databases_hold_for_their_request_alone(client: Client) -> None:
    threads, database = "getSetting('max_threads')", "currentDatabase()"
    before = client.query(f"SELECT {threads}, {database}").result_rows
    changed = client.raw_query(f"SELECT {threads}, {database}", settings={"max_threads": 5, "database": "system"})
    assert changed == b"5\tsystem\n"
    assert client.query(f"SELECT {threads}, {database}").result_rows == before


def test_a_session_keeps_its_settings_and_temporary_tables_to_itself(clickhouse_server: ClickHouseServer) -> None:
    mine, other = connect(clickhouse_server), connect(clickhouse_server)
    mine.command("CREATE TEMPORARY TABLE scratch (n UInt8)")
    mine.command("SET max_threads = 7")
    assert mine.query("SELECT count(), getSetting('max_threads') FROM scratch").result_rows == [(0, 7)]
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
        other.query("SELECT * FROM scratch")


@pytest.mark.parametrize(
    ("statement", "status", "code"),
    [
        ("SELEC 1", 400, "62"),
        ("SELECT nope", 404, "47"),
        ("SELECT * FROM nope", 404, "60"),
        ("SELECT throwIf(1)", 500, "395"),
        ("SELECT sleep(2) SETTINGS max_execution_time = 0.1", 408, "159"),
        ("SELECT {missing:UInt8}", 500, "456"),
        ("DROP TABLE nope", 404, "60"),
    ],
)
def test_errors_have_clickhouses_codes_and_statuses(
    clickhouse_server: ClickHouseServer, statement: str, status: int, code: str
) -> None:
    answered, headers, body = ask(clickhouse_server, statement.encode())
    assert (answered, headers["X-ClickHouse-Exception-Code"]) == (status, code)
    assert body.startswith(f"Code: {code}. DB::Exception: ".encode())


def test_an_unknown_setting_and_an_unknown_encoding_are_refused(clickhouse_server: ClickHouseServer) -> None:
    assert ask(clickhouse_server, b"SELECT 1", no_such_setting="1")[1]["X-ClickHouse-Exception-Code"] == "115"
    status, _, body = ask(clickhouse_server, b"SELECT 1", {"Content-Encoding": "rot13"})
    assert (status, b"Known: br, deflate, gzip, lz4, zstd" in body) == (500, True)
    assert ask(clickhouse_server, b"not gzip", {"Content-Encoding": "gzip"})[1]["X-ClickHouse-Exception-Code"] == "354"


def test_a_get_never_writes(clickhouse_server: ClickHouseServer, table: str) -> None:
    status, headers, _ = ask(clickhouse_server, query=f"DROP TABLE {table}")
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (500, "164")


def test_headers_tell_what_the_answer_is_and_cost(clickhouse_server: ClickHouseServer) -> None:
    statement = b"SELECT number FROM numbers(10) FORMAT JSON"
    _, headers, _ = ask(clickhouse_server, statement, query_id="mine", wait_end_of_query="1")
    assert headers["X-ClickHouse-Query-Id"] == "mine"
    assert headers["X-ClickHouse-Format"] == "JSON"
    assert headers["Content-Type"].startswith("application/json")
    assert headers["X-ClickHouse-Timezone"]
    summary = json.loads(headers["X-ClickHouse-Summary"])
    assert (summary["read_rows"], summary["result_rows"]) == ("10", "10")


def test_only_statements_with_rows_name_a_format(clickhouse_server: ClickHouseServer) -> None:
    assert "X-ClickHouse-Format" not in ask(clickhouse_server, b"SET max_threads = 1")[1]
    assert ask(clickhouse_server, b"SELECT 1 WHERE 0")[1]["X-ClickHouse-Format"] == "TabSeparated"


def test_large_answers_come_whole(client: Client) -> None:
    with client.query_row_block_stream("SELECT number FROM numbers(3000000)") as blocks:
        assert sum(row[0] for block in blocks for row in block) == 3_000_000 * 2_999_999 // 2


def test_an_error_in_the_middle_of_an_answer_is_never_taken_for_its_end(client: Client) -> None:
    failing = "SELECT throwIf(number = 2000000) FROM numbers(3000000) SETTINGS max_threads = 1"
    with (
        pytest.raises(StreamFailureError, match="FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        client.query_row_block_stream(failing) as blocks,
    ):
        for _ in blocks:
            pass


def test_grafanas_first_question_is_answered_with_revision_zero(clickhouse_server: ClickHouseServer) -> None:
    question = b"SELECT displayName(), version(), revision(), timezone()"
    _, _, answered = ask(clickhouse_server, question, client_protocol_version="54460")
    assert answered.split(b"\t")[2] == b"0"


def test_a_slow_query_keeps_nobody_waiting(clickhouse_server: ClickHouseServer) -> None:
    marker = f"slow-{uuid.uuid4().hex}"
    slow_answer: list[tuple[int, dict[str, str], bytes]] = []
    statement = f"SELECT '{marker}', sum(number) FROM numbers(1000000000000)".encode()
    slow = threading.Thread(target=lambda: slow_answer.append(ask(clickhouse_server, statement)))
    slow.start()
    running = f"query LIKE '%{marker}%' AND query NOT LIKE '%system.processes%'"
    while ask(clickhouse_server, f"SELECT count() FROM system.processes WHERE {running}".encode())[2] == b"0\n":
        pass
    assert clickhouse_server.is_healthy()
    assert ask(clickhouse_server, b"SELECT 1")[2] == b"1\n"
    assert not slow_answer
    ask(clickhouse_server, f"KILL QUERY WHERE {running}".encode())
    slow.join()
    assert slow_answer[0][1]["X-ClickHouse-Exception-Code"] == "394"


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "rebound.example"},
        {"Host": "127.0.0.1.rebound.example"},
        {"Host": "rebound.example@127.0.0.1"},
        {"Host": "localhost.rebound.example:80"},
        {"Host": "[::2]:8123"},
        {"Host": ""},
        {"Origin": "https://page.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_in_a_browser_cannot_reach_the_engine(
    clickhouse_server: ClickHouseServer, headers: dict[str, str]
) -> None:
    status, _, body = ask(clickhouse_server, b"SELECT 1 + 1", headers)
    assert (status, b"2\n" in body) == (403, False)
    assert body.decode().rstrip("\n").endswith(".")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_programs_on_this_machine_reach_the_engine_under_each_of_its_names(
    clickhouse_server: ClickHouseServer, host: str
) -> None:
    """With its own port or a tunnel's, and from a page that it served itself."""
    for name in (host, f"{host}:{clickhouse_server.port}", f"{host}:9000"):
        own_page = {"Origin": f"http://{name.lower()}", "Sec-Fetch-Site": "same-origin"}
        for headers in ({"Host": name}, {"Host": name, **own_page}):
            assert ask(clickhouse_server, b"SELECT 1 + 1", headers)[::2] == (200, b"2\n")


def test_a_page_may_not_even_ask_how_the_engine_is(clickhouse_server: ClickHouseServer) -> None:
    """Every path is closed to it, also those that need no account and those that do not exist."""
    for path in ("/ping", "/", "/nothing"):
        connection = http.client.HTTPConnection("127.0.0.1", clickhouse_server.port)
        connection.request("GET", path, headers={"Sec-Fetch-Site": "cross-site"})
        assert connection.getresponse().status == 403
        connection.close()


def test_only_the_account_it_was_started_with_gets_in(tmp_path: Path) -> None:
    server = start_clickhouse(tmp_path, user="keeper", password="s3cret/:@")
    try:
        server.wait_until_healthy()
        assert connect(server, username="keeper", password="s3cret/:@").query("SELECT 1").result_rows == [(1,)]
        assert clickhouse_connect.get_client(dsn=server.url).query("SELECT 1").result_rows == [(1,)]
        for headers in ({}, {"X-ClickHouse-User": "keeper", "X-ClickHouse-Key": "wrong"}, {"Authorization": "Basic ?"}):
            status, answered, _ = ask(server, b"SELECT 1", headers)
            assert (status, answered["X-ClickHouse-Exception-Code"]) == (403, "516")
    finally:
        server.stop()


def test_what_was_inserted_is_there_after_a_stop_and_after_a_kill(tmp_path: Path) -> None:
    server = start_clickhouse(tmp_path)
    try:
        server.wait_until_healthy()
        connect(server).command("CREATE TABLE kept (n UInt64) ENGINE = MergeTree ORDER BY n")
        for number, ends_by_force in enumerate((False, True)):
            connect(server).insert("kept", [[number]], column_names=["n"])
            process = server.running.process()
            assert process
            if ends_by_force:
                process.kill()
            server.stop()
            server = start_clickhouse(tmp_path)
            server.wait_until_healthy()
        assert connect(server).query("SELECT n FROM kept ORDER BY n").result_rows == [(0,), (1,)]
    finally:
        server.stop()


def test_two_servers_on_one_folder_are_refused_in_a_sentence(clickhouse_server: ClickHouseServer) -> None:
    second = start_clickhouse(clickhouse_server.data_dir.parent)
    with pytest.raises(StackFailure, match="another process uses its data folder"):
        second.wait_until_healthy()
