"""Names in SQL that nobody declared: tables, columns and dimensions that no version of the contract has.

A query is read as words, not parsed: a word has to be one of ClickHouse's own, a function (a bracket follows), a name that
the query itself gives (`AS name`, `name AS (`, `name ->`), a table or view of the contract, or a column of a table that the
query reads. So a column that was renamed, or a table that is gone, is found before anybody opens the board.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from schemas.hourly_tables import HOURLY
from schemas.tables import TABLES
from schemas.views import VIEWS

_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*|/\*.*?\*/)
    |(?P<text>'(?:[^'\\]|\\.|'')*')
    |(?P<variable>\$\{[^}]*\}|\$\w+|\{\w+:[^}]*\})
    |(?P<quoted>`[^`]*`|"[^"]*")
    |(?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?)
    |(?P<word>[A-Za-z_]\w*)
    |(?P<arrow>->)
    |(?P<sign>.)""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_SQL = """ALL AND ANTI ANY ARRAY AS ASC ASOF BETWEEN BOTH BY CASE CROSS CURRENT DAY DESC DISTINCT ELSE END FALSE FILL FINAL
FIRST FOLLOWING FROM FULL GLOBAL GROUP HAVING HOUR IN INF INNER INTERVAL IS JOIN LAST LEADING LEFT LIKE LIMIT MINUTE NOT NULL NULLS
ON OR ORDER OUTER OVER PARTITION PRECEDING PREWHERE QUALIFY RANGE ROW ROWS SECOND SELECT SEMI SETTINGS STEP THEN TO TRAILING TRUE
UNBOUNDED UNION USING VALUES WEEK WHEN WHERE WINDOW WITH"""
_WORDS = frozenset(_SQL.split())
"""ClickHouse's own, as far as our queries use them."""
Token = tuple[str, str]
"""Kind and text."""


def undeclared(sql: str) -> list[str]:
    """The words that name nothing that is declared, in the order in which they come; each once."""
    tokens = list(_tokens(sql))
    own = set(_given(tokens))
    read = {text for kind, text in tokens if kind == "word" and text in _COLUMNS}
    columns = {column for table in read for column in _COLUMNS[table]}
    known = own | read | columns
    named = (_name(tokens, place) for place in range(len(tokens)))
    return list(dict.fromkeys(name for name in named if name and name not in known))


def variables(sql: str) -> list[str]:
    """The board's variables that the query names; Grafana's own begin with two underscores."""
    names = re.findall(r"\$\{(\w+)|\$(\w+)", sql)
    found = (braced or bare for braced, bare in names)
    return list(dict.fromkeys(name for name in found if not name.startswith("__")))


def _tokens(sql: str) -> Iterator[Token]:
    for match in _TOKEN.finditer(sql):
        kind = match.lastgroup or "sign"
        if kind == "quoted":
            yield "word", match.group().strip('`"')
        elif kind != "space":
            yield kind, match.group()


def _name(tokens: Sequence[Token], place: int) -> str | None:
    """The word at `place` if it names something: no word of SQL, no function. A column of an alias is a column."""
    kind, text = tokens[place]
    if kind != "word" or text.upper() in _WORDS or _text(tokens, place + 1) == "(":
        return None
    return text


def _given(tokens: Sequence[Token]) -> Iterator[str]:
    """Names that the query gives: to columns, to subqueries, to windows, and to what a function is handed."""
    for place, (kind, text) in enumerate(tokens):
        if kind == "arrow":
            yield from _arguments(tokens, place)
        elif kind == "word" and text.upper() not in _WORDS:
            before, after = _text(tokens, place - 1), _text(tokens, place + 1)
            if before == "AS" or (after == "AS" and _text(tokens, place + 2) == "("):
                yield text


def _arguments(tokens: Sequence[Token], arrow: int) -> Iterator[str]:
    """The names before `->`: one, or several in brackets."""
    place = arrow - 1
    if _text(tokens, place) != ")":
        yield tokens[place][1]
        return
    while _text(tokens, place) != "(":
        place -= 1
        if tokens[place][0] == "word":
            yield tokens[place][1]


def _text(tokens: Sequence[Token], place: int) -> str:
    return tokens[place][1].upper() if 0 <= place < len(tokens) else ""


def _columns_of(name: str) -> set[str]:
    """The columns of a table, or what a view shows: the names that it gives, and columns of what it reads."""
    if name in TABLES:
        return set(TABLES[name].column_names)
    if name in HOURLY:
        return set(HOURLY[name].table.column_names)
    tokens = list(_tokens(VIEWS[name].select))
    read = {text for kind, text in tokens if kind == "word" and text in _DECLARED - {name}}
    return set(_given(tokens)).union(*map(_columns_of, read))


_DECLARED = {*TABLES, *HOURLY, *VIEWS}
_COLUMNS = {name: _columns_of(name) for name in _DECLARED}
"""By table or view its columns."""
