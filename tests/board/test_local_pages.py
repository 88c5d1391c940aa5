"""Boards as a browser shows them: drawn in both themes, reachable by keys, readable by screen readers, equal to the data."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio

from alerts.definitions import watched_slos
from dashboards.local.asking import ask, chosen, ranged
from dashboards.local.board_page import numbered
from dashboards.local.legends import peaks
from dashboards.local.units import formatted
from dashboards.panels import Chart, Column, Grid
from dashboards.render import all_boards
from dashboards.variables import BUDGETS_UID, OVERVIEW_UID
from schemas.warehouse import ClickHouseAddress
from tests.board.conftest import Boards
from turnwatch.bench.browser import Browser, Page, chromium
from turnwatch.bench.first_paint import first_screen
from turnwatch.board.process import serving

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.asyncio(loop_scope="module")]

BOARDS = all_boards(watched_slos())
IDLE = "document.querySelectorAll('.panel').length > 0 && !document.querySelector('.body[aria-busy=true]')"
TALL = (1440, 9_000)
"""So tall that every panel is in sight, and drawn."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(boards: Boards, clickhouse_server: Any) -> AsyncIterator[str]:
    address = ClickHouseAddress(f"{clickhouse_server.url.rstrip('/')}/boards")
    async with serving(address, "127.0.0.1", 0) as url:
        yield url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A tab that complains of nothing and asks nobody but this machine."""
    opened = await browser.page()
    await opened.sized(1440, 1000)
    await opened.themed("light")
    yield opened
    assert opened.errors == []
    asked = {urlsplit(url).hostname for url in opened.requests if not url.startswith(("about:", "data:", "blob:"))}
    assert asked <= {"127.0.0.1"}
    await opened.send("Page.close")


def _during(boards: Boards) -> str:
    return f"from={boards.range.from_s * 1_000}&to={boards.range.to_s * 1_000}"


async def _shown(page: Page, url: str, size: tuple[int, int] = TALL) -> None:
    await page.sized(*size)
    await page.open(url)
    await page.until(IDLE)


async def _serious(page: Page, *rules: str, within: str = "html") -> list[str]:
    """What axe-core finds of some weight, in all of the page or in one element: its rule, and where.

    What a test has changed of a page is looked at by itself: the rest was, board by board.
    A chart is one picture with a name: what is inside of it is nobody's to read, and thousands of elements to walk through.
    """
    if not await page.run("typeof axe === 'object'"):
        await page.run(files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8") + "; 0")
        await page.run("document.querySelectorAll('.chart svg').forEach(each => each.replaceChildren())")
    only = {"runOnly": {"type": "rule", "values": list(rules)}} if rules else {}
    options = json.dumps({"resultTypes": ["violations"], **only})
    found = await page.run(f"axe.run({within!r}, {options}).then(told => told.violations)")
    return [
        f"{each['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


async def test_the_first_screen_is_there_after_the_first_paint(browser: Browser, server: str, boards: Boards) -> None:
    """As `turnwatch bench boards` measures it."""
    seen = await first_screen(await browser.page(), f"{server}/d/{OVERVIEW_UID}?{_during(boards)}")
    assert 0 < seen.first_s < seen.screen_s


@pytest.mark.parametrize("uid", BOARDS)
async def test_a_board_is_drawn_for_every_reader(page: Page, server: str, boards: Boards, uid: str) -> None:
    """Every panel says something, and axe-core finds nothing serious, in light and in dark."""
    await _shown(page, f"{server}/d/{uid}?{_during(boards)}")
    assert (
        await page.run("[...document.querySelectorAll('.failure:not([hidden])')].map(each => each.textContent)") == []
    )
    assert await page.run("[...document.querySelectorAll('.panel h3')].map(each => each.textContent)") == [
        re.sub(r"\$\{(\w+)\}", lambda choice: str(chosen(BOARDS[uid].choices, {})[choice[1]]), each.panel.title)
        for panels in numbered(BOARDS[uid]).values()
        for each in panels
    ]
    charts = await page.run("document.querySelectorAll('.chart').length")
    assert charts == await page.run("document.querySelectorAll('.chart[role=img][aria-label] svg').length")
    paper = await page.run("getComputedStyle(document.body).backgroundColor")
    assert await _serious(page) == []
    await page.themed("dark")
    assert await page.run("getComputedStyle(document.body).backgroundColor") != paper
    assert await _serious(page, "color-contrast", "link-in-text-block") == []


async def test_what_is_drawn_is_what_clickhouse_says(page: Page, server: str, boards: Boards) -> None:
    """A chart's last points stand where its axis says, its legend has their figures, and tables the rows of the query."""
    board = BOARDS[OVERVIEW_UID]
    await _shown(page, f"{server}/d/{OVERVIEW_UID}?{_during(boards)}")
    selection = chosen(board.choices, {})
    compared = {Chart: 0, Grid: 0}
    for each in (each for panels in numbered(board).values() for each in panels):
        panel, name = each.panel, f"#panel-{each.number}"
        rows = ask(boards.client, panel, ranged(boards.range.from_s, boards.range.to_s, panel), selection)
        if isinstance(panel, Grid) and rows.height:
            shown = [column for column in rows.columns if not (panel.columns.get(column) or _PLAIN).is_hidden]
            texts = await page.run(f"[...document.querySelectorAll('{name} tbody tr')].map(row => row.cells.length)")
            assert texts == [len(shown)] * rows.height, panel.title
            compared[Grid] += 1
        elif isinstance(panel, Chart) and rows.height:
            told = peaks(rows.filter(rows["value"].is_finite()))
            cells = await page.run(
                f"[...document.querySelectorAll('{name} .legend tbody tr')].map(row => [...row.cells].slice(0, 3).map(cell => cell.textContent))"
            )
            assert cells == [
                [row["series"], formatted(row["newest"], panel.unit), formatted(row["highest"], panel.unit)]
                for row in told.iter_rows(named=True)
            ], panel.title
            compared[Chart] += 1
    assert min(compared.values()) > 3
    await _is_where_its_axis_says(page, boards)


_PLAIN = Column()


async def _is_where_its_axis_says(page: Page, boards: Boards) -> None:
    """Of `How near to a threshold` every line ends at the height of its newest value, by the axis's own labels."""
    each = next(
        each for panels in numbered(BOARDS[OVERVIEW_UID]).values() for each in panels
        if isinstance(each.panel, Chart) and each.panel.title == "How near to a threshold"
    )  # fmt: skip
    drawn = await page.run(
        f"""(() => {{ const svg = document.querySelector('#panel-{each.number} .chart svg');
        const at = (element) => element.getBoundingClientRect();
        const ticks = [...svg.querySelectorAll('.role-axis-label text')].filter(text => text.textContent.includes('×'))
          .map(text => [parseFloat(text.textContent), at(text).y + at(text).height / 2]);
        const paths = [...svg.querySelectorAll('.mark-line path')].map(path => {{
          const end = path.getPointAtLength(path.getTotalLength());
          return end.matrixTransform(path.getScreenCTM()).y; }});
        return [ticks, paths]; }})()"""
    )
    ticks, ends = drawn
    (low, low_y), (high, high_y) = ticks[0], ticks[-1]
    rows = ask(
        boards.client,
        each.panel,
        ranged(boards.range.from_s, boards.range.to_s),
        chosen(BOARDS[OVERVIEW_UID].choices, {}),
    )
    newest = peaks(rows)["newest"].to_list()
    px = (high_y - low_y) / (high - low)
    expected = sorted(low_y + (value - low) * px for value in newest)
    assert len(ends) == len(expected) > 0
    assert sorted(ends) == pytest.approx(expected, abs=2.5)


async def test_a_link_leads_to_the_slice_at_the_same_time(page: Page, server: str, boards: Boards) -> None:
    await _shown(page, f"{server}/d/{OVERVIEW_UID}?{_during(boards)}&var-pool=realtime", (1440, 1000))
    leads = "#panel-4 tbody a[href*='var-region']"
    row = await page.run(f"document.querySelector({leads!r}).closest('tr').textContent")
    asked = parse_qs(urlsplit(await page.run(f"document.querySelector({leads!r}).href")).query)
    await page.click(leads)
    await page.until(f"new URLSearchParams(location.search).get('var-region') === {asked['var-region'][0]!r} && {IDLE}")
    assert f"region={asked['var-region'][0]}" in row
    assert {name: asked[name] for name in ("from", "to", "var-pool")} == {
        "from": [str(boards.range.from_s * 1_000)], "to": [str(boards.range.to_s * 1_000)], "var-pool": ["realtime"],
    }  # fmt: skip
    assert (
        await page.run("document.querySelector('[data-choice=region] .picked').textContent") == asked["var-region"][0]
    )
    cells = await page.run("document.querySelector('#panel-5 tbody tr').textContent")
    assert "region" in cells, "What is shown says which filters were applied."
    await page.back()
    await page.until(
        "!location.search.includes('var-region') && document.querySelector('[data-choice=region] .picked')?.textContent === 'all'"
    )


async def test_a_filter_is_searched_and_chosen_by_keys(page: Page, server: str, boards: Boards) -> None:
    await _shown(page, f"{server}/d/{BUDGETS_UID}?{_during(boards)}", (1440, 1000))
    await page.press("Tab")
    assert await page.run("document.activeElement.className") == "skip"
    await page.press("Enter")
    await page.until("document.activeElement.id === 'content'")
    await page.press("f")
    for _ in range([choice.name for choice in BOARDS[BUDGETS_UID].choices].index("region")):
        await page.press("Tab")
    assert await page.run("document.activeElement.closest('details')?.dataset.choice") == "region"
    await page.press("Enter")
    await page.until(
        "document.activeElement.type === 'search' && document.querySelectorAll('[data-choice=region] .options input').length > 1"
    )
    assert await _serious(page, within="[data-choice=region]") == []
    await page.write("us-")
    await page.until("document.querySelectorAll('[data-choice=region] .options input').length === 1")
    await page.press("Enter")
    await page.until("location.search.includes('var-region=us-east-2')")
    assert await page.run("document.activeElement.closest('details').dataset.choice") == "region"
    await page.until(IDLE)
    await page.press("?")
    await page.until("document.getElementById('keys').open")
    await page.press("Escape")
    await page.until("!document.getElementById('keys').open")


async def test_the_range_is_moved_by_keys_and_by_dragging_and_back_works(
    page: Page, server: str, boards: Boards
) -> None:
    await _shown(page, f"{server}/d/{BUDGETS_UID}?{_during(boards)}", (1440, 1600))
    before = await page.run("location.search")
    await page.press("[")
    length_s = boards.range.to_s - boards.range.from_s
    await page.until(f"location.search.includes('from={(boards.range.from_s - length_s // 2) * 1_000}')")
    await page.back()
    await page.until(f"location.search === {before!r} && {IDLE}")
    x, y, width = await page.run(
        """(() => { const box = document.querySelector('#panel-5 .chart .background').getBoundingClientRect();
        return [box.x, box.y + box.height / 2, box.width]; })()"""
    )
    await page.pointed("mousePressed", x + width / 4, y)
    await page.pointed("mouseMoved", x + width / 3, y)
    await page.pointed("mouseMoved", x + width / 2, y)
    await page.pointed("mouseReleased", x + width / 2, y)
    await page.until(f"location.search !== {before!r}")
    asked = parse_qs(urlsplit(await page.run("location.href")).query)
    from_s, to_s = (int(asked[name][0]) / 1_000 for name in ("from", "to"))
    tolerance_s = 3 * length_s / width
    assert from_s == pytest.approx(boards.range.from_s + length_s / 4, abs=tolerance_s)
    assert to_s == pytest.approx(boards.range.from_s + length_s / 2, abs=tolerance_s)
    await page.until(IDLE)


async def test_a_live_board_asks_again_until_it_is_paused(page: Page, server: str) -> None:
    await _shown(page, f"{server}/d/{BUDGETS_UID}?refresh=1s", (1440, 800))
    assert await page.run("document.getElementById('live').getAttribute('aria-pressed')") == "true"
    await page.until("Number(document.body.dataset.round) > 2")
    await page.press("l")
    await page.until(f"document.getElementById('live').getAttribute('aria-pressed') === 'false' && {IDLE}")
    assert parse_qs(urlsplit(await page.run("location.href")).query, keep_blank_values=True)["refresh"] == [""]


async def test_a_chart_is_also_a_table_and_the_theme_is_kept(page: Page, server: str, boards: Boards) -> None:
    await _shown(page, f"{server}/d/{BUDGETS_UID}?{_during(boards)}", (1440, 1600))
    await page.run("document.getElementById('panel-5').focus()")
    await page.press("v")
    await page.until("document.querySelector('#panel-5 .figures-of-chart') !== null")
    assert await _serious(page, within="#panel-5") == []
    panel = next(each.panel for panels in numbered(BOARDS[BUDGETS_UID]).values() for each in panels if each.number == 5)
    rows = ask(
        boards.client, panel, ranged(boards.range.from_s, boards.range.to_s), chosen(BOARDS[BUDGETS_UID].choices, {})
    )
    assert await page.run("document.querySelectorAll('#panel-5 tbody tr').length") == rows["time"].n_unique()
    await page.press("d")
    await _shown(page, f"{server}/d/{BUDGETS_UID}?{_during(boards)}", (1440, 1600))
    assert await page.run("document.documentElement.dataset.theme") == "dark"
