"""Releases as files: what `kind: Release` has to say, and what is wrong when something is missing. `docs/releases.md` shows how."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from alerts.document_sentences import Part, clipped, one_of, said_twice, wrong
from alerts.one_document import read_one
from schemas.dimensions import SLUG
from schemas.families import ARTIFACT_KINDS
from schemas.releases import ARTIFACTS_MAX, LINEAGE_MAX, REFERENCE, WAYS_BACK_MAX, Artifact, Release, WayBack


def _slug(written: str) -> str:
    if not re.fullmatch(SLUG, written):
        raise wrong(
            f"{clipped(repr(written))} is no name: use up to 63 lower-case letters, digits, dots, underscores and hyphens."
        )
    return written


def _reference(written: str) -> str:
    if not re.fullmatch(REFERENCE, written):
        raise wrong(
            f"{clipped(repr(written))} is no reference: write a URL, a path, a commit or a data set, without blanks."
        )
    return written


Slug = Annotated[str, AfterValidator(_slug)]
Reference = Annotated[str, AfterValidator(_reference)]
Kind = Annotated[str, one_of("No kind of artifact", [kind for kind in ARTIFACT_KINDS if kind != "bundle"])]
WayKind = Annotated[
    str, one_of("No way back", ["pin_artifact", "restore_bundle", "disable_feature", "route_to_fallback"])
]


class ArtifactPart(Part):
    kind: Kind
    name: Slug
    version: Slug
    owner: Slug
    lineage: Annotated[list[Reference], Field(min_length=1, max_length=LINEAGE_MAX)]
    evaluation: Reference
    rollback_to: Slug

    @model_validator(mode="after")
    def _goes_back(self) -> Self:
        if self.rollback_to == self.version:
            raise wrong(
                f"Artifact {self.name} would roll back to itself: name the version before, or the one that is safe."
            )
        return self


class WayBackPart(Part):
    kind: WayKind
    target: Slug
    artifact: Slug | None = None

    @model_validator(mode="after")
    def _says_of_what(self) -> Self:
        if (self.kind == "pin_artifact") != (self.artifact is not None):
            raise wrong(
                "`pin_artifact` names the `artifact` and, as `target`, its version; other ways name a `target` only."
            )
        return self


class ReleaseMetadata(Part):
    name: Slug


class ReleaseSpec(Part):
    artifacts: Annotated[list[ArtifactPart], Field(min_length=1, max_length=ARTIFACTS_MAX)]
    ways_back: Annotated[list[WayBackPart], Field(min_length=1, max_length=WAYS_BACK_MAX)]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        names = [artifact.name for artifact in self.artifacts]
        if twice := said_twice(names):
            raise wrong(f"Artifact {twice} is there twice: a bundle has one version of each.")
        for way in self.ways_back:
            if way.artifact is not None and way.artifact not in names:
                raise wrong(
                    f"A way back pins {way.artifact}, which is no artifact of this release: name one of {', '.join(names)}."
                )
        return self


class ReleaseDocument(Part):
    api_version: Literal["turnwatch/v1"]
    kind: Literal["Release"]
    metadata: ReleaseMetadata
    spec: ReleaseSpec

    @model_validator(mode="after")
    def _restores_another(self) -> Self:
        if any(way.kind == "restore_bundle" and way.target == self.metadata.name for way in self.spec.ways_back):
            raise wrong(f"Restoring bundle {self.metadata.name} is no way back from it: name the bundle before.")
        return self


def load_release(file: Path, who: str, at_ms: int) -> Release:
    """The one release of a file; everything that is missing or wrong in it at once as `WrongFiles`."""
    written = read_one(file, ReleaseDocument, "a release", "releases")
    artifacts = tuple(Artifact.model_validate(each.model_dump()) for each in written.spec.artifacts)
    ways_back = tuple(WayBack.model_validate(each.model_dump()) for each in written.spec.ways_back)
    return Release(bundle=written.metadata.name, artifacts=artifacts, ways_back=ways_back, who=who, at_ms=at_ms)
