"""What a board owes its reader: units, descriptions, thresholds from the policy, meaning that does not rest on hue."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from alerts.openslo import load_slos
from alerts.policies import policy_for
from dashboards import data_source, render
from dashboards.provisioning import OWN_PREFIX
from dashboards.queries.selection import SLICE_VARIABLES, best_cut, operational_cuts
from dashboards.variables import OVERVIEW_UID

ROOT = Path(__file__).parents[2]
WATCHED = tuple(policy_for(slo) for slo in load_slos())
BOARD: Any = render.boards(WATCHED)[OVERVIEW_UID]
PANELS: list[Any] = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
CHARTS = [panel for panel in PANELS if panel["type"] == "timeseries"]
VARIABLES: dict[str, Any] = {each["name"]: each for each in BOARD["templating"]["list"]}

titles = pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])


@pytest.mark.parametrize("path", render.render_all(WATCHED))
def test_what_is_committed_is_what_renders(path: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == render.render_all(WATCHED)[path], "run: turnwatch render"


def test_the_first_five_rows_are_the_five_questions_in_order() -> None:
    rows = [panel["title"] for panel in BOARD["panels"] if panel["type"] == "row"]
    assert [title[0] for title in rows[:5]] == ["1", "2", "3", "4", "5"]


@titles
def test_a_panel_says_what_it_shows_and_asks_the_chosen_source(panel: Any) -> None:
    assert len(panel["description"]) > 40 and panel["description"].endswith(".")
    assert panel["datasource"] == {"type": data_source.PLUGIN, "uid": "${datasource}"}
    assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])


@pytest.mark.parametrize("panel", CHARTS, ids=[panel["title"] for panel in CHARTS])
def test_a_chart_has_a_unit_a_named_axis_and_a_finest_step(panel: Any) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"] and defaults["custom"]["axisLabel"] and panel["interval"] == "10s"
    assert panel["targets"][0]["queryType"] == "timeseries"


@titles
def test_no_meaning_rests_on_red_and_green(panel: Any) -> None:
    said = json.dumps(panel["fieldConfig"]).lower()
    assert not re.search(
        r'"(?:(?:semi-|super-)?(?:dark|light)-)?(?:red|green)"|palette-classic|continuous-(?:gr|rd)yl', said
    )


def test_panels_do_not_overlap_and_are_numbered_apart() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])


def test_every_dimension_that_identifies_nobody_can_be_chosen() -> None:
    assert {"slo", "datasource", "by", "window", *SLICE_VARIABLES} == set(VARIABLES)
    assert [option["value"] for option in VARIABLES["slo"]["options"][1:]] == [each.slo.name for each in WATCHED]


@pytest.mark.parametrize("panel", [p for p in PANELS if "/d/" in json.dumps(p)], ids=lambda panel: panel["title"])
def test_drill_downs_keep_the_range_and_name_only_columns_that_are_there(panel: Any) -> None:
    urls = re.findall(r'"url": "([^"]+)"', json.dumps(panel))
    assert urls and all("${__url_time_range}" in url and url.startswith(f"/d/{OVERVIEW_UID}?") for url in urls)
    assert all("${datasource:queryparam}" in url for url in urls)
    for column in re.findall(r"__data\.fields\.(\w+)", urls[0]):
        assert re.search(rf"\b{column}\b", panel["targets"][0]["rawSql"].rpartition("\nSELECT")[2])


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


def test_pages_and_exclusions_are_drawn_on_every_chart() -> None:
    pages, exclusions = BOARD["annotations"]["list"]
    assert "FROM pages" in pages["target"]["rawSql"] and pages["enable"]
    assert "FROM exclusions" in exclusions["target"]["rawSql"] and exclusions["enable"]


def test_what_is_ours_can_be_told_by_its_uid() -> None:
    assert all(uid.startswith(OWN_PREFIX) for uid in (OVERVIEW_UID, data_source.UID, render.FOLDER_UID))


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
