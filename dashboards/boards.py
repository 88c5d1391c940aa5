"""What a board is, whoever draws it: its panels by section, what its reader may choose, and what is marked in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dashboards.panels import Panel
from dashboards.queries import Query


@dataclass(frozen=True, slots=True)
class Choice:
    """What a reader chooses from: the values in `options`, or those that a query finds in the range.

    Of several (`is_multi`) nothing chosen means everything; otherwise `chosen` is what stands there first.
    """

    name: str
    label: str
    meaning: str
    options: tuple[str, ...] | Query
    is_multi: bool = True
    chosen: str = ""


@dataclass(frozen=True, slots=True)
class Marks:
    """What is marked on every chart: rows `time`, `timeEnd`, `title`, `text`, `tags` of `query`."""

    name: str
    query: Query
    colour: str


@dataclass(frozen=True, slots=True)
class Board:
    """A board; `range_s` is how far back it looks when it is opened."""

    uid: str
    title: str
    description: str
    sections: Mapping[str, Sequence[Panel]]
    choices: Sequence[Choice]
    marks: Sequence[Marks]
    range_s: int = 3 * 3600
    refresh_s: int = 30

    @property
    def slug(self) -> str:
        """The board's name in files and addresses."""
        return self.uid.removeprefix("turnwatch-")
