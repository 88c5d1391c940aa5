"""What is drawn is what the rows say: points, breaks, cells and bars in px against values; and whatever comes from outside
stays text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
import vl_convert

from alerts.definitions import watched_slos
from dashboards import render
from dashboards.local import specs, themes
from dashboards.local.asking import NO_MARKS, NO_POINTS
from dashboards.local.drawing import EMPTY, drawn, tabled, titled
from dashboards.local.drawn import Drawn
from dashboards.nothing_to_show import why_nothing
from dashboards.panels import (
    CALM,
    OKABE_ITO,
    PAGE,
    TICKET,
    TIMES,
    UNSEEN,
    Bars,
    Chart,
    Column,
    Figures,
    Grid,
    HeatMap,
    Link,
    Panel,
    Place,
    Steps,
)
from dashboards.queries import Query
from dashboards.substitution import Range
from tests.board.scenes import groups, items, scene, svg, texts, ticks

LINES, TABLE = Query("lines", "", "time_series"), Query("table", "")
PLACE = Place(12, 9)
FROM_S = 1_790_000_000 // 3_600 * 3_600
DURING = Range(FROM_S, FROM_S + 3_600, 30)
MS = pl.Datetime("ms", "UTC")
HOSTILE = (
    "</svg><script>alert(1)</script>",
    "\"'`${x}",
    "a.b[0]\\",
    '\\", "x": datum.v, "\\',
    "a\nb",
    "ünïcødé 語 🎧",
    "' + alert(1) + '",
    "datum.v",
    "",
)


def series(values: Mapping[str, Mapping[int, float | None]]) -> pl.DataFrame:
    """Name → second of the range → value."""
    rows = [(FROM_S * 1_000 + at * 1_000, name, value) for name, of in values.items() for at, value in of.items()]
    schema = {"time": pl.Int64, "series": pl.String, "value": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col("time").cast(MS)).sort("time")


def chart(**more: Any) -> Chart:
    return Chart(LINES, "Nearness", "what it is", more.pop("unit", "none"), PLACE, **more)


def lines(made: Drawn) -> list[list[dict[str, Any]]]:
    assert made.spec is not None
    return list(groups(scene(made.spec), "line", "lines_"))


def test_a_line_goes_through_every_point() -> None:
    """Time is in px of the range, and values in px of the axis, as its labels say."""
    random = np.random.default_rng(7)
    told = {name: {at: float(random.lognormal()) for at in range(0, 3_600, 30)} for name in ("one", "two")}
    made = drawn(chart(), series(told), DURING)
    assert made.spec is not None
    graph = scene(made.spec)
    labels = [(y, float(text)) for x, y, text in ticks(graph) if x < 0]
    slope, zero = np.polyfit([y for y, _ in labels], [value for _, value in labels], 1)
    width = max(item["x"] for line in groups(graph, "line", "lines_") for item in line) * 3_600 / 3_570
    drawn_lines = {
        line[0]["stroke"]: {round(p["x"] / width * 3_600): p["y"] * slope + zero for p in line}
        for line in groups(graph, "line", "lines_")
    }
    highest_first = sorted(told, key=lambda name: max(told[name].values()), reverse=True)
    strokes = [themes.line_shade(1, 2), themes.line_shade(0, 2)]
    for name, stroke in zip(highest_first, strokes, strict=True):
        assert drawn_lines[stroke].keys() == told[name].keys()
        values = [drawn_lines[stroke][at] for at in told[name]]
        np.testing.assert_allclose(values, list(told[name].values()), rtol=10.0 ** (1 - specs.DIGITS))


def test_silence_breaks_a_line_and_a_short_gap_does_not() -> None:
    told = series({"gaps": {0: 1.0, 30: 1.0, 90: 1.0, 900: 2.0, 1_800: 3.0, 1_830: 3.0}})
    made = drawn(chart(), told, DURING)
    (line,) = lines(made)
    unbroken = "".join("." if point.get("defined", True) else "|" for point in line)
    assert unbroken == "...|.|..", "between two breaks there is nothing to be joined"
    assert made.spec is not None
    assert len(items(scene(made.spec), "symbol")) == 1, "but a dot"


def test_what_is_told_hourly_is_not_silent_in_between() -> None:
    during = Range(FROM_S, FROM_S + 6 * 3_600, 30)
    told = series({"hourly": {3_600 * hour: 1.0 for hour in (0, 1, 2, 5, 6)}})
    made = drawn(chart(), told, during)
    (line,) = lines(made)
    assert "".join("." if point.get("defined", True) else "|" for point in line) == "...|.."


def test_limits_are_unbroken_dashed_and_not_counted_as_data() -> None:
    only = series({"page at 14.4": {0: 14.4, 3_600: 14.4}})
    limited = chart(limits={"page at": PAGE})
    assert drawn(limited, only, DURING).is_empty
    made = drawn(limited, pl.concat([only, series({"one": {0: 1.0, 30: 1.0}})]), DURING)
    dashed = next(line for line in lines(made) if line[0]["stroke"] == themes.token(PAGE))
    assert [point.get("defined", True) for point in dashed] == [True, True]
    assert dashed[0]["strokeDash"] == [4, 6]
    assert "page at" not in made.summary and "page at 14.4" in made.html


def test_lines_differ_in_more_than_hue() -> None:
    names = [f"s{place}" for place in range(8)]
    made = drawn(chart(), series({name: {0: 1.0 + i, 30: 1.0} for i, name in enumerate(names)}), DURING)
    looks = [(line[0]["stroke"], tuple(line[0]["strokeDash"])) for line in lines(made)]
    assert len(set(looks)) == 8
    assert all(one[1] != other[1] for one, other in pairwise(looks))


def test_thresholds_are_dashed_and_say_their_value() -> None:
    made = drawn(chart(unit=TIMES, steps=Steps(ticket=0.5, page=1)), series({"one": {0: 0.1, 30: 0.2}}), DURING)
    assert made.spec is not None
    graph = scene(made.spec)
    rules = [rule for rule in items(graph, "rule", "layer_") if rule.get("strokeDash") == [6, 4]]
    assert [rule["stroke"] for rule in rules] == [themes.token(TICKET), themes.token(PAGE)]
    assert [text for text in texts(graph) if text.startswith("limit")] == ["limit 0.5 ×", "limit 1 ×"]


def test_axes_have_bounds_and_units() -> None:
    made = drawn(chart(unit="percentunit", low=0, high=1, axis="share"), series({"one": {0: 0.2, 30: 0.4}}), DURING)
    assert made.spec is not None
    labels = [text for x, _, text in ticks(scene(made.spec)) if x < 0]
    assert (labels[0], labels[-1]) == ("0%", "100%")
    assert "share" in texts(scene(made.spec))


def test_an_axis_s_title_is_never_longer_than_the_axis() -> None:
    long = "standard deviations beyond the tolerance of its hour"
    made = drawn(chart(axis=long), series({"one": {0: 0.2, 30: 0.4}}), DURING)
    assert made.spec is not None
    (title,) = (each["text"] for each in items(scene(made.spec), "text") if isinstance(each.get("text"), list))
    assert " ".join(title) == long and len(title) == 2
    assert max(map(len, title)) * 6 < made.spec["height"]


@pytest.mark.parametrize("days", [5, 7, 30, 90])
def test_no_two_ticks_read_the_same(days: int) -> None:
    """Where ticks say the day only there is none at noon."""
    during = Range(FROM_S, FROM_S + days * 86_400, 3_600)
    made = drawn(chart(), series({"one": {0: 0.2, days * 86_400: 0.4}}), during)
    assert made.spec is not None
    said = [text for x, y, text in ticks(scene(made.spec, 1_400)) if x >= 0 and y >= 0 and " " in text]
    assert len(said) == len(set(said)) > 3


def test_what_is_pointed_at_tells_of_every_series() -> None:
    """Asked of the expression that Vega-Lite makes of the tooltip, in which names are keys."""
    told = series({name: {0: 1.5, 30: 2.0} for name in HOSTILE} | {"late": {30: 7.0}})
    made = drawn(chart(unit=TIMES), told, DURING)
    assert made.spec is not None
    compiled = vl_convert.vegalite_to_vega({**made.spec, "width": 400}, vl_version=specs.VEGA_LITE)
    (pointed,) = [mark for mark in compiled["marks"] if mark.get("name") == f"{specs.POINTED}_marks"]
    tooltip = pointed["encode"]["update"]["tooltip"]["signal"]
    layer = next(layer for layer in made.spec["layer"] if layer.get("name") == specs.POINTED)
    answers = {}
    for name in (*HOSTILE[:-1], "–", "late"):
        asked = {"calculate": f"({tooltip})[{json.dumps(name)}]", "as": "said"}
        encoding = {"x": {"field": "t", "type": "temporal"}, "text": {"field": "said"}}
        text = {"data": layer["data"], "transform": [*layer["transform"], asked], "mark": "text", "encoding": encoding}
        answers[name] = texts(scene({**made.spec, "layer": [text]}), "layer_0")
    assert answers == {name: ["1.50 ×", "2 ×"] for name in (*HOSTILE[:-1], "–")} | {"late": ["–", "7 ×"]}


def test_marks_are_cut_to_the_range() -> None:
    at = [datetime.fromtimestamp(FROM_S + s, UTC) for s in (-900, 900, 5_000)]
    marks = pl.DataFrame(
        {
            "time": at,
            "timeEnd": [at[0] + timedelta(seconds=1_800), None, at[2] + timedelta(seconds=5)],
            "title": list(HOSTILE[:3]), "text": ["", "", ""], "tags": ["", "", ""],
            "name": ["Pages", "Releases", "Pages"], "colour": [PAGE, CALM, PAGE],
        }
    ).with_columns(pl.col("time", "timeEnd").cast(MS))  # fmt: skip
    made = drawn(chart(), series({"one": {0: 1.0, 3_570: 1.0}}), DURING, marks)
    assert made.spec is not None
    bands = items(scene(made.spec), "rect", "layer_0")
    assert [(band["fill"], round(band["width"] / bands[0]["width"], 3)) for band in bands] == [
        (themes.token(PAGE), 1.0),
        (themes.token(CALM), 0.0),
    ]
    assert bands[0]["x"] == 0 and round(bands[1]["x"] / bands[0]["width"], 3) == 1.0


def test_a_reader_can_drag_over_a_range_and_paper_cannot() -> None:
    for panel in (chart(), HeatMap(LINES, "Heat", "d", "none", PLACE)):
        made = drawn(panel, series({"one": {0: 1.0, 30: 1.0}}), DURING)
        assert made.spec is not None
        assert specs.BRUSH in [param["name"] for layer in made.spec["layer"] for param in layer.get("params", [])]
        assert "params" not in str(specs.on_paper(made.spec, 600)["layer"])


@pytest.mark.parametrize("steps", [None, Steps(ticket=0.5, page=1.0)])
def test_cells_have_the_colours_of_their_values(steps: Steps | None) -> None:
    random = np.random.default_rng(8)
    told = {name: {at: float(random.uniform(0, 1.6)) for at in range(0, 3_600, 600)} for name in ("one", "two")}
    made = drawn(HeatMap(LINES, "Heat", "d", TIMES, PLACE, steps=steps, high=1.6), series(told), DURING)
    assert made.spec is not None
    graph = scene(made.spec)
    cells = items(graph, "rect", "cells_")
    rows = {text: y for x, y, text in ticks(graph) if x < 0}
    width = cells[0]["width"]
    assert len(cells) == 12
    for cell in cells:
        name = min(rows, key=lambda name: abs(rows[name] - cell["y"] - cell["height"] / 2))
        value = told[name][round(cell["x"] / width) * 600]
        if steps is None:
            assert cell["fill"] == themes.cell_shades()[int(value / 1.6 * themes.SHADES)]
        else:
            expected = PAGE if value >= 1 else TICKET if value >= 0.5 else CALM
            assert cell["fill"] == themes.token(expected)


def test_a_waterfall_s_bars_begin_where_the_one_before_ends() -> None:
    rows = pl.DataFrame(
        {"stage": ["asr", "llm", "tts", "llm"], "before": [0, 120, 770, 0], "took": [120, 650, 90, None]}
    )
    parts = {"before": UNSEEN, "took": OKABE_ITO[0]}
    made = drawn(Bars(TABLE, "Waterfall", "d", "ms", PLACE, "stage", parts, axis="ms of the turn"), rows, DURING)
    assert made.spec is not None
    graph = scene(made.spec)
    bars = items(graph, "rect", "bars_")
    scale = bars[0]["width"] / 120
    spans = [(round(bar["x"] / scale), round((bar["x"] + bar["width"]) / scale)) for bar in bars]
    assert spans == [(0, 120), (120, 770), (770, 860)]
    assert [text for x, _, text in ticks(graph) if x < 0] == ["asr", "llm", "tts", "llm (2)"]
    assert [text for text in texts(graph, "layer_1") if text] == ["120 ms", "650 ms", "90 ms"]
    assert "llm: took 650 ms" in made.summary and "before" not in made.html


@pytest.mark.parametrize("is_stacked", [True, False])
def test_parts_are_stacked_or_side_by_side(is_stacked: bool) -> None:
    rows = pl.DataFrame({"name": ["x"], "a": [3.0], "b": [5.0]})
    panel = Bars(TABLE, "Parts", "d", "none", PLACE, "name", {"a": PAGE, "b": CALM}, is_stacked=is_stacked)
    made = drawn(panel, rows, DURING)
    assert made.spec is not None
    a, b = items(scene(made.spec), "rect", "bars_")
    assert (a["fill"], b["fill"]) == (themes.token(PAGE), themes.token(CALM))
    assert b["width"] / a["width"] == pytest.approx(5 / 3)
    assert (b["x"] == pytest.approx(a["width"]), b["y"] == a["y"]) == (is_stacked, is_stacked)


class _Read(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.said.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


COLUMNS = {
    "slo": Column(link=Link("turnwatch-fleet-overview", ("slo", "region"))),
    "state": Column(words={"firing": PAGE, "resolved": CALM}),
    "nearness": Column(TIMES, 2, steps=Steps(ticket=0.5, page=1)),
    "left": Column("percentunit", 1, steps=Steps(calm=0.0)),
    "share": Column(bar=OKABE_ITO[1]),
    "not applied": Column(is_marked=True),
    "region": Column(is_hidden=True),
}
ROWS = pl.DataFrame(
    {
        "state": ["firing", "resolved", "new"], "slo": ["a", "b", "c"], "nearness": [1.0, 0.6, 0.1], "left": [-0.2, 0.0, None],
        "share": [0.25, 1.7, None], "not applied": ["x", "", None], "region": ["eu", "us", "<>"],
    }
)  # fmt: skip


def _grid(rows: pl.DataFrame) -> _Read:
    def link_to(link: Link, row: Mapping[str, object]) -> str:
        return f"/d/{link.board}?" + "&".join(f"var-{name}={row[name]}" for name in link.columns)

    return _Read(drawn(Grid(TABLE, "Grid", "d", PLACE, COLUMNS), rows, DURING, link_to=link_to).html)


def test_cells_are_coloured_by_limit_word_and_mark() -> None:
    read = _grid(ROWS)
    kinds = [attributes.get("class") or "" for attributes in read.of("td")]
    by_row = [kinds[place : place + 5] for place in range(0, 15, 5)]
    page, ticket, calm = (themes.cell_class(colour) for colour in (PAGE, TICKET, CALM))
    assert by_row == [
        [page, f"number {page}", f"number {page}", "number gauge", ticket],
        [calm, f"number {ticket}", f"number {calm}", "number gauge", ""],
        ["", f"number {calm}", "number", "number gauge", ""],
    ]
    assert read.said.count(", worth a page") == 2 and read.said.count(", worth a ticket") == 1


def test_a_table_says_what_it_is() -> None:
    read = _grid(ROWS)
    assert [attributes["scope"] for attributes in read.of("th")] == ["col"] * 6 + ["row"] * 3
    assert [bar["width"] for bar in read.of("rect")] == ["25.0%", "100.0%", "0.0%"]
    assert [link["href"] for link in read.of("a")] == [
        f"/d/turnwatch-fleet-overview?var-slo={slo}&var-region={region}"
        for slo, region in (("a", "eu"), ("b", "us"), ("c", "<>"))
    ]
    assert {"-20.0%", "0.60 ×", "170%", "–"} <= set(read.said) and "eu" not in read.said


def test_links_lead_to_our_own_pages_only() -> None:
    for address in ("javascript:alert(1)", "//elsewhere", "https://elsewhere", ""):
        made = drawn(
            Grid(TABLE, "Grid", "d", PLACE, COLUMNS), ROWS, DURING, link_to=lambda *_, address=address: address
        )
        assert not _Read(made.html).of("a"), address


def test_figures_are_terms_with_their_values() -> None:
    columns = {
        "slices alerting": Column("none", steps=Steps(page=1)),
        "left": Column("percentunit", 1),
        "hidden": Column(is_hidden=True),
    }
    rows = pl.DataFrame({"slices alerting": [2], "left": [None], "hidden": [1]})
    made = drawn(Figures(TABLE, "Now", "d", PLACE, columns), rows, DURING)
    read = _Read(made.html)
    assert (len(read.of("dt")), len(read.of("dd"))) == (2, 2)
    assert [each.get("class") for each in read.of("div")] == [themes.cell_class(PAGE), None]
    assert made.summary == "slices alerting 2; left no data."


def _panels() -> list[tuple[Panel, pl.DataFrame]]:
    """Every kind of panel, told nothing but hostile words."""
    told = series({name: {0: 1.0, 30: 2.0, 2_000: 1.0} for name in HOSTILE})
    table = pl.DataFrame({"name": list(HOSTILE), "a": range(len(HOSTILE))}).with_columns(pl.col("a").cast(pl.Float64))
    words = Grid(TABLE, HOSTILE[0], HOSTILE[1], PLACE, {"name": Column(link=Link("x", ("name",), HOSTILE[0]))})
    return [
        (
            chart(link=Link("x", title=HOSTILE[0]), axis=HOSTILE[0], series=HOSTILE[:2], unit=f"suffix: {HOSTILE[1]}"),
            told,
        ),
        (HeatMap(LINES, HOSTILE[0], "d", f"suffix: {HOSTILE[0]}", PLACE), told),
        (Bars(TABLE, HOSTILE[0], "d", f"si: {HOSTILE[4]}", PLACE, "name", {"a": PAGE}, axis=HOSTILE[1]), table),
        (words, table),
        (Figures(TABLE, "f", "d", PLACE, {}), table.rename({"a": HOSTILE[0]})),
    ]


@pytest.mark.parametrize("place", range(5))
def test_what_comes_from_outside_stays_text(place: int) -> None:
    panel, rows = _panels()[place]
    marks = pl.DataFrame(
        {"time": [datetime.fromtimestamp(FROM_S, UTC)], "title": [HOSTILE[0]], "text": [HOSTILE[1]], "name": ["n"], "colour": [PAGE]}
    ).with_columns(pl.col("time").cast(MS), pl.col("time").cast(MS).alias("timeEnd"), tags=pl.lit(""))  # fmt: skip
    made = drawn(panel, rows, DURING, marks.select(NO_MARKS.columns), link_to=lambda *_: f"/d/{HOSTILE[1]}")
    shown = made.html + (svg(made.spec) if made.spec else "")
    if not isinstance(panel, Grid | Figures):
        shown += tabled(panel, rows)
    read = _Read(shown)
    tags = {tag for tag, _ in read.tags}
    assert tags <= {"svg", "g", "path", "text", "line", "rect", "tspan", "defs", "clippath", "title", "table", "caption", "thead", "tbody",
                    "tr", "th", "td", "a", "ul", "li", "time", "dl", "div", "dt", "dd", "span"}  # fmt: skip
    assert not [name for _, attributes in read.tags for name in attributes if name.startswith("on") or name == "style"]
    for word in HOSTILE[:1] if isinstance(panel, Figures) else HOSTILE[:5]:
        assert any(word in said for said in read.said), word


@pytest.mark.parametrize("place", range(5))
def test_nothing_is_said_to_be_nothing(place: int) -> None:
    panel, rows = _panels()[place]
    made = drawn(panel, rows.clear() if place > 1 else NO_POINTS, DURING)
    assert (made.is_empty, made.spec, made.summary) == (True, None, EMPTY)
    asked = replace(panel, query=Query("dropped", ""))
    said = drawn(asked, rows.clear() if place > 1 else NO_POINTS, DURING)
    assert said.summary == f"{EMPTY} {why_nothing(asked)}" != EMPTY and why_nothing(asked) in said.html


def test_values_that_are_no_number_are_counted() -> None:
    told = series({"one": {0: 1.0, 30: float("inf"), 60: float("nan"), 90: None, 120: 2.0}})
    made = drawn(chart(), told, DURING)
    assert "2 values are no finite number and not drawn" in made.summary
    assert sum(len(line) for line in lines(made)) == 2
    assert drawn(chart(), told.filter(pl.col("value").is_nan() | pl.col("value").is_null()), DURING).is_empty


def test_a_chart_is_told_as_a_table_too() -> None:
    told = series({"one": {0: 1.0, 30: 1234.5}, "two": {30: 0.25}})
    read = _Read(tabled(chart(unit="short"), told))
    assert [said for said in read.said if said.strip()][:4] == ["Nearness", "time (UTC)", "one", "two"]
    assert {"1.23 K", "0.250", "–"} <= set(read.said)
    assert len(read.of("tr")) == 3


def test_titles_say_what_is_chosen() -> None:
    panel = Chart(LINES, "Burn over ${window} by ${by}", "d", "none", PLACE)
    assert titled(panel, {"window": "1h", "by": ["region", "pool"]}).title == "Burn over 1h by region, pool"


@pytest.mark.parametrize("theme", [themes.LIGHT, themes.DARK])
def test_colours_can_be_told_from_what_is_behind_them(theme: themes.Theme) -> None:
    """WCAG 2, AA: 4.5 for text, 3 for graphics; on the page and on a panel."""
    values = themes.variables(theme)
    for behind in (theme.paper, theme.surface, values["tint"]):
        for text in (theme.ink, theme.muted, theme.accent) if behind != values["tint"] else (theme.ink,):
            assert themes.contrast(text, behind) >= themes.TEXT, (text, behind)
    graphics = [value for name, value in values.items() if name.startswith(("c-", "line-"))]
    assert len(graphics) == len(themes.COLOURS) + themes.SHADES
    assert all(themes.contrast(colour, theme.surface) >= themes.GRAPHICS for colour in graphics)
    cells = [themes.luminance(values[f"heat-{place}"]) for place in range(themes.SHADES)]
    assert cells == sorted(cells, reverse=theme is themes.LIGHT), "more is darker, or on dark paper brighter"


def test_every_colour_of_a_board_is_one_of_both_themes() -> None:
    """A colour that themes do not know would be drawn as it is, on light and on dark paper."""
    boards = render.all_boards(watched_slos()).values()
    panels = [panel for board in boards for section in board.sections.values() for panel in section]
    used = {mark.colour for board in boards for mark in board.marks}
    for panel in panels:
        match panel:
            case Chart():
                used |= set(panel.limits.values())
            case Bars():
                used |= set(panel.parts.values()) - {UNSEEN}
            case Grid() | Figures():
                used |= {colour for column in panel.columns.values() for colour in (column.bar, *column.words.values())}
    assert used - {""} <= set(themes.COLOURS) and len(used) > 4


def test_the_row_that_came_highest_is_on_top_whenever_it_began() -> None:
    told = series({"calm": {0: 0.1, 600: 0.1}, "late": {600: 5.0}, "near": {0: 0.9, 600: 0.2}})
    made = drawn(HeatMap(LINES, "Heat", "d", TIMES, PLACE, steps=Steps(page=1.0)), told, DURING)
    assert made.spec is not None
    rows = {text: y for x, y, text in ticks(scene(made.spec)) if x < 0}
    assert sorted(rows, key=lambda name: rows[name]) == ["late", "near", "calm"]


@pytest.mark.parametrize("rows", [2, 3])
def test_a_table_that_is_full_says_that_there_may_be_more(rows: int) -> None:
    panel = Grid(Query("cut", "SELECT 1\nLIMIT 3"), "Grid", "d", PLACE, {})
    made = drawn(panel, pl.DataFrame({"slice": [str(place) for place in range(rows)]}), DURING)
    assert ("first 3 rows" in made.html) == ("first 3 rows" in made.summary) == (rows == 3)


def test_a_unit_of_time_stands_beside_the_figure_only() -> None:
    rows = pl.DataFrame({"lasts_s": [21_600.0], "p99_ms": [2.0], "depth_s": [1.0]})
    columns = {"lasts_s": Column("s", 0), "p99_ms": Column("ms", 0), "depth_s": Column("none")}
    read = _Read(drawn(Grid(TABLE, "Grid", "d", PLACE, columns), rows, DURING).html)
    assert {"lasts", "p99", "depth s", "6 hour"} <= set(read.said)


def test_sentences_have_room_and_names_do_not() -> None:
    rows = pl.DataFrame(
        {"slice": ["pool=realtime,region=eu-west-1,bundle=v2-canary"], "said": ["a sentence of more than three words"]}
    )
    read = _Read(drawn(Grid(TABLE, "Grid", "d", PLACE, {}), rows, DURING).html)
    assert [each.get("class") for each in read.of("th")][:2] == [None, "prose"]
    assert [each.get("class") for each in read.of("td")] == ["prose"]


def test_text_on_cells_can_be_read() -> None:
    assert all(themes.contrast(themes.ink_on(colour), colour) >= themes.TEXT for colour in themes.COLOURS)


def test_both_themes_say_the_same_variables() -> None:
    assert themes.variables(themes.LIGHT).keys() == themes.variables(themes.DARK).keys()
    sheet = themes.stylesheet()
    for name in themes.variables(themes.LIGHT):
        assert sheet.count(f" --{name}: ") == 3, "light, dark by the system, dark by choice"
