"""Releases with lineage: what a bundle is made of, who answers for each part, what it was made from, and the ways back.

A release is declared once, before it serves, and is the newest record of its bundle in the compacted topic `releases`. Each
of its artifacts is a row of the table `releases`. Which hosts serve it is told by the family `releases` (table `deployments`),
joined by bundle and artifact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self, get_args

import polars as pl
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.burns import Instant, no_statement
from schemas.dimensions import SLUG
from schemas.exclusions import WHO_MAX
from schemas.families import ARTIFACT_KINDS
from schemas.tables import TABLES

RELEASE_FORMAT = 1
ARTIFACTS_MAX, WAYS_BACK_MAX, LINEAGE_MAX = 100, 20, 50
REFERENCE = r"[A-Za-z0-9][A-Za-z0-9._~:/?#@+=%-]{0,299}"
"""What lineage and reports are named by: a URL, a path, a commit, a data set with its version. No blanks, so no sentence."""

ArtifactKind = Literal[
    "asr_model", "llm", "tts_voice", "prompt", "policy", "retrieval_index", "engine", "client"
]  # A bundle is no part of itself.
assert set(get_args(ArtifactKind)) == set(ARTIFACT_KINDS) - {"bundle"}
WayBackKind = Literal["pin_artifact", "restore_bundle", "disable_feature", "route_to_fallback"]

Slug = Annotated[str, Field(pattern=rf"^{SLUG}$")]
Reference = Annotated[str, Field(pattern=rf"^{REFERENCE}$")]


class Artifact(BaseModel):
    """One versioned part of a bundle. `lineage`: what it was made from. `rollback_to`: the version to go back to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ArtifactKind
    name: Slug
    version: Slug
    owner: Slug
    lineage: Annotated[tuple[Reference, ...], Field(min_length=1, max_length=LINEAGE_MAX)]
    evaluation: Reference
    rollback_to: Slug

    @model_validator(mode="after")
    def _has_a_way_back(self) -> Self:
        if self.rollback_to == self.version:
            raise ValueError("an artifact does not roll back to itself")
        return self


class WayBack(BaseModel):
    """One way to undo a release: a version of an `artifact`, a bundle, a feature or a route as its `target`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: WayBackKind
    target: Slug
    artifact: Slug | None = None


class Release(BaseModel):
    """What is declared of a bundle. `who` declared it, `at_ms` by the clock."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bundle: Slug
    artifacts: Annotated[tuple[Artifact, ...], Field(min_length=1, max_length=ARTIFACTS_MAX)]
    ways_back: Annotated[tuple[WayBack, ...], Field(min_length=1, max_length=WAYS_BACK_MAX)]
    who: Annotated[str, Field(min_length=1, max_length=WHO_MAX)]
    at_ms: Instant
    format: Annotated[int, Field(ge=1, le=RELEASE_FORMAT)] = RELEASE_FORMAT

    def encode(self) -> bytes:
        return self.model_dump_json().encode()

    def says_the_same(self, other: Release) -> bool:
        """Whether both declare the same of the same bundle, whoever did and when."""
        return self.model_copy(update={"who": other.who, "at_ms": other.at_ms}) == other


def decode(payload: bytes) -> Release:
    """Reads what `turnwatch release declare` wrote; raises `Undecodable` where it is none."""
    try:
        return Release.model_validate_json(payload)
    except ValidationError as error:
        raise no_statement("release", RELEASE_FORMAT, payload, error) from None


def rows(releases: Iterable[Release]) -> pa.Table:
    """Rows of the table `releases`, one for each artifact of each."""
    table = TABLES["releases"]
    told = [
        {
            "bundle": release.bundle,
            "cut": "bundle",
            "slice": f"bundle={release.bundle}",
            "artifact_kind": artifact.kind,
            "artifact": artifact.name,
            "artifact_version": artifact.version,
            "owner": artifact.owner,
            "lineage": " ".join(artifact.lineage),
            "evaluation": artifact.evaluation,
            "rollback_to": artifact.rollback_to,
            "ways_back": "; ".join(map(way_back_text, release.ways_back)),
            "who": release.who,
            "at_ms": release.at_ms,
            "version": release.at_ms,
        }
        for release in releases
        for artifact in release.artifacts
    ]
    numbers = {"at_ms": pl.Int64, "version": pl.Int64}
    schema = {name: numbers.get(name, pl.String) for name in (*table.column_names, "at_ms") if name != "at"}
    at = pl.col("at_ms").cast(pl.Datetime("ms", "UTC")).alias("at")
    frame = pl.DataFrame(told, schema=schema).with_columns(at)
    return frame.select(table.column_names).to_arrow().cast(table.arrow_schema)


def way_back_text(way: WayBack) -> str:
    """A way back in words.

    >>> way_back_text(WayBack(kind="pin_artifact", artifact="asr", target="asr-6"))
    'pin_artifact asr asr-6'
    """
    return " ".join(part for part in (way.kind, way.artifact, way.target) if part)


def release_of(rows: Sequence[Mapping[str, Any]]) -> Release:
    """The release that rows of the table `releases` tell: those of one bundle's newest declaration, `at_ms` beside."""
    first = rows[0]
    artifacts = tuple(
        Artifact(
            kind=row["artifact_kind"],
            name=row["artifact"],
            version=row["artifact_version"],
            owner=row["owner"],
            lineage=tuple(row["lineage"].split(" ")),
            evaluation=row["evaluation"],
            rollback_to=row["rollback_to"],
        )
        for row in rows
    )
    ways = tuple(map(way_back_of, first["ways_back"].split("; ")))
    return Release(bundle=first["bundle"], artifacts=artifacts, ways_back=ways, who=first["who"], at_ms=first["at_ms"])


def way_back_of(text: str) -> WayBack:
    """What `way_back_text` wrote.

    >>> way_back_of("restore_bundle v41").target
    'v41'
    """
    kind, *artifact, target = text.split(" ")
    return WayBack.model_validate({"kind": kind, "artifact": next(iter(artifact), None), "target": target})
