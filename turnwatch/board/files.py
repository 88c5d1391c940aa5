"""Scripts and styles of the board, kept in memory: compressed once, with a name for every content of them."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path

from aiohttp import web

from dashboards.local.board_page import layout
from dashboards.local.script import vega_script
from dashboards.local.themes import stylesheet

_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Content:
    """A file as it is sent."""

    body: bytes
    zipped: bytes
    etag: str
    kind: str


def content(name: str, body: bytes) -> Content:
    etag = hashlib.sha256(body).hexdigest()[:16]
    return Content(body, gzip.compress(body, 6, mtime=0), etag, _TYPES[Path(name).suffix])


@dataclass(slots=True)
class Files:
    """What is below `/static/`. Vega takes seconds to be made the first time: `warm` begins with it, and who asks waits."""

    cache: Path
    vega_path: str = "/static/vega.js"
    _vega: asyncio.Task[Content] | None = field(default=None)

    def warm(self) -> None:
        """Begins to make Vega's script; call it in a running loop."""
        if self._vega is None:
            self._vega = asyncio.create_task(asyncio.to_thread(_vega, self.cache))

    async def answer(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name == "vega.js":
            self.warm()
            assert self._vega is not None
            found: Content | None = await asyncio.shield(self._vega)
        else:
            found = ours().get(name)
        if found is None:
            raise web.HTTPNotFound
        return _sent(request, found)


def _sent(request: web.Request, found: Content) -> web.Response:
    """Asked for again it is only compared: a newer turnwatch is seen at once."""
    headers = {"Cache-Control": "no-cache", "Vary": "Accept-Encoding", "ETag": f'"{found.etag}"'}
    known = request.if_none_match or ()
    if any(each.value in (found.etag, "*") for each in known):
        return web.Response(status=304, headers=headers)
    is_zipped = "gzip" in request.headers.get("Accept-Encoding", "")
    if is_zipped:
        headers["Content-Encoding"] = "gzip"
    return web.Response(
        body=found.zipped if is_zipped else found.body, content_type=found.kind, charset="utf-8", headers=headers
    )


@cache
def ours() -> dict[str, Content]:
    """Everything that turnwatch itself wrote, by name."""
    folder = files("dashboards.local")
    found = {each.name: each.read_bytes() for each in folder.joinpath("page").iterdir() if each.name[0] != "."}
    found["panels.css"] = folder.joinpath("panels.css").read_bytes()
    found["theme.css"] = f"{stylesheet()}\n{layout()}".encode()
    return {name: content(name, body) for name, body in found.items() if Path(name).suffix in _TYPES}


def _vega(cache: Path) -> Content:
    return content("vega.js", vega_script(cache))
