"""A real Prometheus for the length of a bench: on loopback, its data in a folder that goes with it.

It scrapes nothing. Samples come by remote write, rules from the caller. Its life is tied to ours (`stack/lifeline.py`).
"""

from __future__ import annotations

import http.client
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

import yaml
from prometheus_client.parser import text_string_to_metric_families

from stack.clickhouse import answers_ok
from stack.machine import LOOPBACK, choose_ports
from stack.processes import Running, start, wait_until

HOW_TO_GET_IT = "Prometheus is not installed: `apt-get install prometheus`, or put `prometheus` in PATH."
STARTS_WITHIN_S = 30.0
ANSWERS_WITHIN_S = 60.0
_BEGAN, _TOOK = "prometheus_rule_group_last_evaluation_timestamp_seconds", "prometheus_rule_group_last_duration_seconds"


@dataclass(frozen=True, slots=True)
class Server:
    """A Prometheus that answers, and which process it is."""

    port: int
    running: Running

    def resident_bytes(self) -> int:
        """Its memory as the operating system accounts for it; 0 once it has ended: the next request says so."""
        process = self.running.process()
        return int(process.memory_info().rss) if process else 0

    def get(self, path: str) -> str:
        """What it answers at a path."""
        with closing(http.client.HTTPConnection(LOOPBACK, self.port, timeout=ANSWERS_WITHIN_S)) as connection:
            connection.request("GET", path)
            return connection.getresponse().read().decode()


def find_prometheus() -> Path | None:
    """The program, or `None`."""
    found = shutil.which("prometheus")
    return Path(found) if found else None


@contextmanager
def started(binary: Path, rules: Mapping[str, object]) -> Iterator[Server]:
    """A Prometheus that evaluates these rules; after the block, however it ends, neither it nor its folder is there."""
    with ending_on_sigterm(), tempfile.TemporaryDirectory(prefix="turnwatch-bench-") as folder:
        server = _start(Path(folder), binary, rules)
        try:
            wait_until(lambda: answers_ok(server.port, "/-/ready"), server.running, STARTS_WITHIN_S)
            yield server
        finally:
            server.running.stop()


def _start(folder: Path, binary: Path, rules: Mapping[str, object]) -> Server:
    (folder / "rules.yaml").write_text(yaml.safe_dump(dict(rules)), encoding="utf-8")
    (folder / "prometheus.yml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"]}), encoding="utf-8")
    (port,) = choose_ports((0,))
    command = [
        str(binary),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={LOOPBACK}:{port}",
        "--web.enable-remote-write-receiver",
    ]
    return Server(port, start("Prometheus", command, folder / "prometheus.log", "parent"))


def evaluations(shown: str) -> Iterator[tuple[str, float, float]]:
    """Of each group the newest evaluation at `/metrics`: when it began (0 before the first), and how many seconds it took."""
    told: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(shown):
        if family.name in (_BEGAN, _TOOK):
            for sample in family.samples:
                told.setdefault(sample.labels["rule_group"].rpartition(";")[2], {})[family.name] = sample.value
    yield from ((group, values[_BEGAN], values[_TOOK]) for group, values in told.items())


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does: Prometheus and its folder go first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
