"""Pieces of HTML. Whatever comes from outside goes through `text`; there is no style attribute, so a strict policy holds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from html import escape


def text(value: object) -> str:
    """A value as HTML text, also within an attribute's double quotes."""
    return escape(str(value), quote=True)


def prose(words: str) -> str:
    """Words as Grafana shows a description's: what stands between backticks is code.

    >>> prose("`frozen` is <old>")
    '<code>frozen</code> is &lt;old&gt;'
    """
    return re.sub("`([^`]+)`", r"<code>\1</code>", text(words))


def element(name: str, content: str, **attributes: str | None) -> str:
    """An element around HTML; attributes are text, `class_` is `class`, and those that are `None` are left out.

    >>> element("a", "x", href='/d/"b"', class_=None)
    '<a href="/d/&quot;b&quot;">x</a>'
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{written}>{content}</{name}>"


def instant(value: datetime, shown: str) -> str:
    return element("time", text(shown), datetime=value.isoformat())


def linked(content: str, address: str, title: str) -> str:
    """The content, as a link where there is an address. Only addresses of our own pages are: others could be scripts."""
    if not address.startswith(("/", "?", "#")) or address.startswith("//"):
        return content
    return element("a", content, href=address, title=title)


def table(caption: str, head: Iterable[str], rows: Iterable[str], kind: str = "") -> str:
    """A table whose caption says what it is of; cells of `head` and `rows` are HTML."""
    return element(
        "table",
        f"<caption>{text(caption)}</caption><thead><tr>{''.join(head)}</tr></thead><tbody>{''.join(rows)}</tbody>",
        class_=kind or None,
    )


def heading(name: str, kind: str = "") -> str:
    return element("th", text(name), scope="col", class_=kind or None)


def hidden(words: str) -> str:
    """Text for screen readers only."""
    return element("span", text(words), class_="unseen")


def nothing(words: str) -> str:
    return element("p", text(words), class_="nothing")
