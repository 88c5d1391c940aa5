"""The state of a collector as JSON and tables, and back, whatever it is made of.

Plain values, lists, tuples, dicts, counters, dataclasses of the collector's module and tables may stand in it, in each
other at will. A table is a value that never changes, so one that was written before is only referred to: what waits for
the end of its minute is written once, and not with every window.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import polars as pl

from producers import collector

Place = tuple[int, int]
"""Where a table stands: the number of its file, and its place in it."""


@dataclass(slots=True)
class Tables:
    """Tables that are on disk, by identity, and those that have to be written to file `number`."""

    number: int
    known: dict[int, tuple[pl.DataFrame, Place]] = field(default_factory=dict)
    used: dict[int, tuple[pl.DataFrame, Place]] = field(default_factory=dict)
    new: list[pl.DataFrame] = field(default_factory=list)

    def place(self, table: pl.DataFrame) -> Place:
        found = self.used.get(id(table)) or self.known.get(id(table))
        if found is None:
            found = table, (self.number, len(self.new))
            self.new.append(table)
        self.used[id(table)] = found  # The table is kept alive with it, so that nothing else can take its identity.
        return found[1]


def pack(value: object, tables: Tables) -> Any:
    """What JSON can hold, with a place for each table. A type that is not known is a defect: `TypeError`."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, pl.DataFrame):
        return {"table": list(tables.place(value))}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [pack(each, tables) for each in value]}
    if isinstance(value, Counter | dict):
        kind = "counter" if isinstance(value, Counter) else "dict"
        return {kind: [[pack(key, tables), pack(each, tables)] for key, each in value.items()]}
    if is_dataclass(value) and not isinstance(value, type) and hasattr(collector, type(value).__name__):
        return {
            "of": type(value).__name__,
            "fields": pack({each.name: getattr(value, each.name) for each in fields(value)}, tables),
        }
    raise TypeError(f"{type(value).__name__} has no place in the state of a collector.")


def unpack(packed: Any, table_at: Callable[[Place], pl.DataFrame]) -> Any:
    """The value again; tables are looked up by their places."""
    if not isinstance(packed, Mapping):
        return packed
    if "table" in packed:
        number, place = packed["table"]
        return table_at((number, place))
    if "of" in packed:
        return _made(getattr(collector, packed["of"]), unpack(packed["fields"], table_at))
    ((kind, inner),) = packed.items()
    if kind in ("list", "tuple"):
        values = [unpack(each, table_at) for each in inner]
        return values if kind == "list" else tuple(values)
    pairs = {unpack(key, table_at): unpack(each, table_at) for key, each in inner}
    return Counter(pairs) if kind == "counter" else pairs


def parts_of_state() -> dict[str, list[str]]:
    """The fields of every dataclass that may stand in a state: another version's may differ."""
    return {name: [each.name for each in fields(kind)] for name, kind in vars(collector).items() if is_dataclass(kind)}


def _made(kind: type, values: Mapping[str, object]) -> object:
    """The dataclass with exactly these values, whichever of them it would set by itself."""
    made: object = object.__new__(kind)
    for name, value in values.items():
        object.__setattr__(made, name, value)
    return made


def table_bytes(table: pl.DataFrame) -> bytes:
    sink = io.BytesIO()
    table.write_ipc_stream(sink, compression="lz4")
    return sink.getvalue()


def table_of(data: bytes) -> pl.DataFrame:
    return pl.read_ipc_stream(data, use_pyarrow=False)
