"""The whole product with every server behind TLS and a password: a fleet's turns land, and no secret is shown."""

from __future__ import annotations

import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.machine import choose_ports
from tests.integration.commands import begun
from tests.security.certificates import Authority
from tests.security.secured import PASSWORD, USER, SecuredKafka
from tests.warm import turnwatch

pytestmark = pytest.mark.needs("openssl")

WITHIN_S = 120.0
POLL_S = 0.2


@pytest.fixture
def surroundings(secured_kafka: SecuredKafka, secured_clickhouse: str, own_authority: Authority) -> dict[str, str]:
    (metrics_port,) = choose_ports((0,))
    return {
        "TURNWATCH_KAFKA__BOOTSTRAP": secured_kafka.with_password,
        "TURNWATCH_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
        "TURNWATCH_KAFKA__SASL_MECHANISM": "SCRAM-SHA-512",
        "TURNWATCH_KAFKA__USERNAME": USER,
        "TURNWATCH_KAFKA__PASSWORD": PASSWORD,
        "TURNWATCH_KAFKA__CAFILE": str(own_authority.cafile),
        "TURNWATCH_CLICKHOUSE__URL": secured_clickhouse,
        "TURNWATCH_CLICKHOUSE__PASSWORD": PASSWORD,
        "TURNWATCH_CLICKHOUSE__CAFILE": str(own_authority.cafile),
        "TURNWATCH_METRICS__PORT": str(metrics_port),
        "TURNWATCH_CLOCK": "watermark",
    }


@pytest.fixture
def worker(tmp_path: Path, surroundings: dict[str, str]) -> Iterator[Path]:
    """The folder of a worker that works."""
    prepared = turnwatch(tmp_path, "prepare", **surroundings)
    assert prepared.returncode == 0 and PASSWORD not in prepared.stdout, prepared.stderr
    working = begun(tmp_path, "worker", **surroundings)
    try:
        deadline = time.monotonic() + WITHIN_S
        while "turnwatch_worker_ready 1.0" not in counted(surroundings):
            assert working.poll() is None and time.monotonic() < deadline, (tmp_path / "output.txt").read_text()
            time.sleep(POLL_S)
        yield tmp_path
    finally:
        working.send_signal(signal.SIGTERM)
        working.wait(90)


def counted(surroundings: dict[str, str]) -> str:
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{surroundings['TURNWATCH_METRICS__PORT']}/metrics", timeout=5
        ) as it:
            return str(it.read().decode())
    except (urllib.error.URLError, OSError):
        return ""


def test_turns_land_and_no_secret_is_shown(worker: Path, surroundings: dict[str, str]) -> None:
    """Producer, intake, changelogs, sink, question: each with the same credentials."""
    sent = turnwatch(worker, "simulate", "--minutes", "1", "--speed", "20", **surroundings)
    assert sent.returncode == 0, sent.stderr
    deadline = time.monotonic() + WITHIN_S
    said = [sent.stdout, sent.stderr]
    while True:
        asked = turnwatch(
            worker, "query", "SELECT sum(turns) > 0 FROM traffic_10s FINAL", "--format", "csv", **surroundings
        )
        said += [asked.stdout, asked.stderr]
        if asked.stdout.splitlines()[-1:] == ["1"]:
            break
        log = (worker / "output.txt").read_text()
        assert asked.returncode == 0 and time.monotonic() < deadline, asked.stderr + log
    for shown in (*said, (worker / "output.txt").read_text(), counted(surroundings)):
        assert PASSWORD not in shown


@pytest.mark.parametrize(
    ("variable", "command", "told"),
    [
        ("TURNWATCH_KAFKA__PASSWORD", "worker", f"does not let user {USER} in: correct TURNWATCH_KAFKA__USERNAME"),
        ("TURNWATCH_KAFKA__PASSWORD", "simulate", f"does not let user {USER} in: correct TURNWATCH_KAFKA__USERNAME"),
        ("TURNWATCH_CLICKHOUSE__PASSWORD", "query", f"does not let user {USER} in; correct the user or the password"),
        ("TURNWATCH_KAFKA__CAFILE", "prepare", "give its CA in TURNWATCH_KAFKA__CAFILE"),
        ("TURNWATCH_CLICKHOUSE__CAFILE", "query", "give its CA in TURNWATCH_CLICKHOUSE__CAFILE"),
    ],
)
def test_whoever_is_not_let_in_is_told_why_in_one_line(
    tmp_path: Path, surroundings: dict[str, str], other_authority: Authority, variable: str, command: str, told: str
) -> None:
    wrong = str(other_authority.cafile) if variable.endswith("CAFILE") else "wrong"
    arguments = {"query": ["SELECT 1"], "simulate": ["--minutes", "1"]}.get(command, [])
    ended = turnwatch(tmp_path, command, *arguments, **{**surroundings, variable: wrong})
    last = ended.stderr.splitlines()[-1]
    assert ended.returncode == 1 and last.startswith("turnwatch: ") and told in last, ended.stderr
    assert PASSWORD not in ended.stdout + ended.stderr and "Traceback" not in ended.stderr
    if command != "worker":  # Its standard error is its log.
        assert ended.stderr.count("\n") == 1, ended.stderr
