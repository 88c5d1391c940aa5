"""What a panel is, whoever draws it: its question, what it shows, in what unit, and where something is worth a look.

Grafana's boards (`dashboards.in_grafana`) and the local board are drawn from these same definitions. Meaning never rests
on hue alone: colours are of the Okabe-Ito palette or run from blue to purple with the value, states are written out as
words, and lines that stand for a limit are dashed. Units are Grafana's names for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dashboards.queries import Query

CALM, TICKET, PAGE = "#56B4E9", "#E69F00", "#8F3BB8"
"""Below every threshold, above one worth a ticket, above one worth a page: apart in lightness as well as in hue."""

TIMES = "suffix: \u00d7"
"""The unit of ratios: a figure followed by a multiplication sign."""

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8F8F8F")

UNSEEN = "transparent"
"""The colour of a part of a bar that only says where the next one begins."""

GAP_S = 600
"""Lines cross shorter silence than this,"""

STEPS_MISSED = 2.5
"""and silence of fewer steps, and of fewer usual distances between their points, such as hours that are told hourly."""


@dataclass(frozen=True, slots=True)
class Place:
    """Size on the board's grid of 24 columns; a row of the grid is 30 pixels high."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Steps:
    """Values from which something is worth a ticket or a page, or (`calm`) from which it is not; `None` for none."""

    ticket: float | None = None
    page: float | None = None
    calm: float | None = None

    @property
    def lowest(self) -> str:
        """The colour below every limit."""
        return CALM if self.calm is None else PAGE

    @property
    def limits(self) -> list[tuple[float, str]]:
        """Limits in order, each with the colour from there on."""
        known = ((self.ticket, TICKET), (self.page, PAGE), (self.calm, CALM))
        return sorted((value, colour) for value, colour in known if value is not None)


@dataclass(frozen=True, slots=True)
class Link:
    """To another board (or the same) at the same time range and choices, narrowed to what a row says in `columns`.

    Each column is named as the choice that it narrows. Where `board_column` is named, a row says there which board.
    """

    board: str
    columns: tuple[str, ...] = ()
    title: str = "Only this slice, same time range"
    board_column: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """How a column is shown. At most one of `steps`, `words`, `bar` and `is_marked` colours its cells.

    `words` gives words a colour, `bar` draws a share from 0 to 1 in its colour, `is_marked` colours whatever is said.
    """

    unit: str = ""
    decimals: int | None = None
    width: int | None = None
    steps: Steps | None = None
    words: Mapping[str, str] = field(default_factory=dict)
    bar: str = ""
    is_marked: bool = False
    link: Link | None = None
    is_hidden: bool = False


HIDDEN = Column(is_hidden=True)


@dataclass(frozen=True, slots=True)
class Chart:
    """A line per series of a `time_series`.

    Series named in `series` have colours of their own, every other one dashed; the rest run from blue to purple with
    their peak. Series whose name begins with a key of `limits` are limits: thin and dashed, in that colour.
    """

    query: Query
    title: str
    description: str
    unit: str
    place: Place
    axis: str = ""
    steps: Steps | None = None
    series: tuple[str, ...] = ()
    limits: Mapping[str, str] = field(default_factory=dict)
    low: float | None = None
    high: float | None = None
    link: Link | None = None


@dataclass(frozen=True, slots=True)
class HeatMap:
    """A row per series of a `time_series`, a cell per step, coloured by `steps` or from blue to purple up to `high`."""

    query: Query
    title: str
    description: str
    unit: str
    place: Place
    steps: Steps | None = None
    low: float = 0.0
    high: float | None = None
    decimals: int | None = None
    link: Link | None = None


@dataclass(frozen=True, slots=True)
class Bars:
    """A horizontal bar per row of a `table`, named by its column `label`; `parts` are its columns of numbers, with colours.

    Stacked, parts follow one another; one whose colour is `UNSEEN` only says where the next begins, as in a waterfall.
    """

    query: Query
    title: str
    description: str
    unit: str
    place: Place
    label: str
    parts: Mapping[str, str]
    axis: str = ""
    is_stacked: bool = True


@dataclass(frozen=True, slots=True)
class Grid:
    """A table; `columns` says how each of its columns is shown."""

    query: Query
    title: str
    description: str
    place: Place
    columns: Mapping[str, Column]


@dataclass(frozen=True, slots=True)
class Figures:
    """The columns of a single row, each as a large figure with its name."""

    query: Query
    title: str
    description: str
    place: Place
    columns: Mapping[str, Column]


Panel = Chart | HeatMap | Bars | Grid | Figures
