"""The local stack starts as one, is known by what runs, and leaves nothing behind, however it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from stack import processes
from stack.alertmanager import PAGER_URL, Alertmanager, paging_to
from stack.failures import StackFailure
from stack.local import addresses, recorded, stack_status, start_stack, stop_stack
from stack.processes import Running

OWNER = """
import sys
from pathlib import Path
from stack.local import start_stack
start_stack(Path(sys.argv[1]), lifetime=sys.argv[2])
print("up", flush=True)
sys.stdin.read()
"""


SUPERVISED = """
import os, subprocess, sys
server = [sys.executable, "-c", "import os, sys; print(os.getpid(), flush=True); sys.stdin.read()"]
supervisor = subprocess.Popen([sys.executable, sys.argv[1], "supervisor", str(os.getpid()), *server])
print(supervisor.pid, flush=True)
supervisor.wait()
"""


def start_owner(run_dir: Path, lifetime: str) -> subprocess.Popen[bytes]:
    """A process of its own that starts a stack, says so, and lives until its standard input ends."""
    command = [sys.executable, "-c", OWNER, str(run_dir), lifetime]
    owner = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert owner.stdout and owner.stdout.readline() == b"up\n"
    return owner


def wait_for_end(running: list[Running]) -> None:
    for each in running:
        if process := each.process():
            process.wait(30)


def test_a_stack_is_healthy_once_started_and_gone_once_closed(tmp_path: Path) -> None:
    with start_stack(tmp_path) as stack:
        servers = [each.running for each in recorded(tmp_path)]
        statuses = {each.kind: each.is_healthy for each in stack_status(tmp_path)}
        assert statuses["kafka"] and statuses["clickhouse"]
        assert addresses(tmp_path)["kafka"] == stack.kafka.bootstrap
        assert addresses(tmp_path)["clickhouse"] == stack.clickhouse.url
        with pytest.raises(StackFailure, match=r"already runs.*turnwatch down"):
            start_stack(tmp_path)
        assert stack.kafka.is_healthy()
    assert [each.process() for each in servers] == [None] * len(servers)
    assert addresses(tmp_path) == {}


def test_a_killed_owner_takes_its_servers_along_and_the_next_start_works(tmp_path: Path) -> None:
    owner = start_owner(tmp_path, "parent")
    servers = [each.running for each in recorded(tmp_path)]
    owner.kill()
    owner.communicate()
    wait_for_end(servers)
    assert all("ended" in status.remedy for status in stack_status(tmp_path) if status.address)
    with start_stack(tmp_path) as stack:
        assert stack.kafka.is_healthy()


def test_a_detached_stack_outlives_its_owner_until_it_is_stopped(tmp_path: Path) -> None:
    owner = start_owner(tmp_path, "detached")
    try:
        owner.communicate(b"")
        assert {"kafka", "clickhouse"} <= {each.kind for each in stack_status(tmp_path) if each.is_healthy}
        with pytest.raises(StackFailure, match="already runs"):
            start_stack(tmp_path)
    finally:
        stopped = stop_stack(tmp_path)
    assert {"Kafka", "ClickHouse"} <= set(stopped)
    assert stop_stack(tmp_path) == []


def test_one_server_that_cannot_start_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Running] = []
    start = processes.start

    def starting(*arguments: object, **options: object) -> Running:
        started.append(start(*arguments, **options))  # type: ignore[arg-type]  # passed on as given
        return started[-1]

    def failing(*_: object, **__: object) -> None:
        raise StackFailure("No Kafka today.")

    monkeypatch.setattr("stack.clickhouse.start", starting)
    monkeypatch.setattr("stack.local.start_kafka", failing)
    with pytest.raises(StackFailure, match="No Kafka today"):
        start_stack(tmp_path)
    assert [each.process() for each in started] == [None]
    assert addresses(tmp_path) == {}


def test_a_recycled_pid_is_not_ours_and_not_killed(tmp_path: Path) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        began_s = psutil.Process(bystander.pid).create_time()
        recycled = Running("Kafka", bystander.pid, began_s - 3_600, tmp_path / "kafka.log")
        recycled.stop()
        assert recycled.process() is None
        assert replace(recycled, started_s=began_s).process()
        assert bystander.poll() is None
    finally:
        bystander.communicate(b"")


@pytest.mark.parametrize("ending", ["its parent is killed", "it is asked to end"])
def test_a_supervised_server_ends_when(ending: str) -> None:
    """The way of systems without a death signal, and of starts outside of the main thread."""
    owner = subprocess.Popen(
        [sys.executable, "-c", SUPERVISED, str(processes.LIFELINE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert owner.stdout
    pids = sorted(int(owner.stdout.readline()) for _ in range(2))
    supervisor, server = (psutil.Process(pid) for pid in pids)
    if ending == "its parent is killed":
        owner.kill()
    else:
        supervisor.terminate()
    server.wait(30)
    supervisor.wait(30)
    owner.communicate()


def test_a_state_file_that_is_not_ours_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text(json.dumps({"servers": [{"kind": "kafka"}]}))
    with pytest.raises(StackFailure, match="is not what turnwatch wrote"):
        addresses(tmp_path)


@pytest.mark.needs("prometheus-alertmanager")
def test_alertmanager_runs_with_the_repositorys_configuration(alertmanager_server: Alertmanager) -> None:
    assert alertmanager_server.is_healthy()


def test_only_the_pagers_address_differs_from_the_repositorys_configuration(tmp_path: Path) -> None:
    configuration = tmp_path / "alertmanager.yml"
    configuration.write_text(f"receivers: [{{url: {PAGER_URL}}}]\n")
    mine = "http://127.0.0.1:4242/page"
    assert paging_to(mine, configuration) == f"receivers: [{{url: {mine}}}]\n"
    assert paging_to(None, configuration) == configuration.read_text()
    configuration.write_text("receivers: []\n")
    with pytest.raises(StackFailure, match="names no webhook"):
        paging_to(mine, configuration)
