"""What the bench shows: faults as they strike, who runs and who does not, and the reckoning at the end."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.table import Table

from turnwatch.bench.faults.processes import Servers, Workers
from turnwatch.bench.faults.reckoning import Reckoning
from turnwatch.bench.faults.schedule import WINDOWS, Schedule
from turnwatch.bench.faults.sending import Sent

LINES_SHOWN = 12


@dataclass(slots=True)
class View:
    """Everything on the screen; who learns something writes it here."""

    console: Console
    rounds: int
    workers: Workers
    servers: Servers
    round_: int = 0
    schedule: Schedule | None = None
    sent: Sent = field(default_factory=Sent)
    struck: Counter[str] = field(default_factory=Counter)
    firing: int = 0
    resolved: int = 0
    doing: str = "starting"
    unread: Mapping[str, int] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=LINES_SHOWN))

    def say(self, text: str) -> None:
        """A line of the fault log; where nobody watches a screen it is printed as it comes."""
        line = f"{time.monotonic() - self.began:6.1f} s  {text}"
        self.lines.append(line)
        if not self.console.is_terminal:
            self.console.print(line, highlight=False)

    def strike(self, kind: str, target: str) -> None:
        self.struck[kind] += 1
        self.say(f"{target} {kind}")


def draw(view: View) -> Group:
    return Group(_progress(view), _processes(view), *view.lines)


def _progress(view: View) -> Table:
    planned = view.schedule.faults if view.schedule else 0
    table = Table.grid(padding=(0, 2))
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(view.struck.items()))
    unread = ", ".join(f"{count:,} {name}" for name, count in view.unread.items() if count)
    for meaning, figure in (
        (f"round {view.round_ + 1} of {view.rounds}", view.doing),
        ("faults", f"{view.struck.total()} of {planned}: {kinds}"),
        ("windows", f"{view.sent.windows % WINDOWS or view.sent.windows} of {WINDOWS}"),
        ("sent", f"{view.sent.frames:,} frames, {view.sent.turns:,} turns, {view.sent.held_back:,} frames held back"),
        ("paged last", f"{view.firing} firing, {view.resolved} resolved"),
        ("not yet read", unread or "nothing known"),
    ):
        table.add_row(meaning, figure)
    return table


def _processes(view: View) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("process", "state", "starts", "ended by itself"):
        table.add_column(heading)
    for worker in view.workers.all.values():
        table.add_row(worker.name, worker.state, str(worker.starts), str(len(worker.own_ends)))
    for name, state in view.servers.states.items():
        table.add_row(name, state, "", "")
    return table


def show_round(
    console: Console, number: int, reckoning: Reckoning, sent: Sent, own_ends: Counter[str], besides: Counter[str]
) -> None:
    """What a round came to, with examples of whatever is wrong."""
    table = Table(title=f"round {number + 1}", title_justify="left", box=None)
    for heading in ("table", "rows expected", "rows landed", "lost", "double-counted"):
        table.add_column(heading, justify="left" if heading == "table" else "right")
    for each in reckoning.tables:
        figures = (each.rows_expected, each.rows_landed, each.lost, each.double_counted)
        table.add_row(each.table, *(f"{figure:,}" for figure in figures))
    console.print(table)
    for each in reckoning.tables:
        for example in each.examples:
            console.print(f"  {each.table}: {example}", highlight=False)
    refusals, pages = reckoning.refusals, reckoning.pages
    also = f", undue: {', '.join(refusals.reasons)}" if refusals.reasons else ""
    console.print(
        f"frames sent twice {sent.duplicated}, corrupted {sent.corrupted}, held back {sent.held_back}, sent again after a failure {sent.sent_again}",
        f"corrupted in the log {refusals.corrupted}, dead letters {refusals.refused}: {refusals.missing} missing, {refusals.undue} undue{also}",
        f"pages expected {pages.expected}, delivered {pages.delivered}, missed {pages.missed}, repeated {pages.repeated}, unexpected {pages.unexpected}, not resolved {pages.unresolved}",
        *(f"  {note}" for note in pages.notes),
        *(f"paged besides, {count} times: {name}" for name, count in besides.most_common()),
        *(f"worker ended by itself {count} times: {reason}" for reason, count in own_ends.most_common()),
        *(f"never read: {count:,} of {name}" for name, count in reckoning.unread.items() if count),
        sep="\n",
        highlight=False,
    )
