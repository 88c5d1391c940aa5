"""Servers that want TLS and credentials: a real Kafka broker, and ClickHouse's endpoint behind TLS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stack.clickhouse import start_clickhouse
from stack.kafka import start_kafka
from stack.machine import LOOPBACK, choose_ports
from tests.security.certificates import Authority, authority
from tests.security.secured import PASSWORD, USER, SecuredKafka, listeners
from tests.warehouse.tls import terminated


@pytest.fixture(scope="session")
def own_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def other_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """One that signed nothing here."""
    return authority(tmp_path_factory.mktemp("another"))


@pytest.fixture(scope="session")
def secured_kafka(tmp_path_factory: pytest.TempPathFactory, own_authority: Authority) -> Iterator[SecuredKafka]:
    folder = tmp_path_factory.mktemp("secured")
    names = ("ENCRYPTED", "MUTUAL", "PASSWORD")
    servers = [f"{LOOPBACK}:{port}" for port in choose_ports((0, 0, 0))]
    broker = start_kafka(
        folder,
        listeners=listeners(dict(zip(names, servers, strict=True)), folder, own_authority),
        users=(f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]",),
    )
    try:
        broker.wait_until_healthy()
        yield SecuredKafka(
            broker.bootstrap, servers[0], servers[1], servers[2], own_authority, own_authority.signed("client")
        )
    finally:
        broker.stop()


@pytest.fixture(scope="session")
def secured_clickhouse(tmp_path_factory: pytest.TempPathFactory, own_authority: Authority) -> Iterator[str]:
    """The URL of a ClickHouse that wants TLS, user and password."""
    server = start_clickhouse(tmp_path_factory.mktemp("warehouse"), user=USER, password=PASSWORD)
    certificate = own_authority.for_servers_here("warehouse")
    try:
        server.wait_until_healthy()
        with terminated(server.port, certificate.certfile, certificate.keyfile) as port:
            yield f"https://{USER}@{LOOPBACK}:{port}/secured"
    finally:
        server.stop()
