"""What provisioning does to one object, and how what is there differs from what is wanted, field by field."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal[
    "folder",
    "data source",
    "dashboard",
    "alert rule",
    "rule group",
    "contact point",
    "notification policy",
    "mute timing",
]
Action = Literal["created", "updated", "deleted", "unchanged", "left over"]

LINES_MAX = 40
"""Lines of one object's difference that are worth reading; the rest is counted."""
_VALUE_MAX = 160
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one object; `note` is a sentence where there is more to say.

    `difference` has a line for each part that was replaced: `-` with what was there, `+` with what is wanted.
    """

    kind: Kind
    name: str
    action: Action
    note: str = ""
    difference: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class How:
    """How to provision: `prunes` what is ours and no longer wanted; `resends` secrets, which nobody can compare."""

    is_dry_run: bool = False
    prunes: bool = False
    resends: bool = False


WRITING = How()
"""What differs is written, and nothing is deleted."""


def as_wanted(found: Any, wanted: Any, exact: frozenset[str] = frozenset()) -> Any:
    """`found` without what Grafana added of its own: keys that are not in `wanted`. Under keys in `exact` all is kept."""
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        return {
            key: value if key in exact else as_wanted(value, wanted[key], exact)
            for key, value in found.items()
            if key in wanted
        }
    if isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        return [as_wanted(one, other, exact) for one, other in zip(found, wanted, strict=True)]
    return found


def difference(before: Any, after: Any) -> tuple[str, ...]:
    """What has to change to make `before` `after`; empty where they are equal.

    >>> difference({"for": "2m", "labels": {"severity": "page"}}, {"for": "5m", "labels": {}})
    ('- for: "2m"', '+ for: "5m"', '- labels.severity: "page"')
    """
    lines = list(_differing("", before, after))
    more = len(lines) - LINES_MAX
    return (*lines[:LINES_MAX], f"… and {more} more lines") if more > 0 else tuple(lines)


def _differing(path: str, before: Any, after: Any) -> Iterator[str]:
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in (*before, *(key for key in after if key not in before)):
            yield from _differing(_below(path, str(key)), before.get(key, _ABSENT), after.get(key, _ABSENT))
    elif isinstance(before, list) and isinstance(after, list):
        yield from _differing_items(path, before, after)
    elif isinstance(before, str) and isinstance(after, str) and "\n" in before + after:
        yield from _differing_texts(path, before, after)
    else:
        if before is not _ABSENT:
            yield f"- {path}: {_shown(before)}"
        if after is not _ABSENT:
            yield f"+ {path}: {_shown(after)}"


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _differing_items(path: str, before: Sequence[Any], after: Sequence[Any]) -> Iterator[str]:
    """Items at the same place; what one list has beyond the other came or went."""
    for place in range(max(len(before), len(after))):
        one, other = (each[place] if place < len(each) else _ABSENT for each in (before, after))
        yield from _differing(f"{path}[{place}]", one, other)


def _differing_texts(path: str, before: str, after: str) -> Iterator[str]:
    """Lines of a statement that came or went."""
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0))
    yield from (f"{line[0]} {path}: {line[1:]}" for line in lines[2:] if not line.startswith("@@"))


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _VALUE_MAX else f"{text[:_VALUE_MAX]}…"
