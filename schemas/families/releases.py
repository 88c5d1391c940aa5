"""Releases: which hosts serve what, since when. Owners, lineage and ways back are documents of their own."""

from __future__ import annotations

from schemas.declarations import Cut, Family, Key, Measure, PrivacyPartition
from schemas.families.purposes import LINEAGE

ARTIFACT_KINDS = (
    "asr_model",
    "llm",
    "tts_voice",
    "prompt",
    "policy",
    "retrieval_index",
    "engine",
    "client",
    "bundle",
)

RELEASES = Family(
    name="releases",
    meaning="deployments: hosts that began and ended to serve a bundle's artifacts, and how many do",
    kind="releases",
    purpose=LINEAGE,
    since_minor=2,
    retention_d=400,
    retention_fine_d=400,
    partitions=(PrivacyPartition("operational", ("region", "pool", "bundle", "artifact"), k_window_s=10),),
    keys=(Key("artifact_kind", "what the artifact is", vocabulary=ARTIFACT_KINDS),),
    measures=(
        Measure("hosts", "hosts", "hosts that serve it", merge="gauge"),
        Measure("deployments", "deployments", "hosts that began to serve it"),
        Measure("retirements", "deployments", "hosts that ended to serve it"),
    ),
    cuts=(
        Cut("operational", ("pool", "bundle")),
        Cut("operational", ("pool", "region", "bundle")),
        Cut("operational", ("pool", "bundle", "artifact")),
    ),
)
