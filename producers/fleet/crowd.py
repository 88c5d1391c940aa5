"""Who calls: every dimension's names and shares, drawn in columns of codes, and the share of calls that a slice has.

A device has its connections, a connection its codecs, a language its accents; everything else is independent. Tenants and
client versions are long-tailed. Names come back from codes only where rows are made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import polars as pl
from numpy.random import Generator
from numpy.typing import NDArray

from producers.fleet.calibration import load_calibration
from producers.fleet.fleet_file import Fleet, LongTail
from producers.fleet.scenario_file import ScenarioFile
from schemas.arrays import Floats

Codes = NDArray[np.int32]
Where = Mapping[str, Sequence[str]]

_CHAINED = (("device_class", "connection"), ("connection", "codec"), ("language", "accent"))


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names of a dimension; a code is a place in them."""

    names: tuple[str, ...]

    def codes(self, names: Sequence[str]) -> Codes:
        return np.array([self.names.index(name) for name in names if name in self.names], dtype=np.int32)

    def named(self, codes: Codes) -> pl.Series:
        return pl.Series(self.names, dtype=pl.String).gather(codes)


@dataclass(frozen=True, slots=True)
class Crowd:
    """The vocabularies of a fleet, the shares of what is independent, and a table of shares for what is chained."""

    vocabularies: dict[str, Vocabulary]
    shares: dict[str, Floats]
    chained: dict[str, Floats]
    """Of a dimension, by the code of the one before it: a row of shares each."""

    def drawn(self, rng: Generator, name: str, count: int) -> Codes:
        """Codes of an independent dimension."""
        return _inverse(np.cumsum(self.shares[name]), rng.random(count))

    def drawn_after(self, rng: Generator, name: str, before: Codes) -> Codes:
        """Codes of a chained dimension, each by the code before it."""
        edges = np.cumsum(self.chained[name], axis=1)
        edges[:, -1] = np.inf
        at = rng.random(len(before))
        places: Codes = (at[:, None] >= edges[before]).sum(axis=1).astype(np.int32)
        return places

    def matches(self, where: Where) -> dict[str, NDArray[np.bool_]]:
        """For each dimension of the slice, which codes are in it."""
        tables = {}
        for name, values in where.items():
            table = np.zeros(len(self.vocabularies[name].names), dtype=bool)
            table[self.vocabularies[name].codes(values)] = True
            tables[name] = table
        return tables

    def share(self, where: Where) -> float:
        """The share of calls of a pool's audio that the slice has, of those of its region, pool, route and bundle."""
        tables = self.matches(where)
        share = 1.0
        for name in ("tenant", "noise_class", "client_version", "voice"):
            share *= float(self.shares[name] @ tables[name]) if name in tables else 1.0
        language = self.shares["language"] * tables.get("language", 1.0)
        share *= float((language @ self.chained["accent"] * tables.get("accent", 1.0)).sum())
        device = self.shares["device_class"] * tables.get("device_class", 1.0)
        connection = device @ self.chained["connection"] * tables.get("connection", 1.0)
        return share * float((connection @ self.chained["codec"] * tables.get("codec", 1.0)).sum())

    def connections(self, where: Where) -> Floats:
        """The shares of connections among the slice's calls."""
        tables = self.matches(where)
        device = self.shares["device_class"] * tables.get("device_class", 1.0)
        connection = device @ self.chained["connection"] * tables.get("connection", 1.0)
        codec = (self.chained["codec"] * tables.get("codec", 1.0)).sum(axis=1)
        found: Floats = connection * codec
        return found / found.sum() if found.sum() else found


def crowd_of(scenario: ScenarioFile) -> Crowd:
    """The crowd that a scenario's fleet says, with English accents as calibrated."""
    fleet = scenario.fleet
    accents = {**dict.fromkeys(fleet.languages, fleet.accents["default"]), **fleet.accents}
    accents.setdefault("en", load_calibration().word_errors.speaker_share)
    independent: dict[str, Mapping[str, float]] = {
        "region": {name: region.share for name, region in fleet.regions.items()},
        "pool": {name: pool.share for name, pool in fleet.pools.items()},
        "tenant": _tenants(fleet.tenants),
        "language": fleet.languages,
        "noise_class": fleet.noise_classes,
        "device_class": fleet.devices,
        "client_version": _versions(fleet.client_versions),
        "voice": fleet.voices,
    }
    vocabularies = {name: Vocabulary(tuple(map(str, shares))) for name, shares in independent.items()}
    vocabularies["route"] = _joined(pool.routes for pool in fleet.pools.values())
    vocabularies["bundle"] = Vocabulary(tuple(sorted(scenario.bundles)))
    inner = {"connection": fleet.connections, "codec": fleet.codecs, "accent": accents}
    chained = {}
    for before, name in _CHAINED:
        vocabularies[name] = _joined(inner[name][each] for each in vocabularies[before].names)
        chained[name] = np.array([_row(inner[name][each], vocabularies[name]) for each in vocabularies[before].names])
    shares = {name: np.array(list(said.values()), float) / sum(said.values()) for name, said in independent.items()}
    return Crowd(vocabularies, shares, chained)


def tenant(number: int) -> str:
    """The pseudonym of the tenant of that place, 1 the largest: the same in every run.

    >>> tenant(1)
    't-8b742cfdbcc83700'
    """
    return "t-" + blake2b(f"tenant {number}".encode(), digest_size=8).hexdigest()


def _tenants(said: LongTail) -> dict[str, float]:
    return {tenant(number): number**-said.exponent for number in range(1, said.count + 1)}


def _versions(said: LongTail) -> dict[str, float]:
    """The newest version has the largest share."""
    return {f"7.{said.count - number}.0": (number + 1) ** -said.exponent for number in range(said.count)}


def _joined(parts: Iterable[Mapping[str, float]]) -> Vocabulary:
    return Vocabulary(tuple(dict.fromkeys(name for shares in parts for name in shares)))


def _row(shares: Mapping[str, float], vocabulary: Vocabulary) -> Floats:
    row = np.array([shares.get(name, 0.0) for name in vocabulary.names])
    normal: Floats = row / row.sum()
    return normal


def _inverse(edges: Floats, at: Floats) -> Codes:
    return np.searchsorted(edges[:-1] / edges[-1], at, side="right").astype(np.int32)


def bundle_shares(scenario: ScenarioFile, fleet: Fleet, pool: str, minute: float) -> dict[str, float]:
    """The shares of a pool's new calls that each bundle serves at that minute, deployments included."""
    said = fleet.bundles[pool]  # type: ignore[index]  # The names of pools are those of the fleet.
    shares = {name: share / sum(said.values()) for name, share in said.items()}
    for deployed in sorted(scenario.deployments, key=lambda each: each.from_min):
        if deployed.pool == pool and minute >= deployed.from_min:
            others = 1 - shares.pop(deployed.bundle, 0.0)
            shares = {name: share * (1 - deployed.share) / max(others, 1e-12) for name, share in shares.items()}
            shares[deployed.bundle] = deployed.share
    return shares
