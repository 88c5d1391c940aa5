"""Which exporters are scraped, and what each of them stands for: a YAML file, checked before anything is asked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from producers.scraping.mapping import Kind, Scraped, mapping_of
from schemas.dimensions import DIMENSIONS, SLUG
from schemas.failures import BadInput
from schemas.families import PARTS
from schemas.model_mistakes import mistakes

TARGETS_MAX = 2_000


class ConfigError(BadInput):
    """A configuration that cannot be meant; the message names the file, the place in it, and what belongs there."""


def _matching(pattern: str, what: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"it has to be {what}")
        return text

    return AfterValidator(check)


def _of(dimension: str) -> AfterValidator:
    declared = DIMENSIONS[dimension]
    return _matching(declared.full_pattern, f"a {dimension} of the contract: {declared.meaning}")


def _an_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.fragment:
        raise ValueError("it has to be http://host:port/path or https://…, without credentials")
    return url


def _a_queue(name: str) -> str:
    if name not in PARTS:
        raise ValueError(f"it has to be one of {', '.join(PARTS)}")
    return name


Slug = Annotated[str, _matching(SLUG, "lower-case letters, digits, '.', '_' and '-', 63 at most")]
Bundle = Annotated[str, _of("bundle")]
Queue = Annotated[str, AfterValidator(_a_queue)]


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Served(_Declared):
    """What one of an engine's models stands for."""

    bundle: Bundle
    queue: Queue | None = None


class Target(_Declared):
    """One exporter, and the dimensions of what it tells: they are said here, never read from it.

    `models` tells an engine's models apart, by the name that it shows; a model that is not named there is refused. Without
    it everything is of `bundle` and `queue`. `families` beyond queues (and costs, of GPUs) count what turns count: they are
    for engines whose turns no recorder reports. `batch_slots` is the engine's largest batch.
    """

    url: Annotated[str, AfterValidator(_an_address)]
    kind: Kind
    host: Slug
    region: Annotated[str, _of("region")] | None = None
    pool: Annotated[str, _of("pool")]
    bundle: Bundle | None = None
    queue: Queue | None = None
    models: dict[str, Served] = {}
    families: tuple[Scraped, ...] | None = None
    route: Annotated[str, _of("route")] | None = None
    model_version: Annotated[str, _of("model_version")] | None = None
    gpu_type: Annotated[str, _of("gpu_type")] | None = None
    purchase: Annotated[str, _of("purchase")] | None = None
    batch_slots: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    warm_streams: Annotated[int, Field(ge=0, le=1_000_000)] | None = None

    @property
    def taken(self) -> tuple[Scraped, ...]:
        """The families that it is asked for: its queues, and of GPUs without an engine their time, where nothing is said."""
        if self.families is not None:
            return self.families
        return ("queues",) if mapping_of(self.kind).is_serving or not self.gpu_type else ("queues", "costs")

    @model_validator(mode="after")
    def _says_what_it_is(self) -> Self:
        mapping = mapping_of(self.kind)
        if bool(self.models) == bool(self.bundle):
            raise ValueError("give either bundle, or models with a bundle each")
        if self.models and not mapping.model_label:
            raise ValueError(f"{mapping.title} does not tell models apart: give bundle instead of models")
        served = tuple(self.models.values()) or (Served(bundle=self.bundle or "", queue=self.queue),)
        if not (self.queue or mapping.queue or all(each.queue for each in served)):
            raise ValueError("give queue, the stage that is waited for there")
        self._require("route", {"stages", "turns", "costs"})
        for name in ("model_version", "gpu_type", "purchase"):
            self._require(name, {"costs"})
        return self

    def _require(self, name: str, families: set[str]) -> None:
        if families.intersection(self.taken) and getattr(self, name) is None:
            raise ValueError(f"give {name}: rows of {', '.join(sorted(families.intersection(self.taken)))} need it")

    def served(self, model: str | None) -> tuple[str, str] | None:
        """Bundle and queue of a model as the engine names it; none for one that nobody declared."""
        default = self.queue or mapping_of(self.kind).queue or ""
        if not self.models:
            return self.bundle or "", default
        known = self.models.get(model or "")
        return (known.bundle, known.queue or default) if known else None


class Config(_Declared):
    """All targets of one scraper. A scrape has `timeout_s` before each end of an interval, and no longer."""

    producer: Slug
    region: Annotated[str, _of("region")]
    interval_s: Annotated[int, Field(ge=1, le=300)] = 10
    timeout_s: Annotated[float, Field(ge=0.1, le=60)] = 2.0
    targets: Annotated[tuple[Target, ...], Field(min_length=1, max_length=TARGETS_MAX)]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.timeout_s >= self.interval_s:
            raise ValueError("timeout_s has to be less than interval_s")
        names = [(each.host, each.kind) for each in self.targets]
        if len(set(names)) < len(names) or len({each.url for each in self.targets}) < len(names):
            raise ValueError("two targets have the same url, or the same host and kind")
        return self


def read_config(path: Path) -> Config:
    """The targets in a file, or `ConfigError` with what is wrong in it."""
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(read, dict):
            raise ConfigError(f"{path}: the file has to name producer, region and targets.")
        return Config.model_validate(read)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {_line_of(error)}it is not YAML in UTF-8.") from None
    except ValidationError as error:
        raise ConfigError(f"{path}: {mistakes(error)}") from None


def _line_of(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return "" if mark is None else f"line {mark.line + 1}: "
