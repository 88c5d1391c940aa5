"""What an alert says: labels that tell it apart, and annotations that let the on-call act before opening a board.

Labels are Alertmanager's identity of an alert, so they hold only what cannot change while it fires: the objective, the
severity, the slice and its dimensions, the owner. Everything that moves (shares, burn, budget left) is an annotation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlencode

from alerts.policies import duration_text
from schemas.burns import Burn
from schemas.slices import EVERYTHING, slice_dimensions
from schemas.slos import Slo

FROZEN = "state"
"""The annotation that a frozen alert has besides."""
ALERT_NAME = "SloBurnRateHigh"
RUNBOOK_DEFAULT = "docs/runbooks/slo-burn-rate.md"
BOARD_RANGE_MIN_MS = 3_600_000
"""A board opened from an alert shows at least an hour."""


@dataclass(frozen=True, slots=True)
class Links:
    """Where runbooks and the board are found. `runbooks` is put before a runbook's path in the repository."""

    runbooks: str = ""
    dashboard: str = "http://127.0.0.1:3000/d/turnwatch-fleet-overview"

    def runbook(self, written: str) -> str:
        """A runbook's address; one that is an address already stays as it is."""
        is_path = "://" not in written and bool(self.runbooks)
        return f"{self.runbooks.rstrip('/')}/{written}" if is_path else written

    def board(self, burn: Burn, decided_ms: int) -> str:
        """The board, at the time and slice of the burn: event time, so a replayed incident is found where it is."""
        shown_ms = max(2 * burn.long_s * 1_000, BOARD_RANGE_MIN_MS)
        variables = {f"var-{name}": value for name, value in slice_dimensions(burn.slice).items()}
        query = {"from": decided_ms - shown_ms, "to": decided_ms, "var-slo": burn.slo, **variables}
        return f"{self.dashboard}?{urlencode(query)}"


@dataclass(frozen=True, slots=True)
class Paging:
    """What explanations draw on: the objectives by name, and the links."""

    slos: Mapping[str, Slo] = field(default_factory=dict)
    links: Links = Links()


def labels_of(burn: Burn, paging: Paging) -> dict[str, str]:
    """The alert's identity. An objective that is not known here (a newer worker's) still pages."""
    slo = paging.slos.get(burn.slo)
    labels = {"alertname": ALERT_NAME, "slo": burn.slo, "severity": burn.severity, "slice": burn.slice}
    if slo is not None:
        labels |= {"owner": slo.owner, "pool": slo.pool}
    return labels | slice_dimensions(burn.slice)


def explain(burn: Burn, decided_ms: int, completeness: float, paging: Paging) -> dict[str, str]:
    """Annotations: one line for the phone, a paragraph for the first minute, links, and the figures on their own."""
    slo = paging.slos.get(burn.slo)
    return {
        "summary": _summary(burn),
        "description": _description(burn, slo, decided_ms, completeness),
        "runbook_url": paging.links.runbook(slo.runbook if slo else RUNBOOK_DEFAULT),
        "dashboard_url": paging.links.board(burn, decided_ms),
        "event_time": event_time(decided_ms),
        "burn": f"{burn.long_burn:.3g}",
        "budget_left": percent(burn.budget_left),
        "policy_row": burn.row,
    }


def frozen_since(since_ms: int, why: str) -> dict[str, str]:
    """What a frozen alert says besides: it neither fires on nor resolves until there is data again."""
    return {FROZEN: f"frozen since {event_time(since_ms)} (event time): {why}, so it neither fires on nor resolves"}


def event_time(at_ms: int) -> str:
    """An instant of event time for readers.

    >>> event_time(1_700_000_000_000)
    '2023-11-14T22:13:20Z'
    """
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def percent(share: float) -> str:
    """A share of turns or of a budget, with three significant places.

    >>> percent(0.2413), percent(0.00072), percent(-0.5), percent(1.0)
    ('24.1 %', '0.072 %', '-50 %', '100 %')
    """
    return f"{share * 100:.3g} %" if abs(share) < 9.995 else f"{share * 100:.0f} %"


def lasting(seconds: float) -> str:
    """A span as one says it, to the two largest units.

    >>> lasting(108_000), lasting(5_430), lasting(42)
    ('1d6h', '1h30m', '42s')
    """
    unit_s = next(unit for above, unit in ((86_400, 3_600), (3_600, 60), (60, 1), (0, 1)) if seconds >= above)
    return duration_text(int(seconds) // unit_s * unit_s) or "moments"


def _summary(burn: Burn) -> str:
    where = "the whole fleet" if burn.slice == EVERYTHING else burn.slice
    bad = percent(burn.long_bad / burn.long_total)
    return (
        f"{burn.slo} burns {burn.long_burn:.3g} times its budget in {where}: "
        f"{bad} of turns bad in the last {duration_text(burn.long_s)}, {_what_is_left(burn)}"
    )


def _what_is_left(burn: Burn) -> str:
    if burn.budget_left <= 0:
        return "the budget is spent"
    if burn.exhausted_in_s is None:
        return f"{percent(burn.budget_left)} of the budget left"
    return f"{percent(burn.budget_left)} of the budget left, spent in {lasting(burn.exhausted_in_s)}"


def _description(burn: Burn, slo: Slo | None, decided_ms: int, completeness: float) -> str:
    allowed = percent(burn.threshold / burn.factor)
    promise = [f"{slo.description} (objective {percent(float(slo.objective))}, owner {slo.owner})"] if slo else []
    return "\n".join(
        [
            *promise,
            f"{_window(burn.long_s, burn.long_bad, burn.long_total)}: burn {burn.long_burn:.3g}.",
            f"{_window(burn.short_s, burn.short_bad, burn.short_total)}: burn {burn.short_burn:.3g}.",
            f"Allowed is {allowed}; row {burn.row} fires above {percent(burn.threshold)} in both windows "
            f"(burn {burn.factor:.3g}).",
            f"Budget: {_what_is_left(burn)}. One bad turn costs {percent(burn.one_failure_costs)} of it.",
            f"Decided at {event_time(decided_ms)} (event time) on {percent(completeness)} of recent volume.",
        ]
    )


def _window(length_s: int, bad: int, total: int) -> str:
    return f"Last {duration_text(length_s)}: {bad:,} of {total:,} turns bad ({percent(bad / total)})"
