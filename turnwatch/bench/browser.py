"""A headless Chromium, driven over its DevTools protocol: pages, clicks and keys, and what a page complained about."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

START_S, ANSWER_S, UNTIL_S = 60.0, 60.0, 25.0
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--remote-debugging-port=0",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--disable-features=SpareRendererForSitePerProcess",
    "--process-per-site",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--lang=en",
)


class PageError(AssertionError):
    """A script failed in the page."""


@dataclass(slots=True)
class Page:
    """A tab. `errors` are what it wrote to its console as errors, `requests` the addresses that it asked."""

    _browser: Browser
    _session: str
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        return await self._browser.send(method, self._session, **parameters)

    async def open(self, url: str) -> None:
        """Loads the page, until its scripts have run."""
        await self.send("Page.navigate", url=url)
        await self.until(f"location.href !== 'about:blank' && document.readyState === 'complete' /* {url} */")

    async def back(self) -> None:
        """To where the tab was before; the page may be replaced, which a script that is still awaited would not survive."""
        await self.run("void setTimeout(() => history.back())")

    async def run(self, script: str) -> Any:
        """The value of an expression in the page, awaited."""
        told = await self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in told:
            thrown = told["exceptionDetails"]
            raise PageError(f"{thrown.get('exception', {}).get('description', thrown['text'])}: {script[:300]}")
        return told["result"].get("value")

    async def until(self, condition: str) -> None:
        """Waits until an expression is true in the page."""
        async with asyncio.timeout(UNTIL_S):
            while True:
                with suppress(PageError):  # While a page is replaced by another.
                    if await self.run(condition):
                        return
                await asyncio.sleep(0.05)

    async def sized(self, width: int, height: int) -> None:
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    async def themed(self, theme: str) -> None:
        """What the reader's system prefers."""
        features = [
            {"name": "prefers-color-scheme", "value": theme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        await self.send("Emulation.setEmulatedMedia", features=features)

    async def press(self, key: str, code: int = 0) -> None:
        """A key, as somebody presses it."""
        code = code or _CODES.get(key, ord(key.upper()[0]))
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        common = {"key": key, "windowsVirtualKeyCode": code, "code": _NAMES.get(key, key)}
        await self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        await self.send("Input.dispatchKeyEvent", type="keyUp", **common)

    async def write(self, text: str) -> None:
        await self.send("Input.insertText", text=text)

    async def click(self, selector: str) -> None:
        """The middle of the first element of the selector, with the pointer."""
        x, y = await self.run(
            f"""(() => {{ const found = document.querySelector({selector!r});
            found.scrollIntoView({{block: 'center'}}); const box = found.getBoundingClientRect();
            return [box.x + Math.min(box.width / 2, 40), box.y + box.height / 2]; }})()"""
        )
        await self.pointed("mousePressed", x, y)
        await self.pointed("mouseReleased", x, y)

    async def pointed(self, kind: str, x: float, y: float) -> None:
        await self.send(
            "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=0 if kind == "mouseReleased" else 1,
            clickCount=0 if kind == "mouseMoved" else 1,
        )  # fmt: skip

    async def picture(self, **parameters: Any) -> bytes:
        """What is seen, as PNG."""
        told = await self.send("Page.captureScreenshot", format="png", **parameters)
        return base64.b64decode(told["data"])

    def _happened(self, method: str, told: dict[str, Any]) -> None:
        match method:
            case "Runtime.exceptionThrown":
                thrown = told["exceptionDetails"]
                self.errors.append(str(thrown.get("exception", {}).get("description", thrown["text"])))
            case "Runtime.consoleAPICalled" if told["type"] in ("error", "assert"):
                self.errors.append(" ".join(str(each.get("value", each.get("description"))) for each in told["args"]))
            case "Log.entryAdded" if told["entry"]["level"] == "error":
                self.errors.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
            case "Network.requestWillBeSent":
                self.requests.append(told["request"]["url"])


_CODES = {"Enter": 13, "Escape": 27, "Tab": 9, " ": 32, "[": 219, "]": 221, "-": 189, "?": 191, "ArrowDown": 40}
_NAMES = {"[": "BracketLeft", "]": "BracketRight", "-": "Minus", "?": "Slash", " ": "Space"}


@dataclass(slots=True)
class Browser:
    """A browser with a profile of its own."""

    _socket: aiohttp.ClientWebSocketResponse
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _waiting: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)
    _pages: dict[str, Page] = field(default_factory=dict)

    async def page(self) -> Page:
        """A new tab without cookies or storage of another."""
        context = await self.send("Target.createBrowserContext")
        target = await self.send("Target.createTarget", url="about:blank", browserContextId=context["browserContextId"])
        attached = await self.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = self._pages[attached["sessionId"]] = Page(self, attached["sessionId"])
        for domain in ("Page", "Runtime", "Log", "Network"):
            await page.send(f"{domain}.enable")
        return page

    async def send(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        told = self._waiting[number] = asyncio.get_running_loop().create_future()
        about = {"sessionId": session} if session else {}
        await self._socket.send_json({"id": number, "method": method, "params": parameters, **about})
        async with asyncio.timeout(ANSWER_S):
            answer = await told
        if "error" in answer:
            raise PageError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    async def _listen(self) -> None:
        async for message in self._socket:
            told = message.json()
            if "id" in told:
                self._waiting.pop(told["id"]).set_result(told)
            elif told.get("sessionId") in self._pages:
                self._pages[told["sessionId"]]._happened(told["method"], told["params"])


def installed() -> str | None:
    """The program, where this machine has one."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser inside of the block; `FileNotFoundError` where none is installed."""
    profile = Path(tempfile.mkdtemp(prefix="turnwatch-chromium-"))
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    process = await asyncio.create_subprocess_exec(
        installed() or PROGRAMS[0], *FLAGS, *sandbox, f"--user-data-dir={profile}", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        port, path = await _address(profile / "DevToolsActivePort", process)
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"ws://127.0.0.1:{port}{path}", max_msg_size=0) as socket,
        ):
            browser = Browser(socket)
            listening = asyncio.create_task(browser._listen())
            try:
                yield browser
            finally:
                with suppress(Exception):
                    await browser.send("Browser.close")
                listening.cancel()
        async with asyncio.timeout(START_S):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        shutil.rmtree(profile, ignore_errors=True)


async def _address(file: Path, process: asyncio.subprocess.Process) -> tuple[int, str]:
    """Port and path, which the browser writes once it listens."""
    async with asyncio.timeout(START_S):
        while True:
            lines = await asyncio.to_thread(_lines, file)
            if len(lines) == 2:
                return int(lines[0]), lines[1]
            assert process.returncode is None, "Chromium ended before it listened."
            await asyncio.sleep(0.05)


def _lines(file: Path) -> list[str]:
    return file.read_text().split() if file.is_file() else []
