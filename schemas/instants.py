"""Instants are milliseconds since 1970: how many of them a minute, an hour, a day and a week have, and how one is written."""

from __future__ import annotations

from datetime import UTC, datetime

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS


def utc_text(at_ms: int) -> str:
    """An instant in ISO 8601, to the second.

    >>> utc_text(1_700_000_000_000)
    '2023-11-14T22:13:20Z'
    """
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
