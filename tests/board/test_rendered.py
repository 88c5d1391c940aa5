"""What a board owes its reader: units, descriptions, thresholds from the policy, meaning that does not rest on hue."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from alerts.openslo import load_slos
from alerts.policies import policy_for
from dashboards import data_source, render
from dashboards.nothing_to_show import REASONS
from dashboards.panels import HeatMap
from dashboards.provisioning import OWN_PREFIX
from dashboards.queries import Query
from dashboards.queries.burn_rate import window_text
from dashboards.queries.selection import SLICE_VARIABLES, best_cut, operational_cuts
from dashboards.series_in_grafana import query_in_grafana
from dashboards.variables import BUDGETS_UID, BURN_UID, DRIFT_UID, OVERVIEW_UID, QUEUES_UID, RELEASES_UID, STAGES_UID

ROOT = Path(__file__).parents[2]
WATCHED = tuple(policy_for(slo) for slo in load_slos())
DEFINED = render.all_boards(WATCHED)
RENDERED: dict[str, Any] = render.boards(WATCHED)
FILES = render.render_all(WATCHED)

each_board = pytest.mark.parametrize("uid", DEFINED)


def _panels(uid: str) -> list[Any]:
    return [panel for panel in RENDERED[uid]["panels"] if panel["type"] != "row"]


def _choices(uid: str) -> dict[str, Any]:
    return {each["name"]: each for each in RENDERED[uid]["templating"]["list"]}


@pytest.mark.parametrize("path", FILES)
def test_what_is_committed_is_what_renders(path: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == FILES[path], "run: turnwatch render"


def test_the_first_five_rows_are_the_five_questions_in_order() -> None:
    rows = [panel["title"] for panel in RENDERED[OVERVIEW_UID]["panels"] if panel["type"] == "row"]
    assert [title[0] for title in rows[:5]] == ["1", "2", "3", "4", "5"]


@each_board
def test_a_panel_says_what_it_shows_and_asks_the_chosen_source(uid: str) -> None:
    for panel in _panels(uid):
        assert len(panel["description"]) > 40 and panel["description"].endswith("."), panel["title"]
        assert panel["datasource"] == {"type": data_source.PLUGIN, "uid": "${datasource}"}, panel["title"]
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"]), panel["title"]


@each_board
def test_grafana_is_sent_the_statements_of_the_definition(uid: str) -> None:
    sent = [target["rawSql"] for panel in _panels(uid) for target in panel["targets"]]
    assert sent == [query_in_grafana(panel).sql for panels in DEFINED[uid].sections.values() for panel in panels]
    drawn = [each["target"]["rawSql"] for each in RENDERED[uid]["annotations"]["list"]]
    assert drawn == [marks.query.sql for marks in DEFINED[uid].marks]
    found = [each["query"] for each in _choices(uid).values() if each["type"] == "query"]
    assert found == [each.options.sql for each in DEFINED[uid].choices if isinstance(each.options, Query)]


def test_a_burn_is_marked_by_factors_that_judge_burns_only() -> None:
    """Rows of a factor of nothing page on any event, whatever it burns: a calm slice's cell is not worth a page for them."""
    (panel,) = (each for each in _panels(OVERVIEW_UID) if each["title"] == "Burning now, worst first")
    judged = {
        (seconds, row.severity): min(
            float(each.factor)
            for watched in WATCHED for each in watched.rows
            if each.factor > 0 and each.severity == row.severity and seconds in (each.long_s, each.short_s)
        )
        for watched in WATCHED for row in watched.rows for seconds in (row.long_s, row.short_s) if row.factor > 0
    }  # fmt: skip
    marked = {}
    for override in panel["fieldConfig"]["overrides"]:
        for told in override["properties"]:
            if told["id"] == "thresholds" and override["matcher"]["options"].startswith("burn "):
                marked[override["matcher"]["options"]] = {step["value"] for step in told["value"]["steps"]} - {None}
    for name, limits in marked.items():
        wanted = {factor for (seconds, _), factor in judged.items() if f"burn {window_text(seconds)}" == name}
        assert limits == wanted, name
    assert any(row.factor == 0 for watched in WATCHED for row in watched.rows)


@each_board
def test_what_is_counted_is_told_in_whole_ones_and_with_its_digits(uid: str) -> None:
    """Grafana's `si` would write half a turn as 500 mturns, and no decimals 1,300 ms as 1 s and 2,600 streams as 3 K."""
    told = json.dumps(RENDERED[uid])
    assert '"si:' not in told
    for panel in _panels(uid):
        for override in panel["fieldConfig"]["overrides"]:
            properties = {each["id"]: each["value"] for each in override["properties"]}
            unit = str(properties.get("unit", ""))
            if unit in ("short", "ms") or unit.startswith("count:"):
                assert "decimals" not in properties or properties["decimals"] > 0, (panel["title"], override["matcher"])


@each_board
def test_a_chart_has_a_unit_a_named_axis_and_a_finest_step(uid: str) -> None:
    """Heat maps have steps as well, and a colour for every value; bars have an axis."""
    for panel in _panels(uid):
        defaults = panel["fieldConfig"]["defaults"]
        if panel["type"] in ("timeseries", "status-history"):
            assert panel["interval"] == "10s" and panel["targets"][0]["queryType"] == "timeseries", panel["title"]
        if panel["type"] in ("timeseries", "barchart"):
            assert defaults["custom"]["axisLabel"], panel["title"]
        if panel["type"] in ("timeseries", "barchart", "status-history"):
            assert defaults["unit"] and defaults["color"], panel["title"]


@each_board
def test_no_meaning_rests_on_red_and_green(uid: str) -> None:
    for panel in _panels(uid):
        said = json.dumps(panel["fieldConfig"]).lower()
        assert not re.search(
            r'"(?:(?:semi-|super-)?(?:dark|light)-)?(?:red|green)"|palette-classic|continuous-(?:gr|rd)yl', said
        ), panel["title"]


@each_board
def test_panels_do_not_overlap_and_are_numbered_apart(uid: str) -> None:
    taken: set[tuple[int, int]] = set()
    panels = RENDERED[uid]["panels"]
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)
    titles = [panel["title"] for panel in panels]
    assert len(set(titles)) == len(titles), "a title names one panel"


def test_every_dimension_that_identifies_nobody_can_be_chosen() -> None:
    assert {"slo", "datasource", "by", "window", *SLICE_VARIABLES} == set(_choices(OVERVIEW_UID))
    options = _choices(OVERVIEW_UID)["slo"]["options"]
    assert [option["value"] for option in options[1:]] == [each.slo.name for each in WATCHED]


@each_board
def test_a_statement_asks_for_nothing_that_its_board_cannot_choose(uid: str) -> None:
    """Neither does a title that names what is chosen."""
    said = json.dumps([RENDERED[uid]["panels"], RENDERED[uid]["annotations"]])
    assert set(re.findall(r"\$\{(\w+)(?::\w+)?\}", said)) <= {*_choices(uid), "__url_time_range"}


_BOARD_OF_ROW = "/d/${__data.fields.board:percentencode}?"
"""Where a row of a finding says which board looks into it."""


@each_board
def test_drill_downs_keep_range_and_choices_and_lead_to_a_choice_of_another_board(uid: str) -> None:
    for panel in _panels(uid):
        for url in re.findall(r'"url": "(/d/[^"]+)"', json.dumps(panel)):
            of_row = url.startswith(_BOARD_OF_ROW)
            url = url.replace(_BOARD_OF_ROW, f"/d/{DRIFT_UID}?")
            target = re.fullmatch(r"/d/([\w-]+)\?\$\{__url_time_range\}&(.+)", url)
            assert target and target[1] in DEFINED, url
            narrowed = re.findall(r"var-(\w+)=\$\{__(?:data\.fields|field\.labels)\.(\w+):percentencode\}", target[2])
            kept = re.findall(r"\$\{(\w+):queryparam\}", target[2])
            assert set(kept) | {name for name, _ in narrowed} >= {*_choices(uid)}, "nothing chosen is lost"
            for name, column in narrowed:
                assert name == column and (of_row or name in _choices(target[1])), url
                assert re.search(rf"\b{column}\b", panel["targets"][0]["rawSql"]), url


def test_an_investigation_leads_from_board_to_board() -> None:
    """What burns, where, in which stage, by which release: each board has a way to the next one, row by row."""
    path = (OVERVIEW_UID, BURN_UID, STAGES_UID, RELEASES_UID)
    for here, there in pairwise(path):
        urls = re.findall(rf'"url": "(/d/{there}\?[^"]+)"', json.dumps(RENDERED[here]))
        assert any("var-" in url for url in urls), (here, there)
    assert f"/d/{BUDGETS_UID}?" in json.dumps(RENDERED[OVERVIEW_UID])


@each_board
def test_times_are_those_of_pages_and_reports(uid: str) -> None:
    assert RENDERED[uid]["timezone"] == "utc"


@each_board
def test_a_table_that_may_be_cut_says_so(uid: str) -> None:
    """Where a statement ends with a limit, the description says how many rows there is room for."""
    for panel in _panels(uid):
        (target,) = panel["targets"]
        most = re.search(r"\nLIMIT (\d+)$", target["rawSql"])
        said = re.search(r"The first (\d+) rows at most\.$", panel["description"])
        assert (most and most[1]) == (said and said[1]), panel["title"]


def test_a_finding_leads_to_where_its_question_is_looked_into() -> None:
    for uid, to in (
        (OVERVIEW_UID, r"\$\{__data\.fields\.board:percentencode\}"),
        (QUEUES_UID, STAGES_UID),
        (DRIFT_UID, DRIFT_UID),
    ):
        (panel,) = (each for each in _panels(uid) if each["title"] in ("Open findings", "Saturated queues", "Tickets"))
        links = {
            each["matcher"]["options"]: prop["value"][0]["url"]
            for each in panel["fieldConfig"]["overrides"] for prop in each["properties"] if prop["id"] == "links"
        }  # fmt: skip
        assert re.match(rf"/d/{to}\?", links["alert"]) and links["slice"].startswith(f"/d/{BURN_UID}?")


def test_thresholds_follow_the_policy() -> None:
    doubled = tuple(
        replace(each, rows=tuple(replace(row, factor=row.factor * 2) for row in each.rows)) for each in WATCHED
    )

    def steps(watched: Any) -> list[float]:
        board: Any = render.boards(watched)[OVERVIEW_UID]
        burning = next(panel for panel in board["panels"] if panel["title"].startswith("Burning now"))
        overrides = {each["matcher"]["options"]: each["properties"] for each in burning["fieldConfig"]["overrides"]}
        thresholds = next(each["value"] for each in overrides["burn 1h"] if each["id"] == "thresholds")
        return [step["value"] for step in thresholds["steps"][1:]]

    assert steps(WATCHED) == sorted(
        {min(float(r.factor) for e in WATCHED for r in e.rows if 3600 in (r.long_s, r.short_s))}
    )
    assert steps(doubled) == [2 * step for step in steps(WATCHED)]


@pytest.mark.parametrize("uid", [BUDGETS_UID, BURN_UID])
def test_heat_maps_change_colour_where_the_policy_says(uid: str) -> None:
    """With factors twice as high, so are the limits of what is held against factors; nearness is held against 1."""
    twice = tuple(
        replace(each, rows=tuple(replace(row, factor=row.factor * 2) for row in each.rows)) for each in WATCHED
    )

    def limits(watched: Any) -> dict[str, list[float]]:
        panels = [panel for section in render.all_boards(watched)[uid].sections.values() for panel in section]
        maps = [panel for panel in panels if isinstance(panel, HeatMap) and panel.steps]
        return {each.title: [value for value, _ in each.steps.limits] for each in maps if each.steps}

    told, doubled = limits(WATCHED), limits(twice)
    assert told and all(told.values())
    for title, values in told.items():
        assert doubled[title] == (values if title.startswith("How near") else [2 * value for value in values])


@each_board
def test_releases_pages_and_exclusions_are_drawn_on_every_chart(uid: str) -> None:
    drawn = RENDERED[uid]["annotations"]["list"]
    for each, table in zip(drawn, ("releases", "pages", "exclusions"), strict=True):
        assert f"\nFROM {table} FINAL" in each["target"]["rawSql"]
    assert all(each["enable"] for each in drawn)


def test_what_is_ours_can_be_told_by_its_uid() -> None:
    assert all(uid.startswith(OWN_PREFIX) for uid in (*DEFINED, data_source.UID, render.FOLDER_UID))


def test_rendering_twice_gives_the_same_text() -> None:
    assert render.render_all(WATCHED) == render.render_all(tuple(policy_for(slo) for slo in load_slos()))


def test_files_and_api_define_the_same_data_source() -> None:
    files = render.render_all(WATCHED)
    (source,) = yaml.safe_load(files["dashboards/provisioning/datasources/clickhouse.yaml"])["datasources"]
    assert source | render.COMPOSE_SOURCE.definition() == source
    assert source["secureJsonData"] == {"password": "$CLICKHOUSE_READER_PASSWORD"}, "no password is ever rendered"


@pytest.mark.parametrize(
    "wanted", [("region",), ("route",), ("bundle",), ("region", "bundle"), ("region", "route", "bundle")]
)
def test_the_chosen_cut_names_as_much_of_a_selection_as_any(wanted: tuple[str, ...]) -> None:
    chosen = best_cut(frozenset(wanted))
    held = max(len(set(wanted) & set(cut.dimensions)) for cut in operational_cuts())
    assert len(set(wanted) & set(chosen.dimensions)) == held
    assert best_cut(frozenset()).name == "pool"


def test_every_panel_says_why_it_may_have_nothing_to_show() -> None:
    asked = {panel.query.name for board in DEFINED.values() for panels in board.sections.values() for panel in panels}
    assert asked == REASONS.keys()
    assert all(why.endswith(".") for why in REASONS.values())
    drawn = [
        panel
        for uid in DEFINED
        for panel in _panels(uid)
        if panel["type"] in ("timeseries", "statushistory", "barchart")
    ]
    assert drawn and {panel["fieldConfig"]["defaults"]["noValue"] for panel in drawn} <= set(REASONS.values())
