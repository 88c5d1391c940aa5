"""Gates over HTTP: a verdict is 200 whichever it is, and nothing else reads as one, to JSON, to Flagger and to its metrics."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession, web
from aiohttp.test_utils import TestServer
from polars.exceptions import PanicException
from prometheus_client import CollectorRegistry

from producers.listening import listening
from schemas.failures import BadInput, Foreseen
from schemas.metrics import GateMetrics
from schemas.verdicts import GateQuestion, ReleaseVerdict
from stream_jobs.sinks.clickhouse import WarehouseError
from tests.gates.verdicts import FAR_FIELD, THIN, verdict
from turnwatch.gates.access import Access, require_token
from turnwatch.gates.asking import JUDGING_MAX, WAITING_MAX, Desk
from turnwatch.gates.recording import NotRecorded
from turnwatch.gates.server import BODY_BYTES_MAX, application

TOKEN = "a-token-that-nobody-guesses"
DECISIONS = ("continue", "pause", "rollback")


@dataclass(slots=True)
class Bench:
    """A judge who says what it is told to, and a record of what was recorded."""

    says: ReleaseVerdict | BaseException
    asked: list[GateQuestion] = field(default_factory=list)
    recorded: list[ReleaseVerdict] = field(default_factory=list)
    cannot_record: Exception | None = None
    waits_for: threading.Event | None = None

    def judge(self, question: GateQuestion) -> ReleaseVerdict:
        self.asked.append(question)
        if self.waits_for:
            self.waits_for.wait(10)
        if isinstance(self.says, BaseException):
            raise self.says
        return self.says

    async def record(self, told: ReleaseVerdict) -> None:
        if self.cannot_record:
            raise self.cannot_record
        self.recorded.append(told)


@asynccontextmanager
async def served(bench: Bench, token: str = "", policy: str | None = None) -> AsyncIterator[ClientSession]:
    desk = Desk(bench.judge, bench.record, GateMetrics(CollectorRegistry()), policy)
    async with (
        TestServer(application(desk, Access(token), now_s=lambda: 1_790_000_000.5)) as server,
        ClientSession(server.make_url("/")) as client,
    ):
        yield client


PAYLOAD = {
    "name": "asr", "namespace": "voice", "phase": "Progressing", "checksum": "85d557f47b", "metadata": {"release": "v42"},
}  # fmt: skip


async def ask(client: ClientSession, way: str) -> ClientResponse:
    """The same question in each of the forms."""
    match way:
        case "get":
            return await client.get("/v1/gate", params={"release": "v42"})
        case "post":
            return await client.post("/v1/gate", json={"release": "v42"})
        case "metric":
            return await client.get("/flagger/api/v1/query", params={"query": 'turnwatch_gate{release="v42"}'})
    return await client.post(f"/flagger/{way}", json=PAYLOAD)


WAYS = ("get", "post", "metric", "confirm", "rollback")


@pytest.mark.parametrize("decision", DECISIONS)
async def test_a_verdict_is_answered_as_each_asker_reads_it_and_recorded_each_time(decision: str) -> None:
    bench = Bench(verdict(decision))
    async with served(bench) as client:
        for way in ("get", "post"):
            answer = await ask(client, way)
            assert (answer.status, (await answer.json())["decision"]) == (200, decision)
        hooks = {way: (await ask(client, way)).status for way in ("confirm", "rollback")}
        sample = (await (await ask(client, "metric")).json())["data"]["result"]
    yes = {"continue": (200, 409), "pause": (409, 409), "rollback": (409, 200)}[decision]
    assert (hooks["confirm"], hooks["rollback"]) == yes
    assert [each["value"][1] for each in sample] == [{"continue": "1", "pause": "0", "rollback": "-1"}[decision]]
    assert bench.recorded == [verdict(decision)] * 5


FAILURES: list[tuple[BaseException, int]] = [
    (BadInput("No release v42 was declared."), 400),
    (WarehouseError("ClickHouse is away."), 503),
    (Foreseen("Something is away."), 503),
    (OSError("a disk is full"), 503),
    (ZeroDivisionError("a defect"), 500),
    (MemoryError(), 500),
    (PanicException("a panic of polars, which is no Exception"), 500),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("failure", "status"), FAILURES, ids=[type(each).__name__ for each, _ in FAILURES])
async def test_no_failure_reads_as_a_verdict_to_anybody(way: str, failure: BaseException, status: int) -> None:
    bench = Bench(failure)
    async with served(bench) as client:
        answer = await ask(client, way)
        told = await answer.json()
    assert answer.status == status and told.keys() == {"error"}
    assert bench.recorded == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("decision", DECISIONS)
async def test_what_is_not_on_the_record_is_told_to_nobody(way: str, decision: str) -> None:
    bench = Bench(verdict(decision), cannot_record=NotRecorded("The verdict on v42 is not recorded."))
    async with served(bench) as client:
        answer = await ask(client, way)
        assert (answer.status, await answer.json()) == (503, {"error": "The verdict on v42 is not recorded."})


async def test_an_answer_says_why_and_what_to_do() -> None:
    async with served(Bench(verdict("rollback"))) as client:
        told = await (await ask(client, "post")).json()
        said = await (await ask(client, "rollback")).text()
    assert told["blockers"] == [{"slice": FAR_FIELD, "reasons": ["quality"]}] and told["reasons"] == ["quality"]
    assert (told["way_back"], told["insufficient"], told["judged"]) == ("pin_artifact asr asr-6", [THIN.slice], 2)
    assert said == f"rollback v42: It is to rollback. {FAR_FIELD} (quality). Smallest way back: pin_artifact asr asr-6."


async def test_who_asks_and_what_is_asked_of_the_judge() -> None:
    bench = Bench(verdict())
    async with served(bench, policy="canary.yaml") as client:
        await client.post("/v1/gate", json={"release": "v42", "baseline": "v41", "from_ms": 5, "who": "argo"})
        await ask(client, "confirm")
        await client.get("/flagger/api/v1/query", params={"query": 'turnwatch_gate{release="v42",baseline="v41"}'})
    assert bench.asked == [
        GateQuestion("v42", "argo", "v41", "canary.yaml", 5),
        GateQuestion("v42", "flagger voice/asr", None, "canary.yaml"),
        GateQuestion("v42", "flagger", "v41", "canary.yaml"),
    ]


@pytest.mark.parametrize(
    "body",
    ["", "{", "[]", "7", '{"release": "V 42"}', '{"baseline": "v41"}', '{"release": "v42", "relaese": "v43"}',
     '{"release": "v42", "release": "v43"}', '{"release": "v42", "policy": "/etc/passwd"}',
     '{"release": "v42", "who": "a\\nb"}', '{"release": "v42", "from_ms": -1}', '{"release": ["v42"]}', "\xff", "[" * 5_000],
)  # fmt: skip
async def test_a_question_that_cannot_be_meant_is_a_sentence(body: str) -> None:
    bench = Bench(verdict())
    async with served(bench) as client:
        for path in ("/v1/gate", "/flagger/confirm", "/flagger/rollback"):
            answer = await client.post(path, data=body.encode("latin-1"))
            assert answer.status == 400 and (await answer.json())["error"].endswith(".")
    assert bench.asked == []


@pytest.mark.parametrize(
    "changed",
    [{"metadata": {}}, {"metadata": {"releas": "v42"}}, {"name": None}, {"metadata": {"release": "v42", "x": "y"}}],
)
async def test_a_webhook_without_a_release_is_no_yes(changed: dict[str, Any]) -> None:
    async with served(Bench(verdict())) as client:
        for which in ("confirm", "rollback"):
            assert (await client.post(f"/flagger/{which}", json=PAYLOAD | changed)).status == 400


@pytest.mark.parametrize(
    "query", ["", "up", "turnwatch_gate", "turnwatch_gate{}", 'turnwatch_gate{release=v42}', 'turnwatch_gate{release="v42"} > 0',
              'turnwatch_gate{release="v42",}', 'turnwatch_gate{release="<no value>"}', 'rate(turnwatch_gate{release="v42"}[5m])'],
)  # fmt: skip
async def test_a_query_that_gates_do_not_know_has_no_value(query: str) -> None:
    async with served(Bench(verdict())) as client:
        assert (await client.get("/flagger/api/v1/query", params={"query": query})).status == 400


async def test_flagger_finds_a_prometheus_that_is_there() -> None:
    async with served(Bench(Foreseen("away"))) as client:
        told = await (await client.get("/flagger/api/v1/query", params={"query": "vector(1)"})).json()
    assert told == {
        "status": "success",
        "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1_790_000_000.5, "1"]}]},
    }


def credentials() -> Iterator[tuple[dict[str, str], int]]:
    def basic(text: str) -> dict[str, str]:
        return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}

    yield {"Authorization": f"Bearer {TOKEN}"}, 200
    yield basic(f"flagger:{TOKEN}"), 200
    yield {}, 401
    yield {"Authorization": f"Bearer {TOKEN}x"}, 401
    yield {"Authorization": "Bearer"}, 401
    yield {"Authorization": "Basic !"}, 401
    yield basic(f"{TOKEN}:"), 401
    yield {"Authorization": f"Digest {TOKEN}"}, 401


@pytest.mark.parametrize(("headers", "status"), [*credentials()])
async def test_a_token_lets_in_whoever_knows_it(headers: dict[str, str], status: int) -> None:
    bench = Bench(verdict())
    async with served(bench, TOKEN) as client:
        for path in ("/v1/gate?release=v42", "/flagger/api/v1/query?query=vector(1)"):
            answer = await client.get(path, headers=headers | {"Origin": "http://elsewhere.example"})
            assert answer.status == status and TOKEN not in await answer.text()
        assert (await client.get("/nowhere", headers=headers)).status == (404 if status == 200 else 401)
        assert (await client.get("/healthz")).status == 200
    assert len(bench.asked) == (status == 200)


@pytest.mark.parametrize("credential", [b"Basic \xc3\xa9\xc3\xa9", b"Bearer \xff", b"Basic \xff", b"Basic /w=="])
async def test_a_token_that_is_no_text_is_a_wrong_one(credential: bytes) -> None:
    async with served(Bench(verdict()), TOKEN) as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client._base_url.port)  # type: ignore[union-attr]
        asked = b"GET /v1/gate?release=v42 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: " + credential
        writer.write(asked + b"\r\n\r\n")
        assert b" 401 " in await reader.readline()
        writer.close()


@pytest.mark.parametrize(
    "headers", [{"Host": "gates.example.com"}, {"Origin": "http://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_without_a_token_only_programs_of_this_machine_may_ask(headers: dict[str, str]) -> None:
    bench = Bench(verdict())
    async with served(bench) as client:
        assert (await client.get("/v1/gate", params={"release": "v42"}, headers=headers)).status == 403
    assert bench.asked == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "gates.example.com"])
def test_nobody_serves_everybody_without_a_token(host: str) -> None:
    require_token(host, TOKEN)
    require_token("127.0.0.1", "")
    with pytest.raises(BadInput, match="TURNWATCH_GATES__TOKEN"):
        require_token(host, "")


async def test_a_connection_that_asks_nothing_is_not_kept_for_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    kept_s: list[float] = []

    class Runner(web.AppRunner):
        def __init__(self, app: web.Application, **options: Any) -> None:
            kept_s.append(options.get("keepalive_timeout", 3_630.0))
            super().__init__(app, **options)

    monkeypatch.setattr(web, "AppRunner", Runner)
    async with listening(web.Application(), "127.0.0.1", 0, "Cannot listen", "TURNWATCH_GATES") as addresses:
        assert len(addresses) == 1 and kept_s == [75.0]


async def test_what_is_too_much_is_refused_and_everything_is_counted() -> None:
    bench = Bench(verdict(), waits_for=threading.Event())
    assert bench.waits_for is not None
    async with served(bench) as client:
        held = [asyncio.create_task(ask(client, "get")) for _ in range(JUDGING_MAX + WAITING_MAX)]
        while len(bench.asked) < JUDGING_MAX:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        answer = await ask(client, "get")
        assert (answer.status, answer.headers["Retry-After"]) == (429, "5")
        assert len(bench.asked) == JUDGING_MAX
        bench.waits_for.set()
        assert {(await each).status for each in held} == {200}
        too_long = await client.post("/v1/gate", data=b"x" * (BODY_BYTES_MAX + 1))
        assert (too_long.status, (await client.delete("/v1/gate")).status) == (413, 405)
        shown = await (await client.get("/metrics")).text()
    assert f'turnwatch_gate_verdicts_total{{decision="continue"}} {JUDGING_MAX + WAITING_MAX}.0' in shown
    for status in (429, 413, 405):
        assert f'turnwatch_gate_unanswered_total{{status="{status}"}} 1.0' in shown
