"""The manifests of the page are what Argo Rollouts, Flagger and GitHub take, and read our answers as the page says."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema  # type: ignore[import-untyped]  # It publishes no types.
from jsonschema import Draft7Validator
from prometheus_client import CollectorRegistry

from schemas.metrics import GateMetrics
from tests.gates.record_crds import RECORDED
from tests.gates.verdicts import verdict
from turnwatch.gates.access import Access
from turnwatch.gates.asking import Desk, summary
from turnwatch.gates.flagger import fields_of, value_of
from turnwatch.gates.server import application
from turnwatch.settings import GatesSettings

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "release-pipelines.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
# By the JSON of YAML 1.2: `on` is a word, not a truth.
SHOWN = [shown for block in BLOCKS for shown in yaml.load_all(block.replace("\non:\n", '\n"on":\n'), yaml.CSafeLoader)]
MANIFESTS = [shown for shown in SHOWN if "kind" in shown]
(WORKFLOW,) = [shown for shown in SHOWN if "kind" not in shown]
DECISIONS = ("continue", "pause", "rollback")


def manifest(name: str, kind: str) -> Any:
    (found,) = [each for each in MANIFESTS if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return deepcopy(found)


def resource(kind: str) -> dict[str, Any]:
    recorded: dict[str, Any] = json.loads((RECORDED / f"{kind}.json").read_text(encoding="utf-8"))
    return recorded


def closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema as the API server applies it: fields that it does not declare are none."""
    found = dict(schema)
    if "properties" in schema:
        found["properties"] = {name: closed(below) for name, below in schema["properties"].items()}
        is_open = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
        found |= {} if is_open else {"additionalProperties": False}
    if "items" in schema:
        found["items"] = closed(schema["items"])
    return found


def mistakes(written: Mapping[str, Any]) -> list[str]:
    recorded = resource(written["kind"])
    schema = closed(recorded["schema"])
    # What every resource has, whatever its definition says of it.
    schema["properties"] |= {
        "apiVersion": {"const": recorded["apiVersion"]},
        "kind": {},
        "metadata": {"required": ["name"]},
    }
    return [f"{error.json_path}: {error.message}" for error in Draft7Validator(schema).iter_errors(written)]


@pytest.mark.parametrize("written", MANIFESTS, ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_a_manifest_is_what_its_resource_takes(written: dict[str, Any]) -> None:
    assert mistakes(written) == []


def test_every_resource_is_shown_and_says_where_its_schema_is_from() -> None:
    kinds = {each["kind"] for each in MANIFESTS}
    assert kinds == {path.stem for path in RECORDED.iterdir()}
    assert all(resource(kind)["licence"] == "Apache-2.0" and "github.com" in resource(kind)["source"] for kind in kinds)


def test_what_is_misspelt_or_missing_would_be_noticed() -> None:
    gate = manifest("turnwatch-gate", "AnalysisTemplate")
    (metric,) = gate["spec"]["metrics"]
    metric["succesCondition"] = metric.pop("successCondition")
    metric["provider"]["web"].pop("url")
    metric["provider"]["web"]["timeoutSeconds"] = "30s"
    assert len(mistakes(gate)) == 3
    canary = manifest("asr", "Canary")
    canary["spec"]["analysis"]["webhooks"][0]["type"] = "roll-back"
    del canary["spec"]["analysis"]["threshold"]
    assert len(mistakes(canary)) == 2
    assert mistakes(manifest("asr", "Rollout") | {"apiVersion": "argoproj.io/v1"}) != []


# -- how they read an answer -------------------------------------------------------------------------------------------


def phase(metric: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """What Argo Rollouts makes of a measurement: a condition that is neither met is inconclusive."""

    def is_met(condition: str) -> bool:
        name, value = re.fullmatch(r'result\.(\w+) == "(\w+)"', condition).groups()  # type: ignore[union-attr]
        return bool(result[name] == value)

    if is_met(metric["failureCondition"]):
        return "Failed"
    return "Successful" if is_met(metric["successCondition"]) else "Inconclusive"


def test_argo_rollouts_goes_on_at_continue_alone() -> None:
    (metric,) = manifest("turnwatch-gate", "AnalysisTemplate")["spec"]["metrics"]
    read = [phase(metric, summary(verdict(decision))) for decision in DECISIONS]
    assert read == ["Successful", "Inconclusive", "Failed"]
    assert "jsonPath" not in metric["provider"]["web"]


def test_pauses_alone_never_end_an_analysis_as_a_success() -> None:
    """By assessMetricStatus of Argo Rollouts: where `count` is reached only this limit keeps it from being successful."""
    (metric,) = manifest("turnwatch-gate", "AnalysisTemplate")["spec"]["metrics"]
    assert (metric["consecutiveSuccessLimit"], metric["failureLimit"]) == (1, 0)


ARGO_TRIES_AGAIN_S = 10
"""DefaultErrorRetryInterval of Argo Rollouts: an errored measurement is taken again so soon, whatever the interval is."""


def test_a_server_that_is_away_for_minutes_ends_no_analysis() -> None:
    """By assessMetricStatus an analysis is an error, which aborts the rollout, once errors in a row exceed the limit."""
    (metric,) = manifest("turnwatch-gate", "AnalysisTemplate")["spec"]["metrics"]
    assert metric.get("consecutiveErrorLimit", 4) * ARGO_TRIES_AGAIN_S >= 3_600


def test_a_job_fails_at_once_where_the_verdict_or_the_question_says_so() -> None:
    (metric,) = manifest("turnwatch-gate-job", "AnalysisTemplate")["spec"]["metrics"]
    (rule,) = metric["provider"]["job"]["spec"]["podFailurePolicy"]["rules"]
    assert (rule["action"], rule["onExitCodes"]) == ("FailJob", {"operator": "In", "values": [1, 2]})


def test_flagger_counts_everything_but_continue_as_a_failed_check() -> None:
    (check,) = manifest("asr", "Canary")["spec"]["analysis"]["metrics"]
    values = [float(value_of(verdict(decision))["data"]["result"][0]["value"][1]) for decision in DECISIONS]
    assert [value >= check["thresholdRange"]["min"] for value in values] == [True, False, False]


def test_flaggers_query_asks_for_the_release_of_the_canary() -> None:
    template, canary = manifest("turnwatch-gate", "MetricTemplate"), manifest("asr", "Canary")
    (check,) = canary["spec"]["analysis"]["metrics"]
    query = template["spec"]["query"].replace("{{ variables.release }}", check["templateVariables"]["release"])
    assert fields_of(query) == {"release": "v42"}
    assert check["templateRef"]["name"] == template["metadata"]["name"]


def test_every_address_of_the_page_is_served() -> None:
    async def record(_: Any) -> None: ...

    app = application(Desk(lambda _: verdict(), record, GateMetrics(CollectorRegistry())), Access("x"))
    routes = {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource}
    (metric,) = manifest("turnwatch-gate", "AnalysisTemplate")["spec"]["metrics"]
    web, provider = metric["provider"]["web"], manifest("turnwatch-gate", "MetricTemplate")["spec"]["provider"]
    hooks = {each["type"]: each["url"] for each in manifest("asr", "Canary")["spec"]["analysis"]["webhooks"]}
    addressed = [(web["method"], web["url"]), ("GET", provider["address"] + "/api/v1/query")]
    addressed += [("POST", url) for url in hooks.values()]
    assert {(method, urlsplit(url).path) for method, url in addressed} <= routes
    assert {urlsplit(url).port for _, url in addressed} == {GatesSettings().port}
    assert (hooks["rollback"].rpartition("/")[2], hooks["confirm-promotion"].rpartition("/")[2]) == (
        "rollback",
        "confirm",
    )
    assert "confirm-traffic-increase" not in hooks


# -- GitHub ------------------------------------------------------------------------------------------------------------


def test_the_job_is_a_workflow_of_github() -> None:
    validator = Draft7Validator(get_builtin_schema("vendor.github-workflows"))
    assert [error.message for error in validator.iter_errors(WORKFLOW)] == []
    assert list(validator.iter_errors(WORKFLOW | {"jobs": {"gate": {"runs_on": "x"}}})) != []


@pytest.mark.parametrize(
    ("answers", "ends", "waits"),
    [((0,), 0, 0), ((1,), 1, 0), ((3, 3, 0), 0, 2), ((3, 1), 1, 1), ((2,), 2, 0), ((4,), 4, 0)],
)
def test_the_job_waits_at_a_pause_and_fails_at_everything_but_continue(
    tmp_path: Path, answers: tuple[int, ...], ends: int, waits: int
) -> None:
    (step,) = WORKFLOW["jobs"]["gate"]["steps"]
    codes = tmp_path / "codes"
    codes.write_text("".join(f"{code}\n" for code in answers))
    asked = f'echo "$@" >> {tmp_path}/asked\ncode=$(head -n 1 {codes})\nsed -i 1d {codes}\nexit "$code"\n'
    for name, script in (("turnwatch", asked), ("sleep", f"echo $1 >> {tmp_path}/slept\n")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "RELEASE": "v42"}
    # As GitHub runs a step: ends with the first command that fails.
    ended = subprocess.run(["bash", "-e", "-c", step["run"]], env=environment, check=False)
    slept = (tmp_path / "slept").read_text().splitlines() if waits else []
    assert (ended.returncode, slept) == (ends, ["300"] * waits)
    assert set((tmp_path / "asked").read_text().splitlines()) == {"gate --release v42 --format json"}
