"""Where Kafka, ClickHouse, the Alertmanagers and Grafana are: what the settings name, and otherwise the local stack of
this folder. What cannot be meant is told by the variable that is wrong, and never by its value.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import SecretStr

from alerts.alertmanager import Destination
from schemas.addresses import AddressError, web_address
from schemas.kafka import KafkaAddress
from schemas.warehouse import ClickHouseAddress
from turnwatch.settings import PREFIX, NothingKnown, Settings, SettingsError

if TYPE_CHECKING:
    from dashboards.grafana import GrafanaAddress
    from dashboards.notifications import MaintenanceWindow, Notifications

DEMO = "demo"
"""The folder of a running demo's stack, inside the run folder."""


@dataclass(frozen=True, slots=True)
class Places:
    kafka: KafkaAddress
    clickhouse: ClickHouseAddress
    alertmanagers: tuple[Destination, ...]


def places(settings: Settings) -> Places:
    """All addresses, or `SettingsError` with the variable to set."""
    return Places(kafka(settings), clickhouse(settings), alertmanagers(settings))


def kafka(settings: Settings) -> KafkaAddress:
    section = settings.kafka
    bootstrap = section.bootstrap or _local(settings).get("kafka")
    if bootstrap is None:
        raise _unknown("Kafka", "TURNWATCH_KAFKA__BOOTSTRAP")
    with _naming("kafka"):
        return KafkaAddress(
            bootstrap,
            section.security_protocol,
            section.sasl_mechanism,
            section.username,
            _shown(section.password),
            section.cafile,
            section.certfile,
            section.keyfile,
            _shown(section.key_password),
        )


def clickhouse(settings: Settings) -> ClickHouseAddress:
    section = settings.clickhouse
    url = section.url or _local(settings).get("clickhouse")
    if url is None:
        raise _unknown("ClickHouse", "TURNWATCH_CLICKHOUSE__URL")
    with _naming("clickhouse"):
        if section.url and ClickHouseAddress(section.url).password:
            raise AddressError("It holds a password, which belongs into TURNWATCH_CLICKHOUSE__PASSWORD.")
        return ClickHouseAddress(url, _shown(section.password), section.cafile, section.cluster)


def alertmanagers(settings: Settings) -> tuple[Destination, ...]:
    section = settings.alertmanager
    given = [url.strip() for url in section.urls.split(",") if url.strip()]
    local = [] if given else [url for kind, url in _local(settings).items() if kind == "alertmanager"]
    password, token = _shown(section.password), _shown(section.token)
    with _naming("alertmanager", url="urls"):
        _require_whole(section.username, password, token)
        return tuple(Destination(url, section.username, password, token, section.cafile) for url in (*given, *local))


def grafana(settings: Settings) -> GrafanaAddress:
    """The Grafana that boards are brought to."""
    from dashboards.grafana import GrafanaAddress

    section = settings.grafana
    password, token = _shown(section.password), _shown(section.token)
    with _naming("grafana"):
        _require_whole(section.username, password, token)
        web_address(section.url, "Grafana's address")
        return GrafanaAddress(section.url, token, section.username or "", password, section.cafile or "")


def read_by_grafana(settings: Settings) -> ClickHouseAddress:
    """ClickHouse as Grafana reaches it, by the account that everybody who opens a board asks it with."""
    section = settings.grafana
    if section.clickhouse_url is None:
        with _naming("grafana"):
            for name in ("clickhouse_password", "clickhouse_cafile"):
                if getattr(section, name):
                    raise AddressError("It is of a ClickHouse that Grafana reads, and none is named.", name)
        return clickhouse(settings)
    with _naming("grafana", url="clickhouse_url", cafile="clickhouse_cafile"):
        if ClickHouseAddress(section.clickhouse_url).password:
            raise AddressError("It holds a password, which belongs into TURNWATCH_GRAFANA__CLICKHOUSE_PASSWORD.")
        return ClickHouseAddress(section.clickhouse_url, _shown(section.clickhouse_password), section.clickhouse_cafile)


def notifications(settings: Settings) -> Notifications:
    """Whom Grafana tells of what its rules find, and when nobody. Our Alertmanager's account is that of the workers."""
    from dashboards.notifications import Notifications

    section = settings.grafana
    url, username, password = _told_alertmanager(settings)
    webhook_url, webhook_token = _shown(section.webhook_url), _shown(section.webhook_token)
    with _naming("grafana", url="webhook_url", token="webhook_token"):
        if webhook_url:
            web_address(webhook_url, "A webhook's address")
        elif webhook_token:
            raise AddressError("A token is given, and no webhook.", "token")
    with _naming("grafana"):
        maintenance = _maintenance(section.maintenance, is_heard=bool(url or webhook_url))
    return Notifications(url, username, password, webhook_url, webhook_token, maintenance)


def _told_alertmanager(settings: Settings) -> tuple[str, str, str]:
    """The Alertmanager that Grafana tells, and the user name and password there; empty where there is none."""
    url, account = settings.grafana.alertmanager_url, settings.alertmanager
    if not url:
        return "", "", ""
    with _naming("grafana", url="alertmanager_url"):
        web_address(url, "An Alertmanager's address")
    with _naming("alertmanager"):
        _require_whole(account.username, _shown(account.password), _shown(account.token))
        if account.token:
            raise AddressError("Grafana signs in to an Alertmanager with a user name and a password only.", "token")
    return url, account.username or "", _shown(account.password)


def _maintenance(written: str, is_heard: bool) -> tuple[MaintenanceWindow, ...]:
    from dashboards.notifications import MaintenanceError, maintenance_windows

    if written.strip() and not is_heard:
        raise AddressError(
            "It says when nobody is told, and nobody is: set an Alertmanager or a webhook.", "maintenance"
        )
    try:
        return maintenance_windows(written)
    except MaintenanceError as error:
        raise AddressError(str(error), "maintenance") from None


def boards_url(settings: Settings) -> str:
    """Where people find boards. It stands in every page, so it must not hold a credential."""
    with _naming("grafana", url="public_url"):
        web_address(settings.grafana.public_url, "Grafana's address")
    return settings.grafana.public_url.rstrip("/")


def _local(settings: Settings) -> dict[str, str]:
    """Addresses of the local stack by what they are of; empty where none runs."""
    from stack.local import addresses

    return addresses(settings.run_dir) or addresses(settings.run_dir / DEMO)


def _unknown(server: str, variable: str) -> NothingKnown:
    return NothingKnown(f"No {server} is known: set {variable}, or start a local stack with `turnwatch up`.")


@contextmanager
def _naming(section: str, **renamed: str) -> Iterator[None]:
    """Failures of an address, told by the variable that is wrong."""
    try:
        yield
    except AddressError as error:
        variable = f"{PREFIX}{section}__{renamed.get(error.setting, error.setting)}".upper()
        raise SettingsError(f"{variable}: {error}") from None


def _require_whole(username: str | None, password: str, token: str) -> None:
    """Credentials are a user name and a password, or a token, or nothing."""
    if token and (username or password):
        raise AddressError("Give either a user name and a password, or a token.", "token")
    if username and not password:
        raise AddressError("A user name is given, and no password.", "password")
    if password and not username:
        raise AddressError("A password is given, and no user name.", "username")


def _shown(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""
