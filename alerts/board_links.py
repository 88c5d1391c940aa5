"""Which board an alert leads to, at which time and slice: `/d/<uid>?from=…&to=…&var-slo=…`, as Grafana takes it.

`turnwatch board` serves the same paths and parameters. Ranges are event time, so what happened in a replay is found where
it is. Where event time follows the clock, the range of what goes on ends `now`: whoever opens the link half an hour after
the page sees that half hour as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from schemas.boards import LABELS_CHOSEN
from schemas.slices import slice_dimensions

BEFORE_MIN_MS = 3_600_000
"""A board opened from an alert shows at least an hour from before it began: what was usual."""
AFTER_MS = 600_000
"""What is shown from after the end of something that is over."""
LIVE_WITHIN_MS = 900_000
"""Event time that is no further behind the clock follows it."""


@dataclass(frozen=True, slots=True)
class Lasting:
    """How long something lasts: from `began_ms` to what was `decided_ms` (event time), heard at `now_ms` by the clock."""

    began_ms: int
    decided_ms: int
    now_ms: int
    is_over: bool = False

    def shown(self, before_ms: int = BEFORE_MIN_MS) -> dict[str, str]:
        """The board's range, from `before_ms` before it began.

        >>> Lasting(7_200_000, 7_260_000, 7_262_000).shown()
        {'from': '3600000', 'to': 'now'}
        >>> Lasting(7_200_000, 7_260_000, 99_000_000).shown(), Lasting(7_200_000, 7_260_000, 7_262_000, True).shown()
        ({'from': '3600000', 'to': '7260000'}, {'from': '3600000', 'to': '7860000'})
        """
        from_ms = max(0, min(self.began_ms, self.decided_ms) - before_ms)
        if self.is_over:
            return {"from": str(from_ms), "to": str(self.decided_ms + AFTER_MS)}
        is_live = self.now_ms - self.decided_ms <= LIVE_WITHIN_MS
        return {"from": str(from_ms), "to": "now" if is_live else str(self.decided_ms)}


def board_address(grafana: str, uid: str, shown: Mapping[str, str], chosen: Mapping[str, str]) -> str:
    """The board's address, with `chosen` as its variables; every value is percent-encoded.

    >>> board_address("https://grafana.example/", "turnwatch-cost", {"from": "0", "to": "now"}, {"route": "a&b c"})
    'https://grafana.example/d/turnwatch-cost?from=0&to=now&var-route=a%26b%20c'
    """
    parts = {**shown, **{f"var-{name}": value for name, value in chosen.items()}}
    query = urlencode(parts, quote_via=quote, safe="")
    return f"{grafana.rstrip('/')}/d/{uid}" + (f"?{query}" if query else "")


def chosen_by(slice_text: str, labels: Mapping[str, str]) -> dict[str, str]:
    """What a board of a finding is narrowed to: its slice, and the labels that are a choice there."""
    return slice_dimensions(slice_text) | {name: labels[name] for name in LABELS_CHOSEN if name in labels}
