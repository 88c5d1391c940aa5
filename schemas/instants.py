"""Instants are milliseconds since 1970: how many of them a minute, an hour, a day and a week have, and how one is written."""

from __future__ import annotations

import re
from datetime import UTC, datetime

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS

TIMES = ("ended_at_ms", "at_ms")
"""Fields of event time: of turns, and of all other kinds of observations."""

_CALENDAR = re.compile(
    r"20[23][0-9]-?[01][0-9]-?[0-3][0-9](?:[T ][0-2][0-9](?::?[0-5][0-9]){0,2}(?:[.,][0-9]+)? ?(?:Z|UTC|[+-][0-2][0-9]:?[0-5][0-9])?)?"
    r"|(?:[A-Z][a-z]{2}, )?[0-3]?[0-9] [A-Z][a-z]{2} 20[23][0-9] [0-2][0-9]:[0-5][0-9](?::[0-5][0-9])?(?: (?:GMT|UTC|[+-][0-9]{4}))?"
)
_SINCE_1970 = re.compile(r"([0-9]{10})(?:[0-9]{3}){0,3}(?:\.[0-9]*)?")
_YEARS_S = range(1_577_836_800, 2_208_988_800)
"""2020 to 2039, in seconds."""


def reads_as_time(text: str) -> bool:
    """Whether a text is a time of the years 2020 to 2039: ISO 8601, RFC 5322, or seconds to nanoseconds since 1970.

    >>> [reads_as_time(text) for text in ("2026-11-22T17:00:00Z", "1732294800000", "4915112345678", "2026")]
    [True, True, False, False]
    """
    since_1970 = _SINCE_1970.fullmatch(text)
    return int(since_1970[1]) in _YEARS_S if since_1970 else _CALENDAR.fullmatch(text) is not None


def utc_text(at_ms: int) -> str:
    """An instant in ISO 8601, to the second.

    >>> utc_text(1_700_000_000_000)
    '2023-11-14T22:13:20Z'
    """
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
