"""Boards as a browser shows them: drawn in both themes, reachable by keys, readable by screen readers, equal to the data."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from alerts.definitions import watched_slos
from dashboards.local.asking import chosen
from dashboards.local.board_page import numbered
from dashboards.render import all_boards
from schemas.warehouse import ClickHouseAddress
from tests.board.browser import Browser, Page, chromium
from tests.board.conftest import Boards
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


async def _serious(page: Page, *rules: str) -> list[str]:
    """What axe-core finds of some weight: its rule, and where. A chart is one picture with a name, whatever is inside of it."""
    if not await page.run("typeof axe === 'object'"):
        await page.run(files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8") + "; 0")
    only = {"runOnly": {"type": "rule", "values": list(rules)}} if rules else {}
    options = json.dumps({"resultTypes": ["violations"], **only})
    found = await page.run(f"axe.run({{exclude: [['.chart svg']]}}, {options}).then(told => told.violations)")
    return [
        f"{each['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


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
