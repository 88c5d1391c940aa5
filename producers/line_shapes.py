"""What lines of JSON may look like before a reader of tables sees them: not too deep, and not too wide together."""

from __future__ import annotations

import re
from collections.abc import Iterator

DEPTH_MAX = 32
"""Objects and lists within one another; readers of JSON follow them on the stack, and Arrow's ends the process there."""
LINES_AT_ONCE = 5_000
CELLS_AT_ONCE = 2_000_000
"""Lines times names in them: a line that has one name of its own adds a column to all that are read with it."""

Numbered = list[tuple[int, bytes]]


def in_bounds(lines: Numbered) -> Iterator[Numbered]:
    """The lines in parts, none of which makes a larger table than it may."""
    if len(lines) <= LINES_AT_ONCE and (len(lines) == 1 or len(lines) * names_in(lines) <= CELLS_AT_ONCE):
        yield lines
        return
    half = len(lines) // 2
    yield from in_bounds(lines[:half])
    yield from in_bounds(lines[half:])


_NAME = re.compile(rb'"((?:[^"\\]|\\.)*+)"\s*:')


def names_in(lines: Numbered) -> int:
    """At most how many columns the lines have; nothing that is declared holds objects, so within those each name is one."""
    flat = b"\n".join(line for _, line in lines if line.count(b"{") == 1)
    return len(set(_NAME.findall(flat))) + sum(line.count(b":") for _, line in lines if line.count(b"{") > 1)


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
