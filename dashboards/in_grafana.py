"""Boards as Grafana 10.4 and later take them, built with Grafana's own schema library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog import builder as cog_builder
from grafana_foundation_sdk.models import dashboard

from dashboards import data_source
from dashboards.boards import Board, Choice, Marks
from dashboards.panels_in_grafana import SOURCE, ClickHouseTarget, panel_of
from dashboards.queries import Query
from dashboards.queries.selection import EVERYTHING

TAG = "turnwatch"


def in_grafana(board: Board) -> dashboard.Dashboard:
    """The board with its sections as rows, its choices as variables and its marks as annotations."""
    names = [choice.name for choice in board.choices]
    built = (
        builders.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags([TAG])
        .timezone("utc")
        .time(f"now-{_length(board.range_s)}", "now")
        .refresh(_length(board.refresh_s))
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .editable()
        .variables([_source(), *map(_variable, board.choices)])
        .annotations([_Annotation(marks) for marks in board.marks])
        .link(_other_boards())
    )
    for title, panels in board.sections.items():
        built.with_row(builders.Row(title))
        for panel in panels:
            built.with_panel(panel_of(panel, names))
    return _numbered(built.build())


def _length(seconds: int) -> str:
    """
    >>> _length(10_800), _length(30), _length(604_800)
    ('3h', '30s', '7d')
    """
    units = (("d", 86_400), ("h", 3_600), ("m", 60))
    return next((f"{seconds // each}{name}" for name, each in units if seconds % each == 0), f"{seconds}s")


def _other_boards() -> builders.DashboardLink:
    """A list of all boards of ours that keeps range and choices."""
    link = builders.DashboardLink("Other boards, same time and slice").type(dashboard.DashboardLinkType.DASHBOARDS)
    return link.tags([TAG]).as_dropdown(True).include_vars(True).keep_time(True)


def _numbered(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """Panels numbered in order, so that a link to one of them stays what it is from one rendering to the next."""
    for number, panel in enumerate(board.panels or [], start=1):
        panel.id_val = 1000 + number if isinstance(panel, dashboard.RowPanel) else number
    return board


def _source() -> builders.DatasourceVariable:
    current = dashboard.VariableOption(selected=True, text=data_source.NAME, value=data_source.UID)
    return builders.DatasourceVariable("datasource").label("data source").type(data_source.PLUGIN).current(current)


def _variable(choice: Choice) -> builders.CustomVariable | builders.QueryVariable:
    if isinstance(choice.options, Query):
        return _found_in_range(choice, choice.options)
    variable = _custom(choice, choice.options)
    if not choice.is_multi:
        return variable.current(dashboard.VariableOption(selected=True, text=choice.chosen, value=choice.chosen))
    return variable.current(_everything()).multi(True).include_all(True).all_value(EVERYTHING)


def _found_in_range(choice: Choice, query: Query) -> builders.QueryVariable:
    variable = builders.QueryVariable(choice.name).label(choice.label).description(choice.meaning)
    variable.datasource(SOURCE).query(query.sql)
    variable.refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(dashboard.VariableSort.ALPHABETICAL_ASC)
    return variable.current(_everything()).multi(True).include_all(True).all_value(EVERYTHING)


def _custom(choice: Choice, options: Sequence[str]) -> builders.CustomVariable:
    shown = [dashboard.VariableOption(selected=value == choice.chosen, text=value, value=value) for value in options]
    if choice.is_multi:
        shown.insert(0, dashboard.VariableOption(selected=True, text="All", value="$__all"))
    variable = builders.CustomVariable(choice.name).label(choice.label).description(choice.meaning)
    return variable.values(",".join(options)).options(shown)


def _everything() -> dashboard.VariableOption:
    return dashboard.VariableOption(selected=True, text=["All"], value=["$__all"])


@dataclass(frozen=True, slots=True)
class _Annotation(cog_builder.Builder[dashboard.AnnotationQuery]):
    marks: Marks

    def build(self) -> dashboard.AnnotationQuery:
        return _ClickHouseAnnotation(
            self.marks.query, name=self.marks.name, datasource=SOURCE, enable=True, icon_color=self.marks.colour
        )


class _ClickHouseAnnotation(dashboard.AnnotationQuery):
    def __init__(self, query: Query, **settings: Any) -> None:
        super().__init__(**settings)
        self._query = query

    def to_json(self) -> dict[str, object]:
        return {**super().to_json(), "target": ClickHouseTarget(self._query).to_json()}
