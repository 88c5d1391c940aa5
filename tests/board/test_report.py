"""A report is one file that needs nothing else, and its figures are those of the queries."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest

from dashboards.boards import Board
from dashboards.local.asking import ask, chosen, ranged
from dashboards.local.drawing import titled
from dashboards.local.reporting import Report, page
from dashboards.local.units import formatted
from dashboards.panels import Chart, Grid, HeatMap
from dashboards.queries import Query
from dashboards.queries.findings import EVERY_FINDING
from dashboards.queries.traffic import TURNS_PER_SECOND
from schemas.failures import BadInput
from schemas.warehouse import ClickHouseAddress
from stream_jobs.sinks.clickhouse import WarehouseError
from tests.board.conftest import NOTHING, Boards
from turnwatch import report as reports
from turnwatch.report import Asked, asked_for, made

HOUR_S = 3_600
SELECTED = {"region": ("eu-west-1",), "by": ("region",)}


@pytest.fixture(scope="module")
def address(clickhouse_server: Any) -> ClickHouseAddress:
    return ClickHouseAddress(f"{clickhouse_server.url.rstrip('/')}/boards")


@pytest.fixture(scope="module")
def asked(boards: Boards) -> Asked:
    """The last half hour of the world and one region, on the overview."""
    end_s = boards.world.end_ms // 1_000
    whole = asked_for("2026-01-01", "2026-01-02", [], [f"{name}={values[0]}" for name, values in SELECTED.items()], 0)
    return replace(whole, from_s=end_s - HOUR_S // 2, to_s=end_s)


@pytest.fixture(scope="module")
def report(asked: Asked, address: ClickHouseAddress) -> Report:
    return made(asked, address)


@pytest.fixture(scope="module")
def html(report: Report) -> str:
    return page(report)


class _Read(HTMLParser):
    """Elements with attributes, and tables by caption as rows of texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self._rows: list[list[str]] = []
        self._open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "tr":
            self._rows.append([])
        if tag in ("td", "th", "caption"):
            self._open.append("")
        if tag == "table":
            self._rows = []

    def handle_data(self, data: str) -> None:
        if self._open:
            self._open[-1] += data

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._rows[-1].append(self._open.pop())
        if tag == "caption":
            self.tables[self._open.pop()] = self._rows


@pytest.fixture(scope="module")
def read(html: str) -> _Read:
    return _Read(html)


def _panels(board: Board) -> Iterator[Any]:
    return (panel for panels in board.sections.values() for panel in panels)


def test_nothing_is_loaded_and_nothing_runs(read: _Read, html: str) -> None:
    """No script, no frame, no address that is not within the page."""
    tags = {tag for tag, _ in read.elements}
    assert {"svg", "table", "figure", "style"} <= tags
    assert not tags & {"script", "iframe", "object", "embed", "link", "img", "image", "use", "base", "form"}
    for tag, attributes in read.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "srcset", "style")], tag
        for name in ("href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#"), tag
    assert not re.search(r"@import|url\((?!#)|//", re.sub(r"/\*.*?\*/", "", html.split("</style>")[0]))
    assert "://" not in html


def test_parts_of_charts_do_not_borrow_from_each_other(read: _Read) -> None:
    """Names are unique in the page, and every reference is to one of them."""
    names = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(set(names)) == len(names)
    referred = [
        found
        for _, attributes in read.elements
        for value in attributes.values()
        for found in re.findall(r"url\(#([^)]+)\)", value or "")
    ]
    assert referred and set(referred) <= set(names)


def test_figures_of_legends_are_those_of_the_queries(
    read: _Read, boards: Boards, asked: Asked, address: ClickHouseAddress
) -> None:
    (board,) = asked.boards
    selection = chosen(board.choices, asked.given)
    compared = 0
    for panel in (titled(panel, selection) for panel in _panels(board)):
        if not isinstance(panel, Chart | HeatMap):
            continue
        rows = ask(boards.client, panel, ranged(asked.from_s, asked.to_s, panel), selection).drop_nulls("value")
        if rows.is_empty():
            continue
        head, *legend = read.tables[f"{panel.title}: newest and highest of each series"]
        assert head[:3] == ["series", "newest", "highest"]
        expected = {
            name: [formatted(of["value"][-1], panel.unit), formatted(of["value"].max(), panel.unit)]
            for (name,), of in rows.sort("time").group_by("series")
        }
        assert {row[0]: row[1:3] for row in legend} == expected, panel.title
        compared += len(expected)
    assert compared > 10


def test_figures_of_tables_are_those_of_the_queries(read: _Read, boards: Boards, asked: Asked) -> None:
    (board,) = asked.boards
    selection = chosen(board.choices, asked.given)
    compared = 0
    for panel in _panels(board):
        if not isinstance(panel, Grid):
            continue
        rows = ask(boards.client, panel, ranged(asked.from_s, asked.to_s, panel), selection)
        if rows.is_empty():
            continue
        names = [name for name in rows.columns if name not in panel.columns or not panel.columns[name].is_hidden]
        head, *body = read.tables[panel.title]
        assert head == [_heading(name, panel) for name in names]
        assert len(body) == rows.height
        plain = [name for name in names if name not in panel.columns]
        for row, shown in zip(rows.to_dicts(), body, strict=True):
            for name in plain:
                assert shown[names.index(name)] == (formatted(row[name]) or "–"), (panel.title, name)
        compared += rows.height
    assert compared > 10


def _heading(name: str, panel: Grid) -> str:
    """Units of time stand beside the figures, and not in the name."""
    unit = panel.columns[name].unit if name in panel.columns else ""
    return (name.removesuffix(f"_{unit}") if unit in ("s", "ms") else name).replace("_", " ")


def test_every_chart_has_a_caption_a_unit_and_words_instead(read: _Read, report: Report, html: str) -> None:
    images = [attributes for tag, attributes in read.elements if attributes.get("role") == "img"]
    drawn = [
        shown.drawn
        for chapter in report.chapters
        for section in chapter.sections.values()
        for shown in section
        if shown.drawn and shown.drawn.spec
    ]
    assert [image["aria-label"] for image in images] == [each.summary for each in drawn]
    assert len(images) > 5 and all(len(image["aria-label"] or "") > 40 for image in images)
    assert html.count("Unit: ") >= len(images)
    headings = [int(tag[1]) for tag, _ in read.elements if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1 and all(after - before <= 1 for before, after in pairwise(headings))


def test_it_says_what_it_is_about(read: _Read, html: str, report: Report) -> None:
    assert "region = eu-west-1" in html
    assert "Pages and tickets" in read.tables
    assert [chapter.name for chapter in report.chapters] == ["what-happened", "fleet-overview"]
    assert "${" not in html, "titles say what is chosen"


def test_a_range_without_data_is_refused(asked: Asked, address: ClickHouseAddress) -> None:
    """Limits are drawn and some tables have rows whatever the range holds."""
    (board,) = asked.boards
    sections = {title: panels for title, panels in board.sections.items() if title[0] in "15C"}
    boards = (replace(board, sections=sections),)
    long_ago = replace(asked, from_s=asked.from_s - 400 * 86_400, to_s=asked.to_s - 400 * 86_400, boards=boards)
    with pytest.raises(
        BadInput, match=r"^Nothing is stored of region = eu-west-1, by = region between .* choose another range"
    ):
        made(long_ago, address)


def test_a_panel_that_cannot_be_asked_says_why(
    asked: Asked,
    address: ClickHouseAddress,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (board,) = asked.boards
    panel = next(panel for panel in _panels(board) if panel.query == TURNS_PER_SECOND)
    broken = replace(panel, query=Query("broken", "SELECT <b> FROM nowhere", "time_series"))
    one = replace(board, sections={"5": [broken, panel]})
    monkeypatch.setattr(reports, "asked_for", lambda *_: replace(asked, boards=(one,)))
    monkeypatch.setattr(reports, "clickhouse", lambda _: address)
    out = tmp_path / "report.html"
    assert reports.run_report("6h", None, [], [], out) == 1
    printed = capsys.readouterr()
    assert "1 of them, or of their marks, could not be asked" in printed.err
    assert re.fullmatch(rf"{out}: 4 panels, \d\.\d MB\.\n", printed.out)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert 'class="failure">ClickHouse at' in out.read_text()


def test_without_its_marks_a_board_is_told_all_the_same(asked: Asked, address: ClickHouseAddress) -> None:
    (board,) = asked.boards
    panel = next(panel for panel in _panels(board) if panel.query == TURNS_PER_SECOND)
    marks = (replace(board.marks[0], query=Query("broken", "SELECT <b> FROM nowhere")),)
    told = made(replace(asked, boards=(replace(board, sections={"5": [panel]}, marks=marks),)), address)
    assert told.chapters[1].note.startswith("Marks are missing: ClickHouse at") and not told.chapters[0].note
    (shown,) = told.chapters[1].sections["5"]
    assert shown.drawn and shown.drawn.spec and 'class="failure">Marks are missing' in page(told)


FOUND = (
    # finding, slice, state, begins and was decided in seconds after the range's begin, version
    ("open", "pool=realtime,region=eu-west-1", "firing", -900, 60, 1),
    ("ended before", "pool=realtime,region=eu-west-1", "resolved", -900, -60, 1),
    ("ended within", "pool=realtime", "firing", 60, 60, 1),
    ("ended within", "pool=realtime", "resolved", 60, 600, 2),
    ("forgotten", "pool=realtime", "firing", -20 * 86_400, -9 * 86_400, 1),
    ("begins later", "pool=realtime", "firing", 4_000, 4_000, 1),
    ("elsewhere", "pool=realtime,region=us-east-2", "firing", 60, 60, 1),
)


@pytest.fixture(scope="module")
def findings(boards: Boards, clickhouse_server: Any) -> Iterator[Any]:
    boards.client.command("CREATE DATABASE found")
    boards.client.command("CREATE TABLE found.findings AS boards.findings")
    begin_s = boards.range.from_s
    rows = ", ".join(
        f"('{finding}', '{where}', '{state}', {begin_s + starts}, {begin_s + starts}, {begin_s + decided}, {version}, 'page', 'Saturated')"
        for finding, where, state, starts, decided, version in FOUND
    )
    columns = "finding, slice, state, since, starts_event, decided_event, version, severity, alert"
    boards.client.command(f"INSERT INTO found.findings ({columns}) VALUES {rows}")
    client = clickhouse_connect.get_client(dsn=clickhouse_server.url, database="found")
    yield client
    client.close()
    boards.client.command("DROP DATABASE found")


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("", [("us-east-2", "firing"), ("eu-west-1", "firing"), ("", "resolved")]),
        ("{eu-west-1}", [("eu-west-1", "firing"), ("", "resolved")]),
    ],
)
def test_findings_are_those_that_were_open_in_the_range(
    boards: Boards, findings: Any, region: str, expected: list[tuple[str, str]]
) -> None:
    during = ranged(boards.range.from_s, boards.range.from_s + HOUR_S)
    rows = ask(findings, EVERY_FINDING, during, {**NOTHING, "region": region})
    assert [(row["slice"].partition("region=")[2], row["state"]) for row in rows.to_dicts()] == expected
    ended = rows.filter(state="resolved").row(0, named=True)
    assert (ended["until"] - ended["since"]).total_seconds() == 540
    assert rows.filter(state="firing")["until"].null_count() == len(expected) - 1


def test_without_a_warehouse_there_is_no_file(asked: Asked, unused_address: ClickHouseAddress) -> None:
    with pytest.raises(WarehouseError, match="cannot be reached"):
        made(asked, unused_address)


@pytest.fixture
def unused_address() -> ClickHouseAddress:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return ClickHouseAddress(f"http://127.0.0.1:{held.getsockname()[1]}/boards", connect_timeout_s=1.0)


NOW_S = 1_790_000_000


@pytest.mark.parametrize(
    ("begins", "ends", "length_s"),
    [
        ("6h", None, 6 * HOUR_S),
        ("2026-09-01", "2026-09-01", 24 * HOUR_S),
        ("2026-09-01T10:00", "2026-09-01T10:30:15", 1_815),
        ("2026-09-01T10:00+02:00", "2026-09-01T10:00Z", 2 * HOUR_S),
    ],
)
def test_ranges_are_written_as_elsewhere(begins: str, ends: str | None, length_s: int) -> None:
    asked = asked_for(begins, ends, [], [], NOW_S)
    assert asked.to_s - asked.from_s == length_s
    assert [board.slug for board in asked.boards] == ["fleet-overview"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("yesterday", None, [], []), r"'yesterday' is no time: write a day such as"),
        (("2026-09-02", "2026-09-01", [], []), "--to 2026-09-01 is not after --from 2026-09-02"),
        (("2026-12-01", None, [], []), "--from 2026-12-01 is not in the past"),
        (("6h", None, ["fleet-overveiw"], []), "There is no board 'fleet-overveiw': did you mean fleet-overview?"),
        (("6h", None, ["zzz"], []), "There is no board 'zzz': there are fleet-overview"),
        (("6h", None, [], ["region"]), "'region' names no slice: write NAME=VALUE"),
        (("6h", None, [], ["regoin=x"]), "did you mean region?"),
        (("6h", None, [], ["by=bundle", "by=region"]), "--select by: one value can be chosen, and bundle and region"),
        (("6h", None, [], ["slo=nobody"]), "--select slo=nobody: it is one of "),
    ],
)
def test_what_cannot_be_meant_is_a_sentence(
    options: tuple[str, str | None, list[str], list[str]], sentence: str
) -> None:
    with pytest.raises(BadInput, match=re.escape(sentence)):
        asked_for(*options, NOW_S)


def test_boards_are_named_once_and_in_order() -> None:
    asked = asked_for("6h", None, ["turnwatch-fleet-overview", "fleet_overview"], [], NOW_S)
    assert [board.slug for board in asked.boards] == ["fleet-overview"]
    every = asked_for("6h", None, ["all"], [], NOW_S)
    assert len(every.boards) >= 1 and len({board.uid for board in every.boards}) == len(every.boards)
