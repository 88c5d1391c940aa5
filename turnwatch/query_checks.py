"""Queries that nobody renders: those of views, and those that runbooks and pages show, to be pasted by whoever is on call."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from alerts.check import REPOSITORY
from schemas.view_declarations import View
from schemas.views import VIEWS
from turnwatch.declared_names import undeclared

_FENCE = re.compile(r"^```(sql|sh|bash)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_COMMAND = re.compile(r"\n(?=turnwatch )")


def shown_pages(repository: Path = REPOSITORY) -> dict[str, str]:
    """Every page of the documentation, by its path in the repository; none where turnwatch is installed without."""
    pages = sorted((repository / "docs").rglob("*.md"))
    return {str(page.relative_to(repository)): page.read_text(encoding="utf-8") for page in pages}


def page_problems(pages: Mapping[str, str]) -> list[str]:
    """A sentence for every name in a query of a page that is no table, column or dimension."""
    return [
        f"{page}: the query that begins `{' '.join(sql.split())[:60]}` names {name}, which is declared nowhere: "
        "write what is meant."
        for page, text in pages.items()
        for sql in queries_in(text)
        for name in undeclared(sql)
    ]


def view_problems(views: Mapping[str, View] = VIEWS) -> list[str]:
    """A sentence for every name in a view's query that is no table, column or dimension."""
    return [
        f"View {name} names {word}, which is declared nowhere: write what is meant."
        for name, view in views.items()
        for word in undeclared(view.select)
    ]


def queries_in(page: str) -> list[str]:
    """What a page asks of ClickHouse: blocks of SQL, and what `turnwatch query` is given."""
    return [sql for language, block in _FENCE.findall(page) for sql in _queries(language, block)]


def _queries(language: str, block: str) -> Iterator[str]:
    if language == "sql":
        yield block
        return
    for command in _COMMAND.split(block.strip()):
        if command.startswith("turnwatch query "):
            yield shlex.split(command, comments=True)[2]
