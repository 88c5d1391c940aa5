"""Secrets are never printed, logged or named in a command line: every command is run with canaries for secrets."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel, SecretStr

from tests.rules.test_docs import COMMANDS
from tests.warm import turnwatch
from turnwatch.places import boards_url, grafana, notifications, places, read_by_grafana
from turnwatch.settings import Settings, load

NOBODY = "127.0.0.1:1"
BAD_INPUT = 2
CANARY = "canary-that-nobody-may-see"

TRACE = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,375,44\n2023-11-16 18:15:47.10,12,9\n"

SCRAPED = """{producer: scrape-1, region: eu-west-1, targets: [
  {url: "http://127.0.0.1:1/metrics", kind: vllm, host: gpu-07, pool: realtime, bundle: v2}]}"""

INVOICE = (
    "BilledCost,BillingCurrency,ChargeCategory,ChargePeriodStart,ChargePeriodEnd,SkuPriceId\n"
    "1,USD,Usage,2026-10-01T00:00:00Z,2026-10-02T00:00:00Z,gpu_hour/h100/reserved\n"
)

TODAY = datetime.now(UTC).date().isoformat()

RUN: dict[str, list[str]] = {
    "status": [],
    "down": [],
    "up": ["--kafka-port", "TAKEN"],
    "demo": ["--once", "--kafka-port", "TAKEN"],
    "prepare": [],
    "worker": [],
    "collector": ["--name", "eu-0", "--region", "eu-west-1", "--finish"],
    "otlp": ["--region", "eu-west-1", "--port", "0", "--topic", "otlp_metrics"],
    "query": ["SELECT 1"],
    "export": ["traffic", "--out", "traffic.parquet"],
    "simulate": ["--minutes", "1"],
    "replay": ["trace.csv"],
    "scrape": ["scrape.yaml"],
    "ingest": ["turns.ndjson", "--region", "eu-west-1"],
    "provision": ["--dry-run"],
    "dead-letters": [],
    "redrive": ["--dry-run"],
    "backtest": ["--slo", "turn-4000ms-realtime", "--data", "1d"],
    "board": ["--port", "TAKEN", "--no-open"],
    "report": ["--from", "1d", "--out", "report.html"],
    "capacity": ["--data", "1d"],
    "backfill": ["--cut", "region,bundle", "--data", "1d"],
    "cost why": ["--old", "7d", "--new", "1d"],
    "drift why": ["--old", "2026-10-01", "--new", "2026-10-02"],
    "exclude add": [
        *("--slo", "all", "--from", f"{TODAY}T00:00Z", "--to", f"{TODAY}T01:00Z", "--who", "ana", "--why", "drill"),
    ],
    "exclude list": [],
    "keys create": ["ring.json"],
    "keys show": ["ring.json"],
    "keys rotate": ["ring.json"],
    "exclude withdraw": ["5b3f0c2a9d11", "--who", "ana", "--why", "drill"],
    "release declare": ["release.yaml", "--who", "ana"],
    "release list": [],
    "gate": ["--release", "v42"],
    "gates serve": ["--port", "TAKEN"],
    "gates list": [],
    "cost bill": ["--data", "1d"],
    "cost export": ["--data", "1d"],
    "cost reconcile": ["invoice.csv"],
}
"""What each command that reads settings is given here, so that it fails soon and starts nothing."""

READS_NO_SECRET = {
    "check",
    "scenarios",
    "render",
    "routes test",
    "burn",
    "peak",
    "saturation",
    "cost",
    "rollback",
}


def secrets(section: type[BaseModel] = Settings, prefix: str = "TURNWATCH_") -> Iterator[str]:
    """The variable of every secret that the settings declare."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from secrets(field.annotation, f"{prefix}{name.upper()}__")
        elif SecretStr in (field.annotation, *get_args(field.annotation)):
            yield f"{prefix}{name.upper()}"


def everything_secret(folder: Path, **others: str) -> dict[str, str]:
    """Settings with a canary for every secret, of servers that are away."""
    settings = dict.fromkeys(secrets(), CANARY)
    del settings["TURNWATCH_GRAFANA__TOKEN"], settings["TURNWATCH_ALERTMANAGER__TOKEN"]  # Instead of user and password.
    return settings | {
        "TURNWATCH_KAFKA__BOOTSTRAP": NOBODY,
        "TURNWATCH_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
        "TURNWATCH_KAFKA__SASL_MECHANISM": "PLAIN",
        "TURNWATCH_KAFKA__USERNAME": "ana",
        "TURNWATCH_KAFKA__CERTFILE": str(folder / "client.pem"),
        "TURNWATCH_KAFKA__KEYFILE": str(folder / "client.key"),
        "TURNWATCH_CLICKHOUSE__URL": f"https://ana@{NOBODY}/turnwatch",
        "TURNWATCH_ALERTMANAGER__URLS": f"https://{NOBODY}",
        "TURNWATCH_ALERTMANAGER__USERNAME": "ana",
        "TURNWATCH_GRAFANA__URL": f"https://{NOBODY}",
        "TURNWATCH_GRAFANA__USERNAME": "ana",
        "TURNWATCH_GRAFANA__CLICKHOUSE_URL": f"https://ana@{NOBODY}/turnwatch",
        "TURNWATCH_GRAFANA__ALERTMANAGER_URL": f"https://{NOBODY}",
        "TURNWATCH_GRAFANA__WEBHOOK_URL": f"https://{NOBODY}/{CANARY}",
        **others,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where commands run: a client's certificate whose key a canary opens, and a trace."""
    folder = tmp_path_factory.mktemp("canaries")
    (folder / "trace.csv").write_text(TRACE)
    (folder / "scrape.yaml").write_text(SCRAPED)
    (folder / "turns.ndjson").write_text("{}\n")
    (folder / "invoice.csv").write_text(INVOICE)
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-days", "2", "-subj", "/CN=ana", "-passout"]
    command += [f"pass:{CANARY}", "-keyout", str(folder / "client.key"), "-out", str(folder / "client.pem")]
    if shutil.which("openssl"):
        subprocess.run(command, check=True, capture_output=True)
    return folder


def written_in(folder: Path) -> str:
    """Everything that commands left in files."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "client.key"]
    return "".join(path.read_text(encoding="utf-8", errors="replace") for path in files)


def test_every_command_is_run_here_or_reads_no_secret() -> None:
    without_benchmarks = {name for name in COMMANDS if not name.startswith("bench ")}
    assert without_benchmarks - READS_NO_SECRET == set(RUN)


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("command", RUN)
def test_a_command_whose_servers_are_away_shows_no_secret(folder: Path, command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        arguments = [port if argument == "TAKEN" else argument for argument in RUN[command]]
        ended = turnwatch(folder, *command.split(), *arguments, **everything_secret(folder))
    assert CANARY not in ended.stdout + ended.stderr + written_in(folder)
    assert "Traceback" not in ended.stderr, ended.stderr


@pytest.mark.needs("openssl")
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TURNWATCH_KAFKA__KEY_PASSWORD", f"{CANARY}-that-is-wrong"),
        ("TURNWATCH_KAFKA__BOOTSTRAP", f"ana:{CANARY}@kafka:9092"),
        ("TURNWATCH_CLICKHOUSE__URL", f"https://ana:{CANARY}@warehouse/turnwatch"),
        ("TURNWATCH_CLICKHOUSE__URL", f"ana:{CANARY}@warehouse"),
        ("TURNWATCH_ALERTMANAGER__URLS", f"https://ana:{CANARY}@alertmanager"),
        ("TURNWATCH_GRAFANA__URL", f"https://ana:{CANARY}@grafana"),
        ("TURNWATCH_GRAFANA__TOKEN", CANARY),
        ("TURNWATCH_GRAFANA__CLICKHOUSE_URL", f"https://ana:{CANARY}@warehouse/turnwatch"),
        ("TURNWATCH_GRAFANA__WEBHOOK_URL", f"https://ana:{CANARY}@hooks"),
        ("TURNWATCH_GRAFANA__WEBHOOK_URL", CANARY),
        ("TURNWATCH_KAFKA", f'{{"password": "{CANARY}"'),
        ("TURNWATCH_PASSWORD", CANARY),
        ("TURNWATCH_KAFKA__PARTITIONS", CANARY),
    ],
)
def test_a_setting_that_is_refused_shows_no_secret(folder: Path, variable: str, value: str) -> None:
    command = "provision" if "GRAFANA" in variable else "prepare"
    ended = turnwatch(folder, command, **everything_secret(folder, **{variable: value}))
    assert ended.returncode == BAD_INPUT
    assert CANARY not in ended.stdout + ended.stderr + written_in(folder)
    assert "Traceback" not in ended.stderr, ended.stderr


@pytest.mark.needs("openssl")
def test_no_representation_shows_a_secret(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends up in a debugger, an assertion or somebody's log line."""
    for name, value in everything_secret(folder).items():
        monkeypatch.setenv(name, value)
    settings = load()
    known = (
        places(settings),
        grafana(settings),
        read_by_grafana(settings),
        notifications(settings),
        boards_url(settings),
    )
    assert CANARY not in repr(settings) + str(settings) + settings.model_dump_json() + repr(known)
    assert places(settings).kafka.password == grafana(settings).password == CANARY
