"""What an alert says: labels that tell it apart, and annotations that let the on-call act before opening a board.

Labels are Alertmanager's identity of an alert, so they hold only what cannot change while it fires: the objective, the
severity, the slice and its dimensions, whether that is the whole fleet, the owner; and the incident, which
`incident_scope.py` gives. Everything that moves (shares, burn, budget left) is an annotation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from alerts.board_links import (
    BEFORE_MIN_MS,
    Lasting,
    board_address,
    chosen_by,
)
from alerts.causes import NO_CAUSES, Causes, named_causes, paragraph, sentences
from alerts.grown_stages import GrownStages
from alerts.incident_scope import scope_of
from alerts.policies import duration_text
from alerts.wording import lasting, percent
from schemas.boards import BOARD_OF_QUESTION, OVERVIEW_UID, PIPELINE_UID
from schemas.burns import AlertState, Burn
from schemas.families import OPERATIONAL
from schemas.findings import Finding, FindingAlert
from schemas.instants import utc_text
from schemas.slices import EVERYTHING, slice_dimensions
from schemas.slos import Life, Slo

FROZEN = "state"
"""The annotation that a frozen alert has besides."""
ALERT_NAME = "SloBurnRateHigh"
RUNBOOK_DEFAULT = "docs/runbooks/slo-burn-rate.md"
_USUAL_LIFE = Life()


@dataclass(frozen=True, slots=True)
class Links:
    """Where runbooks and boards are found. `runbooks` is put before a runbook's path in the repository.

    `grafana` is Grafana's address, or any other at which boards are served, as people reach it.
    """

    runbooks: str = ""
    grafana: str = "http://127.0.0.1:3000"

    def runbook(self, written: str) -> str:
        """A runbook's address; one that is an address already stays as it is."""
        is_path = "://" not in written and bool(self.runbooks)
        return f"{self.runbooks.rstrip('/')}/{written}" if is_path else written

    def of_burn(self, burn: Burn, lasting: Lasting) -> str:
        """The overview, whose questions are an incident's first, at the burn's objective, slice and time."""
        shown = lasting.shown(max(2 * burn.long_s * 1_000, BEFORE_MIN_MS))
        dimensions = slice_dimensions(burn.slice)
        # The overview has no filter for who the users are, but can be broken down by it.
        without_filter = [name for name in dimensions if name not in OPERATIONAL.dimensions]
        by = {"by": without_filter[0]} if without_filter else {}
        return board_address(self.grafana, OVERVIEW_UID, shown, {"slo": burn.slo, **dimensions, **by})

    def of_finding(self, question: str, finding: Finding, lasting: Lasting) -> str:
        """The board of the question that found it, at the finding's slice and time."""
        uid = BOARD_OF_QUESTION.get(question, OVERVIEW_UID)
        return board_address(self.grafana, uid, lasting.shown(), chosen_by(finding.slice, finding.labels))

    def of_pipeline(self, lasting: Lasting | None = None) -> str:
        """The board of the data itself: who reports, what is behind, what is refused; of today unless told otherwise."""
        return board_address(self.grafana, PIPELINE_UID, lasting.shown() if lasting else {}, {})


@dataclass(frozen=True, slots=True)
class Paging:
    """What alerts draw on: the objectives by name, the links, and how long alerts of an objective live, by its name."""

    slos: Mapping[str, Slo] = field(default_factory=dict)
    links: Links = Links()
    grown: GrownStages = field(default_factory=GrownStages)
    """What the shards stated of late of stages that grew."""
    lives: Mapping[str, Life] = field(default_factory=dict)
    found: tuple[FindingAlert, ...] = ()
    """What questions found and is open: a burn may belong to its incident."""

    def life_of(self, slo: str) -> Life:
        """The life of alerts of an objective; the usual one where the objective is not known here."""
        return self.lives.get(slo, _USUAL_LIFE)


def labels_of(burn: Burn, paging: Paging) -> dict[str, str]:
    """The alert's identity. An objective that is not known here (a newer worker's) still pages."""
    slo = paging.slos.get(burn.slo)
    labels = {
        "alertname": ALERT_NAME,
        "slo": burn.slo,
        "severity": burn.severity,
        "slice": burn.slice,
        "scope": scope_of(burn.slice),
    }
    if slo is not None:
        labels |= {"owner": slo.owner, "pool": slo.pool}
    return labels | slice_dimensions(burn.slice)


def explain(
    burn: Burn, lasting: Lasting, completeness: float, paging: Paging, causes: Causes = NO_CAUSES
) -> dict[str, str]:
    """Annotations: one line for the phone, a paragraph for the first minute, links, and the figures on their own."""
    decided_ms = lasting.decided_ms
    slo = paging.slos.get(burn.slo)
    return {
        "summary": _summary(burn, causes),
        "description": _description(burn, slo, decided_ms, completeness, causes),
        "runbook_url": paging.links.runbook(slo.runbook if slo else RUNBOOK_DEFAULT),
        "dashboard_url": paging.links.of_burn(burn, lasting),
        "event_time": utc_text(decided_ms),
        "burn": f"{burn.long_burn:.3g}",
        "budget_left": percent(burn.budget_left),
        "policy_row": burn.row,
        **named_causes(causes),
    }


def frozen_since(since_ms: int, why: str) -> dict[str, str]:
    """What a frozen alert says besides: it neither fires on nor resolves until there is data again."""
    return {FROZEN: f"frozen since {utc_text(since_ms)} (event time): {why}, so it neither fires on nor resolves"}


def objective_was_removed(alert: AlertState, paging: Paging) -> dict[str, str]:
    """What an alert says besides when it ends because its objective is gone: one that was known as it began (it names an owner).

    Of an objective that was never known here, a newer worker's, nobody can say that.
    """
    if alert.burn.slo in paging.slos or "owner" not in alert.labels:
        return {}
    return {"resolved_because": f"the objective {alert.burn.slo} was removed while this fired"}


def _summary(burn: Burn, causes: Causes) -> str:
    where = "the whole fleet" if burn.slice == EVERYTHING else burn.slice
    said = "; ".join(sentences(burn, causes))
    why = f" ({said})" if said else ""
    if burn.factor == 0:
        return f"{burn.slo}: {_bad(burn)} in {where}{why} in the last {duration_text(burn.long_s)}, where any one is a {burn.severity}"
    bad = percent(burn.long_bad / burn.long_total)
    return (
        f"{burn.slo} burns {burn.long_burn:.3g} times its budget in {where}{why}: "
        f"{bad} of {burn.unit} bad in the last {duration_text(burn.long_s)}, {_what_is_left(burn)}"
    )


def _what_is_left(burn: Burn) -> str:
    if burn.budget_left <= 0:
        return "the budget is spent"
    if burn.exhausted_in_s is None:
        return f"{percent(burn.budget_left)} of the budget left"
    return f"{percent(burn.budget_left)} of the budget left, spent in {lasting(burn.exhausted_in_s)}"


def _description(burn: Burn, slo: Slo | None, decided_ms: int, completeness: float, causes: Causes) -> str:
    promise = [f"{slo.description} (objective {percent(float(slo.objective))}, owner {slo.owner})"] if slo else []
    return "\n".join(
        [
            *promise,
            *_bad_minutes(slo),
            *_windows(burn),
            _row(burn),
            *paragraph(burn, causes),
            _spent(burn),
            f"Decided at {utc_text(decided_ms)} (event time) on {percent(completeness)} of recent volume.",
        ]
    )


def _row(burn: Burn) -> str:
    """What the row fires at: any bad turn, a budget that will not last, or a share of turns."""
    if burn.factor == 0:
        return f"Row {burn.row} fires at one bad {_one(burn)} in {duration_text(burn.long_s)}, however little traffic there is."
    above = f"above {percent(burn.threshold)} in both windows (burn {burn.factor:.3g})"
    if burn.within_s is not None:
        return f"Row {burn.row} fires where the budget will be spent within {duration_text(burn.within_s)}: by what is left, {above}."
    return f"Allowed is {percent(burn.threshold / burn.factor)}; row {burn.row} fires {above}."


def _windows(burn: Burn) -> list[str]:
    """Both windows, or the one that a row has."""
    long = f"{_window(burn, burn.long_s, burn.long_bad, burn.long_total)}: burn {burn.long_burn:.3g}."
    short = f"{_window(burn, burn.short_s, burn.short_bad, burn.short_total)}: burn {burn.short_burn:.3g}."
    return [long] if burn.long_s == burn.short_s else [long, short]


def _spent(burn: Burn) -> str:
    today = (
        f" {percent(burn.spent_today)} of it was spent today (since 00:00 UTC)." if burn.spent_today is not None else ""
    )
    return f"Budget: {_what_is_left(burn)}.{today} One bad {_one(burn)} costs {percent(burn.one_failure_costs)} of it."


def _bad(burn: Burn) -> str:
    return f"1 bad {_one(burn)}" if burn.long_bad == 1 else f"{burn.long_bad:,} bad {burn.unit}"


def _one(burn: Burn) -> str:
    """One of what is counted."""
    return burn.unit.removesuffix("s")


def _window(burn: Burn, length_s: int, bad: int, total: int) -> str:
    return f"Last {duration_text(length_s)}: {bad:,} of {total:,} {burn.unit} bad ({percent(bad / total)})"


def _bad_minutes(slo: Slo | None) -> list[str]:
    """What makes a minute bad, where minutes are counted."""
    if slo is None or slo.time_slice_target is None:
        return []
    return [
        f"A minute is bad when more than {percent(float(slo.turns_allowed))} of its turns are; minutes without turns do not count."
    ]
