"""What a verdict was judged by, for a terminal: the most important figures, and how many more there are."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from turnwatch.answers.printing import Answer, print_answer

SHOWN_MAX = 40
_COLUMNS = ("slice", "metric", "outcome", "baseline", "candidate", "worse by", "allowed", "samples")


def print_judged(judged: Iterable[Answer], total: int) -> None:
    """Prints the first of `total` rows, which have these columns and are sorted by importance."""
    if shown := list(islice(judged, SHOWN_MAX)):
        print_answer(shown, _COLUMNS, "table")
    if total > len(shown):
        print(f"{total - len(shown)} more are in --format json.")
