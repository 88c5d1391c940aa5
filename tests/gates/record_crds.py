"""Records what other people's custom resources take: `python -m tests.gates.record_crds ANALYSIS_TEMPLATE ROLLOUT FLAGGER`.

Argo Rollouts' `manifests/crds/analysis-template-crd.yaml` and `rollout-crd.yaml` and Flagger's `artifacts/flagger/crd.yaml`, both
Apache-2.0, are 26,000 lines. `crds/` has the schemas of those fields that the manifests in our documents use, unchanged
but for descriptions: run this anew when a document uses another field, or for a newer version.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

RECORDED = Path(__file__).parent / "crds"
ARGO = {"source": "https://github.com/argoproj/argo-rollouts/tree/v1.9.1/manifests/crds", "licence": "Apache-2.0"}
FLAGGER = {
    "source": "https://github.com/fluxcd/flagger/tree/v1.44.0/artifacts/flagger/crd.yaml",
    "licence": "Apache-2.0",
}

_METRIC = "spec.metrics"
_POD = f"{_METRIC}.provider.job.spec.template.spec"
KEPT: Mapping[str, tuple[str, ...]] = {
    "AnalysisTemplate": (
        "spec.args",
        *(f"{_METRIC}.{name}" for name in ("name", "interval", "initialDelay", "count", "successCondition", "failureCondition")),
        *(f"{_METRIC}.{name}" for name in ("failureLimit", "inconclusiveLimit", "consecutiveErrorLimit", "consecutiveSuccessLimit")),
        f"{_METRIC}.provider.web",
        *(f"{_METRIC}.provider.job.spec.{name}" for name in ("backoffLimit", "activeDeadlineSeconds", "podFailurePolicy")),
        f"{_POD}.restartPolicy",
        *(f"{_POD}.containers.{name}" for name in ("name", "image", "command", "args", "envFrom")),
    ),
    "Rollout": (
        "spec.replicas",
        "spec.selector",
        "spec.workloadRef",
        *(f"spec.strategy.canary.steps.{name}" for name in ("setWeight", "pause", "analysis")),
    ),
    "Canary": ("spec.targetRef", "spec.service.port", "spec.analysis"),
    "MetricTemplate": ("spec",),
}  # fmt: skip
"""Fields by their path, lists passed over, with all that is below them."""


def trimmed(schema: Mapping[str, Any], kept: tuple[str, ...], path: str = "") -> dict[str, Any]:
    """The schema of the fields that are kept, and of those that lead to them."""
    found = {name: value for name, value in schema.items() if name not in ("description", "properties", "items")}
    if "items" in schema:
        found["items"] = trimmed(schema["items"], kept, path)
    for name, below in schema.get("properties", {}).items():
        place = f"{path}.{name}".lstrip(".")
        is_whole = any(f"{place}.".startswith(f"{each}.") for each in kept)
        if is_whole or any(each.startswith(f"{place}.") for each in kept) or place in TOP:
            found.setdefault("properties", {})[name] = trimmed(below, kept, place)
    if "required" in found:
        found["required"] = [name for name in found["required"] if name in found.get("properties", {})]
    return found


TOP = ("apiVersion", "kind", "metadata")


def record(kind: str, definition: Mapping[str, Any], source: Mapping[str, str]) -> None:
    (version,) = definition["spec"]["versions"]
    group = definition["spec"]["group"]
    told = {
        **source,
        "changed": "descriptions and the fields that our documents do not use are left out",
        "apiVersion": f"{group}/{version['name']}",
        "kind": kind,
        "schema": trimmed(version["schema"]["openAPIV3Schema"], KEPT[kind]),
    }
    (RECORDED / f"{kind}.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    RECORDED.mkdir(exist_ok=True)
    for file, source in zip(sys.argv[1:], (ARGO, ARGO, FLAGGER), strict=True):
        for each in yaml.load_all(Path(file).read_text(encoding="utf-8"), yaml.CSafeLoader):
            if each and each["spec"]["names"]["kind"] in KEPT:
                record(each["spec"]["names"]["kind"], each, source)
