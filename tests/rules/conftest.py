"""A real Alertmanager on the shipped configuration, told to group for moments instead of minutes."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from alerts.openslo import SHIPPED_SLOS

SHIPPED_CONFIG = SHIPPED_SLOS.parent / "alertmanager.yml"
SHIPPED_WEBHOOK = "http://127.0.0.1:9095/page"
READY_WITHIN_S = 20

StartAlertmanager = Callable[[str], AbstractAsyncContextManager[str]]
"""From the webhook's address to a running Alertmanager's."""


@pytest.fixture
def start_alertmanager(tmp_path: Path) -> StartAlertmanager:
    @asynccontextmanager
    async def start(webhook_url: str) -> AsyncIterator[str]:
        config = tmp_path / "alertmanager.yml"
        config.write_text(yaml.safe_dump(hasty(yaml.safe_load(SHIPPED_CONFIG.read_text()), webhook_url)))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        binary = shutil.which("prometheus-alertmanager")
        assert binary, "the test is marked as needing it"
        command = [binary, f"--config.file={config}", f"--storage.path={tmp_path}", "--cluster.listen-address="]
        with (tmp_path / "alertmanager.log").open("w") as log:
            server = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
        try:
            await until_ready(f"http://127.0.0.1:{port}")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(timeout=10)

    return start


def hasty(config: dict[str, Any], webhook_url: str) -> dict[str, Any]:
    """The same routes, with no waiting worth mentioning, and the webhook where the test listens."""

    def hasten(route: dict[str, Any]) -> dict[str, Any]:
        times = {"group_wait": "10ms", "group_interval": "200ms"}
        return route | times | {"routes": [hasten(child) for child in route.get("routes", [])]}

    receivers = yaml.safe_load(yaml.safe_dump(config["receivers"]).replace(SHIPPED_WEBHOOK, webhook_url))
    return config | {"route": hasten(config["route"]), "receivers": receivers}


async def until_ready(url: str) -> None:
    async with asyncio.timeout(READY_WITHIN_S), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"{url}/-/ready") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.05)
