"""ClickHouse through its ordinary HTTP client, with every failure turned into one sentence.

A write is acknowledged only once its rows have landed: no asynchronous inserts, and through a distributed table not
before the shards have them. Retrying is the caller's decision, never the client's.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import sys
from contextlib import suppress
from functools import cache
from typing import Any, Protocol

import aiohttp
import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from clickhouse_connect.driver.httpclient import HttpClient
from clickhouse_connect.driver.httputil import all_managers, get_pool_manager

from schemas.failures import Foreseen
from schemas.warehouse import ClickHouseAddress

LANDED = {"async_insert": 0, "distributed_foreground_insert": 1, "throw_on_max_partitions_per_insert_block": 0}
"""Settings of a write: its acknowledgement means that the rows are there, however many days they are spread over."""

UNKNOWN_DATABASE = 81
_NO_SUCH_TABLE_OR_COLUMN = {16, 60}
_NOT_LET_IN = {192, 193, 194, 516}
_READ_ONLY = 164
_NOT_THE_STATEMENT = {UNKNOWN_DATABASE, *_NOT_LET_IN, 159, 202, 209, 210, 241, 252, 999}
"""Codes that say nothing about the statement: the account, and what time heals (time-outs, load, memory, Keeper)."""

_ABOUT_ROWS = {
    *(6, 25, 26, 27, 32, 33, 38, 41, 72, 117, 467, 636),  # They cannot be read,
    *(53, 69, 70, 153, 321, 349, 407),  # or not be converted,
    *(128, 131, 158, 190),  # are too large,
    *(395, 469),  # or break a rule that somebody gave the table.
}
"""Codes that may say something about the rows of a write: what cannot be read or converted, ranges, sizes, constraints."""

_ASKS_FOR_LESS = {159, 160, 209, 241}
"""Codes that a smaller write may escape: time-outs, and the memory limit."""

_EXCEPTION = re.compile(
    r"DB::Exception: (?P<message>.*?)(?: \((?P<name>[A-Z][A-Z0-9_]+)\))?"
    r"(?: \(version [^\n]*?\))?(?: \(for url [^\n]*\))?\.?$",
    re.MULTILINE,
)

# The client logs what it also raises; who calls it says it better.
logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)


class WarehouseError(Foreseen):
    """ClickHouse is away or refused something; the message is a sentence.

    `code` and `name` are ClickHouse's, if it answered; `is_overdue` says that it took a connection and did not answer.
    """

    def __init__(self, sentence: str, code: int | None = None, name: str = "", is_overdue: bool = False) -> None:
        super().__init__(sentence)
        self.code, self.name, self.is_overdue = code, name, is_overdue

    @property
    def is_about_rows(self) -> bool:
        """Whether the rows of a write may be to blame. Whoever says so has to see others of that table land."""
        return self.code in _ABOUT_ROWS

    @property
    def asks_for_less(self) -> bool:
        """Whether fewer rows at once may land where these did not."""
        return self.is_overdue or self.code in _ASKS_FOR_LESS

    @property
    def answer(self) -> str:
        """What ClickHouse said, without its sentence, which may repeat values."""
        return f"code {self.code}{f', {self.name}' if self.name else ''}"


class Warehouse(Protocol):
    """Where rows land. Writing a row again, or an older version of it, changes nothing."""

    async def write(self, table: str, rows: pa.Table) -> None:
        """Returns when all rows have landed; raises `WarehouseError` when that is not known."""
        ...

    async def close(self) -> None: ...


class ClickHouseWarehouse:
    """Connects with the first write, and anew after it failed to."""

    def __init__(self, address: ClickHouseAddress) -> None:
        self._address = address
        self._client: AsyncClient | None = None

    async def write(self, table: str, rows: pa.Table) -> None:
        address = self._address
        try:
            async with asyncio.timeout(address.connect_timeout_s + address.read_timeout_s):
                if self._client is None:
                    self._client = await clickhouse_connect.get_async_client(
                        **_options(address), ca_cert=address.cafile
                    )
                await self._client.insert_arrow(table, rows, settings=LANDED)
        except Exception as error:  # Also what a client raises over an answer that is none of ClickHouse's.
            raise explained(error, address) from error

    async def close(self) -> None:
        if self._client is not None:
            with suppress(ClickHouseError, OSError):
                await self._client.close()


def connect(address: ClickHouseAddress, *, read_timeout_s: float | None = None, in_database: bool = True) -> Client:
    """A client of ClickHouse that has answered once; raises `WarehouseError`. Without `in_database` it names none.

    However long statements may take: what takes a connection and says nothing is waited for as long as for a short one.
    """
    options = _options(address) | ({} if in_database else {"database": None})
    try:
        client = clickhouse_connect.get_client(**options, pool_mgr=_connections(address.cafile))
    except (ClickHouseError, OSError) as error:
        raise explained(error, address) from error
    assert isinstance(client, HttpClient)
    if read_timeout_s:
        client.timeout = type(client.timeout)(connect=address.connect_timeout_s, read=read_timeout_s)
    return client


def explained(error: BaseException, address: ClickHouseAddress) -> WarehouseError:
    """The sentence for a failure of the client: what was wrong, where, and what to do."""
    code = getattr(error, "code", None)
    if not isinstance(code, int):
        return WarehouseError(_away(error, address), is_overdue=_is_overdue(error))
    message, name = _first_line(str(error))
    said = f"(code {code}{f', {name}' if name else ''}): {message}"
    where = f"ClickHouse at {address.place}"
    if code == UNKNOWN_DATABASE:
        sentence = f"{where} has no database {address.database}; run `turnwatch prepare`."
    elif code in _NOT_LET_IN:
        sentence = f"{where} does not let user {address.username} in; correct the user or the password."
    elif code in _NO_SUCH_TABLE_OR_COLUMN:
        sentence = f"{where} refused {said} If it is one of turnwatch's, run `turnwatch prepare`."
    elif code == _READ_ONLY:
        sentence = f"{where} takes this for a change, and only reading is allowed {said}"
    else:
        sentence = f"{where} refused {said}"
    return WarehouseError(sentence, code, name)


def is_about_the_statement(error: WarehouseError) -> bool:
    """Whether ClickHouse answered, and what it refused is what it was asked."""
    return error.code is not None and error.code not in _NOT_THE_STATEMENT


def _options(address: ClickHouseAddress) -> dict[str, Any]:
    return {
        "interface": "https" if address.is_tls else "http",
        "host": address.host,
        "port": address.port,
        "username": address.username,
        "password": address.password,
        "database": address.database,
        "connect_timeout": address.connect_timeout_s,
        "send_receive_timeout": address.read_timeout_s,
        "compress": "lz4",
        "client_name": "turnwatch",
        "query_retries": 0,
        "autogenerate_session_id": False,  # Sessions forbid two statements at once.
        "show_clickhouse_errors": True,
    }


@cache
def _connections(cafile: str | None) -> Any:
    """Pooled connections of the synchronous client; one pool per CA file, kept, for the client cannot close its own
    where urllib3-future stands in for urllib3.

    It never comes of age: what asks next would clear it, and with urllib3-future that closes connections on which other threads
    still wait for an answer. There are eight: of more threads some may wait for as long as the others ask.
    """
    manager = get_pool_manager(ca_cert=cafile)
    all_managers[manager] = sys.maxsize
    return manager


def _away(error: BaseException, address: ClickHouseAddress) -> str:
    """The sentence for a failure without an answer of ClickHouse; its two clients word theirs differently."""
    causes = _chain(error)
    words = " ".join(str(cause) for cause in causes)
    where = f"ClickHouse at {address.place}"
    if "CERTIFICATE_VERIFY_FAILED" in words:
        return f"{where} shows a TLS certificate that is not trusted here; give its CA in TURNWATCH_CLICKHOUSE__CAFILE."
    if "SSLError" in words or any(isinstance(cause, ssl.SSLError) for cause in causes):
        return f"{where} does not speak TLS on this port; use its HTTPS port, or http:// in the URL."
    if any(isinstance(cause, TimeoutError) for cause in causes) or "timed out" in words:
        return f"{where} did not answer in time."
    if "Cannot connect" in words or "Failed to establish" in words or "resolve" in words:
        return f"{where} cannot be reached; start it (`turnwatch up`), or correct TURNWATCH_CLICKHOUSE__URL."
    first_line = str(error).partition("\n")[0][:200]
    return f"{where} broke off, or what answers there is no ClickHouse ({first_line})."


def _is_overdue(error: BaseException) -> bool:
    """Whether there was a connection, and no answer on it in time."""
    causes = _chain(error)
    is_late = any(isinstance(cause, TimeoutError) for cause in causes)
    return is_late and not any(isinstance(cause, aiohttp.ConnectionTimeoutError) for cause in causes)


def _chain(error: BaseException) -> list[BaseException]:
    causes = [error]
    while len(causes) < 8:
        last = causes[-1]
        following = last.__cause__ or last.__context__ or getattr(last, "reason", None)
        if not isinstance(following, BaseException):
            break
        causes.append(following)
    return causes


def _first_line(text: str) -> tuple[str, str]:
    """Message and symbolic name of a ClickHouse exception, without code, version and stack."""
    found = _EXCEPTION.search(text)
    if found is None:
        return text.partition("\n")[0].strip()[:500], ""
    message = found["message"].strip()[:500]
    return message if message.endswith(".") else f"{message}.", found["name"] or ""
