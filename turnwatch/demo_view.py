"""What the demo shows: the flow's counts, the burn in every window, and the page when it comes."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from alerts.webhook_receiver import NotifiedAlert
from producers.drive import Progress
from producers.prediction import Prediction
from producers.scenarios import Truth
from schemas.burns import AlertState
from schemas.counted import counted
from schemas.slos import Slo

_BARS = "▁▂▃▄▅▆▇█"
_NAMED = 4
"""So many other slices that fire are named, so that a terminal has room for the page."""
_AFTER_MS = 600_000
"""What a link to a page's board shows after its start."""


@dataclass(slots=True)
class View:
    """Everything on the screen; who learns something writes it here."""

    slo: Slo
    truth: Truth
    predicted: Prediction
    start_ms: int
    speed: float
    produced: Progress = field(default_factory=Progress)
    counters: dict[str, float] = field(default_factory=dict)
    burns: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    alerts: dict[str, AlertState] = field(default_factory=dict)
    notified: dict[tuple[str, str, str], NotifiedAlert] = field(default_factory=dict)
    boards: str = ""
    """Where the boards of this machine are, if they are served."""

    @property
    def the_page(self) -> AlertState | None:
        """The page for the slice that the incident is in, once it has fired."""
        page = self.alerts.get(f"{self.slo.name}|{self.truth.slice}|page")
        return page if page is not None and page.has_fired else None

    @property
    def the_notification(self) -> NotifiedAlert | None:
        """What Alertmanager notified of: that slice's page, or the whole fleet's of the same objective, which mutes it."""
        own = self.notified.get((self.slo.name, self.truth.slice, "page"))
        page = self.the_page
        if own is not None or page is None:
            return own
        wanted = {"scope": "fleet", "severity": "page", "slo": self.slo.name, "pool": self.slo.pool}
        return next((each for each in self.notified.values() if wanted.items() <= each.labels.items()), None)

    @property
    def names_stage(self) -> bool:
        """Whether the page says which stage the incident is in, where it is in one: as it was notified, or as it was told since."""
        told = [each.annotations for each in (self.the_notification, self.the_page) if each is not None]
        return not self.truth.stage or any(annotations.get("stage") == self.truth.stage for annotations in told)

    @property
    def frames(self) -> tuple[int, int]:
        """How many were produced, and how many consumed."""
        return sum(self.produced.frames.values()), int(self.counters.get("turnwatch_frames_applied_total", 0))

    def board_at(self, end_ms: int, given: dict[str, str]) -> str:
        """The board from the demo's start to there, of what is `given`; nothing where none is served."""
        parts = {"from": self.start_ms, "to": end_ms} | {f"var-{name}": value for name, value in given.items()}
        return f"{self.boards}?{urlencode(parts, quote_via=quote, safe='')}" if self.boards else ""

    def since_start(self, event_ms: int) -> str:
        seconds = max(0, event_ms - self.start_ms) // 1_000
        return f"{seconds // 60}:{seconds % 60:02d}"


def draw(view: View) -> Group:
    """The page stands first once it has come: a terminal shows as much from the top as it has lines for."""
    parts: list[RenderableType] = [_story(view), _flow(view), _burns(view)]
    page = view.the_page
    return Group(*parts) if page is None else Group(_page(view, page), *parts)


def verdict(view: View, bucket_ms: int) -> tuple[str, bool]:
    """Whether the page came when arithmetic says it must, and named the stage, in words."""
    page = view.the_page
    if page is None:
        return "No page has come yet.", False
    off_s = (page.starts_event_ms - view.predicted.page_ms) / 1_000
    is_near = abs(off_s) * 1_000 <= bucket_ms
    how = "as predicted" if off_s == 0 else f"{abs(off_s):.0f} s {'after' if off_s > 0 else 'before'} the prediction"
    limit = "within" if is_near else "NOT within"
    came = f"The page came at {view.since_start(page.starts_event_ms)} of event time, {how}: {limit} one bucket of {bucket_ms // 1_000} s."
    named = "" if view.names_stage else f" It does NOT name {view.truth.stage}, the stage that the canary is slow in."
    return came + named, is_near and view.names_stage


def _story(view: View) -> Panel:
    truth, predicted = view.truth, view.predicted
    slow = [f"Its slow turns wait in {truth.stage}, which its page is to name."] if truth.stage else []
    lines = [
        f"Event time {view.since_start(view.produced.event_ms)}, running {view.speed:g} times as fast as the clock.",
        f"At {view.since_start(truth.incident_ms)} the canary ({truth.slice}) goes from p99 {truth.p99_ms_before / 1_000:.1f} s "
        f"to {truth.p99_ms_after / 1_000:.1f} s; its mean stays at {truth.mean_ms_after / 1_000:.2f} s, its errors at {truth.error_share:.2%}.",
        *slow,
        f"Its share of turns outside of {view.slo.name} goes from {truth.bad_share_before:.2%} to {truth.bad_share_after:.2%}; "
        f"row {predicted.row.name} pages above {predicted.row.threshold:.2%}.",
        f"Arithmetic predicts the page at {view.since_start(predicted.page_ms)} of event time.",
    ]
    return Panel("\n".join(lines), title="a canary in a fleet of about 10,000 concurrent calls", title_align="left")


def _flow(view: View) -> Table:
    frames, counters = view.produced.frames, view.counters
    by_family = ", ".join(f"{count:,} {name}" for name, count in sorted(frames.items()))
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right")
    table.add_column()
    for figure, meaning in (
        (view.produced.turns, "turns served"),
        (sum(frames.values()), f"frames produced ({by_family})"),
        (counters.get("turnwatch_frames_applied_total", 0), "frames consumed"),
        (counters.get("turnwatch_frames_refused_total", 0), "frames refused"),
        (counters.get("turnwatch_decisions_total", 0), "decisions by the shards"),
        (counters.get("turnwatch_rollup_rows_landed_total", 0), "rows landed in ClickHouse"),
    ):
        table.add_row(f"{figure:,.0f}", meaning)
    return table


def _burns(view: View) -> Table:
    """Windows down, slices across: it fits a narrow terminal."""
    pieces = sorted({piece for piece, _ in view.burns})
    table = Table(title=f"burn of {view.slo.name} (1 is what the budget allows)", title_justify="left")
    table.add_column("window", justify="right")
    for piece in pieces:
        table.add_column(piece.removeprefix(f"pool={view.slo.pool},"), justify="right")
    for window in dict.fromkeys(window for _, window in view.burns):
        cells = [view.burns.get((piece, window)) for piece in pieces]
        table.add_row(window, *[_burn(cell[0]) if cell else Text("") for cell in cells])
    left = {piece: budget_left for (piece, _), (_, budget_left) in view.burns.items()}
    table.add_section()
    table.add_row("budget left", *[f"{left[piece]:.1%}" for piece in pieces])
    return table


def _burn(burn: float) -> Text:
    bar = _BARS[min(int(burn / 2), len(_BARS) - 1)]
    return Text(f"{burn:.2f} {bar}", style="bold" if burn > 6 else "")


def _page(view: View, page: AlertState) -> Panel:
    notified = view.the_notification
    annotations, how = page.annotations, "published; Alertmanager has not notified yet"
    if notified is not None and "stage" in page.annotations and "stage" not in notified.annotations:
        how = "notified by Alertmanager before the stage was known"
    elif notified is not None:
        annotations, how = notified.annotations, "notified by Alertmanager"
    wanted = ("summary", "description", "runbook_url", "dashboard_url")
    lines = [annotations[name] for name in wanted if annotations.get(name)]
    if view.boards:
        given = {"slo": page.burn.slo} | dict(part.split("=", 1) for part in page.burn.slice.split(","))
        lines.append(f"on this machine: {view.board_at(page.starts_event_ms + _AFTER_MS, given)}")
    facts = f"burn {page.burn.long_burn:.2f} over {page.burn.long_s // 60} min and {page.burn.short_burn:.2f} over {page.burn.short_s // 60} min; budget left {page.burn.budget_left:.1%}"
    others = sorted(
        {alert.burn.slice for alert in view.alerts.values() if alert.state == "firing" and alert.alert != page.alert}
    )
    more = f" and {counted(len(others) - _NAMED, 'slice')} more" if len(others) > _NAMED else ""
    also = [f"also firing: {'; '.join(others[:_NAMED])}{more}"] if others else []
    text = "\n".join([f"slice {page.burn.slice}: {facts}", *lines, *also])
    return Panel(
        text,
        title=f"PAGE at {view.since_start(page.starts_event_ms)} of event time, {how}",
        title_align="left",
        border_style="bold",
    )
