"""`turnwatch report`: what happened in a range, and its boards, as one file to attach to a post-mortem or a mail.

Panels are those of the boards (`dashboards.render.all_boards`). A range in which no chart has anything is refused: a report
of nothing would read as good news. A panel whose statement ClickHouse refuses says so in its place, and the command ends
with 1; when ClickHouse goes away there is no file.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import polars as pl
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from alerts.definitions import watched_slos
from dashboards.boards import Board, Choice
from dashboards.local.asking import NO_MARKS, TOO_MUCH, Selection, ask, ask_marks, chosen, ranged
from dashboards.local.drawing import drawn, titled
from dashboards.local.reporting import Chapter, Report, Shown, page, slice_text
from dashboards.local.what_happened import what_happened
from dashboards.panels import Bars, Chart, HeatMap, Panel
from dashboards.render import all_boards
from dashboards.variables import OVERVIEW_UID
from schemas.counted import counted
from schemas.failures import BadInput, Foreseen
from schemas.warehouse import ClickHouseAddress
from stream_jobs.sinks.clickhouse import connect, explained, is_about_the_statement
from turnwatch.answers.narrowing import narrowed
from turnwatch.backtest.series import instant_text
from turnwatch.backtest.sources import written_instant, written_range
from turnwatch.places import clickhouse
from turnwatch.settings import load

READ_TIMEOUT_S = 60.0
EVERY = "all"
"""Names every board."""

_WHILE = re.compile(r"[1-9]\d{0,3}[hdw]")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a report is to be about: a range in seconds, boards, and the values of each choice."""

    from_s: int
    to_s: int
    boards: tuple[Board, ...]
    given: Mapping[str, tuple[str, ...]]


def run_report(begins: str, ends: str | None, boards: Sequence[str], selected: Sequence[str], out: Path) -> int:
    """Writes the report, says where it is and how large, and returns the exit code."""
    asked = asked_for(begins, ends, boards, selected, int(time.time()))
    report = made(asked, clickhouse(load()))
    size = _write(page(report), out)
    panels = [shown for chapter in report.chapters for each in chapter.sections.values() for shown in each]
    failed = sum(1 for shown in panels if shown.failure) + sum(1 for chapter in report.chapters if chapter.note)
    print(f"{out}: {counted(len(panels), 'panel')}, {size / 1e6:.1f} MB.")
    if failed:
        print(f"turnwatch: {failed} of them, or of their marks, could not be asked; each says why.", file=sys.stderr)
    return 1 if failed else 0


def asked_for(begins: str, ends: str | None, boards: Sequence[str], selected: Sequence[str], now_s: int) -> Asked:
    """What the options mean; raises `BadInput`."""
    from_s, to_s = _range(begins, ends, now_s)
    known = all_boards(watched_slos())
    choices = {choice.name: choice for board in known.values() for choice in board.choices}
    given = {name: tuple(sorted(values)) for name, values in narrowed([selected], tuple(choices), "the boards").items()}
    for name, values in given.items():
        _require_option(choices[name], values)
    return Asked(from_s, to_s, _boards(known, boards), given)


def _range(begins: str, ends: str | None, now_s: int) -> tuple[int, int]:
    """`--from` is a time, or a while such as 6h up to now; without `--to` up to now."""
    if ends is None and _WHILE.fullmatch(begins):
        from_ms, to_ms = written_range(begins, now_s * 1_000)
    else:
        from_ms = written_instant(begins)
        to_ms = now_s * 1_000 if ends is None else written_instant(ends, is_last=True)
    if from_ms >= to_ms:
        what = f"--to {ends} is not after --from {begins}" if ends else f"--from {begins} is not in the past"
        raise BadInput(f"{what}: a report is about a range that has a length.")
    return from_ms // 1_000, to_ms // 1_000


def _boards(known: Mapping[str, Board], named: Sequence[str]) -> tuple[Board, ...]:
    """The boards of these names, in that order and each once; the overview where none is named."""
    if EVERY in named:
        return tuple(known.values())
    by_slug = {board.slug: board for board in known.values()}
    found: dict[str, Board] = {}
    for name in named or (known[OVERVIEW_UID].slug,):
        slug = name.removeprefix("turnwatch-").replace("_", "-")
        if slug not in by_slug:
            close = get_close_matches(slug, by_slug, n=1)
            meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(by_slug)}, and {EVERY}."
            raise BadInput(f"There is no board {name[:100]!r}: {meant}")
        found[slug] = by_slug[slug]
    return tuple(found.values())


def _require_option(choice: Choice, values: tuple[str, ...]) -> None:
    """Values of a declared list are on it, and one is one."""
    if not choice.is_multi and len(values) > 1:
        raise BadInput(f"--select {choice.name}: one value can be chosen, and {' and '.join(values)} are given.")
    for value in values:
        if isinstance(choice.options, tuple) and value not in choice.options:
            raise BadInput(f"--select {choice.name}={value[:100]}: it is one of {', '.join(choice.options)}.")


def made(asked: Asked, address: ClickHouseAddress) -> Report:
    """The report; raises `WarehouseError` where ClickHouse is away, and `BadInput` where no chart has anything."""
    boards = (what_happened(watched_slos()), *asked.boards)
    client = connect(address, read_timeout_s=READ_TIMEOUT_S)
    try:
        with _progress(sum(len(panels) for board in boards for panels in board.sections.values())) as advance:
            chapters = [_chapter(client, address, board, asked, advance) for board in boards]
    except ClickHouseError as error:
        raise explained(error, address) from error
    finally:
        client.close()
    _require_something(asked, chapters[1:])
    return Report(ranged(asked.from_s, asked.to_s), dict(asked.given), chapters, int(time.time()))


def _chapter(
    client: Client, address: ClickHouseAddress, board: Board, asked: Asked, advance: Callable[[], None]
) -> Chapter:
    """A board in the report's range, of what is chosen of its own choices."""
    selection = chosen(board.choices, asked.given)
    marks, note = _marks(client, address, board, asked, selection)

    def shown(panel: Panel) -> Shown:
        during = ranged(asked.from_s, asked.to_s, panel)
        try:
            rows = ask(client, panel, during, selection)
        except ClickHouseError as error:
            return Shown(panel, None, _refusal(error, address))
        finally:
            advance()
        return Shown(panel, drawn(panel, rows, during, marks))

    sections = {
        title: [shown(titled(panel, selection)) for panel in panels] for title, panels in board.sections.items()
    }
    return Chapter(board.slug, board.title, board.description, sections, note)


def _marks(
    client: Client, address: ClickHouseAddress, board: Board, asked: Asked, selection: Selection
) -> tuple[pl.DataFrame, str]:
    """Marks of all charts of a board, or a sentence why there are none: charts are worth having without them."""
    try:
        return ask_marks(client, board, ranged(asked.from_s, asked.to_s), selection), ""
    except ClickHouseError as error:
        return NO_MARKS, f"Marks are missing: {_refusal(error, address)}"


def _refusal(error: ClickHouseError, address: ClickHouseAddress) -> str:
    """What ClickHouse has against a statement; raises `WarehouseError` where it has nothing against this one."""
    trouble = explained(error, address)
    if trouble.code in TOO_MUCH or is_about_the_statement(trouble):
        return str(trouble)
    raise trouble from error


def _require_something(asked: Asked, chapters: Sequence[Chapter]) -> None:
    """Charts tell of the range, while some tables have rows whatever it holds; a board without charts has its tables."""
    panels = [each for chapter in chapters for section in chapter.sections.values() for each in section]
    charts = [each for each in panels if isinstance(each.panel, Chart | HeatMap | Bars)]
    if any(each.drawn is None or not each.drawn.is_empty for each in charts or panels):
        return
    of = f" of {slice_text(asked.given)}" if asked.given else ""
    raise BadInput(
        f"Nothing is stored{of} between {instant_text(asked.from_s * 1_000)} and {instant_text(asked.to_s * 1_000)}, "
        "so there is nothing to report: choose another range, in UTC, or another slice."
    )


def _write(text: str, out: Path) -> int:
    """Bytes written; under its name the report is whole or not at all."""
    content = text.encode()
    part = out.with_name(f"{out.name}.part")
    try:
        part.write_bytes(content)
        part.replace(out)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise Foreseen(f"{out}: the report cannot be written: {error.strerror}.") from None
    return len(content)


@contextmanager
def _progress(panels: int) -> Iterator[Callable[[], None]]:
    console = Console(file=sys.stderr)
    columns = (TextColumn("asking and drawing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=panels)
        yield lambda: bar.advance(task)
