"""Gates and contracts that are broken on purpose, so that it shows whether the attack would find it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from producers import cells, gate
from producers.kinds import KINDS
from schemas.arrays import Flags
from schemas.families import CLIENT, OUTCOMES

Places = NDArray[np.int64]


def without_siblings(patch: pytest.MonkeyPatch) -> None:
    """A remainder below k gives everything up and is held, alone."""
    patch.setattr(gate, "_taken_along", lambda cells, parent, merged, is_small: np.zeros(len(parent), dtype=np.bool_))


def without_siblings_at_the_root(patch: pytest.MonkeyPatch) -> None:
    """Siblings go along at every step but the last: cells are held, not pools."""
    honest = gate._taken_along

    def taken(of: pl.DataFrame, parent: Places, merged: Places, is_small: Flags) -> Flags:
        is_last = len(set(parent.tolist())) == of["pool"].n_unique()
        return np.zeros(len(parent), dtype=np.bool_) if is_last else honest(of, parent, merged, is_small)

    patch.setattr(gate, "_taken_along", taken)


def counting_turns(patch: pytest.MonkeyPatch) -> None:
    """Who takes k turns is taken for k people."""
    honest = cells.cells_of

    def counted(observations: pl.DataFrame, *others: object) -> pl.DataFrame:
        numbered = observations.with_columns(session=pl.int_range(pl.len(), dtype=pl.UInt64))
        return honest(numbered, *others)  # type: ignore[arg-type]  # The others are handed on as they are.

    patch.setattr("producers.collector.cells_of", counted)


def with_a_dimension_in_two_partitions(patch: pytest.MonkeyPatch) -> None:
    """The language stands in the client's partition as well as in the audience's."""
    client = replace(CLIENT, dimensions=("pool", "language", "client_version", "connection"))
    partitions = tuple(client if each is CLIENT else each for each in OUTCOMES.partitions)
    kind = KINDS["turns"]
    families = tuple(replace(each, partitions=partitions) if each is OUTCOMES else each for each in kind.families)
    patch.setitem(KINDS, "turns", replace(kind, families=families))
