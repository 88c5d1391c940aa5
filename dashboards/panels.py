"""Kinds of panels: a chart over time, a table, a row of figures. Each says what it shows, and in what unit.

Meaning never rests on hue alone. Colours are of the Okabe-Ito palette or run from blue to purple with the value, states
are written out as words, and lines that stand for a limit are dashed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as dashboard_builders
from grafana_foundation_sdk.builders import stat, table, timeseries
from grafana_foundation_sdk.cog import builder as cog_builder
from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.models import common, dashboard

from dashboards.data_source import PLUGIN, PLUGIN_VERSION
from dashboards.queries import Query

SOURCE = dashboard.DataSourceRef(type_val=PLUGIN, uid="${datasource}")
"""The data source that the board's variable names."""

CALM, TICKET, PAGE = "#56B4E9", "#E69F00", "#8F3BB8"
"""Below every threshold, above one worth a ticket, above one worth a page: apart in lightness as well as in hue."""

TIMES = "suffix: \u00d7"
"""The unit of ratios: a figure followed by a multiplication sign."""

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8F8F8F")

_FORMAT_OF_SHAPE = {"time_series": 0, "table": 1}

Properties = list[dashboard.DynamicConfigValue]
Panel = cog_builder.Builder[dashboard.Panel]


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
class Target(cog_builder.Builder[variants.Dataquery]):
    query: Query

    def build(self) -> variants.Dataquery:
        return ClickHouseTarget(self.query)


@dataclass(frozen=True, slots=True)
class Place:
    """Size on the board's grid of 24 columns."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Steps:
    """Values from which something is worth a ticket or a page, or (`calm`) from which it is not; `None` for none."""

    ticket: float | None = None
    page: float | None = None
    calm: float | None = None

    def build(self) -> dashboard.ThresholdsConfig:
        known = ((self.ticket, TICKET), (self.page, PAGE), (self.calm, CALM))
        limits = sorted((value, colour) for value, colour in known if value is not None)
        lowest = CALM if self.calm is None else PAGE
        steps = [dashboard.Threshold(None, lowest), *(dashboard.Threshold(value, colour) for value, colour in limits)]
        return dashboard.ThresholdsConfig(dashboard.ThresholdsMode.ABSOLUTE, steps)


class _Built(cog_builder.Builder[dashboard.ThresholdsConfig]):
    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def build(self) -> dashboard.ThresholdsConfig:
        return self._steps.build()


def chart(
    query: Query, title: str, description: str, unit: str, place: Place, *, axis: str = "", steps: Steps | None = None
) -> timeseries.Panel:
    """A line per series. Without `steps`, colour runs from blue to purple with the series' peak."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .with_target(Target(query))
        .span(place.width)
        .height(place.height)
        .unit(unit)
        .axis_label(axis)
        .axis_soft_min(0)
        .interval("10s")
        .display_name("${__field.labels.series}")
        .line_width(2)
        .fill_opacity(0)
        .span_nulls(600_000)
        .show_points(common.VisibilityMode.AUTO)
        .legend(_legend())
        .tooltip(
            common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
        )
    )
    shade = (
        dashboard_builders.FieldColor()
        .mode(dashboard.FieldColorModeId.CONTINUOUS_BL_PU)
        .series_by(dashboard.FieldColorSeriesByMode.MAX)
    )
    if steps is None:
        return panel.color_scheme(shade)
    dashed = common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
    return panel.color_scheme(shade).thresholds(_Built(steps)).thresholds_style(dashed)


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


def coloured(panel: timeseries.Panel, series: Sequence[str]) -> timeseries.Panel:
    """Each of these series in a colour of its own, every other one dashed as well."""
    for place, name in enumerate(series):
        dash = {"fill": "dash", "dash": [10, 6]} if place % 2 else {"fill": "solid"}
        panel.override_by_name(
            name, [_property("color", fixed(OKABE_ITO[place % len(OKABE_ITO)])), _property("custom.lineStyle", dash)]
        )
    return panel


def limit_lines(panel: timeseries.Panel, prefix: str, colour: str) -> timeseries.Panel:
    """Series whose name begins with `prefix` are limits: dashed, thin, in `colour`."""
    style: Properties = [
        _property("color", fixed(colour)),
        _property("custom.lineStyle", {"fill": "dash", "dash": [4, 6]}),
        _property("custom.lineWidth", 1),
        _property("custom.spanNulls", True),
    ]
    return panel.override_by_regexp(f"/^{prefix}/", style)


def grid(query: Query, title: str, description: str, place: Place, columns: Mapping[str, Properties]) -> table.Panel:
    """A table; `columns` says how each of its columns is shown."""
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .with_target(Target(query))
        .span(place.width)
        .height(place.height)
        .cell_height(common.TableCellHeight.SM)
        .no_value("–")
        .color_scheme(dashboard_builders.FieldColor().mode(dashboard.FieldColorModeId.FIXED).fixed_color("text"))
    )
    for name, properties in columns.items():
        panel.override_by_name(name, properties)
    return panel


def figures(query: Query, title: str, description: str, place: Place, columns: Mapping[str, Properties]) -> stat.Panel:
    """The columns of a single row, each as a large figure with its name."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .with_target(Target(query))
        .span(place.width)
        .height(place.height)
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.VALUE)
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
        .no_value("no data")
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]).fields("/.*/"))
    )
    for name, properties in columns.items():
        panel.override_by_name(name, properties)
    return panel


def _property(name: str, value: object) -> dashboard.DynamicConfigValue:
    return dashboard.DynamicConfigValue(id_val=name, value=value)


def fixed(colour: str) -> dict[str, str]:
    return {"mode": "fixed", "fixedColor": colour}


def in_unit(unit: str, decimals: int | None = None) -> Properties:
    properties = [_property("unit", unit)]
    return properties if decimals is None else [*properties, _property("decimals", decimals)]


def wide(width: int) -> Properties:
    return [_property("custom.width", width)]


def hidden() -> Properties:
    return [_property("custom.hidden", True)]


def by_steps(steps: Steps) -> Properties:
    """The cell's background tells which threshold its value is above; the figure stays readable on each."""
    return [
        _property("thresholds", steps.build()),
        _property("color", {"mode": "thresholds"}),
        _property("custom.cellOptions", {"type": "color-background", "mode": "basic"}),
    ]


def by_word(words: Mapping[str, str]) -> Properties:
    """Words on a background of their colour."""
    options = {
        word: {"text": word, "color": colour, "index": place} for place, (word, colour) in enumerate(words.items())
    }
    return [
        _property("mappings", [{"type": "value", "options": options}]),
        _property("custom.cellOptions", {"type": "color-background", "mode": "basic"}),
    ]


def marked() -> Properties:
    """Whatever is said here is worth a look."""
    result = {"color": TICKET, "index": 0}
    return [
        _property("mappings", [{"type": "regex", "options": {"pattern": ".+", "result": result}}]),
        _property("custom.cellOptions", {"type": "color-background", "mode": "basic"}),
    ]


def as_bar(colour: str) -> Properties:
    """A share from 0 to 1 as a bar beside its figure."""
    return [
        _property("unit", "percentunit"),
        _property("min", 0),
        _property("max", 1),
        _property("color", fixed(colour)),
        _property("custom.cellOptions", {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}),
    ]


def linked(title: str, url: str) -> Properties:
    return [_property("links", [{"title": title, "url": url, "targetBlank": False}])]
