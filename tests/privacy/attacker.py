"""An attacker who sees every frame of every partition and window, and controls no session.

It knows the contract: partitions, the order in which dimensions give way, windows, and what joins what. It knows all of
its target but the measures: in which frame of which window its observation was counted, on which route, and its whole combination
of identifying dimensions. From the frames it writes one equation a row: the row's count is the sum over the classes of
observations that it covers, where two are of one class if no row tells them apart. A linear combination of rows that counts
every class once or not at all is the exact total of a group. Among all of these it takes the one with the fewest
observations that has the target in it and says more than dimensions that identify nobody would. That is an integer programme, so
no combination is overlooked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_matrix, hstack, identity

from producers.collector import Frame
from schemas.dimensions import DIMENSIONS, GENERALISED
from schemas.frame_rows import decode_rows
from schemas.rejections import Rejected
from tests.privacy.studies import Partitions, Study, View, identifying_of

Values = Mapping[str, str]
Class = tuple[object, ...]
Cell = tuple[View, int, int, tuple[str, ...]]
"""Of one view: the moment in which observations came, their window, and their values of the view's dimensions."""

UNSEEN = "?"
"""Stands for all values that no frame tells."""
HELD, NOTHING = "held", "nothing"


@dataclass(frozen=True, slots=True)
class Target:
    """Whom it is after. `moment` is how many heartbeats came before the plain frame that counts its observation."""

    moment: int
    window_start_ms: int
    values: Values


@dataclass(frozen=True, slots=True)
class Isolated:
    """A group of observations that is known exactly: how many they are, of how many the secret holds, and their classes."""

    count: int
    secrets: int
    classes: frozenset[Class]


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of one frame. `place` tells rows of one release or slot apart."""

    view: View
    moment: int
    window_start_ms: int
    place: int
    values: Values
    count: int
    secrets: int


class Attacker:
    """What all frames say about one pool of one producer, as equations over classes of observations."""

    def __init__(
        self,
        frames: Sequence[Frame],
        study: Study,
        pool: str,
        counted_in: Mapping[Cell, Class | str],
        holds_cells: bool = False,
    ) -> None:
        """The study says what the contract does: the dimensions of each view of the same observations.

        Whoever knows that a gate holds whole pools only knows of what it does not tell that it is not there; of one that
        `holds_cells`, that it may come later. Where more than one row fits a cell, for it may have been taken along, it
        guesses right: `counted_in` is where the cells are that there are. Which those are it does not know.
        """
        self._holds_cells = holds_cells
        self._counted_in = counted_in
        self._study, self._dimensions = study, study.partitions
        self._k_window_ms = {_view(frame): frame.header.partition.k_window_s * 1_000 for frame in frames}
        self._rows = [row for row in self._read(frames) if row.values["pool"] == pool]
        self._plain = [row for row in self._rows if row.view == study.plain]
        self._views = [view for view, dimensions in self._dimensions.items() if identifying_of(dimensions)]

    def isolate(self, target: Target) -> Isolated | None:
        """The smallest group with the target in it that the frames give away; None where there is none at all."""
        classes = sorted(self._classes(target.values), key=repr)
        mine = self.class_of(target)
        if mine not in classes:
            return None
        equations = {
            row: place for place, row in enumerate(dict.fromkeys(row for each in classes for row in _rows_of(each)))
        }
        cells = [(place, equations[row]) for place, each in enumerate(classes) for row in _rows_of(each)]
        covers = csr_matrix(
            (np.ones(len(cells)), tuple(zip(*cells, strict=True))), shape=(len(classes), len(equations))
        )
        by_id: dict[Class, _Row] = {(row.view, row.moment, row.window_start_ms, row.place): row for row in self._rows}
        counts = np.array([by_id[row].count for row in equations], dtype=np.float64)
        secrets = np.array([by_id[row].secrets for row in equations], dtype=np.float64)
        found = _smallest(covers, counts, classes.index(mine), _like(classes, mine))
        if found is None:
            return None
        weights, is_in = found
        count, known = round(float(weights @ counts)), round(float(weights @ secrets))
        if not 0 <= known <= count:
            return None  # The gate is not the one that it believed in.
        return Isolated(count, known, frozenset(each for each, chosen in zip(classes, is_in, strict=True) if chosen))

    def class_of(self, target: Target) -> Class:
        """The class of an observation with these values; whoever judges the attack asks this of every one."""
        for row in self._plain:
            if _is_slot(row, target) and _covers(row.values, target.values):
                return (_id(row), *(self._covering(view, row, target.values) for view in self._views))
        raise AssertionError("no operational frame counts the target")

    def _classes(self, known: Values) -> set[Class]:
        """Every class that an observation may be of, whether or not there is one."""
        names = {view: identifying_of(self._dimensions[view]) for view in self._views}
        grid = self._conceivable([name for of in names.values() for name in of], known)
        classes: set[Class] = set()
        for row in self._plain:
            by_view = []
            for view in self._views:
                parts = [tuple(values[name] for name in names[view]) for values in grid]
                covering = {
                    part: self._covering(view, row, dict(zip(names[view], part, strict=True))) for part in set(parts)
                }
                by_view.append([covering[part] for part in parts])
            classes |= {(_id(row), *each) for each in zip(*by_view, strict=True) if NOTHING not in each}
        return classes

    def _conceivable(self, names: Sequence[str], known: Values) -> list[Values]:
        """All combinations of values that some frame tells, or the target has, or no frame ever tells."""
        told = {name: {row.values.get(name, UNSEEN) for row in self._rows} for name in names}
        values = [sorted({*told[name], known[name], UNSEEN} - {GENERALISED}) for name in told]
        return [dict(zip(told, each, strict=True)) for each in product(*values)]

    def _covering(self, view: View, slot: _Row, values: Values) -> Class | str:
        """The row of a view that counts what the slot counts and has these values, if it is told and there is any."""
        values = {**slot.values, **values}
        own = tuple(values[name] for name in self._dimensions[view])
        if (where := self._counted_in.get((view, slot.moment, self._window_ms(view, slot), own))) is not None:
            return where
        for release in self._releases(view, slot):
            fitting = [row for row in release if _covers(row.values, values)]
            if fitting:
                return _id(min(fitting, key=lambda row: list(row.values.values()).count(GENERALISED)))
            if not self._holds_cells:
                return NOTHING
        return HELD

    def _releases(self, view: View, slot: _Row) -> Iterator[list[_Row]]:
        """What the view tells at each moment since the slot's: its own window first where that is told, then the newest."""
        shared = [name for name in self._dimensions[view] if not DIMENSIONS[name].is_identifying]
        later = [
            row
            for row in self._rows
            if row.view == view
            and row.moment >= slot.moment
            and all(row.values[name] == slot.values[name] for name in shared)
        ]
        own_ms = self._window_ms(view, slot)
        for moment in sorted({row.moment for row in later}):
            told = [row for row in later if row.moment == moment]
            windows = {row.window_start_ms for row in told}
            window_ms = own_ms if own_ms in windows else max(windows)
            yield [row for row in told if row.window_start_ms == window_ms]

    def _window_ms(self, view: View, slot: _Row) -> int:
        """The start of the view's window that the slot lies in."""
        width_ms = self._k_window_ms.get(view, 1)
        return slot.window_start_ms // width_ms * width_ms

    def _read(self, frames: Iterable[Frame]) -> Iterator[_Row]:
        for (view, moment, window_start_ms, place), row in decoded_rows(frames, self._dimensions):
            values = {name: row[name] for name in self._dimensions[view]}
            count, secrets = row[self._study.counts[view[0]]], row[self._study.secrets[view[0]]]
            yield _Row(view, moment, window_start_ms, place, values, count, secrets)


def decoded_rows(
    frames: Iterable[Frame], partitions: Partitions
) -> Iterator[tuple[tuple[View, int, int, int], dict[str, Any]]]:
    """Every row of these views: which one it is (view, moment, window, place), and what it says."""
    moment = 0
    for frame in frames:
        view = _view(frame)
        moment += view[0] == "heartbeats"
        if view not in partitions:
            continue
        decoded = decode_rows(frame.header, dict(frame.headers), frame.payload)
        assert not isinstance(decoded, Rejected), decoded
        for place, row in enumerate(pl.DataFrame(pl.from_arrow(decoded[0])).to_dicts()):
            yield (view, moment, frame.header.window_start_ms, place), row


def _view(frame: Frame) -> View:
    return frame.header.family.name, frame.header.partition.name


def _smallest(
    covers: csr_matrix, counts: NDArray[np.float64], mine: int, like: list[int]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]] | None:
    """Weights of rows whose combination counts each class once or not at all, `mine` once, and not all that are `like` it."""
    classes, rows = covers.shape
    balance = LinearConstraint(hstack([-covers, identity(classes)], format="csr"), 0, 0)
    some_only = np.zeros(rows + classes)
    some_only[[rows + place for place in like]] = 1
    low = np.concatenate([np.full(rows, -8.0), np.zeros(classes)])
    high = np.concatenate([np.full(rows, 8.0), np.ones(classes)])
    low[rows + mine] = 1
    solved = milp(
        np.concatenate([counts, np.zeros(classes)]),
        integrality=np.concatenate([np.zeros(rows), np.ones(classes)]),
        bounds=Bounds(low, high),
        constraints=[balance, LinearConstraint(some_only[None, :], -np.inf, len(like) - 1)],
    )
    return None if solved.x is None else (solved.x[:rows], solved.x[rows:] > 0.5)


def _covers(cell: Values, values: Values) -> bool:
    return all(values.get(name, value) == value or value == GENERALISED for name, value in cell.items())


def _id(row: _Row) -> Class:
    return row.view, row.moment, row.window_start_ms, row.place


def _is_slot(row: _Row, target: Target) -> bool:
    return (row.moment, row.window_start_ms) == (target.moment, target.window_start_ms)


def _rows_of(each: Class) -> list[Class]:
    return [row for row in each if isinstance(row, tuple)]


def _like(classes: list[Class], mine: Class) -> list[int]:
    """The classes that only identifying dimensions tell from the target's."""
    return [place for place, each in enumerate(classes) if each[0] == mine[0]]
