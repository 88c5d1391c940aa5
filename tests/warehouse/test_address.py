"""Addresses of ClickHouse: checked before anybody connects, and never giving a password away."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from clickhouse_connect.driver import httputil

from schemas.addresses import AddressError
from schemas.tables import TABLES
from schemas.warehouse import ClickHouseAddress
from stack.clickhouse import ClickHouseServer, start_clickhouse
from stream_jobs.sinks.clickhouse import ClickHouseWarehouse, WarehouseError, connect
from stream_jobs.sinks.migrate import migrate
from tests.warehouse.rows import arrow_of, expected, final_rows, rows_of
from tests.warehouse.tls import self_signed, terminated


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A ClickHouse that wants TLS, user and password; its URL, and the CA file of its certificate."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: apt-get install openssl")
    directory = tmp_path_factory.mktemp("tls")
    certificate, key = self_signed(directory)
    server = start_clickhouse(directory, user="ana", password="s3cret")
    try:
        server.wait_until_healthy()
        with terminated(server.port, certificate, key) as port:
            yield f"https://ana@127.0.0.1:{port}", certificate
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("url", "host", "port", "username", "database"),
    [
        ("http://127.0.0.1:8123", "127.0.0.1", 8123, "default", "default"),
        ("http://127.0.0.1/", "127.0.0.1", 8123, "default", "default"),
        ("https://ana@warehouse.example/turnwatch", "warehouse.example", 8443, "ana", "turnwatch"),
        ("https://a%40b@warehouse.example:443/turn%20watch/", "warehouse.example", 443, "a@b", "turn watch"),
        ("http://[::1]:8123/x", "::1", 8123, "default", "x"),
    ],
)
def test_a_url_says_everything(url: str, host: str, port: int, username: str, database: str) -> None:
    address = ClickHouseAddress(url)
    assert (address.host, address.port, address.username, address.database) == (host, port, username, database)
    assert address.is_tls == url.startswith("https")


def test_a_password_in_the_url_is_used_and_never_shown() -> None:
    address = ClickHouseAddress("http://ana:s%3Acret@localhost:8123/x")
    assert address.password == "s:cret"
    assert "cret" not in repr(address) and "cret" not in address.url and "cret" not in address.place


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("localhost:8123", "begin with http"),
        ("", "begin with http"),
        ("clickhouse://localhost:9000/x", "begin with http"),
        ("http:/localhost", "begin with http"),
        ("http://:8123/x", "names no host"),
        ("http://localhost:http/x", "port"),
        ("http://localhost:99999/x", "port"),
        ("http://localhost:0/x", "names no port"),
        ("http://[::1/x", "cannot be read"),
        ("http://localhost/x?secure=1", "settings after"),
        ("http://localhost/x/y", "one database name"),
    ],
)
def test_a_url_that_cannot_be_meant_is_refused_with_what_to_write(url: str, named: str) -> None:
    with pytest.raises(AddressError, match=named) as refused:
        ClickHouseAddress(url)
    assert str(refused.value).endswith("write http://user@host:8123/database, or https:// for TLS.")


def test_contradictions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AddressError, match="leave it out of the URL"):
        ClickHouseAddress("http://ana:one@localhost/x", password="two")
    with pytest.raises(AddressError, match="write https"):
        ClickHouseAddress("http://localhost/x", cafile=str(tmp_path))
    with pytest.raises(AddressError, match="does not exist"):
        ClickHouseAddress("https://localhost/x", cafile=str(tmp_path / "ca.pem"))
    with pytest.raises(AddressError, match="above 0"):
        ClickHouseAddress("http://localhost/x", read_timeout_s=0)


def test_nobody_there_is_a_sentence(unused_tcp_port: int) -> None:
    with pytest.raises(WarehouseError, match="cannot be reached; start it") as refused:
        connect(ClickHouseAddress(f"http://ana:secret@127.0.0.1:{unused_tcp_port}/x"))
    assert refused.value.code is None and "secret" not in str(refused.value)


def test_a_database_that_is_not_there_is_a_sentence(clickhouse_server: ClickHouseServer) -> None:
    with pytest.raises(WarehouseError, match="has no database no_such_one; run `turnwatch prepare`"):
        connect(ClickHouseAddress(f"{clickhouse_server.url}/no_such_one"))


def test_an_answer_under_way_outlives_the_age_of_its_pool(
    clickhouse_server: ClickHouseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks after the ten minutes that the client gives a pool breaks nobody else off."""
    client = connect(ClickHouseAddress(f"{clickhouse_server.url}/default"))
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(client.query, "SELECT sleep(1.5)")
        running = "SELECT count() FROM system.processes WHERE query LIKE 'SELECT sleep(1.5)%'"
        while not slow.done() and not client.query(running).result_rows[0][0]:
            time.sleep(0.01)
        monkeypatch.setattr(httputil, "time", SimpleNamespace(time=lambda: time.time() + 86_400))
        assert client.query("SELECT 1").result_rows == [(1,)]
        assert slow.result().result_rows == [(0,)]
    client.close()


def test_plain_http_behind_a_tls_url_is_a_sentence(clickhouse_server: ClickHouseServer) -> None:
    with pytest.raises(WarehouseError, match="does not speak TLS on this port"):
        connect(ClickHouseAddress(clickhouse_server.url.replace("http://", "https://")))


def test_credentials_and_tls_are_a_changed_url(tls_server: tuple[str, Path], tmp_path: Path) -> None:
    """User, password and the CA that signed the server's certificate: nothing else changes, and each is checked."""
    url, cafile = tls_server
    client = connect(ClickHouseAddress(f"{url}/default", password="s3cret", cafile=str(cafile)))
    assert client.query("SELECT 1").result_rows == [(1,)]
    client.close()
    with pytest.raises(WarehouseError, match="does not let user ana in; correct the user or the password"):
        connect(ClickHouseAddress(f"{url}/default", password="wrong", cafile=str(cafile)))
    with pytest.raises(WarehouseError, match="TLS certificate that is not trusted here; give its CA in"):
        connect(ClickHouseAddress(f"{url}/default", password="s3cret"))


async def test_rows_are_written_over_tls_too(tls_server: tuple[str, Path]) -> None:
    url, cafile = tls_server
    address = ClickHouseAddress(f"{url}/over_tls", password="s3cret", cafile=str(cafile))
    table = TABLES["traffic_1m"]
    rows = rows_of(table, seed=1)
    await asyncio.to_thread(migrate, address)
    warehouse = ClickHouseWarehouse(address)
    await warehouse.write(table.name, arrow_of(table, rows))
    await warehouse.close()
    assert await asyncio.to_thread(final_rows, address, table.name) == expected(table, rows)
    untrusting = ClickHouseWarehouse(replace(address, cafile=None))
    with pytest.raises(WarehouseError, match="TLS certificate that is not trusted here"):
        await untrusting.write(table.name, arrow_of(table, rows))
    await untrusting.close()
