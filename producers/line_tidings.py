"""What became of lines: how many were taken, how many refused and why, and what is told of the first of those. Never a value."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.counted import counted
from schemas.refusals import MEANINGS, Refusal

TOLD_MAX = 20
"""So many refused lines of a file are told one by one; the others are counted."""


class RefusedWhere(NamedTuple):
    """Of which kind a line or a field of one was refused and why, in which pool, and in which window of ten seconds it says it was.

    The first pool of the vocabulary where it says none that there is; no window where it says no time.
    """

    kind: str
    reason: Refusal
    pool: str
    window_start_ms: int | None


@dataclass(slots=True)
class Tidings:
    """What became of lines: each was blank, taken or refused. `refused_of` is by kind, `UNKNOWN` where a line did not say any;
    `refused_since` are those since somebody looked last, `withheld_since` dropped fields that family `privacy` is told of;
    `first` are the first of the refused lines, and why."""

    lines: int = 0
    blank: int = 0
    taken: Counter[str] = field(default_factory=Counter)
    refused_of: Counter[tuple[str, Refusal]] = field(default_factory=Counter)
    refused_since: Counter[RefusedWhere] = field(default_factory=Counter)
    withheld_since: Counter[RefusedWhere] = field(default_factory=Counter)
    dropped: Counter[Refusal] = field(default_factory=Counter)
    first: list[tuple[int, Refusal]] = field(default_factory=list)
    meant: dict[int, str] = field(default_factory=dict)
    """What is told of a line in `first`, behind its reason."""

    @property
    def refused(self) -> Counter[Refusal]:
        """Lines of any kind, by reason."""
        refused: Counter[Refusal] = Counter()
        for (_, reason), count in self.refused_of.items():
            refused[reason] += count
        return refused

    def refuse(self, where: RefusedWhere, count: int) -> None:
        self.refused_of[where.kind, where.reason] += count
        self.refused_since[where] += count

    def refused_news(self) -> tuple[Counter[RefusedWhere], Counter[RefusedWhere]]:
        """Which lines were refused, and which fields were withheld, since this was asked last."""
        news, self.refused_since = self.refused_since, Counter()
        withheld, self.withheld_since = self.withheld_since, Counter()
        return news, withheld

    def is_told(self, line: int) -> bool:
        """Whether a line that is refused is among the first, as far as others are known."""
        return len(self.first) < TOLD_MAX or line < self.first[-1][0]

    def tell(self, line: int, reason: Refusal, meaning: str = "", columns: Sequence[str] = ()) -> None:
        """Notes the line among the first: those that break their shape are known of before those whose values are refused."""
        insort(self.first, (line, reason))
        self.meant[line] = f"{meaning or MEANINGS[reason]}{_of_columns(columns)}"
        for beyond, _ in self.first[TOLD_MAX:]:
            del self.meant[beyond]
        del self.first[TOLD_MAX:]

    def sentences(self) -> list[str]:
        """What is told of the first lines that were refused, and how many more there were for which reasons."""
        told = [f"Line {line} is refused ({reason.value}): {self.meant[line]}." for line, reason in self.first]
        more = self.refused - Counter(reason for _, reason in self.first)
        if more:
            reasons = ", ".join(f"{more[reason]:,} × {reason.value}" for reason in Refusal if more[reason])
            told.append(f"{counted(more.total(), 'more line is', 'more lines are')} refused: {reasons}.")
        return told


def _of_columns(columns: Sequence[str]) -> str:
    """Such as "; column: route"; nothing where none is known."""
    return f"; {'column' if len(columns) == 1 else 'columns'}: {', '.join(columns)}" if columns else ""
