"""The ClickHouse engine (chDB) as the HTTP server uses it: sessions, settings of one request, answers in chunks.

The engine lives as long as its first connection. A request has a connection of its own (opening one costs 0.2 ms), so
that `SET`, `USE` and temporary tables end with it, unless it names a session: then they last as long as that does.
Everything here blocks; the server calls it in threads. Only the engine's errors leave: `EngineError`, with its code.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from chdb.state.sqlitelike import Connection, StreamingResult

from schemas.sql_text import identifier, quoted
from stack.clickhouse_statements import Statement, outer_words

STREAMABLE = frozenset("Native TabSeparated TSV CSV RowBinary JSONEachRow JSONLines NDJSON".casefold().split())
"""Formats whose chunks simply follow each other. A header or footer makes the engine's chunks whole documents."""

ERROR = re.compile(
    r"Code: (?P<code>\d+)\. .*?(?:\((?P<name>[A-Z][A-Z0-9_]+)\))?(?:\s+\(version [^)]*\))?\s*$", re.DOTALL
)
OF_INFILE = re.compile(r"Code: (\d+)\. DB::Exception: (?=Code: \1\. )|: \(in file/uri [^)]*\)")
"""What the engine adds to an error because an insert's data comes from a file."""

SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
UNKNOWN_SETTING, SESSION_NOT_FOUND, SESSION_IS_LOCKED, UNKNOWN_EXCEPTION = 115, 372, 373, 1002


class EngineError(Exception):
    """What ClickHouse says about a statement it could not carry out: its number, its name, its sentence."""

    def __init__(self, code: int, name: str, message: str) -> None:
        super().__init__(message)
        self.code, self.name, self.message = code, name, message

    @classmethod
    def of(cls, error: Exception) -> EngineError:
        text = OF_INFILE.sub("", str(error))
        found = ERROR.search(text)
        if not found:
            return cls(UNKNOWN_EXCEPTION, "UNKNOWN_EXCEPTION", f"Code: {UNKNOWN_EXCEPTION}. DB::Exception: {text}")
        return cls(int(found["code"]), found["name"] or "", text[found.start() :].rstrip())

    @classmethod
    def because(cls, code: int, name: str, reason: str) -> EngineError:
        return cls(code, name, f"Code: {code}. DB::Exception: {reason} ({name})")


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """The session a request wants to be part of."""

    id: str
    timeout_s: float
    must_exist: bool


@dataclass(frozen=True, slots=True)
class Question:
    """One request to the engine. `settings` and `database` hold for it alone."""

    statement: Statement
    default_format: str
    parameters: Mapping[str, str]
    settings: Mapping[str, str]
    database: str | None
    session: SessionRequest | None

    @property
    def format(self) -> str:
        return self.statement.format or self.default_format


@dataclass(slots=True)
class Totals:
    """What a request has cost and brought so far, as X-ClickHouse-Summary tells it."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    result_bytes: int = 0


@dataclass(slots=True)
class Session:
    """A connection that outlives its requests."""

    connection: Connection
    timeout_s: float
    is_busy: bool
    idle_since_s: float = 0.0

    def is_over(self, now_s: float) -> bool:
        return not self.is_busy and now_s - self.idle_since_s > self.timeout_s


@dataclass(slots=True)
class Engine:
    """The one engine of this process, on its data folder."""

    data_dir: Path
    anchor: Connection = field(init=False)
    sessions: dict[str, Session] = field(default_factory=dict)
    mutex: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        try:
            self.anchor = Connection(str(self.data_dir))
        except RuntimeError as error:
            raise EngineError.of(error) from error

    def scalar(self, expression: str) -> str:
        return str(self.anchor.query(f"SELECT {expression}", "TabSeparatedRaw").bytes().decode().rstrip("\n"))

    def interrupt(self) -> None:
        """Cancel what runs, so that the server can end."""
        self.anchor.query("KILL QUERY WHERE query_id != queryID() ASYNC", "Null")

    def close(self) -> None:
        """Close every connection, which unlocks the data folder."""
        for session in self.sessions.values():
            session.connection.close()
        self.sessions.clear()
        self.anchor.close()

    @contextmanager
    def connection(self, wanted: SessionRequest | None) -> Iterator[Connection]:
        if wanted is None:
            connection = Connection(str(self.data_dir))
            try:
                yield connection
            finally:
                connection.close()
            return
        session = self.enter(wanted)
        try:
            yield session.connection
        finally:
            session.idle_since_s, session.is_busy = time.monotonic(), False

    def enter(self, wanted: SessionRequest) -> Session:
        """The session, now busy; those whose time is over end on the way."""
        with self.mutex:
            now_s = time.monotonic()
            for name in [name for name, session in self.sessions.items() if session.is_over(now_s)]:
                self.sessions.pop(name).connection.close()
            session = self.sessions.get(wanted.id)
            if session is None:
                if wanted.must_exist:
                    raise EngineError.because(SESSION_NOT_FOUND, "SESSION_NOT_FOUND", f"Session {wanted.id} not found.")
                session = Session(Connection(str(self.data_dir)), wanted.timeout_s, is_busy=False)
                self.sessions[wanted.id] = session
            if session.is_busy:
                reason = f"Session {wanted.id} is locked by a concurrent client."
                raise EngineError.because(SESSION_IS_LOCKED, "SESSION_IS_LOCKED", reason)
            session.is_busy, session.timeout_s = True, wanted.timeout_s
            return session

    def answer(self, question: Question, totals: Totals) -> Generator[bytes]:
        """Carry out one request, yielding its result piece by piece and keeping `totals` as it goes."""
        with self.connection(question.session) as connection:
            try:
                with overrides(connection, question):
                    yield from carry_out(connection, question, totals)
            except RuntimeError as error:  # All that chDB raises.
                raise EngineError.of(error) from error


def carry_out(connection: Connection, question: Question, totals: Totals) -> Iterator[bytes]:
    statement, parameters = question.statement, dict(question.parameters)
    text: Any = statement.text  # chDB takes bytes as well as its declared str, and SQL need not be UTF-8.
    if statement.takes_data:
        insert(connection, question, totals)
    elif statement.kind == "select" and question.format.casefold() in STREAMABLE:
        yield from stream(connection.send_query(text, question.format, parameters), totals)
    else:
        result = connection.query(text, question.format, parameters)
        count(result, totals)
        totals.written_rows, totals.written_bytes = result.rows_written(), result.bytes_written()
        yield result.bytes()


def stream(result: StreamingResult, totals: Totals) -> Iterator[bytes]:
    with result:  # Left early, it cancels the query.
        for chunk in result:
            count(chunk, totals)
            yield chunk.bytes()


def count(result: Any, totals: Totals) -> None:
    totals.read_rows += result.storage_rows_read()
    totals.read_bytes += result.storage_bytes_read()
    totals.result_rows += result.rows_read()
    totals.result_bytes += result.size()


def insert(connection: Connection, question: Question, totals: Totals) -> None:
    """Write what the request's body holds; a body that does not parse writes nothing of its last block.

    Not by chDB's `send_insert`, which acknowledges rows that the table then refused or had no room for.
    """
    statement = question.statement
    assert statement.format
    words = outer_words(statement.text)
    end = next((word.start for word in words if word.text == b"SETTINGS"), len(statement.text))
    with readable(statement.data) as path:
        source = f" FROM INFILE {quoted(path)} COMPRESSION 'none' ".encode()
        text: Any = statement.text[:end] + source + statement.text[end:] + f" FORMAT {statement.format}".encode()
        result = connection.query(text, "Null", dict(question.parameters))
    totals.written_rows, totals.written_bytes = result.rows_written(), result.bytes_written()


@contextmanager
def readable(data: bytes) -> Iterator[str]:
    """A path that the engine reads `data` from: in memory where the system has that, otherwise on disk."""
    if sys.platform == "linux":
        with os.fdopen(os.memfd_create("insert"), "wb") as file:
            file.write(data)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with NamedTemporaryFile() as named:
            named.write(data)
            named.flush()
            yield named.name


@contextmanager
def overrides(connection: Connection, question: Question) -> Iterator[None]:
    """Apply a request's settings and database. A session gets its own back; another connection ends anyway."""
    settings = {setting_name(name): value for name, value in question.settings.items()}
    undo = undoing(connection, question, [*settings]) if question.session else ()
    if question.database:
        connection.query(f"USE {identifier(question.database)}")
    if settings:
        connection.query("SET " + ", ".join(f"{name} = {quoted(value)}" for name, value in settings.items()))
    try:
        yield
    finally:
        for statement in undo:
            connection.query(statement)


def undoing(connection: Connection, question: Question, names: list[str]) -> list[str]:
    """The statements that give a session back the settings and the database it had before this request."""
    undo = []
    if question.database:
        undo.append(f"USE {identifier(one_column(connection, 'currentDatabase()')[0])}")
    if names:
        listed = ", ".join(quoted(name) for name in names)
        changed = f"name, value FROM system.settings WHERE changed AND name IN ({listed}) FORMAT JSONCompactEachRow"
        own = dict(json.loads(row) for row in one_column(connection, changed))
        undo += [f"SET {name} = {quoted(own[name]) if name in own else 'DEFAULT'}" for name in names]
    return undo


def one_column(connection: Connection, selected: str) -> list[str]:
    answer: bytes = connection.query(f"SELECT {selected}", "TabSeparatedRaw").bytes()
    return answer.decode().splitlines()


def setting_name(name: str) -> str:
    if not SETTING_NAME.fullmatch(name):
        raise EngineError.because(UNKNOWN_SETTING, "UNKNOWN_SETTING", f"Unknown setting '{name}'")
    return name
