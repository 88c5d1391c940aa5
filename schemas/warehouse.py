"""Where ClickHouse is and how to speak to it: one URL, checked before anybody connects."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from schemas.addresses import AddressError, require_tls_for, verifying

_PORTS = {"http": 8123, "https": 8443}


@dataclass(frozen=True, slots=True)
class ClickHouseAddress:
    """`url` is http(s)://user@host:port/database; without a port 8123, or 8443 with TLS, without a database `default`.

    A password in the URL is moved to `password`, which is never printed. With https:// the server's certificate and name
    are verified, by the CAs in `cafile` or by the system's. `cluster` names a ClickHouse cluster: tables are then
    replicated and distributed over it. `read_timeout_s` bounds one insert or statement.

    >>> ClickHouseAddress("https://ana:secret@warehouse.example/turnwatch").url
    'https://ana@warehouse.example:8443/turnwatch'
    """

    url: str = "http://127.0.0.1:8123/default"
    password: str = field(default="", repr=False)
    cafile: str | None = None
    cluster: str | None = None
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 30.0

    def __post_init__(self) -> None:
        parts = _split(self.url)
        given = unquote(parts.password or "")
        if given and self.password and given != self.password:
            raise AddressError(
                "The ClickHouse URL holds a password, and another one is given beside it: leave it out of the URL."
            )
        require_tls_for(self.cafile, f"{parts.scheme}:", "ClickHouse")
        if self.cafile:
            verifying(self.cafile, "ClickHouse")
        if min(self.connect_timeout_s, self.read_timeout_s) <= 0:
            raise AddressError("The time-outs for ClickHouse have to be above 0 seconds.")
        object.__setattr__(self, "password", self.password or given)
        object.__setattr__(self, "url", _without_password(parts))

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    @property
    def username(self) -> str:
        return unquote(urlsplit(self.url).username or "default")

    @property
    def database(self) -> str:
        return unquote(urlsplit(self.url).path.strip("/"))

    @property
    def is_tls(self) -> bool:
        return self.url.startswith("https:")

    @property
    def place(self) -> str:
        """Scheme, host and port, for messages."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _split(url: str) -> SplitResult:
    """The parts of a URL that can be meant. Messages never repeat the URL, for a password may be in it."""
    wanted = "write http://user@host:8123/database, or https:// for TLS"
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise AddressError(
            f"The host or port of the ClickHouse URL cannot be read (a port is a number up to 65535): {wanted}."
        ) from None
    if parts.scheme not in _PORTS or not url.strip().lower().startswith(f"{parts.scheme}://"):
        raise AddressError(
            f"The ClickHouse URL has to begin with http:// or https:// (its HTTP port, not the native one): {wanted}."
        )
    if not parts.hostname or port == 0:
        raise AddressError(f"The ClickHouse URL names no {'port' if parts.hostname else 'host'}: {wanted}.")
    if parts.query or parts.fragment:
        raise AddressError(f"The ClickHouse URL carries settings after '?' or '#', which are not supported: {wanted}.")
    if "/" in parts.path.strip("/"):
        raise AddressError(f"The path of the ClickHouse URL has to be one database name: {wanted}.")
    return parts


def _without_password(parts: SplitResult) -> str:
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    user = f"{parts.username}@" if parts.username else ""
    database = parts.path.strip("/") or "default"
    return urlunsplit((parts.scheme, f"{user}{host}:{parts.port or _PORTS[parts.scheme]}", f"/{database}", "", ""))
