"""The runbook's queries can be pasted, run on the tables as they are, and lead to the cause of an incident."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts.check import REPOSITORY
from alerts.openslo import load_slos
from alerts.policies import policy_for, shown
from schemas.tables import TABLES
from tests.rules.burning import TURN_SLO

RUNBOOK = (REPOSITORY / "docs" / "runbooks" / "slo-burn-rate.md").read_text()
COMMANDS = re.findall(r"```sh\n(.*?)```", RUNBOOK, flags=re.DOTALL)

NOW = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
MINUTES = 70
INCIDENT_MIN = 10
"""For so long the canary has been slow in its LLM stage."""
SLOW_BUCKET, USUAL_BUCKET = 832, 750
"""At scale 6: about 8.2 s and 3.4 s."""

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
    return filled | judged()


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
        {"alert": "a", "slo": TURN_SLO.name, "state": state, "starts_event": "2026-03-01 02:50:00", "version": version}
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
def answers() -> list[list[Row]]:
    """What the real engine answers to each query of the runbook; in a process of its own, as chDB allows one each."""
    asked = json.dumps({"statements": statements(), "queries": [shlex.split(command)[2] for command in COMMANDS]})
    ran = subprocess.run([sys.executable, "-c", ENGINE], input=asked, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    found: list[list[Row]] = json.loads(ran.stdout)
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_a_query_can_be_pasted_into_a_shell(command: str) -> None:
    program, verb, sql = shlex.split(command)
    assert (program, verb) == ("turnwatch", "query")
    assert not set(sql) & set("$`\\!"), "a shell would change these inside double quotes"


def test_the_first_query_shows_what_burns_now_worst_first(answers: list[list[Row]]) -> None:
    found = [(row["slice"], row["window"], row["burning"]) for row in answers[0]]
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
    for slo in load_slos():
        for row in policy_for(slo).rows:
            (line,) = [line for line in RUNBOOK.splitlines() if line.startswith(f"| {row.severity} | `{row.name}` |")]
            assert row.name.startswith("outage") or f"above {shown(row.factor)} |" in line
