"""What a reader looks at, as an address and back: a range, what is chosen, how often it is asked anew.

Names are Grafana's, so a link in a page leads to the same view of either: `/d/<board>?from=now-3h&to=now&var-region=eu-west-1`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from dashboards.boards import Board
from dashboards.local.drawn import LinkTo
from dashboards.panels import Link
from schemas.failures import BadInput

ALL = "$__all"
"""What Grafana's links say for everything."""

PARTS_MAX, VALUE_MAX = 400, 1_000
"""Parts of an address, and characters of one of them, that are read."""

SECONDS_MAX = 2**32 - 1
"""The last second that ClickHouse's DateTime has."""

RANGE_MAX_S = 400 * 86_400

_UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400, "M": 30 * 86_400, "y": 365 * 86_400}
_RELATIVE = re.compile(r"now(?:-([0-9]{1,6})([smhdwMy]))?")
_REFRESH = re.compile(r"[0-9]{1,4}[smh]")


@dataclass(frozen=True, slots=True)
class View:
    """`begins` and `ends` as they were written, or the board's own where none were: `is_own`.

    `given` holds the values of each choice, whatever board has it.
    """

    begins: str
    ends: str = "now"
    given: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    refresh: str | None = None
    is_own: bool = False

    @property
    def is_moving(self) -> bool:
        """Whether the range ends now, whenever that is."""
        return self.ends == "now"

    def between(self, now_s: int) -> tuple[int, int]:
        """The range in seconds since 1970; raises `BadInput`."""
        from_s, to_s = instant_s(self.begins, now_s, "from"), instant_s(self.ends, now_s, "to")
        if from_s >= to_s:
            raise BadInput("The range ends before it begins: choose a later end, or an earlier beginning.")
        if to_s - from_s > RANGE_MAX_S:
            raise BadInput(f"The range is longer than {RANGE_MAX_S // 86_400} days: choose a shorter one.")
        return from_s, to_s


def viewed(parts: Iterable[tuple[str, str]], board: Board) -> View:
    """What an address's parts ask for; the board's own range where they name none, and unknown ones are passed over.

    Raises `BadInput`.
    """
    read: dict[str, list[str]] = {}
    for place, (name, value) in enumerate(parts):
        if place >= PARTS_MAX or len(value) > VALUE_MAX or len(name) > VALUE_MAX:
            raise BadInput(f"The address has more than {PARTS_MAX} parts, or one that is longer than {VALUE_MAX}.")
        read.setdefault(name, []).append(value)
    given = {
        name.removeprefix("var-"): tuple(dict.fromkeys(value for value in values if value not in ("", ALL)))
        for name, values in read.items()
        if name.startswith("var-")
    }
    refresh = read.get("refresh", [None])[0]
    if refresh and not _REFRESH.fullmatch(refresh):
        raise BadInput("refresh: write how often, such as 30s or 5m.")
    begins, ends = read.get("from", [""])[0], read.get("to", [""])[0]
    return View(
        begins or f"now-{length_text(board.range_s)}",
        ends or "now",
        {name: values for name, values in given.items() if values},
        refresh,
        is_own=not begins and not ends,
    )


def instant_s(written: str, now_s: int, name: str) -> int:
    """Seconds since 1970 of `now`, `now-6h`, ms since 1970 or ISO 8601 (UTC unless it says otherwise).

    >>> instant_s("now-2h", 10_000, "from"), instant_s("1700000000000", 0, "to"), instant_s("2026-10-01T12:00", 0, "to")
    (2800, 1700000000, 1790856000)
    """
    seconds = _instant(written, now_s)
    if seconds is None or not 0 <= seconds <= SECONDS_MAX:
        raise BadInput(f"{name}: write now, now-6h, ms since 1970, or a time in UTC such as 2026-10-01T12:00.")
    return seconds


def _instant(written: str, now_s: int) -> int | None:
    if relative := _RELATIVE.fullmatch(written):
        return now_s - (int(relative[1]) * _UNIT_S[relative[2]] if relative[1] else 0)
    if re.fullmatch(r"[0-9]{1,15}", written):
        return int(written) // 1_000
    try:
        read = datetime.fromisoformat(written)
    except ValueError:
        return None
    return int((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp())


def length_text(seconds: int) -> str:
    """
    >>> length_text(10_800), length_text(30), length_text(604_800)
    ('3h', '30s', '7d')
    """
    units = (("d", 86_400), ("h", 3_600), ("m", 60))
    return next((f"{seconds // each}{name}" for name, each in units if seconds % each == 0), f"{seconds}s")


def address(uid: str, view: View, narrowed: Mapping[str, str] | None = None) -> str:
    """The board's address at the view; `narrowed` replaces what is chosen by a single value, or by everything if that is empty.

    >>> address("turnwatch-cost", View("now-3h", given={"region": ("eu", "us")}), {"route": "a&b", "region": ""})
    '/d/turnwatch-cost?from=now-3h&to=now&var-route=a%26b'
    """
    given = dict(view.given) | {name: (value,) if value else () for name, value in (narrowed or {}).items()}
    return _address(uid, [("from", view.begins), ("to", view.ends), *_kept(given, view.refresh)])


def elsewhere(uid: str, view: View) -> str:
    """Another board's address with the same choices, and the same range if one was chosen: it has one of its own.

    >>> elsewhere("turnwatch-cost", View("now-3h", given={"region": ("eu",)}, is_own=True))
    '/d/turnwatch-cost?var-region=eu'
    """
    return _address(uid, _kept(view.given, view.refresh)) if view.is_own else address(uid, view)


def _kept(given: Mapping[str, Iterable[str]], refresh: str | None) -> list[tuple[str, str]]:
    parts = [(f"var-{name}", value) for name, values in given.items() for value in values]
    return parts if refresh is None else [*parts, ("refresh", refresh)]


def _address(uid: str, parts: list[tuple[str, str]]) -> str:
    written = urlencode(parts, quote_via=quote, safe="")
    return f"/d/{quote(uid, safe='')}" + (f"?{written}" if written else "")


def linking(boards: Mapping[str, Board], view: View) -> LinkTo:
    """Links of a board's panels: to another board, or the same, at the same view, narrowed by the row.

    A board that is not there is not linked to.
    """

    def link_to(link: Link, row: Mapping[str, object]) -> str:
        board = str(row.get(link.board_column) or link.board)
        if board not in boards:
            return ""
        narrowed = {name: "" if row.get(name) is None else str(row[name]) for name in link.columns}
        return address(board, view, narrowed)

    return link_to
