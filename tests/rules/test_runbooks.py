"""Every alert of ours has a runbook; its queries can be pasted, run on the tables as they are, and lead to the cause."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from alerts.check import REPOSITORY
from alerts.openslo import load_slos
from alerts.policies import policy_for, shown
from schemas.families import DUPLEX
from schemas.metrics import WorkerMetrics
from schemas.slos import STANDARD_POLICY
from schemas.tables import TABLES
from tests.rules.burning import TURN_SLO
from tests.rules.test_imports import modules
from turnwatch.query_checks import queries_in

PAGES = sorted((REPOSITORY / "docs" / "runbooks").glob("*.md"))
RUNBOOK = (REPOSITORY / "docs" / "runbooks" / "slo-burn-rate.md").read_text()

SECTIONS = ("What it means", "The first five queries", "Likely causes", "Ways back", "When to escalate")


def commands_in(text: str) -> list[str]:
    """Every command of the text's blocks, each of which may go over several lines."""
    fences: list[str] = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    return [command.strip() for fence in fences for command in re.split(r"\n(?=turnwatch )", fence)]


COMMANDS = [command for page in PAGES for command in commands_in(page.read_text())]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)

NOW = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
MINUTES = 70
INCIDENT_MIN = 10
"""For so long the canary has been slow in its LLM stage."""
SLOW_BUCKET, USUAL_BUCKET = 832, 750
"""At scale 6: about 8.2 s and 3.4 s."""

LATE_BARGE_INS = "barge_in_latency_200ms"

Row = dict[str, Any]

ENGINE = """
import json, sys
from chdb.session import Session
asked, session = json.load(sys.stdin), Session()
session.query("CREATE DATABASE IF NOT EXISTS runbook; ")
session.query("USE runbook")
for statement in asked["statements"]:
    session.query(statement)
json.dump([json.loads(session.query(sql, "JSON").bytes())["data"] for sql in asked["queries"]], sys.stdout)
"""


def rows() -> dict[str, list[Row]]:
    """An hour in which every bundle is fine, and ten minutes in which the canary is not."""
    filled: dict[str, list[Row]] = {name: [] for name in ("burn_rate_1m", "stage_latency_1m", "traffic_1m")}
    for minute in range(MINUTES):
        at = {"bucket_start": (NOW - timedelta(minutes=MINUTES - minute)).strftime("%Y-%m-%d %H:%M:%S"), "version": 1}
        is_slow = minute >= MINUTES - INCIDENT_MIN
        for bundle, bad in (("v1", 1), ("v2-canary", 60 if is_slow else 1)):
            of = {"cut": "pool,bundle", "slice": f"pool=realtime,bundle={bundle}", **at}
            filled["burn_rate_1m"].append({**of, "indicator": "turn_4000ms", "bad": bad, "total": 200})
        fleet = {"cut": "pool", "slice": "pool=realtime", **at}
        filled["burn_rate_1m"].append({**fleet, "indicator": "turn_4000ms", "bad": 61 if is_slow else 2, "total": 400})
        filled["traffic_1m"].append({**fleet, "turns": 400, "tokens_in": 400_000, "audio_in_ms": 1_200_000})
        for stage in ("llm_first_token", "retrieval"):
            grew = is_slow and stage == "llm_first_token"
            for bucket, count in ((USUAL_BUCKET, 380), (SLOW_BUCKET if grew else USUAL_BUCKET + 1, 20)):
                histogram = {"scale": 6, "bucket_index": bucket, "observations": count}
                filled["stage_latency_1m"].append({**fleet, "stage": stage, **histogram})
    silent = silence()
    filled["traffic_1m"] += silent.pop("traffic_1m")
    of_duplex, of_privacy = duplex(), privacy()
    filled["burn_rate_1m"] += of_duplex.pop("burn_rate_1m") + of_privacy.pop("burn_rate_1m")
    filled["traffic_1m"] += of_privacy.pop("traffic_1m")
    told = judged()
    told["burn_windows"] += of_duplex.pop("burn_windows")
    return filled | told | silent | of_duplex | of_privacy | queues() | costs() | drift() | findings() | abuse()


def findings() -> dict[str, list[Row]]:
    """A saturation that was stated twice and fires, and one of the hour before that has ended."""
    rows = []
    for version, minute, state, queue in (
        (1, -60, "firing", "tts_first_audio"),
        (2, -50, "resolved", "tts_first_audio"),
        (3, -2, "firing", "llm_first_token"),
        (4, -1, "firing", "llm_first_token"),
    ):
        starts = NOW + timedelta(minutes=-60 if version < 3 else -2)
        at = {"starts_event": starts, "since": starts, "decided_event": NOW + timedelta(minutes=minute)}
        rows.append(
            {name: each.strftime("%Y-%m-%d %H:%M:%S") for name, each in at.items()}
            | {"question": "saturation", "alert": "Saturated", "finding": queue, "slice": "pool=realtime"}
            | {
                "labels": json.dumps({"queue": queue}),
                "facts": json.dumps({"depth": 100 * version, "replicas_missing": 2}),
            }
            | {"severity": "page", "state": state, "version": version}
        )
    return {"findings": rows}


def queues() -> dict[str, list[Row]]:
    """The canary's language model has been waited for since ten minutes ago, twenty after it was deployed; others are fine."""
    filled: list[Row] = []
    for minute in range(MINUTES):
        at = {"bucket_start": (NOW - timedelta(minutes=MINUTES - minute)).strftime("%Y-%m-%d %H:%M:%S"), "version": 1}
        slow_min = max(0, minute - (MINUTES - INCIDENT_MIN) + 1)
        for text, share in (
            ("pool=realtime", 2),
            ("pool=realtime,bundle=v1", 1),
            ("pool=realtime,bundle=v2-canary", 1),
        ):
            for queue in ("llm_first_token", "tts_first_audio"):
                grows = slow_min and queue == "llm_first_token" and not text.endswith("v1")
                depth = 40 * slow_min if grows else 2
                pair = {"depth": depth, "depth_to": depth, "depth_from": depth - 40 if grows else 2}
                served = {"arrivals": 600 * share + 40 * bool(grows), "served": 600 * share, "servers": 4 * share}
                busy = {"busy_ms": (230_000 if grows else 120_000) * share, "available_ms": 240_000 * share}
                rest = {
                    "batch_arrivals": 60 * bool(grows),
                    "kv_blocks": 1_000,
                    "kv_blocks_used": 500,
                    "batch_slots": 100,
                }
                cut = "pool,bundle" if "bundle" in text else "pool"
                filled.append({"cut": cut, "slice": text, "queue": queue, **pair, **served, **busy, **rest, **at})
    deployed = {"cut": "pool,bundle", "slice": "pool=realtime,bundle=v2-canary", "deployments": 4, "hosts": 4}
    at_deploy = {"bucket_start": (NOW - timedelta(minutes=30)).strftime("%Y-%m-%d %H:%M:%S"), "version": 1}
    return {"queues_1m": filled, "deployments_1m": [{**deployed, **at_deploy}]}


def drift() -> dict[str, list[Row]]:
    """Six hours in which one route's turns fail more often than a week before, and of another one too little is known."""
    filled: list[Row] = []
    for hour in range(12):
        at = {"bucket_start": (NOW - timedelta(hours=12 - hour)).strftime("%Y-%m-%d %H:%M:%S"), "version": 1}
        begun = {"since": (NOW - timedelta(hours=6)).strftime("%Y-%m-%d %H:%M:%S")} if hour >= 8 else {}
        for text, state, value in (
            ("pool=realtime", "drifted" if begun else "steady", 0.09 if hour >= 6 else 0.06),
            ("pool=batch", "not_enough", 0.5),
        ):
            of = {"cut": "pool", "slice": text, "measure": "failure_rate", "state": state, **at}
            samples = 12_000 if text == "pool=realtime" else 6
            figures = {"value": value, "reference_value": 0.06, "samples": samples, "reference_samples": 12_000}
            filled.append(
                {**of, **figures, "excess": 5.0 if hour >= 6 else 0.1, **(begun if state == "drifted" else {})}
            )
    return {"drift_1h": filled}


def costs() -> dict[str, list[Row]]:
    """Ten minutes of now and of a week before: the canary carries four times the context, and sales never succeeds."""
    spend: list[Row] = []
    uses: list[Row] = []
    for days, bundle, carried in ((0, "v2-canary", 800), (7, "v1", 200)):
        at = {"bucket_start": (NOW - timedelta(days=days)).strftime("%Y-%m-%d %H:%M:%S"), "version": 1}
        for route, turns, successes in (("support", 900, 800), ("sales", 100, 0), ("shared", 0, 0)):
            cell = {
                "region": "eu-west-1",
                "pool": "realtime",
                "route": route,
                "bundle": bundle,
                "model_version": "llm-1",
            }
            cell |= {"gpu_type": "h100", "purchase": "reserved"}
            text = ",".join(f"{name}={value}" for name, value in cell.items())
            row = {"cut": ",".join(cell), "slice": text, **cell, "turns": turns, "successes": successes, **at}
            money = {"used_nusd": turns * 10**6, "reserved_nusd": 0 if turns else 10**10, "uncosted_gpu_ms": 0}
            spend.append(row | money)
            tokens = {"tokens_prompt": 300 * turns, "tokens_carried": carried * turns}
            uses.append(row | {"attempts": turns, "gpu_used_ms": 900 * turns, **tokens})
    return {"spend_10m": spend, "costs_10m": uses}


def privacy() -> dict[str, list[Row]]:
    """Every second turn was looked at, and the canary, which began half an hour ago, had one error three minutes ago."""
    filled: dict[str, list[Row]] = {name: [] for name in ("burn_rate_1m", "burn_rate_10s", "traffic_1m")}
    for minute in range(MINUTES):
        at = {"bucket_start": (NOW - timedelta(minutes=MINUTES - minute)).strftime("%Y-%m-%d %H:%M:%S"), "version": 1}
        for bundle in ("", "v1", "v2-canary") if minute >= MINUTES - 30 else ("", "v1"):
            is_bundle = {"cut": "pool,bundle", "slice": f"pool=realtime,bundle={bundle}", "bundle": bundle}
            of = {"pool": "realtime", **(is_bundle if bundle else {"cut": "pool", "slice": "pool=realtime"}), **at}
            bad = int(minute == MINUTES - 3 and bundle != "v1")
            judged = {**of, "indicator": "privacy_error", "bad": bad, "total": 100 if bundle else 200}
            filled["burn_rate_1m"].append(judged)
            filled["burn_rate_10s"].append(judged)
            if bundle:
                filled["traffic_1m"].append({**of, "turns": 200})
    return filled


def abuse() -> dict[str, list[Row]]:
    """An hour in which a tenant has 20 synthetic voices a minute, and ten minutes in which it has 900, with unsafe tools."""
    tenants, outcomes = list[Row](), list[Row]()
    for minute in range(MINUTES):
        at = {"bucket_start": (NOW - timedelta(minutes=MINUTES - minute)).strftime("%Y-%m-%d %H:%M:%S"), "version": 1}
        is_burst = minute >= MINUTES - INCIDENT_MIN
        for tenant, voices in (("t-00000000000000aa", 900 if is_burst else 20), ("t-00000000000000bb", 5)):
            of = {"cut": "pool,tenant", "slice": f"pool=realtime,tenant={tenant}", "tenant": tenant, "pool": "realtime"}
            harm = {"tenant_tool_calls": 40, "tenant_tool_calls_unsafe": 9 if voices == 900 else 0}
            tenants.append({**of, **at, "tenant_synthetic_voices": voices, **harm})
        for cut, further in (("pool", {}), ("pool,route", {"route": "support"})):
            cell = {"pool": "realtime", **further}
            text = ",".join(f"{name}={value}" for name, value in cell.items())
            heard = {"outcomes": 2_000, "synthetic_voices": 905 if is_burst else 25, "errors": 3}
            outcomes.append({"cut": cut, "slice": text, **cell, **at, **heard})
    return {"tenants_1m": tenants, "outcomes_1m": outcomes}


def duplex() -> dict[str, list[Row]]:
    """An hour in which barge-ins are heard in time, and ten minutes in which the canary hears them late, and too many."""
    filled: dict[str, list[Row]] = {name: [] for name in ("burn_rate_1m", "duplex_events_1m")}
    for minute in range(MINUTES):
        at = {"bucket_start": (NOW - timedelta(minutes=MINUTES - minute)).strftime("%Y-%m-%d %H:%M:%S"), "version": 1}
        is_late = minute >= MINUTES - INCIDENT_MIN
        slices = (("", 15 if is_late else 1), (",bundle=v1", 0), (",bundle=v2-canary", 15 if is_late else 1))
        for behind, bad in slices:
            of = {
                "cut": "pool,bundle" if behind else "pool",
                "slice": f"pool=realtime{behind}",
                "pool": "realtime",
                **at,
            }
            filled["burn_rate_1m"].append(
                {**of, "indicator": LATE_BARGE_INS, "bad": bad, "total": 20 if behind else 40}
            )
        for kind, events in (("barge_in", 90 if is_late else 30), ("backchannel", 50)):
            of = {"cut": "pool,duplex_event", "slice": f"pool=realtime,duplex_event={kind}", "pool": "realtime", **at}
            filled["duplex_events_1m"].append({**of, "duplex_event": kind, "events": events})
    window = {"slo": "barge-in-latency-200ms-realtime", "slice": "pool=realtime", "window": "5m", "window_s": 300}
    at_end = {"decided_at": (NOW + timedelta(minutes=2)).strftime("%Y-%m-%d %H:%M:%S"), "burn": 7.5, "version": 1}
    return filled | {"burn_windows": [window | at_end]}


def silence() -> dict[str, list[Row]]:
    """A region whose producers have brought nothing for ten minutes, and one of them late."""

    def at(minute: int) -> str:
        return (NOW - timedelta(minutes=minute)).strftime("%Y-%m-%d %H:%M:%S")

    last_of = {"eu-west": 1, "us-east": 1 + INCIDENT_MIN}
    heard: list[Row] = [
        {"region": region, "slice": f"region={region}", "bucket_start": at(minute), "version": 1}
        for region, last in last_of.items()
        for minute in range(last, MINUTES)
    ]
    seen: list[Row] = [
        {"region": row["region"], "cut": "pool,region", "slice": f"pool=realtime,{row['slice']}", "turns": 200}
        | {"bucket_start": row["bucket_start"], "version": 1}
        for row in heard
    ]
    late: list[Row] = [
        {"producer": "collector-7", "bucket_start": at(30 + offset), "origin_topic": "aggregates.turns"}
        | {"origin_partition": 0, "origin_offset": offset, "slice": text, "version": 1}
        for offset in (1, 2)
        for text in ("pool=realtime", "pool=realtime,region=us-east")
    ]
    return {"heartbeats_10s": heard, "traffic_1m": seen, "turns_late": late}


def judged() -> dict[str, list[Row]]:
    """Two decided minutes of two slices, and two statements of one page."""
    windows = [
        {"slo": TURN_SLO.name, "slice": text, "window": window, "window_s": length_s, "burn": burn, "version": 1}
        | {"decided_at": (NOW + timedelta(minutes=minute)).strftime("%Y-%m-%d %H:%M:%S")}
        for minute in (1, 2)
        for text, burn in (("pool=realtime", 7.5 * minute), ("pool=realtime,bundle=v2-canary", 15.0 * minute))
        for window, length_s in (("5m", 300), ("1h", 3_600), ("30d", 2_592_000))
    ]
    pages = [
        {
            "alert": "a",
            "slo": TURN_SLO.name,
            "state": state,
            "incident": "realtime-loyw42s0",
            "starts_event": "2026-03-01 02:50:00",
            "version": version,
        }
        for version, state in ((1, "firing"), (2, "resolved"))
    ]
    return {"burn_windows": windows, "pages": pages}


def statements() -> list[str]:
    created = [
        f"CREATE TABLE {table.name} ({', '.join(f'`{column.name}` {column.type}' for column in table.columns)}) "
        f"ENGINE = ReplacingMergeTree(version) ORDER BY ({', '.join(table.order_by)})"
        for table in TABLES.values()
    ]
    inserted = [
        f"INSERT INTO {table} FORMAT JSONEachRow {' '.join(json.dumps(row) for row in filled)}"
        for table, filled in rows().items()
    ]
    return created + inserted


@pytest.fixture(scope="module")
def found() -> dict[str, list[list[Row]]]:
    """What the real engine answers to each page's queries; in a process of its own, as chDB allows one each."""
    queries = {page.stem: queries_in(page.read_text()) for page in PAGES}
    queries["findings"] = queries_in((REPOSITORY / "docs" / "saturation.md").read_text())
    asked = json.dumps({"statements": statements(), "queries": [sql for each in queries.values() for sql in each]})
    ran = subprocess.run([sys.executable, "-c", ENGINE], input=asked, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    answered = iter(json.loads(ran.stdout))
    return {page: [next(answered) for _ in sql] for page, sql in queries.items()}


@pytest.fixture
def answers(found: dict[str, list[list[Row]]]) -> list[list[Row]]:
    return found["slo-burn-rate"]


# -- every alert has a page ------------------------------------------------------------------------------------------


OF_FINDINGS = "alerts.finding_wording"
"""Makes alerts of whatever questions find: names and runbooks come with the findings."""


@cache
def alerting_modules() -> list[str]:
    """The modules that make alerts of a name: those that write the label `alertname`."""
    ours = (name for name in modules() if not name.startswith("tests") and name != OF_FINDINGS)
    return [name for name in ours if writes_alertname(name)]


def writes_alertname(module: str) -> bool:
    text = (REPOSITORY / Path(*module.split(".")).with_suffix(".py")).read_text()
    if "alertname" not in text:  # To parse them all takes seconds.
        return False
    keys = (node.keys for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Dict))
    return any(isinstance(key, ast.Constant) and key.value == "alertname" for each in keys for key in each)


def page_of(module: str) -> tuple[str, str]:
    """The alert that a module makes, and the runbook that it names."""
    made = importlib.import_module(module)
    return made.ALERT_NAME, getattr(made, "RUNBOOK", None) or made.RUNBOOK_DEFAULT


@pytest.mark.parametrize("module", alerting_modules())
def test_every_alert_has_a_runbook_with_its_name(module: str) -> None:
    alert, runbook = page_of(module)
    title = (REPOSITORY / runbook).read_text().splitlines()[0]
    assert title.startswith(f"# {alert}: ")


def test_the_alerts_are_found() -> None:
    assert {"SloBurnRateHigh", "TelemetrySilent", "TurnwatchDiverting", "Watchdog"} <= {
        alert for alert, _ in map(page_of, alerting_modules())
    }


def named_in_code() -> set[str]:
    """Every runbook that a module of ours names, such as those of findings."""
    sources = (REPOSITORY / Path(*name.split(".")).with_suffix(".py") for name in modules() if name[:5] != "tests")
    return {path for source in sources for path in re.findall(r'"(docs/runbooks/[a-z-]+\.md)"', source.read_text())}


def test_every_runbook_that_a_module_names_is_there() -> None:
    named = named_in_code()
    assert {"docs/runbooks/telemetry-silent.md", "docs/runbooks/watchdog.md"} <= named
    assert [path for path in sorted(named) if not (REPOSITORY / path).is_file()] == []


NAMED = {runbook for _, runbook in map(page_of, alerting_modules())} | {slo.runbook for slo in load_slos()}


@pytest.mark.parametrize("runbook", sorted(NAMED))
def test_a_runbook_has_what_the_on_call_needs_in_the_order_they_need_it(runbook: str) -> None:
    text = (REPOSITORY / runbook).read_text()
    headings = [line.removeprefix("## ").partition(",")[0] for line in text.splitlines() if line.startswith("## ")]
    assert tuple(headings) == SECTIONS
    queries = text.partition("## The first five queries")[2].partition("\n## ")[0]
    numbered = [number for number in range(1, 6) if re.search(rf"^\*\*{number}\. [^*]+\*\*", queries, re.MULTILINE)]
    assert numbered == [1, 2, 3, 4, 5]
    assert len(commands_in(queries)) >= len(numbered)
    assert re.search(r"^\d\. ", text.partition("## Ways back")[2], re.MULTILINE)
    assert re.search(r"^- ", text.partition("## When to escalate")[2], re.MULTILINE)


@each_page
def test_a_runbook_names_only_metrics_that_there_are(page: Path) -> None:
    registry = CollectorRegistry()
    WorkerMetrics(registry)
    known = {sample for family in registry.collect() for sample in (family.name, f"{family.name}_total")}
    named = set(re.findall(r"\bturnwatch_\w+", page.read_text()))
    assert named - known == set()


# -- the queries -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_can_be_pasted_into_a_shell(command: str) -> None:
    program, *arguments = shlex.split(command)
    assert program in ("turnwatch", "amtool")
    assert not set("".join(arguments)) & set("$`\\!"), "a shell would change these inside double quotes"


@each_page
def test_every_query_of_a_page_answers_something(page: Path, found: dict[str, list[list[Row]]]) -> None:
    assert [number for number, rows_found in enumerate(found[page.stem], 1) if not rows_found] == []


def test_the_runbook_of_cost_shows_what_a_success_costs_what_grew_and_who_never_succeeds(
    found: dict[str, list[list[Row]]],
) -> None:
    compared, hours, uses, useless, month = found["cost"]
    assert {(row["period"], row["bundle"], row["usd_per_success"]) for row in compared} == {
        ("now", "v2-canary", 10 / 800), ("a week before", "v1", 10 / 800),
    }  # fmt: skip
    assert [(row["usd"], row["used"]) for row in hours] == [(10.0, 0.1)]
    assert [(row["route"], row["carried_each"]) for row in uses] == [
        (route, carried) for route in ("sales", "support") for carried in (800, 200)
    ]
    assert [(row["route"], row["bundle"]) for row in useless] == [("sales", "v2-canary")]
    assert [(row["usd"], row["uncosted_gpu_hours"]) for row in month] == [(10.0, 0.0)]


def test_the_runbook_of_drift_shows_since_when_what_else_and_what_is_unknown(found: dict[str, list[list[Row]]]) -> None:
    hours, others, slices, deployed, days = found["drift"]
    assert [row["state"] for row in hours] == ["drifted"] * 4 + ["steady"] * 8
    assert [(row["slice"], row["value"], row["reference"]) for row in others] == [("pool=realtime", 0.09, 0.06)]
    assert [(row["slice"], row["state"]) for row in slices] == [
        ("pool=realtime", "drifted"),
        ("pool=batch", "not_enough"),
    ]
    assert {row["slice"] for row in deployed} == {"pool=realtime,bundle=v2-canary"}
    assert sum(int(row["samples"]) for row in days) == 12 * 12_000


def test_the_runbook_of_silence_shows_the_region_that_is_behind(found: dict[str, list[list[Row]]]) -> None:
    heartbeats, minutes, late, frozen = found["telemetry-silent"]
    assert [(row["region"], row["behind_s"]) for row in heartbeats] == [("us-east", 600), ("eu-west", 0)]
    assert {row["region"] for row in minutes[:9]} == {"eu-west"}
    assert {row["region"] for row in minutes[-4:]} == {"eu-west", "us-east"}
    assert [(row["producer"], row["frames"]) for row in late] == [("collector-7", 2)]
    assert [row["state"] for row in frozen] == ["resolved"]


def test_the_runbook_of_full_duplex_shows_who_hears_late_since_when_and_what_changed(
    found: dict[str, list[list[Row]]],
) -> None:
    burning, slices, minutes, kinds, others = found["duplex"]
    assert [(row["slo"], row["burning"]) for row in burning] == [("barge-in-latency-200ms-realtime", 7.5)]
    assert slices[0]["slice"] == "pool=realtime,bundle=v2-canary"
    assert [row["bad_percent"] for row in minutes] == [2.5] * (60 - INCIDENT_MIN) + [37.5] * INCIDENT_MIN
    assert [(row["duplex_event"], row["per_minute_now"]) for row in kinds] == [("barge_in", 70), ("backchannel", 50)]
    assert {row["indicator"] for row in others} == {LATE_BARGE_INS, "turn_4000ms", "privacy_error"}


def test_the_runbook_of_privacy_shows_where_when_and_in_which_release(found: dict[str, list[list[Row]]]) -> None:
    where, when, days, bundles, checked = found["privacy-error"]
    canary = "pool=realtime,bundle=v2-canary"
    assert [(row["slice"], row["errors"]) for row in where] == [("pool=realtime", 1), (canary, 1)]
    assert [(row["slice"], row["bucket_start"]) for row in when] == [(canary, "2026-03-01 02:57:00.000")]
    assert [(row["bundle"], row["errors"]) for row in days] == [("v2-canary", 1)]
    assert [row["bundle"] for row in bundles] == ["v2-canary", "v1"]
    assert {row["checked_percent"] for row in checked} == {50} and len(checked) == 60


def test_the_runbook_of_abuse_shows_who_since_when_with_what_harm_and_by_which_door(
    found: dict[str, list[list[Row]]],
) -> None:
    who, minutes, harm, doors, pool = found["abuse"]
    abuser = "pool=realtime,tenant=t-00000000000000aa"
    assert (who[0]["slice"], who[0]["now_a_minute"], who[0]["before_a_minute"]) == (abuser, 900, 20)
    voices = [int(row["synthetic"]) for row in minutes if row["slice"] == abuser]
    assert voices[:11] == [900] * 10 + [20]
    assert (harm[0]["slice"], int(harm[0]["unsafe_tools"])) == (abuser, 90)
    assert (doors[0]["slice"], doors[0]["percent"]) == ("pool=realtime,route=support", 45.2)
    assert [int(row["synthetic"]) for row in pool[:11]] == [905] * 10 + [25]


def test_the_runbook_of_saturation_shows_which_queue_grew_since_when_and_why(
    found: dict[str, list[list[Row]]],
) -> None:
    growing, since, moved, deployed, full = found["saturation"]
    canary = "pool=realtime,bundle=v2-canary"
    assert {(row["slice"], row["grown"], row["utilisation"]) for row in growing[:2]} == {
        ("pool=realtime", 200, 0.96),
        (canary, 200, 0.96),
    }
    model = [row["depth"] for row in since if row["queue"] == "llm_first_token"]
    assert model == [40 * minute for minute in range(INCIDENT_MIN, 0, -1)] + [2] * (30 - INCIDENT_MIN)
    now, before = moved
    assert (now["service_ms"], before["service_ms"]) == (383, 200)
    assert (now["replicas"], before["replicas"]) == (8, 8)
    assert [(row["slice"], row["hosts_begun"]) for row in deployed] == [(canary, 4)]
    assert full[0]["slice"] == canary and full[0]["batch_work_percent"] > 9


def test_the_page_on_saturation_shows_each_finding_as_it_was_stated_last(found: dict[str, list[list[Row]]]) -> None:
    (told,) = found["findings"]
    assert [(row["queue"], row["state"], row["depth"], row["replicas_missing"]) for row in told] == [
        ("llm_first_token", "firing", 400, 2), ("tts_first_audio", "resolved", 200, 2)
    ]  # fmt: skip


def test_the_page_on_saturation_names_the_columns_of_findings() -> None:
    page = (REPOSITORY / "docs" / "saturation.md").read_text()
    _, _, table = page.partition("| column of `findings` |")
    told = {
        name
        for line in table.partition("\n\n")[0].splitlines()[2:]
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert told == {column.name for column in TABLES["findings"].columns}


def test_the_runbook_of_full_duplex_names_every_objective_of_it_with_what_it_allows() -> None:
    page = (REPOSITORY / "docs" / "runbooks" / "duplex.md").read_text()
    for slo in load_slos():
        if slo.family is DUPLEX:
            (line,) = [
                line for line in page.splitlines() if line.startswith(f"| `{slo.name.removesuffix('-realtime')}` |")
            ]
            assert f"| `{slo.indicator.duplex_event}` |" in line
            assert f"{(100 * slo.budget_rate).normalize():f} %" in line
            assert f"'{slo.name}'" in page


def test_the_first_query_shows_what_burns_now_worst_first(answers: list[list[Row]]) -> None:
    found = [(row["slice"], row["window"], row["burning"]) for row in answers[0] if row["slo"] == TURN_SLO.name]
    assert sorted(found[:2]) == [("pool=realtime,bundle=v2-canary", window, 30) for window in ("1h", "5m")]
    assert sorted(found[2:]) == [("pool=realtime", window, 15) for window in ("1h", "5m")]


def test_the_second_query_puts_the_slice_to_blame_first(answers: list[list[Row]]) -> None:
    assert answers[1][0]["slice"] == "pool=realtime,bundle=v2-canary"
    assert [row["cut"] for row in answers[1]].count("pool,bundle") == 2


def test_the_third_query_shows_since_when(answers: list[list[Row]]) -> None:
    bad = [row["bad_percent"] for row in answers[2]]
    assert bad == [0.5] * (60 - INCIDENT_MIN) + [15.25] * INCIDENT_MIN


def test_the_fourth_query_puts_the_stage_that_grew_first(answers: list[list[Row]]) -> None:
    first, other = answers[3]
    assert (first["stage"], other["stage"]) == ("llm_first_token", "retrieval")
    assert first["p99_ms_now"] > 2 * first["p99_ms_before"]
    assert first["p50_ms_now"] == first["p50_ms_before"]
    assert other["p99_ms_now"] == other["p99_ms_before"]


def test_the_fifth_query_shows_the_load(answers: list[list[Row]]) -> None:
    assert len(answers[4]) == 60
    assert {(row["tokens_in_per_turn"], row["audio_s_per_s"]) for row in answers[4]} == {(1_000, 20)}


def test_the_history_shows_each_page_once_in_its_newest_state(answers: list[list[Row]]) -> None:
    assert [row["state"] for row in answers[5]] == ["resolved"]


def test_the_runbook_names_every_row_of_the_shipped_policy_with_its_burn() -> None:
    for slo in (each for each in load_slos() if each.policy == STANDARD_POLICY):
        for row in policy_for(slo).rows:
            (line,) = [line for line in RUNBOOK.splitlines() if line.startswith(f"| {row.severity} | `{row.name}` |")]
            assert row.name.startswith("outage") or f"above {shown(row.factor)} |" in line


def test_a_runbook_of_another_policy_names_its_rows_itself() -> None:
    others = [slo for slo in load_slos() if slo.policy != STANDARD_POLICY]
    assert {slo.indicator.name for slo in others} == {"privacy_error"}
    for slo in others:
        page = (REPOSITORY / slo.runbook).read_text()
        assert [
            row.name for row in policy_for(slo).rows if f"row `{row.name}` of policy `{slo.policy}`" not in page
        ] == []
