"""What `turnwatch check` says about alerts: problems that have to be put right, and notes that are good to know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from alerts.definitions import Definition, definitions
from alerts.document_files import WrongFiles
from alerts.openslo import SHIPPED_SLOS
from alerts.policies import unreachable_rows
from alerts.policy_document import SHIPPED_POLICIES
from alerts.policy_rows import duration_text
from alerts.slo_document import CUTS, RUNBOOK
from schemas.slos import TIME_SLICE_S, Slo

REPOSITORY = Path(__file__).resolve().parent.parent


def check(
    directory: Path = SHIPPED_SLOS, repository: Path = REPOSITORY, policies: Path = SHIPPED_POLICIES
) -> list[str]:
    """Everything wrong with the SLO files, the policies and what they point to; empty when all is well."""
    try:
        found = definitions(directory, policies)
    except WrongFiles as error:
        return list(error.problems)
    return [problem for each in found for problem in _problems(each, repository)]


def notes(directory: Path = SHIPPED_SLOS, policies: Path = SHIPPED_POLICIES) -> list[str]:
    """What a policy leaves out, and why: rows that can never fire, and rows too short for a cut's k-window."""
    try:
        found = definitions(directory, policies)
    except WrongFiles:
        return []  # `check` tells them.
    return [f"{each.watched.slo.name}: {note}" for each in found for note in (*_left_out(each), *_skipped(each))]


def _problems(each: Definition, repository: Path) -> Iterator[str]:
    slo = each.watched.slo
    is_address = "://" in slo.runbook
    if not is_address and not (repository / slo.runbook.partition("#")[0]).is_file():
        sentence = f"The runbook {slo.runbook} does not exist: write it, or name another."
        yield each.problem(("metadata", "annotations", RUNBOOK), sentence)
    for name in slo.cuts:
        if all(row.short_s < _k_window_s(slo, name) for row in each.watched.rows):
            sentence = f"No row of policy {slo.policy} can watch cut {name}: every short window is below its k-window."
            yield each.problem(("metadata", "annotations", CUTS), sentence)


def _left_out(each: Definition) -> Iterator[str]:
    for unreachable in unreachable_rows(each.watched.slo, each.policy):
        yield f"{unreachable.sentence}."


def _skipped(each: Definition) -> Iterator[str]:
    for name in each.watched.slo.cuts:
        k_window_s = _k_window_s(each.watched.slo, name)
        for row in each.watched.rows:
            if row.short_s < k_window_s:
                short, width = duration_text(row.short_s), duration_text(k_window_s)
                is_of_turns = each.watched.slo.time_slice_target is None
                what = f"the cut's k-window of {width}" if is_of_turns else "the minutes it counts"
                yield f"row {row.name} skips cut {name}: its short window of {short} is below {what}."


def _k_window_s(slo: Slo, cut_name: str) -> int:
    """Below how long a window the cut is not watched; a budget of minutes is watched by minutes."""
    cut = next(cut for cut in slo.family.cuts if cut.name == cut_name)
    slice_s = 0 if slo.time_slice_target is None else TIME_SLICE_S
    return max(slice_s, slo.family.partition(cut.partition).k_window_s)
