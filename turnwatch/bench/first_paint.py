"""How soon does somebody who opens the local board see something, and all of the first screen?

A real Chromium opens the overview, in a tab without anything of another: the first contentful paint is the browser's own
(`PerformancePaintTiming`), and the first screen is there once no panel of it waits. Seconds count from the navigation. The board is opened
once before, for a browser starts, and the charting library is bundled, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.boards import OVERVIEW_UID
from schemas.warehouse import ClickHouseAddress
from turnwatch.bench.browser import Page, chromium
from turnwatch.board.process import serving

WIDTH, HEIGHT = 1440, 900
_SEEN = """new Promise(tell => {
  const look = () => {
    const seen = [...document.querySelectorAll('.panel')].filter(panel => {
      const box = panel.getBoundingClientRect();
      return box.top < innerHeight && box.bottom > 0;
    });
    const paint = performance.getEntriesByName('first-contentful-paint')[0];
    if (paint && seen.length && !seen.some(panel => panel.querySelector('[aria-busy=true]')))
      tell([paint.startTime / 1000, performance.now() / 1000]);
    else
      setTimeout(look, 10);
  };
  look();
})"""
"""In the page: seconds until its first paint, and until now, when every panel of the screen has been drawn."""


@dataclass(frozen=True, slots=True)
class Paint:
    """Seconds from the navigation to the first contentful paint, and until every panel of the first screen is drawn."""

    first_s: float
    screen_s: float


async def paints(
    address: ClickHouseAddress, during: Mapping[str, tuple[int, int]], runs: int
) -> dict[str, list[Paint]]:
    """What a browser saw of the overview over each range, from and to in seconds since 1970, as often as asked."""
    seen: dict[str, list[Paint]] = {name: [] for name in during}
    async with serving(address, "127.0.0.1", 0) as board, chromium() as browser:
        for name, (from_s, to_s) in during.items():
            url = f"{board}/d/{OVERVIEW_UID}?from={from_s * 1_000}&to={to_s * 1_000}"
            if not any(seen.values()):
                await first_screen(await browser.page(), url)
            for _ in range(runs):
                seen[name].append(await first_screen(await browser.page(), url))
    return seen


async def first_screen(page: Page, url: str) -> Paint:
    """Opens the address in the tab, and closes that."""
    await page.sized(WIDTH, HEIGHT)
    await page.open(url)
    paint = Paint(*await page.run(_SEEN))
    await page.send("Page.close")
    return paint
