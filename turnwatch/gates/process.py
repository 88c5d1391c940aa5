"""`turnwatch gates serve`: answers pipelines until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from alerts.canary_document import load_canary
from producers.listening import listening
from schemas.kafka import KafkaAddress
from schemas.metrics import GateMetrics
from schemas.verdicts import GateQuestion, Judge, ReleaseVerdict
from schemas.warehouse import ClickHouseAddress
from turnwatch.canary.judging import Declared, judge
from turnwatch.declared_releases import DeclaredReleases
from turnwatch.gates.access import Access, require_token
from turnwatch.gates.asking import Desk
from turnwatch.gates.recording import record
from turnwatch.gates.server import application
from turnwatch.long_running import asked_to_stop, log_events
from turnwatch.places import clickhouse, kafka
from turnwatch.settings import load

DECLARED_WITHIN_S = 5.0
"""Others wait meanwhile, and pipelines for 30 s at most: whatever Kafka has not told by then is no verdict."""

log = logging.getLogger("turnwatch.gates")


@dataclass(frozen=True, slots=True)
class GateServer:
    """What the server needs to know. Without a `token` only programs of this machine may ask."""

    host: str
    port: int
    access: Access
    kafka: KafkaAddress
    judge: Judge
    policy: str | None = None


def run_gates_serve(host: str | None, port: int | None, policy: Path | None) -> int:
    """Serves until it is asked to stop; arguments win over settings."""
    log_events()
    asyncio.run(_until_stopped(gate_server(host, port, policy)))
    return 0


def gate_server(host: str | None, port: int | None, policy: Path | None) -> GateServer:
    """From arguments and settings; raises `BadInput` for what cannot be meant, the policy included."""
    settings = load()
    section = settings.gates
    token = section.token.get_secret_value() if section.token else ""
    host = host or section.host
    require_token(host, token)
    if chosen := policy or section.policy:
        load_canary(chosen)  # What is wrong with it is told now, and not to the first pipeline that asks.
    return GateServer(
        host,
        section.port if port is None else port,
        Access(token),
        kafka(settings),
        judge_of(clickhouse(settings), DeclaredReleases(kafka(settings), DECLARED_WITHIN_S)),
        str(chosen) if chosen else None,
    )


def judge_of(address: ClickHouseAddress, on_record: Declared) -> Judge:
    """Whoever answers questions by what this ClickHouse has now."""

    def judged(question: GateQuestion) -> ReleaseVerdict:
        return judge(question, address, on_record, int(time.time() * 1_000))

    return judged


async def serve(server: GateServer, stop: asyncio.Event, metrics: GateMetrics | None = None) -> None:
    """Answers until `stop`, and finishes what it has begun. Raises `BadInput` where the port cannot be used."""
    desk = Desk(server.judge, partial(record, server.kafka), metrics or GateMetrics(), server.policy)
    address = (server.host, server.port, "Gates cannot be served", "TURNWATCH_GATES")
    async with listening(application(desk, server.access), *address) as addresses:
        for host, port in addresses:
            log.info("listening: http://%s:%s/v1/gate", host, port)
        await stop.wait()


async def _until_stopped(server: GateServer) -> None:
    await serve(server, asked_to_stop())
