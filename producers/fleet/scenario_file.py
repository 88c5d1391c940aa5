"""Scenario files: a fleet, what happens to it and when, each with a sentence; the truth is what the file says.

A file names what it changes of `fleet.yaml` and lists events. An event has an effect (`does`), a slice (`where`, empty for
everywhere) and minutes from the scenario's start. Effects of several events on one turn multiply.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from producers.fleet.effects import Effect
from producers.fleet.fleet_file import Fleet, Pool, Said, Share, Shares, Slug
from schemas.failures import BadInput
from schemas.model_mistakes import mistakes

FOLDER = Path(__file__).with_name("scenarios")
FLEET = Path(__file__).with_name("fleet.yaml")
FILE_BYTES_MAX = 1_000_000

AUDIENCE = (
    "tenant",
    "language",
    "accent",
    "noise_class",
    "device_class",
    "connection",
    "codec",
    "client_version",
    "voice",
)
"""What a caller is and has."""
WHERE = ("region", "pool", "route", "bundle", *AUDIENCE)
"""What an event's slice may be cut by."""


class Event(Said):
    """Something that happens to a slice of the fleet. `to_min` absent: to the end."""

    what: str = Field(min_length=10, max_length=300)
    from_min: float = Field(ge=0, le=60 * 24 * 40)
    to_min: float | None = None
    where: dict[str, list[str]] = Field(default_factory=dict)
    does: Effect

    @model_validator(mode="after")
    def _is_possible(self) -> Event:
        if self.to_min is not None and self.to_min <= self.from_min:
            raise ValueError("to_min has to be after from_min")
        unknown = [name for name in self.where if name not in WHERE]
        if unknown:
            raise ValueError(f"where: {', '.join(unknown)} is none of {', '.join(WHERE)}")
        allowed = _NARROWED_BY.get(self.does.kind)
        refused = [name for name in self.where if allowed is not None and name not in allowed]
        if refused:
            raise ValueError(f"where: {self.does.kind} can only be narrowed by {', '.join(allowed or ())}")
        return self


_NARROWED_BY: dict[str, tuple[str, ...]] = {
    "calls": ("region", "pool"),
    "servers": ("region", "pool", "bundle"),
    "batch_work": ("region",),
    "synthetic_voice": ("region", "tenant"),
}
"""Effects on what has fewer dimensions than a turn."""


class Deployment(Said):
    """From then on a share of new calls is served by this bundle, and the others as before."""

    bundle: Slug
    pool: Pool = "realtime"
    from_min: float = Field(ge=0)
    share: Share


class Cost(Said):
    """What the bill does: the measure that changes, by how much, and the event that drives it."""

    measure: Literal["cost_per_success", "cost"]
    change: float
    driver: str


class ScenarioFile(Said):
    """A scenario as its file says it, with the fleet that results."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,62}$")]
    sentence: str = Field(min_length=10, max_length=300)
    minutes: float = Field(ge=1, le=60 * 24 * 40)
    fleet: Fleet
    events: tuple[Event, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    cost: Cost | None = None

    @model_validator(mode="after")
    def _slices_exist(self) -> ScenarioFile:
        known: dict[str, set[str]] = {
            "region": set(self.fleet.regions),
            "pool": set(self.fleet.pools),
            "route": {route for pool in self.fleet.pools.values() for route in pool.routes},
            "bundle": self.bundles,
            "language": set(self.fleet.languages),
            "noise_class": set(self.fleet.noise_classes),
            "device_class": set(self.fleet.devices),
            "connection": _inner(self.fleet.connections),
            "codec": _inner(self.fleet.codecs),
            "voice": set(self.fleet.voices),
        }
        for event in self.events:
            for name, values in event.where.items():
                missing = [value for value in values if name in known and value not in known[name]]
                if missing:
                    raise ValueError(f"where: the fleet has no {name} {', '.join(missing)}")
        return self

    @model_validator(mode="after")
    def _bundles_have_one_pool(self) -> ScenarioFile:
        pools: dict[str, set[str]] = {}
        said = [(pool, bundle) for pool, shares in self.fleet.bundles.items() for bundle in shares]
        for pool, bundle in (*said, *((each.pool, each.bundle) for each in self.deployments)):
            pools.setdefault(bundle, set()).add(pool)
        both = sorted(bundle for bundle, found in pools.items() if len(found) > 1)
        if both:
            raise ValueError(f"bundles: {', '.join(both)} serves two pools; give each pool bundles of its own")
        return self

    @property
    def bundles(self) -> set[str]:
        return _inner(self.fleet.bundles) | {each.bundle for each in self.deployments}


def _inner(shares: Mapping[Any, Shares]) -> set[str]:
    return {name for inner in shares.values() for name in inner}


def names() -> tuple[str, ...]:
    """The scenarios that are shipped as files."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def load_scenario(name_or_path: str) -> ScenarioFile:
    """The shipped scenario of that name, or the file at that path. Raises BadInput."""
    path = FOLDER / f"{name_or_path}.yaml" if name_or_path in names() else Path(name_or_path)
    return _loaded(path)


@cache
def _loaded(path: Path) -> ScenarioFile:
    said = _document(path)
    changes = said.pop("fleet", None) or {}
    if not isinstance(changes, dict):
        raise BadInput(f"{path}: `fleet` has to say what it changes of the fleet, field by field.")
    try:
        fleet = Fleet(**merged(_document(FLEET), changes))
    except ValidationError as error:
        raise BadInput(f"{path}: {mistakes(error, 'fleet')}") from None
    try:
        return ScenarioFile(**{str(name): value for name, value in said.items()}, fleet=fleet)
    except ValidationError as error:
        raise BadInput(f"{path}: {mistakes(error)}") from None


def _document(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise BadInput(f"{path}: a scenario file has at most {FILE_BYTES_MAX:,} bytes.")
        said = yaml.safe_load(path.read_text())
    except OSError as error:
        raise BadInput(f"{path}: the scenario file could not be read ({error.strerror}).") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise BadInput(f"{path}: the scenario file is no YAML.") from None
    if not isinstance(said, dict):
        raise BadInput(f"{path}: a scenario file is a mapping of fields.")
    return said


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The base with what the changes say, mapping by mapping; a value of null takes a name away."""
    out = dict(base)
    for name, value in changes.items():
        if isinstance(value, Mapping) and isinstance(out.get(name), Mapping):
            out[name] = merged(out[name], value)
        elif value is None:
            out.pop(name, None)
        else:
            out[name] = value
    return out
