"""What a view is, for the migration that makes it, the dictionary that explains it and the export that reads it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shown:
    """A column of a view. `unit` is empty of names, instants and words."""

    name: str
    meaning: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """A stored SELECT under a name that stays. `time` is the column that a range of time restricts, UTC; empty where none does."""

    name: str
    question: str
    select: str
    columns: tuple[Shown, ...]
    time: str = "bucket_start"

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)
