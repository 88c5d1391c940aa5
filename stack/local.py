"""The local stack as one thing: Kafka, ClickHouse and, where it is installed, Alertmanager.

    with start_stack(run_dir) as stack:            # the demo, tests: ends with the block, and with the process
        stack.kafka.bootstrap, stack.clickhouse.url

    start_stack(run_dir, lifetime="detached")      # `turnwatch up`; `stop_stack(run_dir)` is `turnwatch down`

What runs is written to `stack.json` in the run folder: each server's pid with its start time, its address, its log. The
folder's lock is a `flock` that the servers inherit. So it is held for as long as any of them, or their starter, lives,
and nothing has to be cleaned up for it to be free again.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit

from stack.alertmanager import HOW_TO_GET_IT, Alertmanager, start_alertmanager
from stack.clickhouse import CHECKOUT, ClickHouseServer, answers_ok, start_clickhouse
from stack.failures import StackFailure
from stack.kafka import KafkaBroker, broker_answers, start_kafka
from stack.processes import Lifetime, Running

RUN_DIR = Path(".turnwatch")
ALERTMANAGER_CONFIGURATION = CHECKOUT / "alerts" / "alertmanager.yml"
ENDING_S = 5.0
"""How long the last of a killed owner's processes may take to let go of the run folder."""
STATE, LOCK = "stack.json", "lock"

Kind = Literal["kafka", "clickhouse", "alertmanager"]


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports to listen on; 0 is a free one."""

    kafka: int = 0
    clickhouse: int = 0
    alertmanager: int = 0


@dataclass(frozen=True, slots=True)
class Recorded:
    """A server of the stack as `stack.json` remembers it."""

    kind: Kind
    address: str
    running: Running

    def is_healthy(self) -> bool:
        return self.running.process() is not None and PROBES[self.kind](self.address)


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """How one server is. `remedy` is empty where nothing has to be done."""

    kind: Kind
    address: str
    is_healthy: bool
    remedy: str


PROBES: dict[Kind, Callable[[str], bool]] = {
    "kafka": broker_answers,
    "clickhouse": lambda url: answers_ok(urlsplit(url).port or 0, "/ping"),
    "alertmanager": lambda url: answers_ok(urlsplit(url).port or 0, "/-/ready"),
}


@dataclass(frozen=True, slots=True)
class LocalStack:
    """A running stack, healthy from the moment one has it. `alertmanager` is `None` where it is not installed."""

    run_dir: Path
    kafka: KafkaBroker
    clickhouse: ClickHouseServer
    alertmanager: Alertmanager | None
    lock: int

    def close(self) -> None:
        """Stop every server, and forget the stack."""
        stop_recorded(self.run_dir)
        os.close(self.lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def start_stack(
    run_dir: Path = RUN_DIR,
    ports: Ports | None = None,
    lifetime: Lifetime = "parent",
    pager_url: str | None = None,
    alertmanager_configuration: Path = ALERTMANAGER_CONFIGURATION,
) -> LocalStack:
    """Start all servers at the same time and wait until each answers; if one does not, none stays.

    With lifetime "parent" call it from the main thread: see `lifeline.py`.
    """
    run_dir, ports = run_dir.absolute(), ports or Ports()
    with ExitStack() as on_failure:
        lock = take_lock(run_dir)
        on_failure.callback(os.close, lock)
        stop_recorded(run_dir)  # What a crash left.
        on_failure.callback(stop_recorded, run_dir)
        # Kafka last: its first start formats its folder, and meanwhile the others come up.
        clickhouse = start_clickhouse(run_dir, ports.clickhouse, lifetime=lifetime)
        record(run_dir, Recorded("clickhouse", clickhouse.url, clickhouse.running))
        alertmanager = start_alertmanager(
            run_dir, alertmanager_configuration, pager_url, ports.alertmanager, lifetime=lifetime
        )
        if alertmanager:
            record(run_dir, Recorded("alertmanager", alertmanager.url, alertmanager.running))
        kafka = start_kafka(run_dir, ports.kafka, lifetime=lifetime)
        record(run_dir, Recorded("kafka", kafka.bootstrap, kafka.running))
        for server in (clickhouse, alertmanager, kafka):
            if server:
                server.wait_until_healthy()
        on_failure.pop_all()
    return LocalStack(run_dir, kafka, clickhouse, alertmanager, lock)


def take_lock(run_dir: Path) -> int:
    """Take the run folder for this process and the servers it starts, or say who has it."""
    run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(run_dir / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    if not is_locked_soon(lock, run_dir):
        os.close(lock)
        running = ", ".join(f"{server.running.name} at {server.address}" for server in recorded(run_dir))
        message = f"A local stack already runs in {run_dir} ({running or 'it is just starting'})."
        raise StackFailure(f"{message} `turnwatch status` shows it, `turnwatch down` ends it.")
    os.set_inheritable(lock, True)
    return lock


def is_locked_soon(lock: int, run_dir: Path) -> bool:
    """Whether the lock is ours now, or once those have let go who are just ending with a killed owner."""
    deadline = time.monotonic() + ENDING_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if addresses(run_dir) or time.monotonic() > deadline:
                return False
            time.sleep(0.05)


def stop_stack(run_dir: Path = RUN_DIR) -> list[str]:
    """Stop what runs in a run folder; the names of what was stopped, none if nothing ran."""
    return stop_recorded(run_dir.absolute())


def stop_recorded(run_dir: Path) -> list[str]:
    servers = recorded(run_dir)
    living = [server.running.name for server in servers if server.running.process()]
    for server in servers:
        server.running.request_end()
    for server in servers:
        server.running.stop()
    (run_dir / STATE).unlink(missing_ok=True)
    return living


def stack_status(run_dir: Path = RUN_DIR) -> list[ServerStatus]:
    """How every server of the stack is, and what to do about those that are not well."""
    servers = recorded(run_dir.absolute())
    statuses = [ServerStatus(each.kind, each.address, *health(each)) for each in servers]
    known = {each.kind for each in servers}
    if servers and "alertmanager" not in known:
        statuses.append(ServerStatus("alertmanager", "", False, HOW_TO_GET_IT))
    return statuses


def health(server: Recorded) -> tuple[bool, str]:
    if server.running.process() is None:
        return False, f"It has ended; its log is {server.running.log}. `turnwatch down`, then `turnwatch up`."
    if not server.is_healthy():
        return False, f"It runs (pid {server.running.pid}) but does not answer; its log is {server.running.log}."
    return True, ""


def addresses(run_dir: Path = RUN_DIR) -> dict[str, str]:
    """Where the servers of the run folder's stack are, by kind; empty where none runs."""
    return {each.kind: each.address for each in recorded(run_dir.absolute()) if each.running.process()}


def recorded(run_dir: Path) -> list[Recorded]:
    try:
        servers = json.loads((run_dir / STATE).read_text(encoding="utf-8"))["servers"]
        return [Recorded(each["kind"], each["address"], read_running(each["running"])) for each in servers]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        message = f"{run_dir / STATE} is not what turnwatch wrote ({error}): end its servers by hand and remove it."
        raise StackFailure(message) from error


def read_running(fields: dict[str, str]) -> Running:
    return Running(fields["name"], int(fields["pid"]), float(fields["started_s"]), Path(fields["log"]))


def record(run_dir: Path, server: Recorded) -> None:
    """Add a server to `stack.json`, whole or not at all."""
    servers = [as_json(each) for each in (*recorded(run_dir), server)]
    partial = run_dir / f"{STATE}.partial"
    partial.write_text(json.dumps({"servers": servers}, indent=2) + "\n", encoding="utf-8")
    partial.chmod(0o600)
    partial.replace(run_dir / STATE)


def as_json(server: Recorded) -> dict[str, object]:
    running = asdict(server.running) | {"log": str(server.running.log)}
    return {"kind": server.kind, "address": server.address, "running": running}
