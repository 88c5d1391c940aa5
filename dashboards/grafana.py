"""A Grafana, asked with grafana-client: its refusals as sentences, and patience while it starts.

Grafana accepts in silence much that will not work, so before anything is changed it is asked who we are (with anonymous
access on, wrong credentials still read), what we may write, and whether the ClickHouse plugin is there (a data source
of an unknown type is created without a word).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import niquests
from grafana_client.api import GrafanaApi
from grafana_client.client import GrafanaClientError, GrafanaException, GrafanaServerError, GrafanaTimeoutError

from dashboards.data_source import PLUGIN
from schemas.addresses import AddressError, require_tls_for, verifying
from schemas.failures import Foreseen

VERSION_MIN = (10, 4)
PLUGIN_VERSION_MIN = (4,)
ATTEMPTS_MAX = 4
PAUSE_S = 1.0
"""Pause before the second attempt at a Grafana that is starting; each further one is twice as long."""

_STARTING = {502, 503, 504}
_TOO_MANY = 429
_REPEATED = "It was asked more than once, and may have done it without an answer: run this again."
_WRITES = {
    ("folders:create",): "create folders",
    ("datasources:create",): "create data sources",
    ("datasources:write",): "change data sources",
    ("dashboards:create",): "create dashboards",
    ("dashboards:write",): "change dashboards",
    ("alert.provisioning:write", "alert.rules.provisioning:write", "alert.rules:create"): "provision alert rules",
}
"""What we may not do without any of these actions. Grafana refuses the first write of what is not asked about here."""

Call = Callable[[Any], Any]
"""What is asked of a `GrafanaApi`, whose methods have no types."""


@dataclass(frozen=True, slots=True)
class GrafanaAddress:
    """A Grafana and who we are there: a service account's token, or a user and password, or nobody.

    An https:// one is verified by the CAs in `ca_file`, or by the system's.
    """

    url: str
    token: str = field(default="", repr=False)
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""
    timeout_s: float = 10.0

    def __post_init__(self) -> None:
        if "@" in self.url:
            raise AddressError("Grafana's address must not hold credentials: give user name and password apart.")
        require_tls_for(self.ca_file, self.url, "Grafana")
        if self.ca_file:
            verifying(self.ca_file, "Grafana")

    @property
    def has_credentials(self) -> bool:
        return bool(self.token or self.username)


class ProvisioningRefused(Foreseen):
    """Why nothing more was changed, as one sentence for the user."""


class Grafana:
    """A Grafana's API with its refusals as sentences, and patience while it starts."""

    def __init__(self, address: GrafanaAddress, pause: Callable[[float], None]) -> None:
        self.address = address
        self._pause = pause
        self._api = _connected(address)

    def check(self) -> None:
        """That it is up, recent enough, has the plugin, and lets us write; otherwise `ProvisioningRefused`."""
        self._check_version(self.find("say how it is", lambda api: api.client.GET("/health")))
        self._check_credentials()
        self._check_plugin()
        self._check_permissions()

    def ask(self, what: str, call: Call, attempts: int = ATTEMPTS_MAX) -> Any:
        """The answer to `call`; 4xx come as `GrafanaClientError`, all else as a sentence about `what`."""
        for attempt in range(attempts):
            try:
                with _quiet():
                    return call(self._api)
            except GrafanaClientError as error:
                if error.status_code != _TOO_MANY:
                    raise
                reason = "answers 429: it is asked too much at once; try again later"
            except GrafanaServerError as error:
                if error.status_code not in _STARTING:
                    raise ProvisioningRefused(self._failed(what, error)) from error
                reason = f"answers {error.status_code}: it is starting, or its database is away; try again later"
            except GrafanaTimeoutError:
                reason = f"did not answer within {self.address.timeout_s:g} s"
            except niquests.exceptions.SSLError as error:
                raise ProvisioningRefused(self._untrusted()) from error
            except ValueError as error:
                raise ProvisioningRefused(self._no_grafana()) from error
            except OSError:
                reason = "can't be reached: check the address, and that Grafana runs"
            if attempt + 1 < attempts:
                self._pause(PAUSE_S * 2**attempt)
        raise ProvisioningRefused(f"Grafana at {self.address.url} {reason}.")

    def find(self, what: str, call: Call) -> Any | None:
        """The answer to `call`, or None where Grafana has no such thing."""
        try:
            return self.ask(what, call)
        except GrafanaClientError as error:
            if error.status_code == 404:
                return None
            raise ProvisioningRefused(self._failed(what, error)) from error

    def write(self, what: str, call: Call) -> Any:
        """The answer to a `call` that changes something; every refusal is a sentence.

        What was carried out and not answered in time is refused when it is repeated, because it is there; the sentence says so.
        """
        asked = 0

        def counted(api: Any) -> Any:
            nonlocal asked
            asked += 1
            return call(api)

        try:
            return self.ask(what, counted)
        except (GrafanaClientError, ProvisioningRefused) as error:
            sentence = self._failed(what, error) if isinstance(error, GrafanaClientError) else str(error)
            raise ProvisioningRefused(f"{sentence} {_REPEATED}" if asked > 1 else sentence) from error

    def _check_version(self, health: Mapping[str, Any] | None) -> None:
        if not isinstance(health, Mapping) or "database" not in health:
            raise ProvisioningRefused(self._no_grafana())
        if health["database"] != "ok":
            raise ProvisioningRefused(
                f"Grafana at {self.address.url} is half up, its database is '{health['database']}': try again later."
            )
        version = str(health.get("version", ""))
        if _is_older(version, VERSION_MIN):
            raise ProvisioningRefused(
                f"Grafana at {self.address.url} is version {version}; the boards need {_dotted(VERSION_MIN)} or later."
            )

    def _check_credentials(self) -> None:
        """Anonymous access hides wrong credentials from every other question; this one is only answered to somebody."""
        if not self.address.has_credentials:
            return
        try:
            self.ask("say who we are", lambda api: api.client.GET("/user"))
        except GrafanaClientError as error:
            if error.status_code == 401:
                who = "token" if self.address.token else f"user '{self.address.username}' with this password"
                reason = f"Grafana at {self.address.url} doesn't know the {who}: check the credentials."
                raise ProvisioningRefused(reason) from error
            # 403 and 404 are what it answers to a service account: known, but no user.

    def _check_plugin(self) -> None:
        path = f"/plugins/{PLUGIN}/settings"
        settings = self.find("tell about the ClickHouse plugin", lambda api: api.client.GET(path))
        if settings is None:
            raise ProvisioningRefused(
                f"Grafana at {self.address.url} lacks the plugin {PLUGIN}: "
                f"install it (grafana cli plugins install {PLUGIN}) and restart Grafana."
            )
        version = str(settings.get("info", {}).get("version", ""))
        if _is_older(version, PLUGIN_VERSION_MIN):
            raise ProvisioningRefused(
                f"The plugin {PLUGIN} of Grafana is version {version}; "
                f"the boards need {_dotted(PLUGIN_VERSION_MIN)} or later."
            )

    def _check_permissions(self) -> None:
        path = "/access-control/user/permissions"
        permissions = self.find("tell what we may do", lambda api: api.client.GET(path))
        if permissions is None:
            return  # An edition without this question refuses at the first write instead.
        missing = [meaning for actions, meaning in _WRITES.items() if not any(each in permissions for each in actions)]
        if missing:
            who = "these credentials" if self.address.has_credentials else "somebody without credentials"
            raise ProvisioningRefused(
                f"Grafana at {self.address.url} doesn't let {who} {', '.join(missing)}: "
                "use a service account with the role Admin."
            )

    def _failed(self, what: str, error: GrafanaException) -> str:
        message = str(error.response.get("message", "")).rstrip(".") if isinstance(error.response, dict) else ""
        if error.status_code == 401:
            return f"Grafana at {self.address.url} didn't accept the credentials when asked to {what}."
        if error.status_code == 403:
            return f"Grafana at {self.address.url} doesn't let these credentials {what}: {message or 'forbidden'}."
        return f"Grafana at {self.address.url} refused to {what} ({error.status_code}): {message or 'no reason given'}."

    def _no_grafana(self) -> str:
        return f"What answers at {self.address.url} is no Grafana: check the address, and the path it is served below."

    def _untrusted(self) -> str:
        return (
            f"The certificate of Grafana at {self.address.url} is not trusted here: "
            "give its CA in TURNWATCH_GRAFANA__CAFILE."
        )


def _is_older(version: str, minimum: tuple[int, ...]) -> bool:
    """Whether a version is known to be below the minimum; a hidden one is not.

    >>> _is_older("10.3.9", (10, 4)), _is_older("11.0.0-pre", (10, 4)), _is_older("", (10, 4))
    (True, False, False)
    """
    numbers = [int(part) for part in version.split("-")[0].split("+")[0].split(".") if part.isdigit()]
    return bool(numbers) and tuple(numbers) < minimum


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


def _connected(address: GrafanaAddress) -> GrafanaApi:
    parts = urlsplit(address.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ProvisioningRefused(
            f"'{address.url}' is no address of a Grafana: write it as http://host:3000 or https://host/path."
        )
    credential = address.token or ((address.username, address.password) if address.username else None)
    path = parts.path.strip("/")
    return GrafanaApi(
        auth=credential,
        host=parts.hostname if ":" not in parts.hostname else f"[{parts.hostname}]",
        port=parts.port,
        url_path_prefix=f"{path}/" if path else "",
        protocol=parts.scheme,
        verify=address.ca_file or True,
        timeout=address.timeout_s,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """The client logs what it then raises; we say it once, as a sentence."""
    logger = logging.getLogger("grafana_client")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
