"""The page's observer for Pipecat: what it exported of a real pipeline, and that its text of today exports the same."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import Counter
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from opentelemetry import metrics

from producers.otlp.receiver import Receiver, Taken
from producers.otlp.requests import PROTOBUF, decode
from tests.otlp.exports import EXPONENTIAL, SdkExport
from tests.otlp.pipecat_page import MODULES, named_only, observer, snippet
from tests.otlp.record_pipecat import CALLS, RESOURCE, USAGE
from tests.otlp.record_requests import FOLDER

RECORDED = json.loads(max(FOLDER.glob("pipecat_*.json")).read_text(encoding="utf-8"))
STAGES = {"STTService": "final_transcript", "LLMService": "llm_first_token", "TTSService": "tts_first_audio"}


def exported_then() -> Taken:
    """What the requests add that were on the wire while Pipecat ran."""
    (request,) = [decode(base64.b64decode(body), PROTOBUF) for body in RECORDED["requests"]]
    sent_ms = (
        request.resource_metrics[0].scope_metrics[0].metrics[0].exponential_histogram.data_points[0].time_unix_nano
    )
    return Receiver("eu-west-1", sent_ms // 1_000_000 - 60_000).take(request, sent_ms // 1_000_000 + 1_000)


def exported_now(monkeypatch: pytest.MonkeyPatch) -> Taken:
    """What the page's text exports through the SDK of what Pipecat pushed."""
    export = SdkExport(RESOURCE, EXPONENTIAL)
    monkeypatch.setattr(metrics, "get_meter", lambda name: export.meter)
    with named_only() as classes:
        watching = observer()
        for push in RECORDED["pushes"]:
            asyncio.run(watching.on_push_frame(_again(push, classes)))
    now_ms = time.time_ns() // 1_000_000
    return Receiver("eu-west-1", now_ms - 60_000).take(export.collected(), now_ms)


def _again(push: dict[str, Any], classes: dict[str, type]) -> Any:
    """A recorded push, as what an observer is given."""
    fact = _made(classes, push["kinds"])
    for name, value in push["fact"].items():
        setattr(fact, name, SimpleNamespace(**value) if isinstance(value, dict) else value)
    frame, source = _made(classes, ["MetricsFrame"]), _made(classes, push["is_a"])
    frame.data, source.name = [fact], push["source"]
    return SimpleNamespace(frame=frame, source=source)


def _made(classes: dict[str, type], names: list[str]) -> Any:
    return type("Made", tuple(classes[name] for name in names if name in classes), {})()


def stages_of(taken: Taken) -> dict[str, tuple[int, int]]:
    """Observations and milliseconds of each stage."""
    rows = taken.tables["rows.stages"].group_by("stage").agg(pl.col("observations", "latency_ms_sum").sum())
    return {stage: (count, ms) for stage, count, ms in rows.rows()}


def sums_of(taken: Taken, family: str) -> dict[str, int]:
    sums = taken.tables[f"rows.{family}"].select(pl.col(pl.Int64).exclude("at_ms").sum()).row(0, named=True)
    return {name: value for name, value in sums.items() if value}


def measured() -> dict[str, list[float]]:
    """Milliseconds to the first byte that Pipecat's services said themselves, by stage."""
    told: dict[str, list[float]] = {}
    for push in RECORDED["pushes"]:
        fact = push["fact"]
        if "TTFBMetricsData" in push["kinds"] and fact["processor"] == push["source"] and fact["value"]:
            told.setdefault(STAGES[push["is_a"][0]], []).append(fact["value"] * 1_000)
    return told


def test_what_pipecat_measured_of_every_service_was_recorded_and_pushed_on() -> None:
    """Or the tests below would compare nothing with nothing."""
    assert {stage: len(each) for stage, each in measured().items()} == dict.fromkeys(STAGES.values(), CALLS)
    kinds = Counter(push["kinds"][0] for push in RECORDED["pushes"])
    assert kinds["TTFBMetricsData"] > 3 * CALLS and kinds["LLMUsageMetricsData"] > CALLS, (
        "frames are pushed from one to the next"
    )
    assert kinds["ProcessingMetricsData"] and kinds["TTSUsageMetricsData"]


@pytest.mark.parametrize("when", ["then", "now"])
def test_each_fact_of_pipecat_counts_once(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = exported_then() if when == "then" else exported_now(monkeypatch)
    assert taken.refused == {} and taken.passed_over == {}
    stages = stages_of(taken)
    assert stages.keys() == set(STAGES.values())
    for stage, told in measured().items():
        observations, milliseconds = stages[stage]
        assert observations == CALLS and milliseconds == pytest.approx(sum(told), abs=CALLS)
    assert sums_of(taken, "turns") == {
        "tokens_in": CALLS * USAGE["prompt_tokens"],
        "tokens_out": CALLS * USAGE["completion_tokens"],
    }
    assert sums_of(taken, "outcomes") == {"tokens_cached": CALLS * USAGE["cache_read_input_tokens"]}
    assert set(taken.tables["rows.stages"]["pool"]) == {RESOURCE["turnwatch.pool"]}


def test_the_page_imports_what_was_recorded_of_and_nothing_else() -> None:
    for module, names in MODULES.items():
        assert f"from {module} import {', '.join(names)}\n" in snippet()
    assert snippet().count("pipecat.") == len(MODULES)
