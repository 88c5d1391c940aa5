"""Verdicts for tests, and whoever gives them."""

from __future__ import annotations

from typing import Any

from schemas.releases import WayBack
from schemas.verdicts import BlockedSlice, Judgement, ReleaseVerdict, SmallestStep

AT_MS = 1_790_000_040_000
FAR_FIELD = "pool=realtime,noise_class=far_field"


def judgement(**changes: Any) -> Judgement:
    known: dict[str, Any] = {
        "slice": FAR_FIELD, "metric": "wer", "reason": "quality", "outcome": "inside", "is_protected": True,
        "unit": "errors per word", "baseline": 0.11, "candidate": 0.112, "baseline_samples": 40_000,
        "candidate_samples": 4_000, "windows": 60, "allowed": 0.015, "low": -0.004, "high": 0.009, "alpha": 0.001,
        "because": "at most 0.009 worse, and 0.015 is allowed",
    }  # fmt: skip
    return Judgement.model_validate(known | changes)


WORSE = judgement(outcome="worse", candidate=0.16, low=0.03, high=0.07, because="at least 0.03 worse")
THIN = judgement(
    slice="pool=realtime,accent=scots", outcome="insufficient", baseline=None, candidate=None, baseline_samples=0,
    candidate_samples=12, windows=0, allowed=None, low=None, high=None, alpha=None, because="12 of 200 words",
)  # fmt: skip


def verdict(decision: str = "continue", **changes: Any) -> ReleaseVerdict:
    """A verdict on v42 against v41 by one metric of one slice."""
    judged = {"continue": (judgement(),), "pause": (judgement(), THIN), "rollback": (WORSE, THIN)}[decision]
    known: dict[str, Any] = {
        "release": "v42", "baseline": "v41", "decision": decision, "because": f"It is to {decision}.", "judged": judged,
        "policy": "canary", "policy_version": "0123456789abcdef", "alpha": 0.05, "asked": ("SELECT 1",),
        "from_ms": AT_MS - 7_200_000, "to_ms": AT_MS - 60_000, "at_ms": AT_MS, "who": "ana",
        "format": 2 if THIN in judged else 1,
    }  # fmt: skip
    if decision == "rollback":
        back = WayBack(kind="pin_artifact", artifact="asr", target="asr-6")
        blocked = (BlockedSlice(slice=FAR_FIELD, reasons=("quality",)),)
        known |= {"reasons": ("quality",), "blockers": blocked}
        known |= {"way_back": SmallestStep(way=back, because="only asr changed")}
    if decision != "continue":
        known["insufficient"] = (THIN.slice,)
    return ReleaseVerdict.model_validate(known | changes)
