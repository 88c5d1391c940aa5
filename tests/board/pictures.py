"""Pictures of every board in light and dark, for the docs: `python -m tests.board.pictures docs/pictures`.

They show the world that tests ask: the embedded engine is filled with it, the boards are served, and Chromium opens them.
Each is the whole board, in a file of less than `BYTES_MAX`; of the overview there is what one sees first, too.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from inspect import unwrap
from pathlib import Path
from typing import Any

from alerts.definitions import watched_slos
from dashboards.render import all_boards
from schemas.boards import OVERVIEW_UID
from schemas.warehouse import ClickHouseAddress
from stack.clickhouse import start_clickhouse
from tests.board import conftest
from tests.board.small_pictures import small, whole
from turnwatch.bench.browser import Page, chromium
from turnwatch.board.process import serving

WIDTH, LOWEST = 1180, 640
BYTES_MAX = 300_000
FIRST = "overview.png"
FIRST_SEEN = {"x": 0, "y": 0, "width": WIDTH, "height": 980, "scale": 1}
"""What burns, with its slice: the first of the overview's five questions."""
RANGE_S = {"slos-and-budgets": 7 * 86_400, "drift-by-slice": 7 * 86_400, "burn-by-slice": 86_400, "cost": 86_400}
"""How far back boards look whose questions are about days; others show the last half hour."""


async def take(address: ClickHouseAddress, from_s: int, to_s: int, folder: Path) -> None:
    """Writes `board-<slug>-light.png` and `-dark.png` of every board into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    async with serving(address, "127.0.0.1", 0) as url, chromium() as browser:
        page = await browser.page()
        for board in all_boards(watched_slos()).values():
            await page.sized(WIDTH, LOWEST)
            begins_s = min(from_s, to_s - RANGE_S.get(board.slug, 0))
            await page.open(f"{url}/d/{board.uid}?from={begins_s * 1_000}&to={to_s * 1_000}")
            for theme in ("light", "dark"):
                await page.themed(theme)
                await whole(page, WIDTH, LOWEST)
                await _take(page, folder / f"board-{board.slug}-{theme}.png")
                if (board.uid, theme) == (OVERVIEW_UID, "light"):
                    await _take(page, folder / FIRST, clip=FIRST_SEEN)


async def _take(page: Page, path: Path, **parameters: Any) -> None:
    path.write_bytes(await small(page, await page.picture(**parameters), BYTES_MAX))
    print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as data:
        server = start_clickhouse(Path(data))
        try:
            server.wait_until_healthy()
            filled: Iterator[conftest.Boards] = unwrap(conftest.boards)(server)
            during = next(filled).range
            address = ClickHouseAddress(f"{server.url}/boards")
            asyncio.run(take(address, during.from_s, during.to_s, folder))
        finally:
            server.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
