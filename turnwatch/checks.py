"""`turnwatch check`: everything that can be known to be wrong before anything runs."""

from __future__ import annotations

from alerts.check import check, notes
from alerts.document_files import WrongFiles
from turnwatch.rendering import stale_files


def run_check() -> int:
    """Prints problems and notes; 1 where there is a problem."""
    problems = [*check(), *_stale_files()]
    for note in notes():
        print(f"note: {note}")
    for problem in problems:
        print(f"problem: {problem}")
    print("1 problem." if len(problems) == 1 else f"{len(problems)} problems.")
    return 1 if problems else 0


def _stale_files() -> list[str]:
    try:
        return stale_files()
    except WrongFiles:
        return []  # What is derived from SLO files can only be compared once `check` finds nothing wrong with them.
