"""What a board's reader chooses from: data source, SLOs, the contract's dimensions, a breakdown and a burn window.

"All" and nothing chosen are the same; a link that names a value outside of a list works as well.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard

from dashboards import data_source
from dashboards.panels import SOURCE, Properties, linked
from dashboards.queries.burn_rate import BREAKDOWNS, NAMED_WINDOW_S, Watched, window_text, windows
from dashboards.queries.selection import EVERYTHING, SLICE_VARIABLES, option_query
from schemas.dimensions import DIMENSIONS

Variable = builders.DatasourceVariable | builders.CustomVariable | builders.QueryVariable

OVERVIEW_UID = "turnwatch-fleet-overview"

_BREAKDOWN = "bundle"
"""Broken down by release first: what changed most recently is asked about first."""


def variables(watched: Watched) -> list[Variable]:
    return [_source(), _slo(watched), *(_dimension(name) for name in SLICE_VARIABLES), _breakdown(), _window(watched)]


def drill_down(*columns: str) -> Properties:
    """A link to the overview that keeps range and choices, narrowed to the row by the `columns` that select."""
    narrowed = [
        f"var-{name}=${{__data.fields.{name}:percentencode}}" if name in columns else f"${{{name}:queryparam}}"
        for name in ("slo", *SLICE_VARIABLES)
    ]
    kept = ["${__url_time_range}", *narrowed, *(f"${{{name}:queryparam}}" for name in ("by", "window", "datasource"))]
    return linked("Only this slice, same time range", f"/d/{OVERVIEW_UID}?{'&'.join(kept)}")


def _source() -> builders.DatasourceVariable:
    current = dashboard.VariableOption(selected=True, text=data_source.NAME, value=data_source.UID)
    return builders.DatasourceVariable("datasource").label("data source").type(data_source.PLUGIN).current(current)


def _everything() -> dashboard.VariableOption:
    return dashboard.VariableOption(selected=True, text=["All"], value=["$__all"])


def _slo(watched: Watched) -> builders.CustomVariable:
    names = [each.slo.name for each in watched]
    everything = dashboard.VariableOption(selected=True, text="All", value="$__all")
    options = [everything, *(dashboard.VariableOption(selected=False, text=name, value=name) for name in names)]
    variable = (
        builders.CustomVariable("slo")
        .label("SLO")
        .description("the objectives shown")
        .values(",".join(names))
        .options(options)
    )
    return variable.current(_everything()).multi(True).include_all(True).all_value(EVERYTHING)


def _dimension(name: str) -> builders.QueryVariable:
    variable = (
        builders.QueryVariable(name)
        .label(name)
        .description(DIMENSIONS[name].meaning)
        .datasource(SOURCE)
        .query(option_query(name))
    )
    variable.refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(dashboard.VariableSort.ALPHABETICAL_ASC)
    return variable.current(_everything()).multi(True).include_all(True).all_value(EVERYTHING)


def _breakdown() -> builders.CustomVariable:
    return _choice(
        "by", "break down by", "the dimension that the chart of bad shares is cut by", BREAKDOWNS, _BREAKDOWN
    )


def _window(watched: Watched) -> builders.CustomVariable:
    names = tuple(window_text(seconds) for seconds in windows(watched))
    return _choice("window", "burn window", "the window of the burn chart", names, window_text(NAMED_WINDOW_S))


def _choice(name: str, label: str, meaning: str, values: tuple[str, ...], chosen: str) -> builders.CustomVariable:
    options = [dashboard.VariableOption(selected=value == chosen, text=value, value=value) for value in values]
    current = dashboard.VariableOption(selected=True, text=chosen, value=chosen)
    return (
        builders.CustomVariable(name)
        .label(label)
        .description(meaning)
        .values(",".join(values))
        .options(options)
        .current(current)
    )
