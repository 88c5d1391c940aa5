"""What `turnwatch check` says about alerts: problems that have to be put right, and notes that are good to know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from alerts.openslo import SHIPPED_SLOS, SloFileError, load_slos
from alerts.policies import duration_text, policy_for, unreachable_rows
from schemas.families import FAMILIES, Family
from schemas.slos import Slo

REPOSITORY = Path(__file__).resolve().parent.parent


def check(directory: Path = SHIPPED_SLOS, repository: Path = REPOSITORY) -> list[str]:
    """Everything wrong with the SLO files and what they point to; empty when all is well."""
    try:
        slos = load_slos(directory)
    except SloFileError as error:
        return list(error.problems)
    return [problem for slo in slos for problem in _problems(slo, repository)]


def notes(directory: Path = SHIPPED_SLOS) -> list[str]:
    """What a policy leaves out, and why: rows that can never fire, and rows too short for a cut's k-window."""
    try:
        slos = load_slos(directory)
    except SloFileError:
        return []  # `check` tells them.
    return [f"{slo.name}: {note}" for slo in slos for note in (*_left_out(slo), *_skipped(slo))]


def _problems(slo: Slo, repository: Path) -> Iterator[str]:
    is_address = "://" in slo.runbook
    if not is_address and not (repository / slo.runbook.partition("#")[0]).is_file():
        yield f"{slo.name}: the runbook {slo.runbook} does not exist: write it, or name another."
    for name in slo.cuts:
        if all(row.short_s < _k_window_s(slo, name) for row in policy_for(slo).rows):
            yield f"{slo.name}: no row of the policy can watch cut {name}, every short window is below its k-window."


def _left_out(slo: Slo) -> Iterator[str]:
    for unreachable in unreachable_rows(slo):
        yield f"{unreachable.sentence}."


def _skipped(slo: Slo) -> Iterator[str]:
    for name in slo.cuts:
        k_window_s = _k_window_s(slo, name)
        for row in policy_for(slo).rows:
            if row.short_s < k_window_s:
                yield (
                    f"row {row.name} skips cut {name}: its short window of {duration_text(row.short_s)} "
                    f"is below the cut's k-window of {duration_text(k_window_s)}."
                )


def _k_window_s(slo: Slo, cut_name: str) -> int:
    family = _family_of(slo)
    cut = next(cut for cut in family.cuts if cut.name == cut_name)
    return family.partition(cut.partition).k_window_s


def _family_of(slo: Slo) -> Family:
    return next(family for family in FAMILIES.values() if slo.indicator.bad in family.measure_names)
