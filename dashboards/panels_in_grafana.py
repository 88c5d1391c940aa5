"""Panels as Grafana takes them, built with Grafana's own schema library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from grafana_foundation_sdk.builders import barchart, stat, statushistory, table, timeseries
from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as dashboard_builders
from grafana_foundation_sdk.cog import builder as cog_builder
from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.models import common, dashboard

from dashboards.data_source import PLUGIN, PLUGIN_VERSION
from dashboards.nothing_to_show import why_nothing
from dashboards.panels import (
    GAP_S,
    OKABE_ITO,
    TICKET,
    UNSEEN,
    Bars,
    Chart,
    Column,
    Figures,
    Grid,
    HeatMap,
    Link,
    Panel,
    Steps,
)
from dashboards.queries import Query
from dashboards.series_in_grafana import query_in_grafana

SOURCE = dashboard.DataSourceRef(type_val=PLUGIN, uid="${datasource}")
"""The data source that the board's variable names."""

_FORMAT_OF_SHAPE = {"time_series": 0, "table": 1}

Properties = list[dashboard.DynamicConfigValue]
Opened = TypeVar("Opened", timeseries.Panel, statushistory.Panel, barchart.Panel, table.Panel, stat.Panel)
Columned = TypeVar("Columned", table.Panel, stat.Panel)


@dataclass(frozen=True, slots=True)
class ClickHouseTarget(variants.Dataquery):
    """A statement as the ClickHouse plugin takes it from a panel."""

    query: Query

    def to_json(self) -> dict[str, object]:
        return {
            "refId": "A",
            "datasource": SOURCE,
            "pluginVersion": PLUGIN_VERSION,
            "editorType": "sql",
            "format": _FORMAT_OF_SHAPE[self.query.shape],
            "queryType": "timeseries" if self.query.shape == "time_series" else "table",
            "rawSql": self.query.sql,
        }


@dataclass(frozen=True, slots=True)
class _Target(cog_builder.Builder[variants.Dataquery]):
    query: Query

    def build(self) -> variants.Dataquery:
        return ClickHouseTarget(self.query)


@dataclass(frozen=True, slots=True)
class _Thresholds(cog_builder.Builder[dashboard.ThresholdsConfig]):
    steps: Steps

    def build(self) -> dashboard.ThresholdsConfig:
        return thresholds(self.steps)


def thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    limits = [dashboard.Threshold(value, colour) for value, colour in steps.limits]
    return dashboard.ThresholdsConfig(
        dashboard.ThresholdsMode.ABSOLUTE, [dashboard.Threshold(None, steps.lowest), *limits]
    )


def panel_of(panel: Panel, choices: Sequence[str]) -> cog_builder.Builder[dashboard.Panel]:
    """The panel; `choices` are the board's variables, which its links keep."""
    match panel:
        case Chart():
            return _chart(panel, choices)
        case HeatMap():
            return _heat_map(panel, choices)
        case Bars():
            return _bars(panel)
        case Grid():
            return _with_columns(_grid(panel), panel.columns, choices)
        case Figures():
            return _with_columns(_figures(panel), panel.columns, choices)


def _opened(builder: Opened, panel: Panel) -> Opened:
    """What all panels have in common."""
    builder.title(panel.title).description(_described(panel)).datasource(SOURCE).with_target(
        _Target(query_in_grafana(panel))
    )
    builder.span(panel.place.width).height(panel.place.height)
    return builder


def _described(panel: Panel) -> str:
    """What the panel says of itself, and how many rows it has room for: a full table looks as one that has everything."""
    most = panel.query.rows_max
    return f"{panel.description} The first {most} rows at most." if most else panel.description


def _chart(chart: Chart, choices: Sequence[str]) -> timeseries.Panel:
    panel = _opened(timeseries.Panel(), chart).no_value(why_nothing(chart) or "No data")
    (
        panel.unit(chart.unit)
        .axis_label(chart.axis)
        .axis_soft_min(0)
        .interval("10s")
        .display_name("${__field.labels.series}")
        .line_width(2)
        .fill_opacity(0)
        .span_nulls(GAP_S * 1_000)
        .show_points(common.VisibilityMode.AUTO)
        .legend(_legend())
        .tooltip(
            common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
        )
        .color_scheme(_shade())
    )
    if chart.steps is not None:
        dashed = common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        panel.thresholds(_Thresholds(chart.steps)).thresholds_style(dashed)
    if chart.low is not None:
        panel.min(chart.low)
    if chart.high is not None:
        panel.max(chart.high)
    if chart.link is not None:
        panel.data_links([_data_link(chart.link, choices)])
    for place, name in enumerate(chart.series):
        dash = {"fill": "dash", "dash": [10, 6]} if place % 2 else {"fill": "solid"}
        colour = OKABE_ITO[place % len(OKABE_ITO)]
        panel.override_by_name(name, [_property("color", _fixed(colour)), _property("custom.lineStyle", dash)])
    for prefix, colour in chart.limits.items():
        panel.override_by_regexp(f"/^{prefix}/", _limit_line(colour))
    return panel


def _shade() -> dashboard_builders.FieldColor:
    mode = dashboard_builders.FieldColor().mode(dashboard.FieldColorModeId.CONTINUOUS_BL_PU)
    return mode.series_by(dashboard.FieldColorSeriesByMode.MAX)


def _legend() -> common_builders.VizLegendOptions:
    return (
        common_builders.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.TABLE)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(["lastNotNull", "max"])
        .sort_by("Max")
        .sort_desc(True)
    )


def _limit_line(colour: str) -> Properties:
    return [
        _property("color", _fixed(colour)),
        _property("custom.lineStyle", {"fill": "dash", "dash": [4, 6]}),
        _property("custom.lineWidth", 1),
        _property("custom.spanNulls", True),
    ]


def _heat_map(heat_map: HeatMap, choices: Sequence[str]) -> statushistory.Panel:
    """Grafana's heat map sorts series into buckets of a number; rows that are names are its status history."""
    panel = _opened(statushistory.Panel(), heat_map).no_value(why_nothing(heat_map) or "No data")
    panel.unit(heat_map.unit).interval("10s").display_name("${__field.labels.series}").min(heat_map.low)
    panel.row_height(0.9).col_width(1.0).line_width(0).fill_opacity(90).show_value(common.VisibilityMode.AUTO)
    panel.legend(common_builders.VizLegendOptions().show_legend(False))
    if heat_map.high is not None:
        panel.max(heat_map.high)
    if heat_map.decimals is not None:
        panel.decimals(heat_map.decimals)
    if heat_map.link is not None:
        panel.data_links([_data_link(heat_map.link, choices)])
    if heat_map.steps is None:
        return panel.color_scheme(dashboard_builders.FieldColor().mode(dashboard.FieldColorModeId.CONTINUOUS_BL_PU))
    panel.thresholds(_Thresholds(heat_map.steps))
    return panel.color_scheme(dashboard_builders.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))


def _bars(bars: Bars) -> barchart.Panel:
    panel = _opened(barchart.Panel(), bars).no_value(why_nothing(bars) or "No data")
    panel.unit(bars.unit).axis_label(bars.axis).axis_soft_min(0).fill_opacity(90).line_width(0)
    panel.orientation(common.VizOrientation.HORIZONTAL).x_field(bars.label).show_value(common.VisibilityMode.AUTO)
    panel.stacking(common.StackingMode.NORMAL if bars.is_stacked else common.StackingMode.NONE)
    panel.legend(_named_parts()).tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
    panel.color_scheme(_fixed_text())
    for name, colour in bars.parts.items():
        properties = [_property("color", _fixed(colour))]
        if colour == UNSEEN:
            hidden = {"legend": True, "tooltip": True, "viz": False}
            properties += [_property("custom.fillOpacity", 0), _property("custom.hideFrom", hidden)]
        panel.override_by_name(name, properties)
    return panel


def _named_parts() -> common_builders.VizLegendOptions:
    options = common_builders.VizLegendOptions().display_mode(common.LegendDisplayMode.LIST)
    return options.placement(common.LegendPlacement.BOTTOM).show_legend(True)


def _fixed_text() -> dashboard_builders.FieldColor:
    return dashboard_builders.FieldColor().mode(dashboard.FieldColorModeId.FIXED).fixed_color("text")


def _grid(grid: Grid) -> table.Panel:
    panel = _opened(table.Panel(), grid)
    return panel.cell_height(common.TableCellHeight.SM).no_value("–").color_scheme(_fixed_text())


def _figures(figures: Figures) -> stat.Panel:
    return (
        _opened(stat.Panel(), figures)
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.VALUE)
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
        .no_value("no data")
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]).fields("/.*/"))
    )


def _with_columns(panel: Columned, columns: Mapping[str, Column], choices: Sequence[str]) -> Columned:
    for name, column in columns.items():
        panel.override_by_name(name, _shown(column, choices))
    return panel


def _shown(column: Column, choices: Sequence[str]) -> Properties:
    known = {
        "unit": column.unit or None,
        "decimals": column.decimals,
        "links": None if column.link is None else [_named_link(column.link, choices)],
        "custom.width": column.width,
        "custom.hidden": column.is_hidden or None,
    }
    properties = {name: _property(name, value) for name, value in known.items() if value is not None}
    first = [properties.pop(name) for name in ("unit", "decimals") if name in properties]
    return [*first, *_coloured(column), *properties.values()]


def _coloured(column: Column) -> Properties:
    """The cell's background tells which threshold its value is above, or what its word means; the text stays readable."""
    background = _property("custom.cellOptions", {"type": "color-background", "mode": "basic"})
    if column.steps is not None:
        coloured = _property("thresholds", thresholds(column.steps)), _property("color", {"mode": "thresholds"})
        return [*coloured, background]
    if column.words:
        places = enumerate(column.words.items())
        options = {word: {"text": word, "color": colour, "index": place} for place, (word, colour) in places}
        return [_property("mappings", [{"type": "value", "options": options}]), background]
    if column.is_marked:
        result = {"color": TICKET, "index": 0}
        mapping = {"type": "regex", "options": {"pattern": ".+", "result": result}}
        return [_property("mappings", [mapping]), background]
    if column.bar:
        gauge = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
        range_ = [_property("unit", "percentunit"), _property("min", 0), _property("max", 1)]
        return [*range_, _property("color", _fixed(column.bar)), _property("custom.cellOptions", gauge)]
    return []


def _named_link(link: Link, choices: Sequence[str]) -> dict[str, object]:
    return {"title": link.title, "url": url(link, choices), "targetBlank": False}


def _data_link(link: Link, choices: Sequence[str]) -> dashboard_builders.DashboardLink:
    """Columns of a time series other than its value are labels of its series."""
    return dashboard_builders.DashboardLink(link.title).url(url(link, choices, "__field.labels"))


def url(link: Link, choices: Sequence[str], row: str = "__data.fields") -> str:
    """Where the link leads; a column narrows the choice of its name there, every other choice of this board is kept."""
    kept = [f"${{{name}:queryparam}}" for name in choices if name not in link.columns]
    narrowed = [f"var-{name}=${{{row}.{name}:percentencode}}" for name in link.columns]
    board = f"${{{row}.{link.board_column}:percentencode}}" if link.board_column else link.board
    return f"/d/{board}?{'&'.join(['${__url_time_range}', *narrowed, *kept, '${datasource:queryparam}'])}"


def _property(name: str, value: object) -> dashboard.DynamicConfigValue:
    return dashboard.DynamicConfigValue(id_val=name, value=value)


def _fixed(colour: str) -> dict[str, str]:
    return {"mode": "fixed", "fixedColor": colour}
