"""Which changes of the contract are compatible, and what it says, as JSON that can be compared with what it said before.

Compatible is what both sides survive, whichever is deployed first: a family, a measure with its `since_minor`, a value at the
end of a vocabulary (workers first, says docs/contract.md). Everything else needs a new major version, and an upgrade of
frames of the former one (`schemas/upgrades.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from schemas.declarations import Family, Key, Measure
from schemas.dimensions import DIMENSIONS, Dimension

Described = dict[str, Any]


def described(version: tuple[int, int], families: Iterable[Family]) -> Described:
    """What a version of the contract says of frames: enough to read one, and to tell a compatible change from another."""
    declared = list(families)
    names = dict.fromkeys(name for family in declared for name in family.dimensions)
    return {
        "version": list(version),
        "dimensions": {name: _dimension(DIMENSIONS[name]) for name in names},
        "families": {family.name: _family(family) for family in declared},
    }


def incompatible(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """A sentence for each change that a producer or worker of the version before would not survive."""
    return [
        *(problem for name in before["dimensions"] for problem in _changed_dimension(name, before, now)),
        *(problem for name in before["families"] for problem in _changed_family(name, before, now)),
        *_unsaid_since(before, now),
    ]


def _dimension(dimension: Dimension) -> Described:
    return {
        "vocabulary": list(dimension.vocabulary),
        "pattern": dimension.pattern,
        "is_identifying": dimension.is_identifying,
    }


def _family(family: Family) -> Described:
    return {
        "since_minor": family.since_minor,
        "partitions": {
            each.name: {"dimensions": list(each.dimensions), "k_window_s": each.k_window_s}
            for each in family.partitions
        },
        "keys": {key.name: _key(key) for key in family.keys},
        "measures": {measure.name: _measure(measure) for measure in family.measures},
    }


def _key(key: Key) -> Described:
    return {
        "vocabulary": list(key.vocabulary),
        "first_values": key.first_values or len(key.vocabulary),
        "integer_range": list(key.integer_range),
        "marker": key.marker,
    }


def _measure(measure: Measure) -> Described:
    return {
        "unit": measure.unit,
        "merge": measure.merge,
        "part_of": measure.part_of,
        "since_minor": measure.since_minor,
    }


def _changed_dimension(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    was, what = before["dimensions"][name], f"Dimension {name}"
    became = now["dimensions"].get(name)
    if became is None:
        yield f"{what} is gone."
        return
    if gone := [value for value in was["vocabulary"] if value not in became["vocabulary"]]:
        yield f"{what} no longer allows {', '.join(gone)}."
    for field in ("pattern", "is_identifying"):
        if was[field] != became[field]:
            yield f"{what} has another {field} than before."


def _changed_family(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    was, what = before["families"][name], f"family {name}"
    became = now["families"].get(name)
    if became is None:
        yield f"Family {name} is gone."
        return
    if _carried(was) != _carried(became):
        yield f"The columns of {what} are cut by other dimensions: frames of before lack them, or have too many."
    for partition, of_before in was["partitions"].items():
        if became["partitions"].get(partition) != of_before:
            yield f"Partition {partition} of {what} is gone, or has other dimensions or another window."
    for partition in [name for name in became["partitions"] if name not in was["partitions"]]:
        yield f"Partition {partition} of {what} is new: a worker of before refuses its frames; give it a family of its own."
    if list(was["keys"]) != list(became["keys"]):
        yield f"Rows of {what} are told apart by other keys."
    for key in was["keys"].keys() & became["keys"].keys():
        yield from _changed_key(f"Key {key} of {what}", was["keys"][key], became["keys"][key])
    for measure, of_before in was["measures"].items():
        yield from _changed_measure(f"Measure {measure} of {what}", of_before, became["measures"].get(measure))


def _carried(family: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(name for each in family["partitions"].values() for name in each["dimensions"]))


def _changed_key(what: str, was: Mapping[str, Any], became: Mapping[str, Any]) -> Iterator[str]:
    known = len(was["vocabulary"])
    if became["vocabulary"][:known] != was["vocabulary"]:
        yield f"{what} has lost values, or has new ones elsewhere than at the end of its vocabulary."
    if became["first_values"] != was["first_values"]:
        yield f"{what} lays out stored state by {became['first_values']} values instead of {was['first_values']}: set `first_values`."
    (low, high), (least, most) = was["integer_range"], became["integer_range"]
    if least > low or most < high or was["marker"] != became["marker"]:
        yield f"{what} no longer allows all numbers that it did."


def _changed_measure(what: str, was: Mapping[str, Any], became: Mapping[str, Any] | None) -> Iterator[str]:
    if became is None:
        yield f"{what} is gone."
        return
    for field in ("unit", "merge", "part_of", "since_minor"):
        if was[field] != became[field]:
            yield f"{what} has another {field}: {became[field]} instead of {was[field]}."


def _unsaid_since(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Additions that claim to have been there all along: a frame of before would be refused for the lack of them."""
    minor = before["version"][1]
    for name, family in now["families"].items():
        known = before["families"].get(name)
        if known is None and family["since_minor"] <= minor:
            yield f"Family {name} is new, and says it is of version {minor} or before: set its `since_minor`."
        for measure, said in family["measures"].items() if known else ():
            if measure not in known["measures"] and said["since_minor"] <= minor:
                yield f"Measure {measure} of family {name} is new, and says it is of version {minor} or before: set its `since_minor`."
