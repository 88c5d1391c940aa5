"""Beginning a collector: a new one, or one that goes on where the state of its folder ends."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from xxhash import xxh3_64_hexdigest

from producers.collecting.packing import parts_of_state
from producers.collector import Collector
from producers.kinds import KINDS
from producers.observation_batches import OfNewerVersion
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


_IDENTITY = ("producer", "region", "incarnation", "opens_at_ms", "content_type")
_FORMERLY = "k"
"""Earlier versions wrote their k. It is the running version's that holds: sets of sessions that end at another are too small at most."""


class OtherState(BadInput):
    """The folder holds the state of another collector, or of another version. The message is a sentence for the user."""


def new_collector(producer: str, region: str, now_ms: int) -> Collector:
    return Collector(producer, region, now_ms, now_ms, observations_max=_UNBOUNDED)


def collector_of(state: Mapping[str, Any]) -> Collector:
    """A collector that goes on where the state ends; raises `OfNewerVersion`."""
    identity = {name: value for name, value in state["identity"].items() if name != _FORMERLY}
    if identity.keys() - set(_IDENTITY):
        raise OfNewerVersion("A state says something of its collector that only a newer version knows.")
    collector = Collector(**identity, observations_max=_UNBOUNDED)
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
    return {name: getattr(collector, name) for name in _IDENTITY}


@contextmanager
def understood(folder: Path) -> Iterator[None]:
    """Reads what a folder holds; raises `OtherState` where a newer version has written more than this one knows."""
    try:
        yield
    except OfNewerVersion as error:
        raise OtherState(
            f"{folder}: a newer version has written here, and says what this one cannot read. Nothing was changed: start that "
            "version again; to go back, let it end the folder with `turnwatch collector --finish`, then move it away."
        ) from error


@cache
def _layout() -> str:
    """Tells states apart whose tables have other columns, or whose windows are of other partitions."""
    families = {
        name: ([astuple(partition) for partition in each.partitions], each.key_names, each.measure_names)
        for name, each in FAMILIES.items()
    }
    kinds = {name: {column: str(dtype) for column, dtype in kind.columns.items()} for name, kind in KINDS.items()}
    return xxh3_64_hexdigest(json.dumps([families, kinds, parts_of_state()]).encode())
