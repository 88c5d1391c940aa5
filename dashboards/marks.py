"""What every board marks on every chart: releases, pages and tickets, and what budgets are not charged for."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.boards import Choice, Marks
from dashboards.panels import CALM, OKABE_ITO, PAGE
from dashboards.queries.budgets import exclusions_annotation
from dashboards.queries.pages import pages_annotation
from dashboards.queries.releases import RELEASES_ANNOTATION


def marks(choices: Sequence[Choice]) -> tuple[Marks, ...]:
    """The marks of a board with these choices: of the chosen SLOs where it has SLOs to choose from."""
    by_slo = any(choice.name == "slo" for choice in choices)
    return (
        Marks("Releases", RELEASES_ANNOTATION, OKABE_ITO[2]),
        Marks("Pages and tickets", pages_annotation(by_slo), PAGE),
        Marks("Excluded from budgets", exclusions_annotation(by_slo), CALM),
    )
