"""What may not be said in the contract: things that nobody answers for, that have expired, that would let people be told apart,
and names on a board that nobody declared. Today is given, not read."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import combinations
from typing import Any

import yaml

from schemas.declarations import IDENTIFYING_MAX, Family, Purpose
from schemas.dimensions import DIMENSIONS, SLUG, Dimension
from schemas.families import ALL_INDICATORS, FAMILIES
from turnwatch.declared_names import undeclared, variables

K_WINDOW_MIN_S = 60
"""Least k-window of a privacy partition with an identifying dimension."""
_MEANS = "declare it in schemas/, or write what is meant"


def contract_problems(
    today: date,
    families: Iterable[Family] = tuple(FAMILIES.values()),
    dimensions: Mapping[str, Dimension] = DIMENSIONS,
) -> list[str]:
    """A sentence for everything that is wrong with what is declared."""
    declared = list(families)
    return [
        *(problem for family in declared for problem in _purposes(family, today)),
        *(problem for family in declared for problem in _partitions(family, dimensions)),
        *(problem for family in declared for problem in _cuts(family)),
        *(problem for family in declared for problem in _noise(family, dimensions)),
        *_identifying_twice(declared, dimensions),
        *_counted_twice(declared, dimensions),
        *_dimensions(dimensions.values()),
    ]


def board_problems(boards: Mapping[str, str]) -> list[str]:
    """A sentence for every name in the SQL of a board or alert rule that is no table, column or dimension, and no variable of it.

    `boards`: file to text, as they are rendered.
    """
    read = [(file, json.loads(text)) for file, text in boards.items() if file.endswith(".json")]
    read += [(file, yaml.safe_load(text)) for file, text in boards.items() if file.endswith("/alerting/rules.yaml")]
    return [f"{file}: {problem}" for file, board in read for problem in _of_board(board)]


def _purposes(family: Family, today: date) -> Iterator[str]:
    """One sentence for each purpose that does not hold, with all that is collected for it."""
    collected: defaultdict[Purpose, list[str]] = defaultdict(list)
    for measure in family.measures:
        collected[family.purpose_of(measure)].append(measure.name)
    for purpose, measures in collected.items():
        names = f"family {family.name}, {', '.join(measures)}"
        if not re.fullmatch(SLUG, purpose.owner):
            yield f"Nobody answers for {names}: name an owner (a team, as a slug) in schemas/families/purposes.py."
        if not purpose.why.strip():
            yield f"Nobody says why there is {names}: write it in schemas/families/purposes.py."
        if purpose.expires < today:
            yield (
                f"Since {purpose.expires} there is no reason to collect {names}: {purpose.owner} says in "
                "schemas/families/purposes.py why it is still needed and until when, or the measures go."
            )


def _partitions(family: Family, dimensions: Mapping[str, Dimension]) -> Iterator[str]:
    for partition in family.partitions:
        where = f"Partition {partition.name} of family {family.name}"
        unknown = [name for name in partition.dimensions if name not in dimensions]
        identifying = [name for name in partition.dimensions if name not in unknown and dimensions[name].is_identifying]
        if unknown:
            yield f"{where} names {', '.join(unknown)}, which no dimension is: {_MEANS}."
        if len(identifying) > IDENTIFYING_MAX:
            yield (
                f"{where} has {len(identifying)} identifying dimensions ({', '.join(identifying)}), above {IDENTIFYING_MAX}: "
                "together they tell people apart; put some into a partition of their own."
            )
        if identifying and partition.k_window_s < K_WINDOW_MIN_S:
            yield (
                f"{where} has identifying dimensions in windows of {partition.k_window_s} s, below {K_WINDOW_MIN_S}: "
                "so few sessions end in one that all of them would be withheld; widen it."
            )


def _cuts(family: Family) -> Iterator[str]:
    partitions = {partition.name: set(partition.dimensions) for partition in family.partitions}
    for cut in family.cuts:
        missing = set(cut.dimensions) - partitions.get(cut.partition, set())
        if cut.partition not in partitions:
            yield f"Cut {cut.name} of family {family.name} is of partition {cut.partition}, which it does not have: {_MEANS}."
        elif missing:
            yield (
                f"Cut {cut.name} of family {family.name} groups by {', '.join(sorted(missing))}, which partition "
                f"{cut.partition} does not carry: add it there, or leave it out."
            )


def _noise(family: Family, dimensions: Mapping[str, Dimension]) -> Iterator[str]:
    """Noise where it protects nobody, where objectives are judged, or where an exact part could exceed a whole with noise."""
    names = {name for name in family.dimensions if name in dimensions}
    judged = {measure.name for indicator in ALL_INDICATORS for measure in indicator.measures}
    exact = {measure.part_of: measure.name for measure in family.measures if measure.noise is None}
    for measure in family.measures:
        where = f"Measure {measure.name} of family {family.name} declares noise"
        if measure.noise is None:
            continue
        if not any(dimensions[name].is_identifying for name in names):
            yield f"{where}, and no partition of it identifies anybody: leave it out."
        if measure.merge == "gauge":
            yield f"{where}, and is a gauge: there is no bound on what one session contributes; leave it out."
        if measure.name in judged:
            yield f"{where}, and an objective is judged by it: it has to be exact."
        if measure.name in exact:
            yield f"{where}, and {exact[measure.name]} is a part of it that has none: the part could exceed it."


def _identifying_twice(families: Iterable[Family], dimensions: Mapping[str, Dimension]) -> Iterator[str]:
    """Two partitions of the same observations that share an identifying dimension can be subtracted from each other.

    Over windows of another length a partition is another one, whatever it is called.
    """
    found: defaultdict[tuple[str, str], set[tuple[str, frozenset[str], int]]] = defaultdict(set)
    for family in families:
        for partition in family.partitions:
            for name in partition.dimensions:
                if name in dimensions and dimensions[name].is_identifying:
                    found[family.kind, name].add(
                        (partition.name, frozenset(partition.dimensions), partition.k_window_s)
                    )
    for (kind, name), partitions in found.items():
        if len(partitions) > 1:
            told = sorted((partition, window_s) for partition, _, window_s in partitions)
            named = ", ".join(f"{partition} of {window_s} s" for partition, window_s in told)
            yield (
                f"Dimension {name} identifies, and stands in several partitions of {kind} ({named}): what one withholds the "
                "difference to another could tell; leave it in one."
            )


def _counted_twice(families: Sequence[Family], dimensions: Mapping[str, Dimension]) -> Iterator[str]:
    """A measure that two families count of the same people, each behind a gate of its own, can be subtracted, too."""
    for one, other in combinations(families, 2):
        shared = {name for name in set(one.dimensions) & set(other.dimensions) if name in dimensions}
        identifying = sorted(name for name in shared if dimensions[name].is_identifying)
        twice = sorted(set(one.measure_names) & set(other.measure_names))
        if identifying and twice and one.kind != other.kind:
            yield (
                f"Families {one.name} and {other.name} both count {', '.join(twice)} by {', '.join(identifying)}: what one "
                "withholds the difference to the other could tell; count it in one of them."
            )


def _dimensions(dimensions: Iterable[Dimension]) -> Iterator[str]:
    places: defaultdict[int, list[str]] = defaultdict(list)
    for dimension in dimensions:
        if dimension.generalise_order is not None:
            places[dimension.generalise_order].append(dimension.name)
        if not (dimension.vocabulary or dimension.pattern):
            yield f"Dimension {dimension.name} has neither vocabulary nor pattern: say what its values may be."
    for place, names in places.items():
        if len(names) > 1:
            yield f"Dimensions {', '.join(names)} give way in the same place, {place}: put them in an order."


def _of_board(board: dict[str, Any]) -> Iterator[str]:
    offered = {variable["name"] for variable in board.get("templating", {}).get("list", [])}
    for title, sql in _queries(board):
        for name in undeclared(sql):
            yield f"The query of {title} names {name}, which is declared nowhere: {_MEANS}."
        for name in variables(sql):
            if name not in offered:
                yield f"The query of {title} names variable {name}, which the board does not offer: add it, or leave it out."


def _queries(part: Any, title: str = "the board") -> Iterator[tuple[str, str]]:
    """(whose, SQL) of every panel and variable."""
    if isinstance(part, list):
        for each in part:
            yield from _queries(each, title)
    elif isinstance(part, dict):
        name = part.get("title") or part.get("name")
        title = f"`{name}`" if isinstance(name, str) else title
        for key, value in part.items():
            if key in ("rawSql", "query") and isinstance(value, str) and "SELECT" in value:
                yield title, value
            else:
                yield from _queries(value, title)
