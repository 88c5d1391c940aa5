"""The board of an incident's first minute: the first five questions in the order in which they are asked.

What burns now; how much budget is left and until when; which slice spends it; which stage of the turn grew; what
traffic does. Then the pages of the range, and whether the data under all of it is complete. Every threshold comes from
the SLOs and policy rows that the board is rendered for.
"""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard

from dashboards.panels import CALM, PAGE, SOURCE, ClickHouseTarget, Panel
from dashboards.queries import Query
from dashboards.queries.budgets import EXCLUSIONS_ANNOTATION
from dashboards.queries.burn_rate import PAGES_ANNOTATION, Watched
from dashboards.sections import budgets, burn_rate, pipeline, privacy, stage_latency, traffic
from dashboards.variables import OVERVIEW_UID, variables

TITLE = "Fleet overview and burn"
_DESCRIPTION = (
    "What burns, what is left, which slice, which stage, what traffic: an incident's first questions, in order."
)


def fleet_overview(watched: Watched) -> dashboard.Dashboard:
    """The board for these objectives and their policy rows."""
    board = (
        builders.Dashboard(TITLE)
        .uid(OVERVIEW_UID)
        .description(_DESCRIPTION)
        .tags(["turnwatch"])
        .timezone("browser")
        .time("now-3h", "now")
        .refresh("30s")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .editable()
        .variables([*variables(watched)])
        .annotations([_PagesAnnotation(), _ExclusionsAnnotation()])
    )
    for title, panels in _rows(watched).items():
        board.with_row(builders.Row(title))
        for panel in panels:
            board.with_panel(panel)
    return _numbered(board.build())


def _rows(watched: Watched) -> dict[str, list[Panel]]:
    burns = [burn_rate.burning(watched), burn_rate.nearness(watched), burn_rate.burn(watched)]
    by_dimension = [burn_rate.bad_by(name, watched) for name in ("bundle", "region", "route")]
    return {
        "1 · What burns now": [burn_rate.worst(watched), pipeline.shown(), *burns],
        "2 · How much budget is left, and until when": [
            burn_rate.budget(),
            burn_rate.exhaustion(watched),
            budgets.budgets(),
        ],
        "3 · Which slice": [*by_dimension, burn_rate.bad_over_time(watched)],
        "4 · Which stage grew": [stage_latency.growth(), stage_latency.stages(0.99), stage_latency.stages(0.5)],
        "5 · What traffic does": [
            traffic.turns(),
            traffic.streams(),
            traffic.replicas(),
            traffic.tokens(),
            traffic.audio(),
        ],
        "Pages in this range": [burn_rate.pages()],
        "Can this be trusted": [pipeline.completeness(), pipeline.age(), pipeline.producers(), pipeline.dropped()],
        "What the edge withheld": [privacy.given_up(), privacy.withheld()],
    }


def _numbered(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """Panels numbered in order, so that a link to one of them stays what it is from one rendering to the next."""
    for number, panel in enumerate(board.panels or [], start=1):
        if isinstance(panel, dashboard.RowPanel):
            panel.id_val = 1000 + number
        else:
            panel.id_val = number
    return board


class _PagesAnnotation(builders.AnnotationQuery):
    """Every page and ticket of the range, drawn from its start to its end."""

    def build(self) -> dashboard.AnnotationQuery:
        return _ClickHouseAnnotation(
            PAGES_ANNOTATION, name="Pages and tickets", datasource=SOURCE, enable=True, icon_color=PAGE
        )


class _ExclusionsAnnotation(builders.AnnotationQuery):
    """Every window that budgets are not charged for."""

    def build(self) -> dashboard.AnnotationQuery:
        return _ClickHouseAnnotation(
            EXCLUSIONS_ANNOTATION, name="Excluded from budgets", datasource=SOURCE, enable=True, icon_color=CALM
        )


class _ClickHouseAnnotation(dashboard.AnnotationQuery):
    def __init__(self, query: Query, **settings: Any) -> None:
        super().__init__(**settings)
        self._query = query

    def to_json(self) -> dict[str, object]:
        return {**super().to_json(), "target": ClickHouseTarget(self._query).to_json()}
