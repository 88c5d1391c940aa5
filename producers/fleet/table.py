"""Turns in columns: each with its call as it was, and values by name. A stage that did not happen is NaN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from producers.fleet.calls import CALL, Calls_

Columns = dict[str, "NDArray[Any]"]
"""Numbers of any type, and claims."""


@dataclass(frozen=True, slots=True)
class Table:
    """As many calls as every column has values; a call stands there once for each of its turns."""

    calls: Calls_
    values: Columns

    def __len__(self) -> int:
        return len(self.calls)

    def joined_by(self, later: Table) -> Table:
        if not len(self):
            return later
        if not len(later):
            return self
        values = {name: np.concatenate([self.values[name], column]) for name, column in later.values.items()}
        return Table(np.concatenate([self.calls, later.calls]), values)

    def taken(self, places: NDArray[np.intp] | NDArray[np.bool_]) -> Table:
        """The turns at these places, or where this is true."""
        return Table(self.calls[places], {name: column[places] for name, column in self.values.items()})

    def part(self, mine: slice) -> Table:
        """A stretch, as a view: what is written to it is written here."""
        return Table(self.calls[mine], {name: column[mine] for name, column in self.values.items()})


def empty() -> Table:
    return Table(np.empty(0, CALL), {})
