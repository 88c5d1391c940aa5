"""Boards over HTTP, for the browser of this machine: pages, what their panels show, scripts and styles.

It has no password, so it speaks to programs and pages of this machine only (`stack.strangers`); a link from elsewhere may
open a page, which shows nothing to where it came from. It only reads: there is GET and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from dashboards.boards import Board
from dashboards.local.board_page import board_page, list_page, panel_of, sentence_page
from dashboards.local.views import View, instant_s, viewed
from schemas.failures import BadInput, Foreseen
from stack.strangers import OUR_NAMES, refusal_of_strangers
from turnwatch.board.desk import Desk, Nowhere, Question, StatementRefused, TooMany
from turnwatch.board.files import Files

log = logging.getLogger("turnwatch.board")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
FRESH = {"Cache-Control": "no-store"}
DESK = web.AppKey("desk", Desk)


def application(desk: Desk, files: Files, now_s: Callable[[], float] = time.time) -> web.Application:
    """The routes."""
    boards = desk.boards

    async def listed(_: web.Request) -> web.Response:
        return _page(list_page(boards, None))

    async def page(request: web.Request) -> web.Response:
        board = _board(boards, request.match_info["board"])
        view, trouble = _view_or_own(request, board, int(now_s()))
        selection = Question(board, view, 0).selection
        return _page(board_page(board, boards, view, selection, trouble, files.vega_path))

    async def panel(request: web.Request) -> web.Response:
        asked = _question(request, boards, now_s)
        found = panel_of(asked.board, int(request.match_info["number"]))
        if found is None:
            raise Nowhere(f"The board {asked.board.title!r} has no such panel.")
        told = await desk.panel(asked, found, as_table=request.query.get("as") == "table")
        return web.Response(body=told, content_type="application/json", headers=FRESH)

    async def options(request: web.Request) -> web.Response:
        asked = _question(request, boards, now_s)
        name = request.match_info["choice"]
        choice = next((each for each in asked.board.choices if each.name == name), None)
        if choice is None:
            raise Nowhere(f"The board {asked.board.title!r} has no such filter.")
        told = await desk.options(asked, choice, request.query.get("search", "")[:1_000])
        return web.json_response(told, headers=FRESH)

    app = web.Application(middlewares=[_sentences(boards)])
    app[DESK] = desk
    app.add_routes(
        [
            web.get("/", listed),
            web.get("/d/{board}", page),
            web.get("/d/{board}/{slug}", page),
            web.get("/api/boards/{board}/panels/{number:[0-9]{1,4}}", panel),
            web.get("/api/boards/{board}/choices/{choice}", options),
            web.get("/static/{name}", files.answer),
            web.get("/healthz", _healthz),
        ]
    )
    app.on_cleanup.append(_close)
    return app


def _board(boards: Mapping[str, Board], name: str) -> Board:
    """By its uid, or its slug."""
    found = boards.get(name) or next((board for board in boards.values() if board.slug == name), None)
    if found is None:
        raise Nowhere("There is no such board: choose one of the list.")
    return found


def _question(request: web.Request, boards: Mapping[str, Board], now_s: Callable[[], float]) -> Question:
    """`now`, in ms since 1970, lets all panels of a page end at the same time."""
    board = _board(boards, request.match_info["board"])
    view = viewed(_parts(request), board)
    given = request.query.get("now")
    now = instant_s(given, 0, "now") if given else int(now_s())
    return Question(board, view, now, partial(_is_there, request))


def _is_there(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()


def _parts(request: web.Request) -> list[tuple[str, str]]:
    return list(request.query.items())


def _view_or_own(request: web.Request, board: Board, now_s: int) -> tuple[View, str]:
    """What the address asks for; the board's own view, and what is wrong, where it cannot be meant."""
    try:
        view = viewed(_parts(request), board)
    except BadInput as error:
        return viewed([], board), str(error)
    try:
        view.between(now_s)
    except BadInput as error:
        own = viewed([], board)
        return replace(view, begins=own.begins, ends=own.ends), str(error)
    return view, ""


def _page(html: str, status: int = 200) -> web.Response:
    return web.Response(text=html, status=status, content_type="text/html", charset="utf-8", headers=FRESH)


def _refusal(request: web.Request) -> str | None:
    """Pages may be navigated to from anywhere, for an alert links to them; nothing else may be asked for from elsewhere."""
    sent = request.headers
    is_opened = (sent.get("Sec-Fetch-Mode"), sent.get("Sec-Fetch-Dest")) == ("navigate", "document")
    if is_opened and "Origin" not in sent and (request.path == "/" or request.path.startswith("/d/")):
        return None if OUR_NAMES.fullmatch(request.host) else refusal_of_strangers(request)
    return refusal_of_strangers(request)


def _sentences(boards: Mapping[str, Board]) -> Middleware:
    """Whatever goes wrong is a sentence, as a page for who opened one and as JSON for scripts."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        refused = _refusal(request)
        if refused is not None:
            return web.Response(status=403, text=refused, headers={**HEADERS, **FRESH})
        try:
            response = await handler(request)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # A panic of polars is no `Exception`.
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            status, told = _told(error)
            is_page = not request.path.startswith(("/api/", "/static/"))
            response = (
                _page(sentence_page("That did not work", told, boards), status)
                if is_page
                else web.json_response({"failure": told}, status=status, headers=FRESH)
            )
        response.headers.update(HEADERS)
        return response

    return middleware


def _told(error: BaseException) -> tuple[int, str]:
    match error:
        case web.HTTPException():
            return error.status, f"{error.status} {error.reason}: there is nothing at this address."
        case Nowhere():
            return 404, str(error)
        case BadInput():
            return 400, str(error)
        case StatementRefused():
            return 422, str(error)
        case TooMany():
            return 429, str(error)
        case Foreseen() | OSError():
            log.warning("not_shown: %s", error)
            return 503, str(error)
    log.error("not_shown: this is a defect of turnwatch; please report it.", exc_info=error)
    return 500, "This cannot be shown, which is a defect of turnwatch: its terminal says more."


async def _healthz(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _close(app: web.Application) -> None:
    await app[DESK].close()
