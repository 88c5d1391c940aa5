"""Releases of the boards' world, and what a gate said of the canary: at first too little, then all well, at last roll back."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from schemas import releases as declared
from schemas import verdict_rows
from schemas.releases import Artifact, Release, WayBack
from schemas.verdicts import BlockedSlice, Judgement, ReleaseVerdict, SmallestStep

HOUR_MS = 3_600_000
_ARTIFACTS = (("asr_model", "asr", "speech"), ("llm", "answering", "models"), ("prompt", "greeting", "conversation"))


def releases(bundles: Sequence[str], at_ms: Sequence[int]) -> pa.Table:
    """The bundles, declared one after the other; each goes back to the versions of the one before."""
    return declared.rows(
        _release(bundle, place, at) for place, (bundle, at) in enumerate(zip(bundles, at_ms, strict=True))
    )


def _release(bundle: str, place: int, at_ms: int) -> Release:
    artifacts = tuple(_artifact(bundle, place, *each) for each in _ARTIFACTS)
    back = WayBack(kind="restore_bundle", target=f"v{place}")
    return Release(bundle=bundle, artifacts=artifacts, ways_back=(back,), who='ana "o\'neill" é', at_ms=at_ms)


def _artifact(bundle: str, place: int, kind: str, name: str, owner: str) -> Artifact:
    said = {
        "kind": kind,
        "name": name,
        "version": f"{name}-{place + 1}",
        "owner": owner,
        "lineage": (f"commit:{place}", "dataset:2"),
        "evaluation": f"https://reports.example.com/{bundle}/{name}",
        "rollback_to": f"{name}-{place}",
    }
    return Artifact.model_validate(said)


def verdicts(bundles: Sequence[str], released_ms: int, incident_ms: int, end_ms: int) -> pa.Table:
    """Three looks at the second bundle beside the first."""
    looks = (
        ("pause", released_ms + HOUR_MS),
        ("continue", incident_ms - HOUR_MS),
        ("rollback", min(incident_ms + HOUR_MS, end_ms)),
    )
    return pa.concat_tables(
        verdict_rows.rows(_verdict(bundles, decision, released_ms, at_ms)) for decision, at_ms in looks
    )


def _verdict(bundles: Sequence[str], decision: str, from_ms: int, at_ms: int) -> ReleaseVerdict:
    outcome = {"pause": "insufficient", "continue": "inside", "rollback": "worse"}[decision]
    blocked = decision == "rollback"
    back = WayBack(kind="pin_artifact", artifact="answering", target="answering-1")
    said = {
        "release": bundles[1],
        "baseline": bundles[0],
        "decision": decision,
        "reasons": ("latency",) if blocked else (),
        "blockers": (BlockedSlice(slice="pool=realtime", reasons=("latency",)),) if blocked else (),
        "insufficient": ("pool=realtime",) if decision == "pause" else (),
        "because": f'the gate says "{decision}" é',
        "way_back": SmallestStep(way=back, because="only its stage got worse") if blocked else None,
        "judged": tuple(_judged(metric, outcome if metric == "p95_turn_ms" else "inside") for metric in _METRICS),
        "policy": "standard",
        "policy_version": "0" * 16,
        "alpha": 0.05,
        "from_ms": from_ms,
        "to_ms": at_ms,
        "at_ms": at_ms,
        "who": "pipeline",
    }
    return ReleaseVerdict.model_validate(said)


_METRICS = {
    "p95_turn_ms": ("latency", "ms", 250.0, {"worse": (1_900.0, 18_000.0), "inside": (1_900.0, 1_950.0)}),
    "errors": ("errors", "share", 0.005, {"inside": (0.004, 0.004)}),
}
"""Reason, unit, what is allowed, and by outcome the values of baseline and candidate."""


def _judged(metric: str, outcome: str) -> Judgement:
    reason, unit, allowed, values = _METRICS[metric]
    baseline, candidate = values.get(outcome, (None, None))
    low, high = {"worse": (allowed * 2, allowed * 90), "inside": (-allowed / 2, allowed / 2)}.get(outcome, (None, None))
    return Judgement.model_validate(
        {
            "slice": "pool=realtime", "metric": metric, "reason": reason, "outcome": outcome, "is_protected": True,
            "unit": unit, "baseline": baseline, "candidate": candidate, "baseline_samples": 9_000,
            "candidate_samples": 90 if outcome == "insufficient" else 4_000, "windows": 12,
            "allowed": None if baseline is None else allowed, "low": low, "high": high, "alpha": 0.01, "because": f"{metric} is {outcome}",
        }
    )  # fmt: skip
