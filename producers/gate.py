"""The privacy gate: no cell with an identifying dimension leaves a producer unless enough sessions share it.

In a window, cells with fewer than k distinct sessions give up one identifying dimension at a time (`*`), in the
declared order. What gave one up within one parent, and is still below k together, takes the smallest of its siblings
with it: the cell of the same parent, whatever it still tells, that counts the fewest observations (of equal ones the
first by name). So a remainder is below k only where its parent as a whole is, and at the last step that is the whole
pool: it is held, and joins the next window. Whoever subtracts what was released from the pool's total gets nothing, or
the whole pool. The gate moves counts between cells; it never changes their sum.

Distinct sessions are counted over sets, not added: two small cells may be the same people.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from producers.cells import OBSERVATIONS, SESSIONS, identifying, pool_of
from schemas.arrays import Flags
from schemas.dimensions import GENERALISED
from schemas.families import K_SESSIONS_MIN, Family, PrivacyPartition

GIVEN_UP = "_given_up"

Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Gated:
    """What leaves (cells without their sessions), and what waits for more sessions: whole pools."""

    released: pl.DataFrame
    held: pl.DataFrame


def gate(cells: pl.DataFrame, family: Family, partition: PrivacyPartition, k: int = K_SESSIONS_MIN) -> Gated:
    """Releases what k sessions share, generalised as little as the order allows, and holds pools below k.

    The same cells give the same answer in any order.
    """
    told = judged(cells, family, partition, k)
    generalised = [
        pl.when(pl.col(GIVEN_UP) > place).then(pl.lit(GENERALISED)).otherwise(pl.col(name)).alias(name)
        for place, name in enumerate(identifying(partition))
    ]
    cell = [*partition.dimensions, *family.key_names]
    moved = told.filter(pl.col(GIVEN_UP).is_not_null()).with_columns(generalised)
    released = moved.group_by(cell).agg(pl.col(*family.measure_names, OBSERVATIONS).sum()).sort(cell)
    return Gated(released, told.filter(pl.col(GIVEN_UP).is_null()).drop(GIVEN_UP))


def judged(cells: pl.DataFrame, family: Family, partition: PrivacyPartition, k: int) -> pl.DataFrame:
    """The cells by name, each with how many of its identifying dimensions it gives up; null where it is held."""
    cells = cells.sort(*partition.dimensions, *family.key_names)
    steps, is_held = _steps(cells, pool_of(family, partition), identifying(partition), k)
    given_up = pl.when(~pl.Series(is_held)).then(pl.Series(steps)).alias(GIVEN_UP)
    return cells.with_columns(given_up)


def _steps(cells: pl.DataFrame, pool: tuple[str, ...], given_up: tuple[str, ...], k: int) -> tuple[Places, Flags]:
    """How many dimensions each cell gives up, and whether it is held."""
    parents = [_numbered(cells, (*pool, *given_up[step:])) for step in range(len(given_up) + 1)]
    steps = np.zeros(len(cells), dtype=np.int64)
    sessions = cells[SESSIONS].list.len().fill_null(0).to_numpy()
    is_small = (sessions > 0) & (sessions < k)  # What no session did is about nobody.
    for step, parent in enumerate(parents[1:], start=1):
        if not is_small.any():
            break
        steps[is_small] = step
        is_small &= ~np.isin(parent, _reaching(cells, parent, is_small, k))
        is_taken = _taken_along(cells, parent, _merged(parents, steps), is_small)
        steps[is_taken] = step
        is_small &= ~np.isin(parent, parent[is_taken])
    return steps, is_small


def _numbered(cells: pl.DataFrame, names: tuple[str, ...]) -> Places:
    """A number for each distinct combination of values of these columns."""
    if not names:
        return np.zeros(len(cells), dtype=np.int64)
    return cells.select(pl.struct(names).rank("dense").cast(pl.Int64)).to_series().to_numpy()


def _merged(parents: list[Places], steps: Places) -> Places:
    """A number for each cell as it stands after what was given up: cells that became one have the same."""
    return np.choose(steps, parents) + steps * (len(steps) + 1)


def _reaching(cells: pl.DataFrame, parent: Places, is_small: Flags, k: int) -> Places:
    """The parents within which small cells together have k sessions."""
    sessions = cells.select(SESSIONS, pl.Series("parent", parent)).filter(pl.Series(is_small)).explode(SESSIONS)
    counts = sessions.group_by("parent").agg(pl.col(SESSIONS).drop_nulls().n_unique())
    return counts.filter(pl.col(SESSIONS) >= k)["parent"].to_numpy()


def _taken_along(cells: pl.DataFrame, parent: Places, merged: Places, is_small: Flags) -> Flags:
    """The smallest sibling of each remainder that stays below k."""
    is_somebody = (cells[SESSIONS].list.len() > 0).fill_null(False).to_numpy()
    is_sibling: Flags = ~is_small & is_somebody & np.isin(parent, parent[is_small])
    siblings = (
        cells.select(OBSERVATIONS, pl.Series("parent", parent), pl.Series("merged", merged))
        .with_row_index("place")
        .filter(pl.Series(is_sibling))
        .group_by("parent", "merged")
        .agg(pl.col(OBSERVATIONS).sum(), pl.col("place").min())
        .sort(OBSERVATIONS, "place")
        .unique("parent", keep="first", maintain_order=True)
    )
    is_taken: Flags = is_sibling & np.isin(merged, siblings["merged"].to_numpy())
    return is_taken
