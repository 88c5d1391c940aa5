"""What goes wrong is told in one sentence on standard error, with the exit code that says whose it is to mend."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from alerts.openslo import SHIPPED_SLOS
from alerts.price_document import SHIPPED_PRICES
from schemas.warehouse import ClickHouseAddress
from stack.clickhouse import ClickHouseServer
from stream_jobs.sinks.clickhouse import WarehouseError, connect
from tests.integration.commands import surrounded
from tests.warm import turnwatch

FAILED, BAD_INPUT, NO_ANSWER = 1, 2, 4
NOBODY = "127.0.0.1:1"
AWAY = {"TURNWATCH_KAFKA__BOOTSTRAP": NOBODY, "TURNWATCH_CLICKHOUSE__URL": f"http://{NOBODY}"}


def sentence(ended: subprocess.CompletedProcess[str], code: int) -> str:
    """The one line that was said, after checking that it is one, and the code."""
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    lines = ended.stderr.splitlines()
    assert len(lines) == 1, ended.stderr
    assert lines[0].startswith("turnwatch: ") and lines[0].endswith((".", "?"))
    return lines[0]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TURNWATCH_KAFKA__PARTITIONS", "zero"),
        ("TURNWATCH_KAFKA__PARTITIONS", "0"),
        ("TURNWATCH_KAFKA__BOOTSTRP", "kafka:9092"),
        ("TURNWATCH_KAFKA__SECURITY_PROTOCOL", "TELNET"),
        ("TURNWATCH_CLOCK", "sundial"),
        ("TURNWATCH_CLOK", "wall"),
        ("TURNWATCH_CLICKHOUSE_PASSWORD", "one underscore too few"),
        ("TURNWATCH_KAFKA", '{"bootstrap": "kafka:9092"}'),
        ("TURNWATCH_METRICS__PORT", "99999"),
        ("TURNWATCH_CAPACITY__TARGET_UTILIZATION", "much"),
    ],
)
def test_a_bad_setting_is_named(tmp_path: Path, variable: str, value: str) -> None:
    assert variable in sentence(turnwatch(tmp_path, "status", **{variable: value}), BAD_INPUT)


def test_capacity_figures_that_cannot_be_are_refused_before_anything_starts(tmp_path: Path) -> None:
    setting = {"TURNWATCH_CAPACITY__GPU_SECONDS_PER_AUDIO_SECOND": "-1"}
    assert "cannot be negative" in sentence(turnwatch(tmp_path, "worker", **AWAY, **setting), BAD_INPUT)


def test_a_price_list_that_cannot_be_is_refused_before_anything_starts(tmp_path: Path) -> None:
    prices = tmp_path / "ours.yaml"
    prices.write_text(SHIPPED_PRICES.read_text().replace("usd: 4.10", "usd: -4.10"))
    said = sentence(turnwatch(tmp_path, "worker", **AWAY, TURNWATCH_PRICES=str(prices)), BAD_INPUT)
    assert "TURNWATCH_PRICES: ours.yaml:" in said and "-4.10 is no price in US dollars" in said


@pytest.mark.parametrize("command", ["worker", "prepare"])
def test_without_a_stack_or_settings_it_is_said_what_to_set(tmp_path: Path, command: str) -> None:
    said = sentence(turnwatch(tmp_path, command), BAD_INPUT)
    assert "TURNWATCH_KAFKA__BOOTSTRAP" in said and "turnwatch up" in said


def test_a_query_without_clickhouse_says_what_to_set(tmp_path: Path) -> None:
    said = sentence(turnwatch(tmp_path, "query", "SELECT 1"), BAD_INPUT)
    assert "TURNWATCH_CLICKHOUSE__URL" in said and "turnwatch up" in said


def test_status_and_down_of_nothing(tmp_path: Path) -> None:
    status, down = turnwatch(tmp_path, "status"), turnwatch(tmp_path, "down")
    assert (status.returncode, status.stderr) == (FAILED, "") and "turnwatch up" in status.stdout
    assert (down.returncode, down.stderr) == (0, "") and "No local stack" in down.stdout


@pytest.mark.parametrize("command", [["prepare"], ["simulate", "--minutes", "1"]])
def test_a_kafka_that_is_away_is_named(tmp_path: Path, command: list[str]) -> None:
    assert f"Kafka at {NOBODY}" in sentence(turnwatch(tmp_path, *command, **AWAY), FAILED)


def test_a_worker_whose_kafka_is_away_ends_with_a_sentence(tmp_path: Path) -> None:
    """Its standard error is its log; the sentence comes last."""
    ended = turnwatch(tmp_path, "worker", **AWAY)
    assert ended.returncode == FAILED
    assert "Traceback" not in ended.stderr and "Unclosed" not in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith(f"turnwatch: Kafka at {NOBODY} cannot be reached")


def test_a_clickhouse_that_is_away_is_named(tmp_path: Path) -> None:
    assert f"ClickHouse at http://{NOBODY}" in sentence(turnwatch(tmp_path, "query", "SELECT 1", **AWAY), FAILED)


@pytest.mark.parametrize(
    ("command", "server"),
    [
        ("gate --release v42", f"ClickHouse at http://{NOBODY}"),
        ("drift why --old 2026-10-01 --new 2026-10-08", f"ClickHouse at http://{NOBODY}"),
        ("release list", f"Kafka at {NOBODY}"),
        ("gates list", f"Kafka at {NOBODY}"),
    ],
)
def test_what_pipelines_ask_ends_with_a_code_of_its_own_where_servers_are_away(
    tmp_path: Path, command: str, server: str
) -> None:
    said = sentence(turnwatch(tmp_path, *command.split(), **AWAY), NO_ANSWER)
    assert server in said and "cannot be reached" in said


def test_a_clickhouse_that_takes_connections_and_says_nothing_is_not_waited_for_as_long_as_for_an_answer() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = ClickHouseAddress(f"http://127.0.0.1:{silent.getsockname()[1]}/none", read_timeout_s=1.0)
        with pytest.raises(WarehouseError, match="did not answer in time"):
            connect(address, read_timeout_s=3_600.0)


def test_a_url_that_cannot_be_meant_is_refused_without_its_password(tmp_path: Path) -> None:
    away = AWAY | {"TURNWATCH_CLICKHOUSE__URL": "ftp://ana:open-sesame@warehouse"}
    said = sentence(turnwatch(tmp_path, "query", "SELECT 1", **away), BAD_INPUT)
    assert "http://" in said and "open-sesame" not in said


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = sentence(turnwatch(tmp_path, "up", "--kafka-port", port), FAILED)
        assert port in said and "another port" in said
        assert "No local stack" in turnwatch(tmp_path, "status").stdout
        said = sentence(turnwatch(tmp_path, "worker", **AWAY, TURNWATCH_METRICS__PORT=port), FAILED)
        assert port in said and "TURNWATCH_METRICS__PORT" in said


def test_a_run_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "occupied").write_text("a file")
    folder = str(tmp_path / "occupied" / "run")
    assert str(tmp_path / "occupied") in sentence(turnwatch(tmp_path, "up", TURNWATCH_RUN_DIR=folder), FAILED)


def test_an_unknown_scenario_is_answered_with_those_there_are(tmp_path: Path) -> None:
    said = sentence(turnwatch(tmp_path, "simulate", "--scenario", "rush-hour"), BAD_INPUT)
    assert "rush-hour" in said and "canary" in said and "quiet" in said


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "no such file"),
        ("hello, world\n", "line 1"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,375,44\nyesterday,many,9\n", "line 3"),
        ("", "empty"),
    ],
    ids=["absent", "something else", "broken further down", "empty"],
)
def test_a_trace_that_cannot_be_read_is_told_by_file_and_line_before_anything_starts(
    tmp_path: Path, content: str | None, told: str
) -> None:
    trace = tmp_path / "trace.csv"
    if content is not None:
        trace.write_text(content)
    said = sentence(turnwatch(tmp_path, "replay", str(trace)), BAD_INPUT)
    assert str(trace) in said and told in said
    assert not (tmp_path / ".turnwatch").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["demo", "--speed", "0"],
        ["demo", "--speed", "inf"],
        ["replay", "x", "--speed", "nan"],
        ["replay", "x", "--speed", "inf"],
        ["simulate", "--speed", "1e999"],
        ["simulate", "--minutes", "inf"],
        ["simulate", "--minutes", "nan"],
        ["up", "--kafka-port", "99999"],
        ["query"],
        ["dance"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_bad_input(tmp_path: Path, arguments: list[str]) -> None:
    assert sentence(turnwatch(tmp_path, *arguments), BAD_INPUT).endswith(" --help.")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["cost"], "Give --old and --new, or --routes alone: see turnwatch cost --help."),
        (["burn", "x.csv", "--window", "0"], "--window: this has to be greater than or equal to 1: see turnwatch burn"),
        (["burn", "none.csv"], "points: file 'none.csv' does not exist: see turnwatch burn --help."),
        (["cost", "bill", "--by", "pol"], "--by: 'pol' is not one of 'tenant', 'route'"),
        (["cost", "bill"], "Missing option '--data': see turnwatch cost bill --help."),
    ],
)
def test_wrong_usage_is_one_sentence(tmp_path: Path, arguments: list[str], told: str) -> None:
    (tmp_path / "x.csv").touch()
    assert sentence(turnwatch(tmp_path, *arguments), BAD_INPUT).startswith(f"turnwatch: {told}")


def test_without_a_word_of_what_to_do_the_help_is_shown(tmp_path: Path) -> None:
    ended = turnwatch(tmp_path, "keys")
    assert ended.returncode == BAD_INPUT and "Usage:" in ended.stderr and "Traceback" not in ended.stderr


def test_sql_that_clickhouse_refuses_is_told_in_its_words(tmp_path: Path, clickhouse_server: ClickHouseServer) -> None:
    there = {"TURNWATCH_CLICKHOUSE__URL": ClickHouseAddress(clickhouse_server.url).url}
    said = sentence(turnwatch(tmp_path, "query", "SELECT turns FROM no_such_table", **there), BAD_INPUT)
    assert "no_such_table" in said
    said = sentence(turnwatch(tmp_path, "query", "DROP TABLE traffic_1m", **there), BAD_INPUT)
    assert "only reads" in said
    answered = turnwatch(tmp_path, "query", "SELECT 6 * 7 AS answer", "--format", "json", **there)
    assert (answered.returncode, answered.stdout, answered.stderr) == (0, '[\n{"answer":42}\n]\n', "")


WITH_SLOS_IN = """
import sys
from pathlib import Path
from alerts import check, definitions, openslo
here = Path(sys.argv.pop(1))
for reading in (openslo.load_slos, definitions.watched_slos, check.check, check.notes):
    reading.__defaults__ = (here, *reading.__defaults__[1:])
from turnwatch.cli import main
main()
"""


def with_slos(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command with the shipped SLO files swapped for those of `folder`."""
    return subprocess.run(
        [sys.executable, "-c", WITH_SLOS_IN, str(folder), *arguments],
        cwd=folder,
        env=surrounded(environment),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", ["worker", "render"])
def test_an_slo_file_with_a_typo_is_told_by_file_line_and_what_was_meant(tmp_path: Path, command: str) -> None:
    slos = tmp_path / "slos"
    shutil.copytree(SHIPPED_SLOS, slos)
    broken = slos / "turn_4000ms.yaml"
    broken.write_text(broken.read_text().replace("turn_4000ms_bad", "turn_4000ms_bda", 1))
    said = sentence(with_slos(slos, command, **AWAY), BAD_INPUT)
    assert "turn_4000ms.yaml:" in said and "turn_4000ms_bda" in said and "turn_4000ms_bad" in said


def test_check_finds_the_same_typo(tmp_path: Path) -> None:
    slos = tmp_path / "slos"
    shutil.copytree(SHIPPED_SLOS, slos)
    broken = slos / "abandonment.yaml"
    broken.write_text(broken.read_text().replace("objectives:", "objectivs:", 1))
    ended = with_slos(slos, "check")
    assert ended.returncode == FAILED and ended.stderr == ""
    assert "abandonment.yaml:" in ended.stdout and "objectivs" in ended.stdout and "`objectives`" in ended.stdout
