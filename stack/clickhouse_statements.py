"""What the HTTP protocol has to know about a statement before the engine reads it.

Does it return rows, and in which format? Is it an INSERT whose data follows, and where does that data begin? Everything
else about SQL is the engine's business. Only words outside of strings, quoted names, comments and brackets count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

TOKEN = re.compile(
    rb"""(?P<skipped>\s+|--[^\n]*|\#[ !][^\n]*|/\*.*?\*/)
       |(?P<quoted>'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*")
       |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
       |(?P<open>[(\[{])
       |(?P<close>[)\]}])
       |(?P<other>.)""",
    re.DOTALL | re.VERBOSE,
)
BEFORE_DATA = re.compile(rb"[ \t\f]*;?[ \t\f]*(?:\r?\n)?")
HEADER_BYTES_MAX = 1 << 18
"""How far an INSERT's header may reach: ClickHouse's own limit for the text of a query."""

SELECTS = frozenset(b"SELECT WITH FROM".split())
SHOWS = frozenset(b"SHOW DESCRIBE DESC EXPLAIN EXISTS CHECK".split())
REPORTS = frozenset(b"KILL BACKUP RESTORE".split())
"""Statements that change something and tell about it in rows."""

Kind = Literal["select", "show", "report", "insert", "change"]
REVISION_QUESTION = re.compile(rb"(SELECT\s+displayName\(\)\s*,\s*version\(\)\s*,\s*)revision\(\)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as the engine gets it. `format` is the one it names, of its output or, for an insert, of its data."""

    kind: Kind
    text: bytes
    format: str | None
    data: bytes = b""

    @property
    def is_read_only(self) -> bool:
        return self.kind in ("select", "show")

    @property
    def returns_rows(self) -> bool:
        return self.kind in ("select", "show", "report")

    @property
    def takes_data(self) -> bool:
        return self.kind == "insert" and self.format is not None


@dataclass(frozen=True, slots=True)
class Word:
    """A word outside of every bracket, in capitals, and where it stands."""

    text: bytes
    start: int
    end: int


def read_statement(text: bytes) -> Statement:
    """Tell what a request asks; of an INSERT with a FORMAT, separate the statement from the data behind it.

    >>> read_statement(b"INSERT INTO t (a) FORMAT CSV" + bytes([10]) + b"1")
    Statement(kind='insert', text=b'INSERT INTO t (a)', format='CSV', data=b'1')
    >>> read_statement(b"SELECT 'FORMAT CSV' AS format FORMAT JSON").format
    'JSON'
    """
    words = outer_words(text)
    first = next(words, None)
    if first and first.text == b"INSERT":
        return read_insert(text, words)
    kind = kind_of(text, first)
    return Statement(kind, text, None if kind == "change" else trailing_format(text))


def kind_of(text: bytes, first: Word | None) -> Kind:
    if b"(" in text[: first.start if first else None] or (first and first.text in SELECTS):
        return "select"  # Only a SELECT may stand in brackets.
    if first and first.text in SHOWS:
        return "show"
    return "report" if first and first.text in REPORTS else "change"


def read_insert(text: bytes, words: Iterator[Word]) -> Statement:
    for word in words:
        if word.text in (b"SELECT", b"WITH", b"VALUES", b"INFILE") or word.start > HEADER_BYTES_MAX:
            break
        if word.text == b"FORMAT" and (name := next(words, None)):
            begin = BEFORE_DATA.match(text, name.end)
            assert begin  # It matches the empty string, too.
            header, named = text[: word.start].rstrip(), text[name.start : name.end].decode()
            if named.upper() != "VALUES":  # The engine reads those inline, expressions included.
                return Statement("insert", header, named, text[begin.end() :])
            break
    return Statement("insert", text, None)


def trailing_format(text: bytes) -> str | None:
    """The format a query names for its result: `FORMAT name` at its end, or before its settings."""
    words = [*outer_words(text)]
    for keyword, name in zip(words[-2::-1], words[:0:-1], strict=True):
        if keyword.text == b"FORMAT" and text[keyword.end : name.start].isspace():
            rest = text[name.end :].strip(b"; \t\r\n")
            if not rest or rest[:8].upper() == b"SETTINGS":
                return text[name.start : name.end].decode()
    return None


def outer_words(text: bytes) -> Iterator[Word]:
    depth = 0
    for token in TOKEN.finditer(text):
        match token.lastgroup:
            case "open":
                depth += 1
            case "close":
                depth -= 1
            case "word" if depth == 0:
                yield Word(token[0].upper(), token.start(), token.end())


def at_revision_zero(text: bytes) -> bytes:
    """What a client asks before it speaks a newer Native format, answered for the one that chDB writes: revision 0.

    clickhouse-go, and so Grafana's plugin, asks exactly this. The revision keeps its type.
    """
    return REVISION_QUESTION.sub(rb"\1toUInt32(0) AS `revision()`", text)
