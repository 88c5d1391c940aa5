"""What watches an objective: the rows that its burn policy has for it, and those that are left out because they can
never fire.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from alerts.document_files import problem
from alerts.document_sentences import ended, nearest
from alerts.located_yaml import Mistake, field_text
from alerts.policy_document import PolicyFileError, shipped_policies
from alerts.policy_judgement import refusals, soonest
from alerts.policy_rows import Policy, burn_factor, can_fire, duration_text, placed, row_for, shown
from schemas.slos import LowTraffic, PolicyRow, Slo, WatchedSlo

__all__ = [
    "Unreachable",
    "burn_factor",
    "duration_text",
    "policy_for",
    "policy_problems",
    "policy_rows",
    "shown",
    "unreachable_rows",
]


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A row that can never fire: its factor is at or above the largest possible burn, 1 ÷ (1 - objective)."""

    row: PolicyRow
    burn_max: Decimal
    covered_by: PolicyRow

    @property
    def sentence(self) -> str:
        """What `turnwatch check` says about it."""
        return (
            f"row {self.row.name} (burn {shown(self.row.factor)}) can never fire: "
            f"the largest possible burn is {shown(self.burn_max)}; "
            f"row {self.covered_by.name} covers for it (bad share above {shown(self.covered_by.threshold)})"
        )


def policy_for(slo: Slo, policy: Policy | None = None, low_traffic: LowTraffic | None = None) -> WatchedSlo:
    """The objective with every row that can fire, fastest first; by the shipped policy that it names, if none is given.

    A policy that this objective cannot be watched by is refused, as `PolicyFileError`.
    """
    policy = policy or _named(slo)
    problems = list(policy_problems(slo, policy))
    if problems:
        raise PolicyFileError(problems)
    rows = tuple(row for row in policy_rows(slo, policy) if can_fire(row))
    return WatchedSlo(slo, rows, low_traffic or policy.low_traffic, policy.life)


def policy_problems(slo: Slo, policy: Policy) -> Iterator[str]:
    """What is wrong with the policy for this objective, at the line that says it."""
    for place, sentence in refusals(slo, policy):
        if policy.source is None:
            yield f"{policy.name}: {field_text(place)}: {sentence}"
        else:
            line = policy.source.document.line_of(place)
            yield problem(policy.source.file, Mistake(line, field_text(place), sentence))


def unreachable_rows(slo: Slo, policy: Policy | None = None) -> tuple[Unreachable, ...]:
    """The rows that were left out, with the row that sees a total outage soonest instead."""
    policy = policy or _named(slo)
    covering = soonest(slo, policy)
    if covering is None:
        return ()  # Such a policy is refused.
    burn_max = 1 / slo.budget_rate
    return tuple(Unreachable(row, burn_max, covering) for row in policy_rows(slo, policy) if not can_fire(row))


def policy_rows(slo: Slo, policy: Policy | None = None) -> tuple[PolicyRow, ...]:
    """Every row for the objective's period, those that can never fire included; equal rows are one."""
    return tuple(dict.fromkeys(row_for(slo, spec) for _, spec in placed(policy or _named(slo))))


def _named(slo: Slo) -> Policy:
    known = shipped_policies()
    if slo.policy not in known:
        raise PolicyFileError([ended(f"{slo.name}: no policy is named {slo.policy!r}{nearest(slo.policy, known)}")])
    return known[slo.policy]
