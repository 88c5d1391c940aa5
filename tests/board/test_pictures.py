"""Pictures for the docs show whole boards, and stay small."""

from __future__ import annotations

import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.board.conftest import BOARDS
from tests.board.pictures import BYTES_MAX, LOWEST, WIDTH
from tests.board.small_pictures import small, whole
from turnwatch.bench.browser import Page, chromium

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"

PAGE = """data:text/html,<body style="margin:0"><div class="panel" style="height:1000px;background:rgb(1,2,3)"></div>
<div style="height:1500px;background:linear-gradient(rgb(255,0,0),rgb(0,0,255))"></div>"""


def _size(picture: bytes) -> tuple[int, int]:
    width, height = struct.unpack(">II", picture[16:24])
    return width, height


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("uid", BOARDS)
def test_a_board_s_picture_is_the_whole_board_in_a_small_file(uid: str, theme: str) -> None:
    picture = (FOLDER / f"board-{BOARDS[uid].slug}-{theme}.png").read_bytes()
    width, height = _size(picture)
    assert len(picture) < BYTES_MAX
    panels = [panel for panels in BOARDS[uid].sections.values() for panel in panels]
    assert width == WIDTH and height > max(LOWEST, 60 * len(panels)), (
        "run: python -m tests.board.pictures docs/pictures"
    )


@pytest_asyncio.fixture(name="page")
async def _page() -> AsyncIterator[Page]:
    async with chromium() as browser:
        yield await browser.page()


@pytest.mark.needs("chromium")
@pytest.mark.asyncio
async def test_a_page_is_drawn_to_its_end_in_few_colours(page: Page) -> None:
    await page.open(PAGE)
    await whole(page, 300, 200)
    picture = await small(page, await page.picture(), BYTES_MAX)
    assert _size(picture) == (300, 2_500)
    palette, rows = _told(picture)
    assert palette[rows[500 * 301 + 1]] == (1, 2, 3) and 10 < len(palette) <= 64
    for at, wanted in ((1_000, (255, 0, 0)), (2_499, (0, 0, 255))):
        assert sum(abs(one - other) for one, other in zip(palette[rows[at * 301 + 1]], wanted, strict=True)) < 30
    with pytest.raises(ValueError, match="make the page smaller"):
        await small(page, await page.picture(), 100)


def _told(picture: bytes) -> tuple[list[tuple[int, ...]], bytes]:
    """The palette, and a byte of filter and one for each pixel of each row."""
    chunks, at = {}, 8
    while at < len(picture):
        (length,) = struct.unpack(">I", picture[at : at + 4])
        content = picture[at + 4 : at + 8 + length]
        assert struct.unpack(">I", picture[at + 8 + length : at + 12 + length])[0] == zlib.crc32(content)
        chunks[content[:4]] = content[4:]
        at += 12 + length
    colours = chunks[b"PLTE"]
    return [tuple(colours[place : place + 3]) for place in range(0, len(colours), 3)], zlib.decompress(chunks[b"IDAT"])
