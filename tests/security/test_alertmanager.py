"""A real Alertmanager that wants TLS and a password: alerts get there, and what is in the way is a sentence."""

from __future__ import annotations

import ssl
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace

import pytest

from alerts.alertmanager import Alertmanagers, Destination, Patience
from alerts.explanations import Paging
from alerts.pages import Pages, step
from schemas.burns import AlertState
from stack.alertmanager import find_alertmanager, paging_to
from stack.local import ALERTMANAGER_CONFIGURATION
from stack.machine import LOOPBACK, choose_ports
from stack.processes import start, wait_until
from tests.rules.burning import TURN_SLO, burning, decided
from tests.security.certificates import Authority
from tests.security.secured import PASSWORD, USER

pytestmark = [pytest.mark.needs("openssl"), pytest.mark.needs("prometheus-alertmanager")]

BCRYPT = "$2b$04$turnwatchturnwatchturOLz6skzQKZKDfdclw584ceQaERcjeC/q"
"""Of `PASSWORD`."""

WEB = """\
tls_server_config:
  cert_file: {certfile}
  key_file: {keyfile}
basic_auth_users:
  {user}: {password}
"""


@pytest.fixture(scope="module")
def destination(tmp_path_factory: pytest.TempPathFactory, own_authority: Authority) -> Iterator[Destination]:
    folder = tmp_path_factory.mktemp("alertmanager")
    certificate = own_authority.for_servers_here("alertmanager")
    named = {"certfile": certificate.certfile, "keyfile": certificate.keyfile, "user": USER, "password": BCRYPT}
    (folder / "web.yml").write_text(WEB.format(**named))
    (folder / "alertmanager.yml").write_text(paging_to(None, ALERTMANAGER_CONFIGURATION))
    (port,) = choose_ports((0,))
    command = [
        str(find_alertmanager()),
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--web.config.file={folder / 'web.yml'}",
        f"--storage.path={folder}",
        f"--web.listen-address={LOOPBACK}:{port}",
        "--cluster.listen-address=",
    ]
    there = Destination(f"https://{LOOPBACK}:{port}", USER, PASSWORD, cafile=str(own_authority.cafile))
    server = start("Alertmanager", command, folder / "log", "parent")
    try:
        wait_until(lambda: answers(there, "/-/ready") is not None, server, 30)
        yield there
    finally:
        server.stop()


def answers(there: Destination, path: str) -> bytes | None:
    """What it says at `path`; nothing while it does not answer."""
    assert isinstance(there.tls, ssl.SSLContext)
    request = urllib.request.Request(f"{there.url}{path}", headers=there.headers)
    try:
        with urllib.request.urlopen(request, context=there.tls, timeout=5) as response:
            return bytes(response.read())
    except OSError:
        return None


def alerts() -> list[AlertState]:
    paging = Paging(slos={TURN_SLO.name: TURN_SLO})
    return list(step(Pages(), decided(10, burning()), paging, now_ms()).news)


def now_ms() -> int:
    return int(time.time() * 1_000)


async def problem(there: Destination) -> str:
    """What is said of one delivery; nothing when it arrived."""
    patience = Patience(pause_first_s=0.01, pause_max_s=0.02, bound_s=2)
    async with Alertmanagers([there], patience=patience) as known:
        (outcome,) = await known.send(alerts(), now_ms())
    assert outcome.is_complete == (outcome.problem == "")
    return outcome.problem


async def test_an_alert_arrives(destination: Destination) -> None:
    assert await problem(destination) == ""
    (alert,) = alerts()
    assert alert.labels["slo"].encode() in (answers(destination, "/api/v2/alerts") or b"")


async def test_whoever_is_not_let_in_is_told_why(destination: Destination, other_authority: Authority) -> None:
    sentences = {
        "refused the credentials (HTTP 401)": replace(destination, password="wrong"),
        "give its CA in TURNWATCH_ALERTMANAGER__CAFILE": replace(destination, cafile=str(other_authority.cafile)),
        "its TLS certificate is not trusted here": replace(destination, cafile=None),
    }
    for sentence, there in sentences.items():
        said = await problem(there)
        assert sentence in said and said.startswith(there.url) and said.endswith(".") and PASSWORD not in said
