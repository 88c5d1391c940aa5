"""Who may ask a gate: whoever knows the token, or, where there is none, programs of this machine.

Argo Rollouts and Flagger's metric templates send the token as `Authorization: Bearer`. Flagger's webhooks send no headers of
their own, but what stands before the `@` of their URL, as basic authentication: the token is the password there.
"""

from __future__ import annotations

import base64
import hmac
import ipaddress
from dataclasses import dataclass, field

from aiohttp import web

from schemas.failures import BadInput
from stack.strangers import refusal_of_strangers


@dataclass(frozen=True, slots=True)
class Access:
    """The token, or none: then only programs of this machine may ask."""

    token: str = field(default="", repr=False)

    def refusal(self, request: web.Request) -> web.Response | None:
        """What a request is answered that may not ask; `None` for one that may."""
        if not self.token:
            stranger = refusal_of_strangers(request)
            return web.json_response({"error": stranger}, status=403) if stranger else None
        if hmac.compare_digest(_token_of(request).encode(errors="surrogateescape"), self.token.encode()):
            return None
        told = "Gates answer those who know their token: send it as Authorization: Bearer, or as a password."
        return web.json_response({"error": told}, status=401, headers={"WWW-Authenticate": "Bearer"})


def require_token(host: str, token: str) -> None:
    """Raises `BadInput` where others than this machine could ask without a token."""
    if not token and not is_loopback(host):
        raise BadInput(
            f"Gates cannot be served at {host} to everybody: set TURNWATCH_GATES__TOKEN, or TURNWATCH_GATES__HOST=127.0.0.1."
        )


def is_loopback(host: str) -> bool:
    """
    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0"), is_loopback("gates.example.com")
    (True, True, False, False)
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _token_of(request: web.Request) -> str:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    match scheme.lower():
        case "bearer":
            return given.strip()
        case "basic":
            try:
                return base64.b64decode(given, validate=True).decode().partition(":")[2]
            except ValueError:  # Neither base64 nor ASCII nor UTF-8.
                return ""
    return ""
