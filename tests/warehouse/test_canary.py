"""The gate of a running canary on real tables: what it reads, decides, prints and refuses, and by which exit code."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from schemas.failures import BadInput
from schemas.families import OUTCOMES, QUALITY, STAGE_LATENCIES, TURNS, Family
from schemas.histograms import bucket_indexes
from schemas.kafka import KafkaAddress
from schemas.metrics import GateMetrics
from schemas.releases import Artifact, Release, WayBack, rows
from schemas.verdicts import GateQuestion, ReleaseVerdict
from schemas.warehouse import ClickHouseAddress
from stack.clickhouse import ClickHouseServer
from stream_jobs.agents.reading import ReadFailure
from stream_jobs.operators.totals.rollup_rows import to_table
from stream_jobs.sinks.clickhouse import connect
from stream_jobs.sinks.migrate import migrate
from tests.stack_fixtures import own_database
from turnwatch.canary import command
from turnwatch.canary.judging import Declared, judge
from turnwatch.cli import app
from turnwatch.gates.access import Access
from turnwatch.gates.asking import Desk
from turnwatch.gates.process import judge_of
from turnwatch.gates.server import application

MINUTE_MS, WINDOW_MS, HOUR_MS = 60_000, 300_000, 3_600_000
MINUTES = 120
LOOK_MS = 130 * MINUTE_MS
"""When a look is taken that sees all windows."""
TURNS_A_MINUTE = 200
DECLARED_MS = int(time.time() * 1_000) - 86_400_000
POLICY = """
apiVersion: turnwatch/v1
kind: CanaryPolicy
metadata: {name: tried}
spec:
  protected: ["pool=realtime"]
  metrics:
    - {name: errors, direction: lower_is_better, allowedDelta: 0.02}
    - {name: p95_turn_ms, reason: latency, direction: lower_is_better, allowedDelta: 400}
    - {name: wer, reason: quality, direction: lower_is_better, allowedDelta: 0.02, required: false}
"""


@pytest.fixture(scope="module")
def began_ms() -> int:
    """Their last turns are 5 to 10 minutes ago, so that what looks by the clock has 5 more until they count as silent."""
    return int(time.time() * 1_000) // WINDOW_MS * WINDOW_MS - (MINUTES + 5) * MINUTE_MS


@pytest.fixture(scope="module")
def address(clickhouse_server: ClickHouseServer, began_ms: int) -> Iterator[ClickHouseAddress]:
    """v1 beside good v2 and v3, of which v3 fails one turn in eight in one region only; v0 ended before; v4, which loses words of
    noisy calls, and v5 nobody declared.
    """
    with own_database(clickhouse_server) as address:
        migrate(address)
        client = connect(address)
        rng = np.random.default_rng(7)
        for bundle, from_minute in (("v0", -240), ("v1", 0), ("v2", 0), ("v3", 0), ("v4", 0), ("v5", 0)):
            for table, told in _served(rng, bundle, began_ms + from_minute * MINUTE_MS):
                client.insert_arrow(table, to_table(told, table))
        for each in (_release("v1", "asr-6"), _release("v2", "asr-7"), _release("v3", "asr-8", pins=True)):
            client.insert_arrow("releases", rows([each]))
        client.close()
        yield address


def _release(bundle: str, version: str, pins: bool = False) -> Release:
    artifact = Artifact(
        kind="asr_model", name="asr", version=version, owner="speech", lineage=("commit:1", "dataset:2"),
        evaluation="https://reports.example.com/1", rollback_to="asr-5",
    )  # fmt: skip
    pin = [WayBack(kind="pin_artifact", artifact="asr", target="asr-6")] if pins else []
    restore = WayBack(kind="restore_bundle", target="v0" if bundle == "v1" else "v1")
    return Release(bundle=bundle, artifacts=(artifact,), ways_back=(restore, *pin), who="ana", at_ms=DECLARED_MS)


def _served(rng: np.random.Generator, bundle: str, from_ms: int) -> Iterator[tuple[str, pl.DataFrame]]:
    regions = ("eu-west-1", "us-east-1")
    at_ms = np.arange(MINUTES) * MINUTE_MS + from_ms
    whole, parts = (
        f"pool=realtime,bundle={bundle}",
        [f"pool=realtime,region={each},bundle={bundle}" for each in regions],
    )
    rates = [0.125 if bundle == "v3" and place else 0.01 for place in range(2)]
    errors = [rng.binomial(TURNS_A_MINUTE, rate, MINUTES) for rate in rates]
    told = [(name, {"outcomes": TURNS_A_MINUTE, "errors": each}) for name, each in zip(parts, errors, strict=True)]
    told.append((whole, {"outcomes": 2 * TURNS_A_MINUTE, "errors": sum(errors)}))
    yield "outcomes_1m", _rows(OUTCOMES, at_ms, told)
    yield "quality_1h", _labelled(rng, bundle, from_ms)
    yield "traffic_1m", _rows(TURNS, at_ms, [(whole, {"turns": 2 * TURNS_A_MINUTE})])
    index, counts = np.unique(bucket_indexes(rng.lognormal(np.log(1_800), 0.3, 2_000), 6), return_counts=True)
    each_ten_ms = at_ms[::10].repeat(len(index))
    blocks = len(at_ms[::10])
    histogram = _rows(STAGE_LATENCIES, each_ten_ms, [(whole, {"observations": np.tile(counts, blocks)})])
    keys = (pl.lit("turn").alias("stage"), pl.lit(6, pl.Int64).alias("scale"))
    yield "stage_latency_1m", histogram.with_columns(*keys, bucket_index=pl.Series(np.tile(index, blocks)))


def _labelled(rng: np.random.Generator, bundle: str, from_ms: int) -> pl.DataFrame:
    """An hour's calls of ten words each: on noisy ones v4 has three times as many errors."""
    rates = {"quiet": 0.1, "noisy": 0.9 if bundle == "v4" else 0.3}
    told = []
    for noise, rate in rates.items():
        errors = rng.binomial(10, rate, 2_000)
        sums = {
            "calls": 2_000, "words": 20_000, "words_sumsq": 200_000, "word_errors": int(errors.sum()),
            "word_errors_sumsq": int((errors**2).sum()), "word_errors_by_words": int(10 * errors.sum()),
        }  # fmt: skip
        told.append((f"pool=realtime,bundle={bundle},noise_class={noise}", sums))
    return _rows(QUALITY, np.array([from_ms // HOUR_MS * HOUR_MS]), told)


def _rows(family: Family, at_ms: np.ndarray[Any, Any], told: list[tuple[str, dict[str, Any]]]) -> pl.DataFrame:
    frames = [
        pl.DataFrame({"bucket_start": at_ms}).with_columns(
            pl.col("bucket_start").cast(pl.Datetime("ms", "UTC")),
            *(pl.lit(0, pl.Int64).alias(name) for name in family.measure_names if name not in measures),
            *(pl.lit(value).cast(pl.Int64).alias(name) for name, value in measures.items() if isinstance(value, int)),
            *(pl.Series(name, value) for name, value in measures.items() if not isinstance(value, int)),
            slice=pl.lit(slice_text),
            version=pl.lit(1, pl.Int64),
        )
        for slice_text, measures in told
    ]
    return pl.concat(frames)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    return file


def nobody(_: Sequence[str]) -> Mapping[str, Release]:
    """What Kafka has on the record that ClickHouse does not: nothing."""
    return {}


def brought_by_nobody_yet(bundles: Sequence[str]) -> Mapping[str, Release]:
    """Every bundle that ClickHouse does not know was declared a moment ago."""
    return {name: _release(name, "asr-9") for name in bundles}


def looked(
    address: ClickHouseAddress,
    policy: Path,
    at_ms: int,
    release: str,
    baseline: str | None = None,
    on_record: Declared | None = None,
) -> ReleaseVerdict:
    return judge(GateQuestion(release, "ci", baseline, str(policy)), address, on_record or nobody, at_ms)


def test_an_equal_release_goes_on_and_says_by_what(address: ClickHouseAddress, policy: Path, began_ms: int) -> None:
    verdict = looked(address, policy, began_ms + LOOK_MS, "v2")
    assert (verdict.decision, verdict.baseline, verdict.from_ms) == ("continue", "v1", began_ms)
    assert {each.outcome for each in verdict.judged if each.is_protected} == {"inside"}
    by_errors = next(each for each in verdict.judged if (each.slice, each.metric) == ("pool=realtime", "errors"))
    assert by_errors.windows == MINUTES // 5 and by_errors.candidate_samples == 2 * TURNS_A_MINUTE * MINUTES
    assert by_errors.candidate == pytest.approx(0.01, abs=0.002)
    assert any("FROM outcomes" in sql and '"v1"' in sql for sql in verdict.asked)


def test_a_region_that_got_worse_is_found_without_being_named_and_the_smallest_step_with_it(
    address: ClickHouseAddress, policy: Path, began_ms: int
) -> None:
    verdict = looked(address, policy, began_ms + LOOK_MS, "v3")
    assert (verdict.decision, verdict.reasons) == ("rollback", ("errors",))
    assert [each.slice for each in verdict.blockers] == ["pool=realtime", "pool=realtime,region=us-east-1"]
    assert verdict.way_back is not None and verdict.way_back.way.kind == "pin_artifact"
    assert "all that changed against v1" in verdict.way_back.because


def test_words_that_only_noisy_calls_lose_are_found_once_their_hour_is_over(
    address: ClickHouseAddress, policy: Path, began_ms: int
) -> None:
    verdict = looked(address, policy, began_ms + LOOK_MS, "v4", "v1")
    assert [(each.slice, each.reasons) for each in verdict.blockers] == [
        ("pool=realtime,noise_class=noisy", ("quality",))
    ]
    assert verdict.way_back is None and "was not declared" in verdict.because
    noisy = verdict.judged[0]
    assert (noisy.baseline_samples, noisy.windows) == (2_000, 1)
    assert noisy.low is not None and 0.02 < noisy.low < 0.6 < (noisy.high or 0)


def test_the_shipped_policy_judges_what_there_is(address: ClickHouseAddress, began_ms: int) -> None:
    verdict = judge(GateQuestion("v2", "ci"), address, nobody, began_ms + LOOK_MS)
    assert (verdict.decision, verdict.policy) == ("continue", "standard")
    told = {each.metric: each for each in verdict.judged if each.slice == "pool=realtime"}
    assert {name for name, each in told.items() if each.is_protected} == {
        "errors", "successes", "p95_turn_ms", "p99_turn_ms",
    }  # fmt: skip
    assert told["gpu_ms_per_success"].outcome == "insufficient"  # Nobody told of costs, and the policy goes on without.
    assert verdict.insufficient[0] == "pool=realtime"
    assert any("FROM costs" in sql for sql in verdict.asked)


def test_a_release_that_nobody_declared_never_goes_on(address: ClickHouseAddress, policy: Path, began_ms: int) -> None:
    verdict = looked(address, policy, began_ms + LOOK_MS, "v5", "v1")
    assert verdict.decision == "pause" and "was not declared" in verdict.because
    assert verdict.insufficient == ("pool=realtime",), "nobody labelled a call of all of it, which a pause says too"


def test_what_was_declared_a_moment_ago_is_known_before_a_worker_brings_it_to_clickhouse(
    address: ClickHouseAddress, policy: Path, began_ms: int
) -> None:
    """Of v9 nobody has told, and of v5 everything but what it is made of: that is no data, and no mistake of whoever asks."""
    silent = looked(address, policy, began_ms + LOOK_MS, "v9", on_record=brought_by_nobody_yet)
    assert (silent.decision, silent.baseline) == ("pause", "v1") and "declared" not in silent.because
    served = looked(address, policy, began_ms + LOOK_MS, "v5", on_record=brought_by_nobody_yet)
    assert (served.decision, served.baseline) == ("continue", "v1")


def test_a_release_that_is_declared_anew_counts_at_once_and_what_is_older_on_the_record_does_not(
    address: ClickHouseAddress, policy: Path, began_ms: int
) -> None:
    """ClickHouse still has v3 with a pin of its artifact; its new declaration has none, so the bundle is restored. The record
    is asked once a look, as its baseline is known from ClickHouse.
    """
    asked: list[Sequence[str]] = []

    def declared_at(at_ms: int) -> Declared:
        anew = _release("v3", "asr-8").model_copy(update={"at_ms": at_ms})

        def on_record(bundles: Sequence[str]) -> Mapping[str, Release]:
            asked.append(bundles)
            return {name: anew for name in bundles if name == "v3"}

        return on_record

    def way_back(on_record: Declared) -> str | None:
        told = looked(address, policy, began_ms + LOOK_MS, "v3", on_record=on_record)
        return told.way_back.way.kind if told.way_back else None

    moments = (DECLARED_MS - 1, DECLARED_MS, DECLARED_MS + 1)
    assert [way_back(declared_at(at_ms)) for at_ms in moments] == ["pin_artifact", "pin_artifact", "restore_bundle"]
    assert asked == [["v3", "v1"]] * 3


def test_a_declaration_that_cannot_be_read_matters_where_its_bundle_is_compared(
    address: ClickHouseAddress, policy: Path, began_ms: int
) -> None:
    """ClickHouse still compares v3 with v1, its new declaration with v2."""
    back_to_v2 = WayBack(kind="restore_bundle", target="v2")
    anew = _release("v3", "asr-8").model_copy(update={"ways_back": (back_to_v2,), "at_ms": DECLARED_MS + 1})
    on_record: Mapping[str, Release | ReadFailure] = {"v1": ReadFailure("v1 cannot be read"), "v3": anew}
    told = looked(address, policy, began_ms + LOOK_MS, "v3", on_record=lambda _: on_record)
    assert told.baseline == "v2"
    with pytest.raises(ReadFailure, match="v1 cannot be read"):
        looked(address, policy, began_ms + LOOK_MS, "v3", "v1", on_record=lambda _: on_record)


def test_too_little_and_nothing_at_all_are_a_pause(address: ClickHouseAddress, policy: Path, began_ms: int) -> None:
    first = looked(address, policy, began_ms + 2 * MINUTE_MS, "v2")
    assert first.decision == "pause" and "pool=realtime" in first.insufficient
    nothing = looked(address, policy, began_ms - HOUR_MS, "v2")
    assert (nothing.decision, nothing.judged[0].because) == ("pause", "Nobody told of this slice.")


def test_silence_is_no_good_news(address: ClickHouseAddress, policy: Path, began_ms: int) -> None:
    later = looked(address, policy, began_ms + 3 * HOUR_MS, "v2")
    assert later.decision == "pause" and "Nobody has told of turns of v2 since" in later.because
    assert later.insufficient == ("pool=realtime",)
    assert looked(address, policy, began_ms + 3 * HOUR_MS, "v3").decision == "rollback"


def test_what_never_served_at_once_is_not_compared(address: ClickHouseAddress, policy: Path, began_ms: int) -> None:
    with pytest.raises(BadInput, match="what serves beside it"):
        looked(address, policy, began_ms + LOOK_MS, "v2", "v0")


def test_a_release_beside_itself_or_beside_nothing_is_refused(
    address: ClickHouseAddress, policy: Path, began_ms: int
) -> None:
    for release, baseline, sentence in (
        ("v2", "v2", "own baseline"),
        ("v4", None, "was not declared"),
        ("V 2", "v1", "no bundle"),
    ):
        with pytest.raises(BadInput, match=sentence):
            looked(address, policy, began_ms, release, baseline)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[ReleaseVerdict]:
    """What the command put on the record; how that is done is tried in `tests/gates/`."""
    told: list[ReleaseVerdict] = []

    async def record(_: KafkaAddress, verdict: ReleaseVerdict) -> None:
        told.append(verdict)

    monkeypatch.setenv("TURNWATCH_KAFKA__BOOTSTRAP", "127.0.0.1:9")
    monkeypatch.setattr(command, "record", record)
    monkeypatch.setattr(command, "DeclaredReleases", lambda _: nobody)
    return told


def test_the_exit_code_is_the_verdict_and_the_json_a_record(
    address: ClickHouseAddress, policy: Path, monkeypatch: pytest.MonkeyPatch, recorded: list[ReleaseVerdict]
) -> None:
    monkeypatch.setenv("TURNWATCH_CLICKHOUSE__URL", address.url)
    asked = ["gate", "--release", "v3", "--policy", str(policy)]
    ended = CliRunner().invoke(app, [*asked, "--format", "json"])
    assert ended.exit_code == 1, ended.output
    said = json.loads(ended.stdout)
    assert (said["decision"], said["reasons"], said["release"]) == ("rollback", ["errors"], "v3")
    assert [ReleaseVerdict.model_validate(said)] == recorded and recorded[0].policy == "tried"
    table = CliRunner().invoke(app, asked)
    assert table.exit_code == 1 and "rollback: v3 beside v1" in table.stdout
    assert CliRunner().invoke(app, ["gate", "--release", "v2", "--policy", str(policy)]).exit_code == 0
    assert (
        CliRunner().invoke(app, ["gate", "--release", "v9", "--beside", "v1", "--policy", str(policy)]).exit_code == 3
    )

    unknown = CliRunner().invoke(app, ["gate", "--release", "v9", "--policy", str(policy)])
    assert isinstance(unknown.exception, BadInput) and "v9 was not declared" in str(unknown.exception)
    monkeypatch.setattr(command, "DeclaredReleases", lambda _: brought_by_nobody_yet)
    assert CliRunner().invoke(app, ["gate", "--release", "v9", "--policy", str(policy)]).exit_code == 3
    assert [each.decision for each in recorded] == ["rollback", "rollback", "continue", "pause", "pause"]


def test_a_verdict_that_kafka_does_not_take_is_none_and_not_printed(
    address: ClickHouseAddress, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TURNWATCH_CLICKHOUSE__URL", address.url)
    monkeypatch.setenv("TURNWATCH_KAFKA__BOOTSTRAP", "127.0.0.1:9")
    ended = CliRunner().invoke(app, ["gate", "--release", "v2", "--policy", str(policy), "--format", "json"])
    assert (ended.exit_code, ended.stdout) == (4, "")
    assert "Kafka at 127.0.0.1:9" in ended.stderr and "decision" not in ended.stderr


def test_a_warehouse_that_is_away_is_no_verdict(
    policy: Path, monkeypatch: pytest.MonkeyPatch, recorded: list[ReleaseVerdict]
) -> None:
    monkeypatch.setenv("TURNWATCH_CLICKHOUSE__URL", "http://127.0.0.1:9/turnwatch")
    assert CliRunner().invoke(app, ["gate", "--release", "v3", "--policy", str(policy)]).exit_code == 4
    assert recorded == []


async def test_over_http_the_verdicts_are_the_same_and_each_is_on_the_record(
    address: ClickHouseAddress, policy: Path
) -> None:
    told: list[str] = []

    async def record(verdict: ReleaseVerdict) -> None:
        told.append(f"{verdict.who}: {verdict.decision} {verdict.release}")

    desk = Desk(judge_of(address, nobody), record, GateMetrics(CollectorRegistry()), str(policy))
    async with TestServer(application(desk, Access())) as server, ClientSession(server.make_url("/")) as client:
        for release, fields, confirmed, rolled_back in (
            ("v2", {}, 200, 409),
            ("v3", {}, 409, 200),
            ("v9", {"baseline": "v1"}, 409, 409),
        ):
            hook = {"name": "asr", "namespace": "voice", "metadata": {"release": release, **fields}}
            assert (await client.post("/flagger/confirm", json=hook)).status == confirmed
            assert (await client.post("/flagger/rollback", json=hook)).status == rolled_back
        unknown = await client.post("/v1/gate", json={"release": "v9", "who": "argo"})
        assert unknown.status == 400 and "was not declared" in (await unknown.json())["error"]
        worse = await (await client.post("/v1/gate", json={"release": "v3", "who": "argo"})).json()
    assert [each["slice"] for each in worse["blockers"]] == ["pool=realtime", "pool=realtime,region=us-east-1"]
    assert worse["way_back"] == "pin_artifact asr asr-6"
    said = [f"flagger voice/asr: {each}" for each in ("continue v2", "rollback v3", "pause v9") for _ in range(2)]
    assert told == [*said, "argo: rollback v3"]
