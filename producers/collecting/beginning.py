"""Beginning a collector: a new one, or one that goes on where the state of its folder ends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from functools import cache
from typing import Any

from xxhash import xxh3_64_hexdigest

from producers.collecting.packing import parts_of_state
from producers.collector import Collector
from producers.kinds import KINDS
from schemas.failures import BadInput
from schemas.families import FAMILIES

FORMAT = 1
_UNBOUNDED = 1 << 62
"""Our own limit holds before a batch is taken: what was taken is never dropped."""


@dataclass(frozen=True, slots=True)
class SetBy:
    """What the user calls each setting, in sentences: an option where one was given, else its variable."""

    name: str
    region: str
    port: str
    folder: str


SETTINGS = SetBy(*(f"TURNWATCH_COLLECTOR__{each}" for each in ("NAME", "REGION", "PORT", "FOLDER")))


class OtherState(BadInput):
    """The folder holds the state of another collector, or of another version. The message is a sentence for the user."""


def new_collector(producer: str, region: str, now_ms: int) -> Collector:
    return Collector(producer, region, now_ms, now_ms, observations_max=_UNBOUNDED)


def collector_of(state: Mapping[str, Any]) -> Collector:
    """A collector that goes on where the state ends."""
    collector = Collector(**state["identity"], observations_max=_UNBOUNDED)
    collector.restore(state["collector"])
    return collector


def head_of(collector: Collector) -> dict[str, object]:
    """What tells whose state it is, and whether this version can read it."""
    return {"format": FORMAT, "layout": _layout(), "producer": collector.producer, "region": collector.region}


def require_ours(head: Mapping[str, Any], producer: str, region: str, set_by: SetBy) -> None:
    """Raises `OtherState` where a state is another collector's, or another version's."""
    if (head["producer"], head["region"]) != (producer, region):
        raise OtherState(
            f"The collector's folder is that of {head['producer']} in {head['region']}: give it that name and "
            f"region ({set_by.name}, {set_by.region}), or another folder."
        )
    if head["format"] != FORMAT or head["layout"] != _layout():
        raise OtherState(
            "The collector's folder was written by a version with other columns: let that version end it with "
            "`turnwatch collector --finish`, then move the folder away and start this one."
        )


def identity_of(collector: Collector) -> dict[str, object]:
    """What a collector is made with."""
    names = ("producer", "region", "incarnation", "opens_at_ms", "content_type", "k")
    return {name: getattr(collector, name) for name in names}


@cache
def _layout() -> str:
    """Tells states apart whose tables have other columns, or whose windows are of other partitions."""
    families = {
        name: ([astuple(partition) for partition in each.partitions], each.key_names, each.measure_names)
        for name, each in FAMILIES.items()
    }
    kinds = {name: {column: str(dtype) for column, dtype in kind.columns.items()} for name, kind in KINDS.items()}
    return xxh3_64_hexdigest(json.dumps([families, kinds, parts_of_state()]).encode())
