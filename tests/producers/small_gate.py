"""The gate's rule, cell by cell and with whole sets: the oracle of the one in columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

STAR = "*"
Cell = tuple[str, str, str]
"""Pool, language, device class; the language gives way first."""


@dataclass(slots=True)
class Leaf:
    """A cell as counted, or several that became one; `first` is the first of their names."""

    first: Cell
    turns: int
    sessions: set[int]

    def with_(self, other: Leaf) -> Leaf:
        return Leaf(min(self.first, other.first), self.turns + other.turns, self.sessions | other.sessions)


def small_gate(leaves: dict[Cell, Leaf], k: int) -> dict[Cell, int]:
    """Turns of each released cell."""
    cells = dict(leaves)
    for place in (1, 2):
        starred = {(pool, one, two): (pool, STAR, two if place == 1 else STAR) for pool, one, two in cells}
        for parent in sorted(set(starred.values())):
            children = [cell for cell in cells if starred.get(cell) == parent]
            cells = _stepped(cells, children, parent, k)
    return {cell: leaf.turns for cell, leaf in cells.items() if len(leaf.sessions) >= k}


def _stepped(cells: dict[Cell, Leaf], children: list[Cell], parent: Cell, k: int) -> dict[Cell, Leaf]:
    giving = [cell for cell in children if len(cells[cell].sessions) < k]
    if not giving:
        return cells
    together = reduce(Leaf.with_, (cells[cell] for cell in giving))
    siblings = [cell for cell in children if cell not in giving]
    if len(together.sessions) < k and siblings:
        smallest = min(siblings, key=lambda cell: (cells[cell].turns, cells[cell].first))
        giving.append(smallest)
        together = together.with_(cells[smallest])
    kept = {cell: leaf for cell, leaf in cells.items() if cell not in giving}
    return {**kept, parent: together}
