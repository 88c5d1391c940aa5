"""The ClickHouse data source that boards read: one definition for Grafana's API and for its provisioning files.

Grafana reaches ClickHouse from where Grafana runs, which need not be how we reach it; so this is an address of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from schemas.warehouse import ClickHouseAddress

PLUGIN = "grafana-clickhouse-datasource"
PLUGIN_VERSION = "4.11.4"
"""The version that answers were recorded with and docker-compose installs; any 4.x understands what we write."""

UID = "turnwatch-clickhouse"
NAME = "turnwatch ClickHouse"


@dataclass(frozen=True, slots=True)
class ClickHouseSource:
    """Where Grafana finds ClickHouse. `ca_certificate` is PEM text; secrets are never part of the representation."""

    host: str
    port: int
    database: str = "default"
    username: str = "default"
    password: str = field(default="", repr=False)
    is_tls: bool = False
    ca_certificate: str = field(default="", repr=False)

    @property
    def endpoint(self) -> str:
        return f"{'https' if self.is_tls else 'http'}://{self.host}:{self.port}"

    def definition(self) -> dict[str, object]:
        """The data source as Grafana's API takes it, without its secrets."""
        return {
            "uid": UID,
            "name": NAME,
            "type": PLUGIN,
            "access": "proxy",
            "jsonData": {
                "host": self.host,
                "port": self.port,
                "protocol": "http",
                "secure": self.is_tls,
                "tlsAuthWithCACert": bool(self.ca_certificate),
                "defaultDatabase": self.database,
                "username": self.username,
                "dialTimeout": "10",
                "queryTimeout": "60",
            },
        }

    def secrets(self) -> dict[str, str]:
        """What Grafana keeps encrypted and never gives back."""
        named = {"password": self.password, "tlsCACert": self.ca_certificate}
        return {name: value for name, value in named.items() if value}


def source_at(address: ClickHouseAddress) -> ClickHouseSource:
    """The data source for a Grafana that reaches ClickHouse at the address that we do."""
    return ClickHouseSource(
        address.host,
        address.port,
        address.database,
        address.username,
        address.password,
        address.is_tls,
        Path(address.cafile).read_text() if address.cafile else "",
    )
