"""Grafana over TLS: its certificate is compared with the CA that is given, before any credential is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboards.grafana import Grafana, GrafanaAddress, ProvisioningRefused
from stack.clickhouse import ClickHouseServer
from tests.security.certificates import Authority
from tests.warehouse.tls import terminated

pytestmark = pytest.mark.needs("openssl")


def test_only_the_authority_that_is_given_is_trusted(
    clickhouse_server: ClickHouseServer, own_authority: Authority, other_authority: Authority
) -> None:
    """What answers behind the certificate is no Grafana, which is only found out once it is trusted."""
    certificate = own_authority.for_servers_here("grafana")
    with terminated(clickhouse_server.port, certificate.certfile, certificate.keyfile) as port:

        def refusal(cafile: Path | None) -> str:
            address = GrafanaAddress(f"https://127.0.0.1:{port}", token="canary", ca_file=str(cafile or ""))
            with pytest.raises(ProvisioningRefused) as refused:
                Grafana(address, pause=lambda _: None).check()
            return str(refused.value)

        untrusted = f"The certificate of Grafana at https://127.0.0.1:{port} is not trusted here: give its CA in "
        for cafile in (other_authority.cafile, None):
            assert refusal(cafile) == f"{untrusted}TURNWATCH_GRAFANA__CAFILE."
        assert "is no Grafana: check the address" in refusal(own_authority.cafile)
