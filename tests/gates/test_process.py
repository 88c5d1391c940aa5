"""`turnwatch gates serve` and `list`: they begin with what can be meant, answer until they are asked to stop, and show the last word."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from prometheus_client import CollectorRegistry

from schemas.failures import BadInput
from schemas.kafka import KafkaAddress
from schemas.metrics import GateMetrics
from tests.gates.verdicts import AT_MS, verdict
from turnwatch.gates.access import Access
from turnwatch.gates.listing import run_gates_list
from turnwatch.gates.process import GateServer, gate_server, serve
from turnwatch.gates.recording import read_verdicts, record


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Settings of servers that nobody asks."""
    monkeypatch.setenv("TURNWATCH_KAFKA__BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.setenv("TURNWATCH_CLICKHOUSE__URL", "http://127.0.0.1:1/turnwatch")
    return monkeypatch


def test_arguments_win_over_settings_and_the_token_is_shown_nowhere(known: pytest.MonkeyPatch) -> None:
    known.setenv("TURNWATCH_GATES__TOKEN", "whispered")
    known.setenv("TURNWATCH_GATES__PORT", "7")
    server = gate_server("0.0.0.0", None, None)
    assert (server.host, server.port, server.access.token, server.policy) == ("0.0.0.0", 7, "whispered", None)
    assert gate_server(None, 8, None).port == 8
    assert "whispered" not in repr(server)


def test_what_cannot_be_served_is_refused_before_anybody_asks(known: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="TURNWATCH_GATES__TOKEN"):
        gate_server("0.0.0.0", None, None)
    wrong = tmp_path / "policy.yaml"
    wrong.write_text("kind: CanaryPolicy\n")
    known.setenv("TURNWATCH_GATES__POLICY", str(wrong))
    with pytest.raises(BadInput, match=r"policy\.yaml"):
        gate_server(None, None, None)


async def test_a_port_that_is_taken_is_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = GateServer(
            "127.0.0.1", taken.getsockname()[1], Access(), KafkaAddress("127.0.0.1:1"), lambda _: verdict()
        )
        with pytest.raises(BadInput, match=r"Gates cannot be served on 127\.0\.0\.1"):
            await serve(server, asyncio.Event(), GateMetrics(CollectorRegistry()))


async def test_what_was_answered_is_on_the_record_and_listed(
    kafka: KafkaAddress, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    stop = asyncio.Event()
    server = GateServer("127.0.0.1", port, Access("whispered"), kafka, lambda _: verdict("rollback"))
    serving = asyncio.create_task(serve(server, stop, GateMetrics(CollectorRegistry())))
    told = await _asked(f"http://127.0.0.1:{port}/v1/gate")
    stop.set()
    await asyncio.wait_for(serving, 10)
    assert (told["decision"], (await read_verdicts(kafka))[0]) == ("rollback", {"v42": verdict("rollback")})
    await record(kafka, verdict("pause", release="v40", at_ms=AT_MS - 1))
    monkeypatch.setenv("TURNWATCH_KAFKA__BOOTSTRAP", kafka.bootstrap)
    assert await asyncio.to_thread(run_gates_list, "json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(each["release"], each["decision"]) for each in listed] == [("v40", "pause"), ("v42", "rollback")]
    assert await asyncio.to_thread(run_gates_list, "table") == 0
    assert "only asr changed" in capsys.readouterr().out


async def _asked(url: str) -> dict[str, Any]:
    """The answer, once the server listens."""
    async with asyncio.timeout(10), ClientSession(headers={"Authorization": "Bearer whispered"}) as client:
        while True:
            try:
                async with client.get(url, params={"release": "v42"}) as answer:
                    assert answer.status == 200
                    told: dict[str, Any] = await answer.json()
                    return told
            except OSError:
                await asyncio.sleep(0.01)
