"""Who may speak to a server that has no password: programs of this machine, and no browser's page."""

from __future__ import annotations

import re

from aiohttp import web

OUR_NAMES = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?", re.IGNORECASE)
"""What may stand in Host. Any port may: a tunnel's is not ours, and no page can choose the name that goes with it."""


def refusal_of_strangers(request: web.Request) -> str | None:
    """Why a request is not from this machine's own programs, or `None`: a browser's page must not reach it."""
    if not OUR_NAMES.fullmatch(request.host):
        return f"Host {request.host!r} is not this server's: it answers to 127.0.0.1, localhost and [::1] only."
    origin = request.headers.get("Origin")
    if origin is not None and origin.lower() != f"http://{request.host}".lower():
        return f"Requests from pages of {origin!r} are refused: use a client on this machine."
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return "Requests from other sites' pages are refused: use a client on this machine."
    return None
