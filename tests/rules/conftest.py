"""A real Alertmanager on the shipped configuration, told to group for moments instead of minutes.

What it tells whom and when is for `turnwatch routes test`; here it only has to tell soon.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

from alerts.openslo import SHIPPED_SLOS
from alerts.routes_config import read_configuration
from stack.alertmanager import start_alertmanager as start_server

SHIPPED_CONFIG = SHIPPED_SLOS.parent / "alertmanager.yml"


class StartAlertmanager(Protocol):
    """From the webhook's address to a running Alertmanager's."""

    def __call__(self, webhook_url: str, group_wait: str = "10ms") -> AbstractAsyncContextManager[str]: ...


@pytest.fixture
def start_alertmanager(tmp_path: Path) -> StartAlertmanager:
    @asynccontextmanager
    async def start(webhook_url: str, group_wait: str = "10ms") -> AsyncIterator[str]:
        configuration = tmp_path / "given.yml"
        configuration.write_text(hasty(webhook_url, group_wait))
        server = start_server(tmp_path, configuration)
        assert server, "the test is marked as needing it"
        try:
            server.wait_until_healthy()
            yield server.url
        finally:
            server.stop()

    return start


def hasty(webhook_url: str, group_wait: str = "10ms") -> str:
    """The same routes, with little waiting, and every webhook where the test listens."""

    def hasten(route: dict[str, Any]) -> dict[str, Any]:
        times = {"group_wait": group_wait, "group_interval": "200ms"}
        return route | times | {"routes": [hasten(child) for child in route["routes"]]}

    config = read_configuration(SHIPPED_CONFIG).hastened(webhook_url, speed=1)
    return yaml.safe_dump(config | {"route": hasten(config["route"])})
