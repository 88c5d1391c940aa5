"""What is said of drift: findings in sentences, with what to do, and the figures behind them."""

from __future__ import annotations

from schemas.drift_measures import RATIOS, SHAPES
from schemas.drift_policies import DriftPolicy
from schemas.findings import Finding
from stream_jobs.operators.drift.rows import Drifting

DRIFTED = "Drifted"
RUNBOOK = "docs/runbooks/drift.md"

_BEFORE = {
    "week_before": "in the same hours a week before",
    "day_before": "in the same hours a day before",
    "frozen": "in the frozen window",
    "none": "when that was known last",
}
_INDEX = "Look at when the index of this slice was refreshed last, and whether that job still runs."
_ACTIONS = {
    "word_error_rate": "Look at what is wrong in these calls: accent, noise, a codec, new words; and at what began to serve then.",
    "stale_lookup_rate": _INDEX,
    "tenant_stale_lookup_rate": _INDEX,
    "stale_citation_rate": _INDEX,
    "index_age_s": _INDEX,
    "jitter_ms": "Look at the network between these users and their region before you look at models.",
    "late_chunk_rate": "Look at what synthesises and sends audio: chunks leave later than they are played.",
    "refusal_rate": "Look at policies and prompts that began to serve then: what is refused now that was answered?",
    "handoff_rate": "Look at what is handed to humans now that was not: a route, a tool that fails, a policy.",
}
_ACTION = "Look at what began to serve, or to call, shortly before: a bundle, a client version, an index, a tenant."
_LOOK = "`turnwatch drift why` splits the change into mix and rate, and says what began with it."


def finding(drift: Drifting, policy: DriftPolicy) -> Finding:
    """A figure of a slice that drifts."""
    return Finding(
        alert=DRIFTED,
        slice=drift.slice,
        severity="ticket",
        since_ms=drift.began_ms,
        summary=_short(_shape(drift) if drift.measure in SHAPES else _ratio(drift)),
        action=_ACTION if drift.measure in SHAPES else f"{_ACTIONS.get(drift.measure, _ACTION)} {_LOOK}",
        runbook=RUNBOOK,
        labels={"measure": drift.measure, "owner": policy.owner},
        facts={
            "value": drift.value,
            "reference_value": drift.reference_value,
            "samples": drift.samples,
            "reference_samples": drift.reference_samples,
            "evidence_log10": drift.evidence,
            "hours_until_found": (drift.found_ms - drift.began_ms) / 3_600_000 + 1,
            "reference": drift.reference,
            **({"relative_change": drift.value / drift.reference_value - 1} if drift.reference_value else {}),
        },
    )


def _ratio(drift: Drifting) -> str:
    measure = RATIOS[drift.measure]
    now, before = (_figure(value, measure.unit) for value in (drift.value, drift.reference_value))
    than = _BEFORE[drift.reference]
    who = "" if drift.reference_slice == drift.slice else f", of {drift.reference_slice} that served then"
    worse = f" ({drift.value / drift.reference_value - 1:+.0%})" if drift.reference_value else ""
    return f"The {measure.words} of {drift.slice} is {now} and was {before} {than}{who}{worse}."


def _shape(drift: Drifting) -> str:
    return (
        f"The latencies of {SHAPES[drift.measure]} in {drift.slice} have another shape than {_BEFORE[drift.reference]}: "
        f"population stability index {drift.value:.2f}."
    )


def _figure(value: float, unit: str) -> str:
    """
    >>> _figure(0.1234, ""), _figure(31.26, "ms")
    ('12.3 %', '31.3 ms')
    """
    return f"{value:,.1f} {unit}" if unit else f"{100 * value:.3g} %"


def _short(sentence: str) -> str:
    return sentence if len(sentence) <= 600 else sentence[:597] + "…"
