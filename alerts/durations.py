"""Durations as Prometheus and Alertmanager write them: `30s`, `1h30m`, `7d`."""

from __future__ import annotations

import re

_UNITS_MS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_WRITTEN = re.compile("".join(rf"(?:(\d+){unit})?" for unit in _UNITS_MS), re.ASCII)


def duration_ms(written: str) -> int | None:
    """How long a duration is, or nothing where it is none. Units stand from the largest down, each once.

    >>> duration_ms("1h30m"), duration_ms("0s"), duration_ms("250ms")
    (5400000, 0, 250)
    >>> duration_ms("90"), duration_ms("5m2h"), duration_ms("")
    (None, None, None)
    """
    found = _WRITTEN.fullmatch(written)
    if found is None or not written:
        return None
    return sum(int(count) * unit_ms for count, unit_ms in zip(found.groups(), _UNITS_MS.values(), strict=True) if count)


def duration_written(span_ms: float) -> str:
    """A duration to its two largest units, as one reads it; below a second in milliseconds.

    >>> duration_written(5_400_000), duration_written(61_400), duration_written(250), duration_written(0)
    ('1h30m', '1m1s', '250ms', '0s')
    """
    parts: list[str] = []
    left = round(span_ms)
    for unit, unit_ms in _UNITS_MS.items():
        count, left = divmod(left, unit_ms)
        if count and (unit != "ms" or not parts):
            parts.append(f"{count}{unit}")
    return "".join(parts[:2]) or "0s"
