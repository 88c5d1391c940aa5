"""The recorder as a serving process has it: with its thread, over HTTP, through outages, exits, kills and forks."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from producers.observation_batches import Answer
from producers.recorder import Recorder
from schemas.failures import BadInput
from tests.recorder.hosts import CELL, KEY, FakeCollector
from tests.recorder.servers import Served, serving

PATIENCE_S = 20.0


def recorder(address: str, spool: Path, **more: Any) -> Recorder:
    return Recorder([address], KEY, spool, CELL, **{"name": "host-1", "flush_interval_s": 0.02, **more})


def turns(under_test: Recorder, count: int) -> None:
    for number in range(count):
        with under_test.turn(f"call-{number}") as turn, turn.stage("retrieval"):
            pass


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def test_a_collector_that_is_away_and_comes_back_has_everything_once_and_in_order(tmp_path: Path) -> None:
    served, port = Served(), free_port()
    with recorder(f"http://127.0.0.1:{port}", tmp_path) as under_test:
        turns(under_test, 10)
        until(lambda: _spooled_rows(tmp_path) == 10)
        turns(under_test, 10)
        until(lambda: _spooled_rows(tmp_path) == 20)
        with serving(served, port):
            until(lambda: under_test.totals().get("turns_taken") == 20)
        turns(under_test, 10)
        until(lambda: _spooled_rows(tmp_path) == 10)
        with serving(served, port):
            until(lambda: under_test.totals().get("turns_taken") == 30)
    numbers = [known[4] for known in served.collector.taken]
    assert numbers == list(range(len(numbers)))
    assert len(served.collector.rows()) == 30
    assert list(tmp_path.iterdir()) == []


def test_a_collector_that_says_wait_or_answers_html_is_tried_again(tmp_path: Path) -> None:
    served = Served(FakeCollector(answer=Answer(429, error="The outbox is full.", retry_after_s=1)))
    with serving(served) as address, recorder(address, tmp_path) as under_test:
        turns(under_test, 5)
        until(lambda: "failures_collector_full" in under_test.totals())
        served.page, served.collector.answer = b"<html>gateway</html>", None
        until(lambda: "failures_collector_away" in under_test.totals())
        served.page = b""
    assert len(served.collector.rows()) == 5
    assert under_test.totals()["turns_taken"] == 5, "closing tries at once"


SCRIPT = """
import sys, time
from producers.recorder import Recorder
address, spool, how = sys.argv[1:]
recorder = Recorder([address], b"a key of the region", spool, {"region": "eu-west-1", "pool": "realtime",
    "route": "support", "bundle": "v1"}, name="host-1", flush_interval_s=0.02 if how == "killed" else 3600)
for number in range(25):
    with recorder.turn(f"call-{number}"):
        pass
print("recorded", flush=True)
if how == "killed":
    time.sleep(60)
if how == "failing":
    raise SystemExit(3)
"""


def started(address: str, spool: Path, how: str) -> subprocess.Popen[str]:
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", SCRIPT, address, str(spool), how]
    return subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)}
    )


def test_what_a_process_that_was_killed_had_spooled_is_sent_by_the_next(tmp_path: Path) -> None:
    port = free_port()
    process = started(f"http://127.0.0.1:{port}", tmp_path, "killed")
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "recorded\n"
        until(lambda: _spooled_rows(tmp_path) == 25)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    served = Served()
    with serving(served, port) as address, recorder(address, tmp_path) as under_test:
        until(lambda: under_test.totals().get("turns_taken") == 25)
    (incarnation,) = {known[2] for known in served.collector.taken}
    assert incarnation < under_test.incarnation
    assert len(set(served.collector.rows()["session"])) == 25


def test_a_process_that_ends_sends_what_it_recorded(tmp_path: Path) -> None:
    """Nobody calls close, and a second does not pass: leaving the interpreter is enough, however it is left."""
    for how, code in (("ending", 0), ("failing", 3)):
        served = Served()
        with serving(served) as address:
            process = started(address, tmp_path, how)
            process.communicate(timeout=PATIENCE_S)
        assert process.returncode == code
        assert len(served.collector.rows()) == 25
    assert list(tmp_path.iterdir()) == []


def test_close_keeps_its_deadline_and_leaves_the_rest_on_disk(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # Takes connections and never answers.
        under_test = recorder(f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path, flush_interval_s=3_600)
        turns(under_test, 5)
        began = time.monotonic()
        under_test.close(deadline_s=0.3)
        assert time.monotonic() - began < 3.5, "less than the 5 s that an answer may take"
    assert _spooled_rows(tmp_path) == 5


def test_after_close_everything_is_dropped_counted_and_nothing_raises(tmp_path: Path) -> None:
    under_test = recorder("http://127.0.0.1:1", tmp_path, post=FakeCollector())
    under_test.close()
    under_test.close()
    turns(under_test, 3)
    under_test.duplex("barge_in")
    totals = under_test.totals()
    assert (totals["turns_dropped_closed"], totals["duplex_dropped_closed"]) == (3, 1)


def test_an_async_host_closes_without_holding_up_its_loop(tmp_path: Path) -> None:
    collector = FakeCollector()

    async def serve() -> None:
        async with recorder("http://c", tmp_path, post=collector) as under_test:
            async with under_test.stream("call-1", route="sales") as call:
                async with call.turn(language="de") as turn, turn.stage("retrieval"):
                    await asyncio.sleep(0)
                call.duplex("micro_turn", context_age_ms=20.0)
            under_test.change(bundle="v2")
            with under_test.turn("call-1"):
                pass

    asyncio.run(serve())
    assert collector.rows()["bundle"].to_list() == ["v1", "v2"]
    assert collector.rows()["route"].to_list() == ["sales", "support"]
    assert collector.rows("streams")["is_start"].to_list() == [True, False]
    assert collector.rows("duplex")["route"].to_list() == ["sales"]


def test_each_kind_of_failure_is_logged_once_and_names_no_value(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), recorder("http://c", tmp_path, post=FakeCollector()) as under_test:
        for _ in range(3):
            under_test.change(bundle="Ana's bundle")
            for _ in range(2):
                under_test.observe("Ana's secrets", transcript="Ana's words")
            with under_test.turn(["Ana"], language="Ana"):
                pass
            until(lambda: under_test.totals()["waiting"] == 0)
    events = [record.getMessage().partition(":")[0] for record in caplog.records]
    assert sorted(events) == ["change_refused", "unknown_kind"]
    assert under_test.totals()["failures_unknown_kind"] == 6
    assert "Ana" not in caplog.text
    assert "Ana" not in str(under_test.totals())


def test_a_collector_that_makes_the_client_fail_is_away(tmp_path: Path) -> None:
    def post(*_: object, **__: object) -> Answer:
        raise RuntimeError("a secret")

    under_test = recorder("http://c", tmp_path, post=post)
    turns(under_test, 3)
    under_test.close()
    assert under_test.totals()["failures_post_failed"] >= 1
    assert _spooled_rows(tmp_path) == 3


def test_a_spool_that_cannot_be_made_costs_only_what_cannot_be_sent(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    collector = FakeCollector()
    with recorder("http://c", tmp_path / "file", post=collector) as under_test:
        turns(under_test, 3)
    assert len(collector.rows()) == 3
    assert under_test.totals()["failures_spool_unwritable"] == 1


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_in_a_forked_child_everything_is_dropped_and_the_parent_goes_on(tmp_path: Path) -> None:
    collector = FakeCollector()
    with recorder("http://c", tmp_path, post=collector) as under_test:
        turns(under_test, 3)
        child = os.fork()
        if child == 0:
            turns(under_test, 2)
            os._exit(under_test.totals().get("turns_dropped_forked", 0))
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 2
        turns(under_test, 4)
    assert len(collector.rows()) == 7


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_at_any_instant_of_the_sending_thread_ends(tmp_path: Path) -> None:
    """Also at the one at which that thread holds the lock of what it waits for: in the child nobody lets go of it."""
    with recorder("http://c", tmp_path, post=FakeCollector()) as under_test:
        with under_test._stop._cond:  # type: ignore[attr-defined]  # Instead of an instant that comes once in a million.
            child = os.fork()
            if child == 0:
                os._exit(0)
        deadline = time.monotonic() + 5.0
        while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
            time.sleep(0.01)
        if ended == (0, 0):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        assert ended == (child, 0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"collectors": []}, "list of collectors"),
        ({"collectors": "http://c"}, "list of collectors"),
        ({"collectors": ["c:9471"]}, "http:// or https://"),
        ({"collectors": ["http://ana:pw@c"]}, "credentials"),
        ({"session_key": b"x"}, "16 to 64 bytes"),
        ({"session_key": "Ana's key, 16 characters"}, "has to be bytes, or keys such as RingOnDisk"),
        ({"session_key": None}, "has to be bytes"),
        ({"name": "Host One"}, "name of a recorder"),
        ({"dimensions": {"regoin": "eu-west-1"}}, "that there is not"),
        ({"dimensions": {"region": "Ana's"}}, "dimension region"),
        ({"spool_bytes_max": 10}, "room for"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_when_the_recorder_is_made(
    tmp_path: Path, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadInput, match=words) as refusal:
        Recorder(**{"collectors": ["http://c"], "session_key": KEY, "spool": tmp_path, **given})
    assert "Ana" not in str(refusal.value)


def test_two_recorders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    collector = FakeCollector()
    with recorder("http://c", tmp_path, post=collector) as first:
        with recorder("http://c", tmp_path, post=collector) as second:
            turns(first, 2)
            turns(second, 3)
            until(lambda: sum(each.totals().get("turns_taken", 0) for each in (first, second)) == 5)
        assert second.incarnation > first.incarnation
    assert len(collector.rows()) == 5


def _spooled_rows(root: Path) -> int:
    rows = 0
    for path in list(root.glob("*/*.batch")):
        rows += json.loads(path.read_bytes().partition(b"\n")[0])["rows"]
    return rows
