"""Where Kafka, ClickHouse and the Alertmanagers are: what the settings name, and otherwise the local stack of this folder."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.kafka import KafkaAddress
from schemas.warehouse import ClickHouseAddress
from turnwatch.settings import Settings, SettingsError

DEMO = "demo"
"""The folder of a running demo's stack, inside the run folder."""


@dataclass(frozen=True, slots=True)
class Places:
    kafka: KafkaAddress
    clickhouse: ClickHouseAddress
    alertmanager_urls: tuple[str, ...]


def places(settings: Settings) -> Places:
    """All addresses, or `SettingsError` with the variable to set."""
    urls = tuple(url.strip() for url in settings.alertmanager.urls.split(",") if url.strip())
    local = _local(settings)
    return Places(
        settings.kafka.address(local.get("kafka")),
        clickhouse(settings),
        urls or ((local["alertmanager"],) if "alertmanager" in local else ()),
    )


def clickhouse(settings: Settings) -> ClickHouseAddress:
    section = settings.clickhouse
    url = section.url or _local(settings).get("clickhouse")
    if url is None:
        raise SettingsError(
            "No ClickHouse is known: set TURNWATCH_CLICKHOUSE__URL, or start a local stack with `turnwatch up`."
        )
    password = section.password.get_secret_value() if section.password else ""
    return ClickHouseAddress(url, password, section.cafile, section.cluster)


def _local(settings: Settings) -> dict[str, str]:
    """Addresses of the local stack by what they are of; empty where none runs."""
    from stack.local import addresses

    return addresses(settings.run_dir) or addresses(settings.run_dir / DEMO)
