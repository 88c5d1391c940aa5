"""Which rows of a policy no objective should be watched by, with the arithmetic that says so.

A computed row that can never fire at an objective is left out and noted (`policies.unreachable_rows`); one that somebody
wrote is refused, as are rows that fire while the objective is met, or only after its budget is spent, or look back
further than its history.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

from alerts.located_yaml import Place
from alerts.policy_rows import (
    BUCKET_S,
    SHORT_PER_LONG,
    AnyEvent,
    BudgetShare,
    Exhausts,
    Outage,
    Policy,
    RowSpec,
    WrittenRow,
    burn_factor,
    can_fire,
    duration_text,
    placed,
    row_for,
    shown,
)
from schemas.slos import PolicyRow, Slo

ANY_EVENT_OBJECTIVE_MIN = Decimal("0.9999")
"""Least objective of what must never happen: below it one bad turn is what the budget is for."""
_EXACT_LENGTH_MAX = 12

Refusal = tuple[Place, str]
"""Where in the policy's document, and a sentence with the arithmetic."""


def refusals(slo: Slo, policy: Policy) -> Iterator[Refusal]:
    """Everything that is wrong with the policy for this objective."""
    rows = [(place, spec, row_for(slo, spec)) for place, spec in placed(policy)]
    told = [(place, said) for place, spec, row in rows if (said := _refusal(slo, policy, spec, row))]
    yield from told
    if not told:
        yield from _doubles(slo, [(place, row) for place, _, row in rows])
        if not any(can_fire(row) for _, _, row in rows):
            yield ("spec", "rows"), _none_can_fire(slo, policy, [row for _, _, row in rows])


def soonest(slo: Slo, policy: Policy) -> PolicyRow | None:
    """The row that sees a total outage first; one that waits for the budget to be nearly spent only where there is no other."""
    rows = [row_for(slo, spec) for _, spec in placed(policy)]
    return min(
        (row for row in rows if can_fire(row)),
        key=lambda row: (row.kind == "exhausts", row.threshold * row.long_s),
        default=None,
    )


def _refusal(slo: Slo, policy: Policy, spec: RowSpec, row: PolicyRow) -> str | None:
    match spec:
        case BudgetShare():
            return _refused_share(slo, spec, row)
        case WrittenRow():
            return _too_long(slo, row) or _never(slo, policy, row) or _while_met(slo, row) or _when_spent(slo, row)
        case Outage():
            return _too_long(slo, row) or _outage_while_met(slo, spec, row)
        case Exhausts():
            return _too_long(slo, row) or _always_exhausts(slo, spec, row) or _exhausts_too_late(slo, spec, row)
        case AnyEvent():
            return _too_long(slo, row) or _any_while_met(slo, row)


def _any_while_met(slo: Slo, row: PolicyRow) -> str | None:
    if slo.objective >= ANY_EVENT_OBJECTIVE_MIN:
        return None
    return (
        f"Row {row.name} fires while {slo.name} is met: it fires at one bad {slo.unit.removesuffix('s')}, and 1 - {_exact(slo.objective)} = "
        f"{_exact(slo.budget_rate)} of them may be bad. Give an objective that allows next to none, {ANY_EVENT_OBJECTIVE_MIN} or more, "
        "or watch it by rows of budget shares."
    )


def _refused_share(slo: Slo, spec: BudgetShare, row: PolicyRow) -> str | None:
    if row.short_s >= BUCKET_S:
        return None
    period, least = duration_text(slo.period_s), duration_text(SHORT_PER_LONG * BUCKET_S)
    return (
        f"{_exact(spec.share)} of the budget of {slo.name} goes at a burn of 1 within {_exact(spec.share)} × {period} = "
        f"{duration_text(row.long_s)}, and a long window has to be {least} or more: write a larger `budgetShare`."
    )


def _too_long(slo: Slo, row: PolicyRow) -> str | None:
    if row.long_s <= slo.period_s:
        return None
    return (
        f"Row {row.name} looks back {duration_text(row.long_s)}, and of {slo.name} {duration_text(slo.period_s)} (its period) "
        f"and a day are kept: write {duration_text(slo.period_s)} or less."
    )


def _never(slo: Slo, policy: Policy, row: PolicyRow) -> str | None:
    if can_fire(row):
        return None
    rate, covering = _exact(slo.budget_rate), soonest(slo, policy)
    cover = f", or leave it to row {covering.name} (bad share above {shown(covering.threshold)})" if covering else ""
    return (
        f"Row {row.name} can never fire for {slo.name}: more than {_exact(row.factor)} × {rate} = {_exact(row.threshold)} "
        f"times all its turns would have to be bad. The largest possible burn is 1 ÷ {rate} = {shown(1 / slo.budget_rate)}: "
        f"write a smaller factor{cover}."
    )


def _while_met(slo: Slo, row: PolicyRow) -> str | None:
    if row.factor >= 1:
        return None
    period, same_s = duration_text(slo.period_s), int(row.factor * row.long_s) // BUCKET_S * BUCKET_S
    shorter = f", or 1 with `long: {duration_text(same_s)}`, which spends as much" if same_s > row.short_s else ""
    return (
        f"Row {row.name} fires while {slo.name} is met: a burn of {_exact(row.factor)} for all of {period} spends "
        f"{_exact(row.factor)} × 100 % = {_exact(row.factor * 100)} % of the budget. Write a factor of 1 or more{shorter}."
    )


def _when_spent(slo: Slo, row: PolicyRow) -> str | None:
    spent = Fraction(row.factor) * row.long_s / slo.period_s
    if spent <= 1:
        return None
    long, period = duration_text(row.long_s), duration_text(slo.period_s)
    return (
        f"Row {row.name} fires only once the budget of {slo.name} is spent: {_exact(row.factor)} × {long} ÷ {period} = "
        f"{shown(spent)} of it goes within the long window. Write a factor of at most {period} ÷ {long} = "
        f"{shown(Fraction(slo.period_s, row.long_s))}."
    )


def _outage_while_met(slo: Slo, spec: Outage, row: PolicyRow) -> str | None:
    if row.factor >= 1:
        return None
    rate = _exact(slo.budget_rate)
    if spec.bad_share_max < slo.budget_rate:
        return (
            f"Row {row.name} fires while {slo.name} is met: it fires above {_exact(spec.bad_share_max)} of turns bad, and "
            f"1 - {_exact(slo.objective)} = {rate} of them may be. Write a `badShareMax` of {rate} or more."
        )
    long, period = duration_text(spec.long_s), duration_text(slo.period_s)
    burn = burn_factor(spec.share, slo.period_s, spec.long_s)
    least = Fraction(spec.long_s, slo.period_s)
    return (
        f"Row {row.name} fires while {slo.name} is met: {_exact(spec.share)} × {period} ÷ {long} = {shown(burn)} is a burn "
        f"below 1. Write a `budgetShare` of at least {long} ÷ {period} = {shown(least)}."
    )


def _always_exhausts(slo: Slo, spec: Exhausts, row: PolicyRow) -> str | None:
    if spec.within_s <= slo.period_s:
        return None
    within, period = duration_text(spec.within_s), duration_text(slo.period_s)
    return (
        f"Row {row.name} fires while {slo.name} is met: a whole budget goes within {within} at a burn of {period} ÷ {within} "
        f"= {shown(Fraction(slo.period_s, spec.within_s))}, which is below 1. Write a `within` of {period} (its period) or less."
    )


def _exhausts_too_late(slo: Slo, spec: Exhausts, row: PolicyRow) -> str | None:
    if spec.within_s >= row.short_s:
        return None
    rate, within, short = _exact(slo.budget_rate), duration_text(spec.within_s), duration_text(row.short_s)
    left = Fraction(spec.within_s, slo.period_s) / Fraction(slo.budget_rate)
    return (
        f"Row {row.name} can never fire in time for {slo.name}: its short window, {short}, is longer than the {within} in which "
        f"the budget is to go, and even at the largest possible burn, 1 ÷ {rate} = {shown(1 / slo.budget_rate)}, it fires with "
        f"{shown(1 / slo.budget_rate)} × {within} ÷ {duration_text(slo.period_s)} = {shown(100 * left)} % of it left. Write a "
        f"`within` of {short} or more, or a shorter `window`."
    )


def _doubles(slo: Slo, rows: list[tuple[Place, PolicyRow]]) -> Iterator[Refusal]:
    """Rows that are told apart by nothing but their factor: the lower one fires whenever the other does."""
    lowest: dict[str, Decimal] = {}
    for _, row in rows:
        lowest[row.name] = min(row.factor, lowest.get(row.name, row.factor))
    for place, row in rows:
        if row.factor > lowest[row.name]:
            yield (
                place,
                f"Row {row.name} is there for {slo.name} with a burn of {shown(lowest[row.name])} too, which fires "
                f"whenever this one of {shown(row.factor)} does: keep one of them.",
            )


def _none_can_fire(slo: Slo, policy: Policy, rows: list[PolicyRow]) -> str:
    lowest = min(rows, key=lambda row: row.threshold)
    return (
        f"No row of policy {policy.name} can fire for {slo.name}: even row {lowest.name} needs more than "
        f"{shown(lowest.factor)} × {_exact(slo.budget_rate)} = {shown(lowest.threshold)} times all its turns to be bad. "
        "Add an `outage`, or a row with a longer window."
    )


def _exact(number: Decimal) -> str:
    """A decimal as written, where it is not too long for a sentence."""
    written = format(number.normalize(), "f")
    return written if len(written) <= _EXACT_LENGTH_MAX else shown(number)
