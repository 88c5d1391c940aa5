"""What lines of JSON may look like before a reader of tables sees them: not too deep, and not too wide together."""

from __future__ import annotations

import re
from collections.abc import Collection

DEPTH_MAX = 32
"""Objects and lists within one another; readers of JSON follow them on the stack, and Arrow's ends the process there."""
LINES_AT_ONCE = 5_000
NAMES_AT_ONCE = 16
LINES_A_NAME = 50
"""A name is a column of all lines that are read with it, which takes as long as to look at so many lines one by one."""

Numbered = list[tuple[int, bytes]]

_NAME = re.compile(rb'"((?:[^"\\]|\\.)*+)"\s*:')


def is_narrow(lines: Numbered, declared: Collection[str]) -> bool:
    """Whether the lines may be read as one table: for their number they have few names that are not declared."""
    return names_in(lines, declared) <= NAMES_AT_ONCE + len(lines) // LINES_A_NAME


def names_in(lines: Numbered, declared: Collection[str] = ()) -> int:
    """At most how many columns the lines have that are not declared; nothing that is declared holds objects, so within those each name
    is one."""
    flat = b"\n".join(line for _, line in lines if line.count(b"{") == 1)
    known = {name.encode() for name in declared}
    return len(set(_NAME.findall(flat)) - known) + sum(line.count(b":") for _, line in lines if line.count(b"{") > 1)


_TEXT_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[{]|[\]}]')


_MARK = b"\xef\xbb\xbf"
"""What some editors put before the first line."""


def is_braced(line: bytes) -> bool:
    """Whether the line begins and ends as an object does. Arrow's reader ends the process where the first of its lines is `null`,
    and takes objects from wherever they lie: two of one line and the halves of another."""
    inner = line.removeprefix(_MARK).strip(b" \t\r\n")
    return inner[:1] == b"{" and inner[-1:] == b"}"


def is_flat(line: bytes) -> bool:
    """Whether nothing in the line lies deeper than `DEPTH_MAX`; brackets in texts are none."""
    if line.count(b"[") + line.count(b"{") <= DEPTH_MAX:
        return True
    depth = 0
    for found in _TEXT_OR_BRACKET.finditer(line):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(found[0], 0)
        if depth > DEPTH_MAX:
            return False
    return True
