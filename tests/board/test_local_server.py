"""The board's server: who may ask, what it answers, and what it says when ClickHouse refuses or is away."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from alerts.definitions import watched_slos
from dashboards.boards import Board
from dashboards.local.asking import ask_options, chosen
from dashboards.local.board_page import numbered
from dashboards.local.views import linking, viewed
from dashboards.panels import Chart, Grid, Link
from dashboards.queries import Query
from dashboards.render import all_boards
from dashboards.variables import DRIFT_UID, OVERVIEW_UID
from schemas.failures import BadInput
from schemas.warehouse import ClickHouseAddress
from stack.machine import choose_ports
from tests.board.conftest import Boards
from turnwatch.board.desk import Desk, Question, TooMany
from turnwatch.board.files import Content, Files, content
from turnwatch.board.process import require_this_machine
from turnwatch.board.server import application

BOARDS = all_boards(watched_slos())
BOARD = BOARDS[OVERVIEW_UID]
PAGE = f"/d/{OVERVIEW_UID}"
API = f"/api/boards/{OVERVIEW_UID}"


@asynccontextmanager
async def asking(address: ClickHouseAddress, boards: dict[str, Board] = BOARDS) -> AsyncIterator[TestClient[Any, Any]]:
    files = Files(Path("unused"))
    files._vega = asyncio.create_task(_vega())  # Bundling it has tests of its own.
    async with TestClient(TestServer(application(Desk(address, boards), files))) as client:
        yield client


async def _vega() -> Content:
    return content("vega.js", b"window.vegaEmbed = 1;" * 1_000)


@pytest.fixture
def address(boards: Boards, clickhouse_server: Any) -> ClickHouseAddress:
    return ClickHouseAddress(f"{clickhouse_server.url.rstrip('/')}/boards")


@pytest.fixture
async def client(address: ClickHouseAddress) -> AsyncIterator[TestClient[Any, Any]]:
    async with asking(address) as opened:
        yield opened


def _between(boards: Boards) -> dict[str, str]:
    return {"from": str(boards.range.from_s * 1_000), "to": str(boards.range.to_s * 1_000)}


def _number(kind: type) -> int:
    return next(each.number for panels in numbered(BOARD).values() for each in panels if isinstance(each.panel, kind))


async def test_a_page_asks_clickhouse_nothing() -> None:
    """So it is painted at once, however much is stored and even if ClickHouse is away."""
    (port,) = choose_ports((0,))
    async with asking(ClickHouseAddress(f"http://127.0.0.1:{port}/boards")) as client:
        for path in ("/", PAGE, f"/d/{BOARD.slug}", f"{PAGE}?from=now-30d&var-region=a"):
            answer = await client.get(path)
            assert answer.status == 200 and "<h1>" in await answer.text()
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy and "*" not in policy


async def test_values_of_an_address_stay_text(client: TestClient[Any, Any]) -> None:
    hostile = '"><script>alert(1)</script>'
    text = await (await client.get(PAGE, params={"var-region": hostile, "var-by": hostile, "from": hostile})).text()
    assert hostile not in text and "&lt;script&gt;" in text


@pytest.mark.parametrize(
    ("headers", "path", "status"),
    [
        ({"Host": "evil.example"}, PAGE, 403),
        ({"Origin": "http://evil.example"}, f"{API}/panels/2", 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, f"{API}/panels/2", 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, PAGE, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, f"{API}/panels/2", 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, PAGE, 200),
        ({"Sec-Fetch-Site": "same-origin"}, "/healthz", 200),
    ],
)  # fmt: skip
async def test_only_this_machine_asks_and_alerts_may_link(
    client: TestClient[Any, Any], headers: dict[str, str], path: str, status: int
) -> None:
    assert (await client.get(path, headers=headers)).status == status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_it_only_reads(client: TestClient[Any, Any], method: str) -> None:
    assert (await client.request(method, f"{API}/panels/2")).status == 405


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/d/nothing", 404, "no such board"),
        (f"{API}/panels/999", 404, "no such panel"),
        (f"{API}/choices/nobody", 404, "no such filter"),
        (f"{API}/panels/2?from=yesterday", 400, "from: write"),
        (f"{API}/panels/2?from=now&to=now-1h", 400, "ends before it begins"),
        (f"{API}/panels/2?from=0&to=now", 400, "longer than"),
        (f"{API}/panels/2?" + "&".join(f"var-a={number}" for number in range(500)), 400, "more than"),
        ("/static/../settings.py", 404, "nothing at this address"),
        ("/static/nothing.js", 404, "nothing at this address"),
    ],
)
async def test_what_is_wrong_is_a_sentence(client: TestClient[Any, Any], path: str, status: int, says: str) -> None:
    answer = await client.get(path)
    told = await answer.text()
    assert (answer.status, says in told, "Traceback" in told) == (status, True, False)


async def test_what_no_filter_applies_is_said(client: TestClient[Any, Any]) -> None:
    params = {"var-language": "de", "var-region": "eu-west-1", "var-measure": "wer"}
    text = await (await client.get(PAGE, params=params)).text()
    assert "so not applied: language = de." in text
    text = await (await client.get(PAGE, params={"var-region": "eu-west-1"})).text()
    assert "not applied" not in text


async def test_a_panel_of_every_kind_is_answered(client: TestClient[Any, Any], boards: Boards) -> None:
    chart = await (await client.get(f"{API}/panels/{_number(Chart)}", params=_between(boards))).json()
    assert chart["spec"]["datasets"]["rows"] and not chart["isEmpty"] and chart["summary"] and not chart["note"]
    table = await (
        await client.get(f"{API}/panels/{_number(Chart)}", params={**_between(boards), "as": "table"})
    ).json()
    assert table["spec"] is None and "<tbody>" in table["html"]
    grid = await (await client.get(f"{API}/panels/{_number(Grid)}", params=_between(boards))).json()
    assert grid["spec"] is None and "<table" in grid["html"]


async def test_links_of_a_row_keep_range_and_choices(client: TestClient[Any, Any], boards: Boards) -> None:
    view = {**_between(boards), "var-pool": "realtime", "var-bundle": 'a"b&c'}
    found = next(
        each.number for panels in numbered(BOARD).values() for each in panels
        if isinstance(each.panel, Grid) and each.panel.title == "Burning now, worst first"
    )  # fmt: skip
    told = await (await client.get(f"{API}/panels/{found}", params={**view, "var-bundle": "v2-canary"})).json()
    assert f"from={view['from']}&amp;to={view['to']}&amp;" in told["html"] and "var-bundle=v2-canary" in told["html"]


@pytest.mark.parametrize("hostile", ["x' OR 1=1 --", "ünïcødé 語", "\\", "{}", "${pool}", "a\nb"])
async def test_hostile_values_find_nothing_and_break_nothing(
    client: TestClient[Any, Any], boards: Boards, hostile: str
) -> None:
    told = await client.get(f"{API}/panels/{_number(Chart)}", params={**_between(boards), "var-region": hostile})
    assert told.status == 200


async def test_choices_are_searched(client: TestClient[Any, Any], boards: Boards) -> None:
    choice = next(each for each in BOARD.choices if each.name == "region")
    every = ask_options(boards.client, choice, boards.range, chosen(BOARD.choices, {}))
    told = await (await client.get(f"{API}/choices/region", params=_between(boards))).json()
    assert told == {"values": every, "count": len(every)}
    some = await (
        await client.get(f"{API}/choices/region", params={**_between(boards), "search": every[0][:3].upper()})
    ).json()
    assert some["values"] == [value for value in every if every[0][:3] in value]


def _broken(panels: Sequence[Any]) -> list[Any]:
    return [replace(panel, query=Query("broken", "SELECT nothing FROM nowhere")) for panel in panels]


async def test_a_statement_that_is_refused_spoils_its_panel_only(address: ClickHouseAddress, boards: Boards) -> None:
    first, *others = BOARD.sections
    sections = {first: _broken(BOARD.sections[first]), **{name: BOARD.sections[name] for name in others}}
    async with asking(address, {OVERVIEW_UID: replace(BOARD, sections=sections)}) as client:
        refused = await client.get(f"{API}/panels/2", params=_between(boards))
        told = await refused.json()
        assert refused.status == 422 and "turnwatch prepare" in told["failure"] and "Traceback" not in told["failure"]
        last = max(each.number for panels in numbered(BOARD).values() for each in panels)
        assert (await client.get(f"{API}/panels/{last}", params=_between(boards))).status == 200


async def test_what_takes_too_long_is_said_and_not_asked_again_and_again(
    address: ClickHouseAddress, boards: Boards, monkeypatch: pytest.MonkeyPatch
) -> None:
    """422 is an answer that the page does not ask for anew by itself, and marks belong to every chart."""
    monkeypatch.setattr("dashboards.local.asking.TIMEOUT_S", 0.05)
    first, *_ = BOARD.sections
    endless = Query("endless", "SELECT sum(sleepEachRow(0.02)) FROM numbers(1000) SETTINGS max_block_size = 1")
    sections = {first: [replace(BOARD.sections[first][0], query=endless)]}
    async with asking(address, {OVERVIEW_UID: replace(BOARD, sections=sections)}) as client:
        slow = await client.get(f"{API}/panels/2", params=_between(boards))
        told = (await slow.json())["failure"]
        assert slow.status == 422 and "TIMEOUT" in told and "Choose a shorter range" in told


async def test_marks_that_come_later_are_drawn_in_a_range_that_does_not_move(
    address: ClickHouseAddress, boards: Boards
) -> None:
    """Charts of a page, which say the same `now`, share their marks; the page asked again has new ones."""
    marks = (replace(BOARD.marks[0], query=Query("clock", _CLOCK)),)
    async with asking(address, {OVERVIEW_UID: replace(BOARD, marks=marks)}) as client:

        async def drawn(now_ms: int) -> str:
            params = {**_between(boards), "now": str(now_ms)}
            answer = await (await client.get(f"{API}/panels/{_number(Chart)}", params=params)).json()
            return str(answer["spec"]["datasets"]["marks"][0]["text"])

        at_ms = boards.range.to_s * 1_000
        first = await drawn(at_ms)
        assert await drawn(at_ms) == first != await drawn(at_ms + 30_000)


_CLOCK = "SELECT $__fromTime AS time, $__toTime AS timeEnd, 'clock' AS title, toString(now64(9)) AS text, '' AS tags"


async def test_clickhouse_may_go_away_and_come_back(address: ClickHouseAddress, boards: Boards) -> None:
    """A sentence meanwhile; nobody restarts the board."""
    (port,) = choose_ports((0,))
    gone = ClickHouseAddress(f"http://127.0.0.1:{port}/boards")
    async with asking(gone) as client:
        for _ in range(2):
            away = await client.get(f"{API}/panels/2", params=_between(boards))
            assert away.status == 503 and "cannot be reached" in (await away.json())["failure"]

        async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_connection(address.host, address.port)
            await asyncio.gather(_copied(reader, back), _copied(there, writer))

        async with await asyncio.start_server(forward, "127.0.0.1", port):
            assert (await client.get(f"{API}/panels/2", params=_between(boards))).status == 200
            chart = await (await client.get(f"{API}/panels/{_number(Chart)}", params=_between(boards))).json()
            assert chart["spec"] is not None


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def test_scripts_are_sent_once_and_compressed(client: TestClient[Any, Any]) -> None:
    for name in ("vega.js", "board.js", "theme.css", "panels.css"):
        sent = await client.get(f"/static/{name}", headers={"Accept-Encoding": "gzip"}, auto_decompress=False)
        body = await sent.read()
        assert sent.headers["Content-Encoding"] == "gzip" and len(gzip.decompress(body)) > len(body), name
        plain = await client.get(f"/static/{name}", headers={"Accept-Encoding": "identity"})
        assert await plain.read() == gzip.decompress(body)
        again = await client.get(f"/static/{name}", headers={"If-None-Match": sent.headers["ETag"]})
        assert again.status == 304 and await again.read() == b""


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "board.example", "::", ""])
def test_other_machines_are_not_served(host: str) -> None:
    with pytest.raises(BadInput, match="this machine only"):
        require_this_machine(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.9"])
def test_this_machine_is_served(host: str) -> None:
    require_this_machine(host)


def test_a_row_says_which_board_its_link_leads_to() -> None:
    link_to = linking(BOARDS, viewed([], BOARD))
    link = Link(OVERVIEW_UID, ("bundle",), board_column="board")
    assert link_to(link, {"board": DRIFT_UID, "bundle": "b"}).startswith(f"/d/{DRIFT_UID}?")
    assert link_to(link, {"board": "", "bundle": "b"}).startswith(f"/d/{OVERVIEW_UID}?")
    assert link_to(link, {"board": "turnwatch-newer", "bundle": "b"}) == ""


def test_a_view_is_read_as_grafana_writes_it() -> None:
    parts = [
        ("from", "now-7d"),
        ("to", "now"),
        ("var-region", "$__all"),
        ("var-pool", "a"),
        ("var-pool", "b"),
        ("var-pool", "a"),
    ]
    view = viewed(parts, BOARD)
    assert (view.given, view.between(1_000_000), view.is_own) == ({"pool": ("a", "b")}, (395_200, 1_000_000), False)
    own = viewed([], BOARD)
    assert own.is_own and own.between(1_000_000) == (1_000_000 - BOARD.range_s, 1_000_000)


@pytest.mark.parametrize("waits_for", [0, 1])
async def test_what_nobody_waits_for_is_neither_asked_nor_drawn(
    address: ClickHouseAddress, boards: Boards, waits_for: int
) -> None:
    """A reader who moved on before the statement, or while it ran; who stayed has the panel."""
    panel = next(each.panel for panels in numbered(BOARD).values() for each in panels if isinstance(each.panel, Chart))
    view = viewed(list(_between(boards).items()), BOARD)
    looks = iter([True] * waits_for + [False])
    desk = Desk(address, BOARDS)
    try:
        with pytest.raises(TooMany, match="Nobody waits"):
            await desk.panel(Question(BOARD, view, 0, lambda: next(looks)), panel)
        assert next(looks, None) is None, "it was asked for as often as that"
        assert b'"spec"' in await desk.panel(Question(BOARD, view, 0), panel)
    finally:
        await desk.close()
