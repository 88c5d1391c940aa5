"""`turnwatch check`: everything that can be known to be wrong before anything runs."""

from __future__ import annotations

from datetime import UTC, date, datetime

from alerts.check import check, notes
from alerts.definitions import watched_slos
from alerts.document_files import WrongFiles
from dashboards.render import render_all
from schemas.counted import counted
from turnwatch.contract_checks import board_problems, contract_problems
from turnwatch.printable import printable_lines
from turnwatch.query_checks import page_problems, shown_pages, view_problems
from turnwatch.rendering import stale_files


def run_check(today: date | None = None) -> int:
    """Prints problems and notes; 1 where there is a problem. `today`: the day by the clock (UTC) unless given."""
    declared = contract_problems(today or datetime.now(UTC).date())
    problems = [*check(), *declared, *_boards(), *view_problems(), *page_problems(shown_pages()), *_stale_files()]
    for note in notes():
        print(printable_lines(f"note: {note}"))
    for problem in problems:
        print(printable_lines(f"problem: {problem}"))
    print(f"{counted(len(problems), 'problem')}.")
    return 1 if problems else 0


def _boards() -> list[str]:
    try:
        return board_problems(render_all(watched_slos()))
    except WrongFiles:
        return []  # `check` tells them; boards are made of SLO files, too.


def _stale_files() -> list[str]:
    try:
        return stale_files()
    except WrongFiles:
        return []  # What is derived from SLO files can only be compared once `check` finds nothing wrong with them.
