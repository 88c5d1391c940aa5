"""`turnwatch demo` as a newcomer meets it: it says what must happen, it happens, and nothing stays behind."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from stack.alertmanager import HOW_TO_GET_IT
from stack.local import addresses
from tests.integration.commands import TURNWATCH, begun, processes_in, turnwatch
from turnwatch.places import DEMO

RUN_FOLDER = Path(".turnwatch") / DEMO
STARTED_WITHIN_S = 90.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all runs of this module: each finds what the one before left."""
    return tmp_path_factory.mktemp("newcomer")


def without_alertmanager() -> str:
    """A PATH on which only our own programs are."""
    return str(TURNWATCH.parent)


def assert_the_page_came_as_predicted(output: str) -> None:
    text = " ".join(output.replace("│", " ").split())
    before, after = re.findall(r"share of turns outside of \S+ goes from ([\d.]+)% to ([\d.]+)%", text)[-1]
    assert float(before) < 1 < float(after), "the canary breaks the objective of 99 % only after the incident"
    predicted = seconds_of(re.findall(r"predicts the page at (\d+:\d\d) of event time", text)[-1])
    incident = seconds_of(re.findall(r"At (\d+:\d\d) the canary", text)[-1])
    came = seconds_of(re.findall(r"The page came at (\d+:\d\d) of event time", text)[-1])
    assert incident < predicted
    assert abs(came - predicted) <= 10
    assert "within one bucket of 10 s" in text and "NOT within" not in text
    assert re.search(r"PAGE at \d+:\d\d of event time", text)
    assert re.search(r"slice pool=realtime,bundle=\S+: burn [\d.]+ over .* budget left", text)
    assert re.search(r"\(llm_first_token grew by \d+ ms a turn", text), "the stage that the canary is slow in"
    assert "slo-burn-rate.md" in text


def seconds_of(minutes_and_seconds: str) -> int:
    minutes, seconds = minutes_and_seconds.split(":")
    return int(minutes) * 60 + int(seconds)


@pytest.mark.needs("prometheus-alertmanager")
def test_the_page_that_was_predicted_arrives_through_alertmanager(folder: Path) -> None:
    ended = turnwatch(folder, "demo", "--once")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert_the_page_came_as_predicted(ended.stdout)
    assert "notified by Alertmanager" in ended.stdout, "whether the stage was known by then, or told after it"
    assert ended.stderr == ""
    assert processes_in(folder) == []


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda each: each.name)
def test_an_interrupted_demo_leaves_no_process(folder: Path, ending: signal.Signals) -> None:
    """In the folder of an earlier run, whose lock and state are in nobody's way, and without Alertmanager."""
    demo = begun(folder, "demo", PATH=without_alertmanager(), PYTHONUNBUFFERED="1")
    wait_for_worker(demo, folder)
    wait_for_the_hint(demo, folder)
    assert addresses(folder / RUN_FOLDER)
    demo.send_signal(ending)
    demo.wait(60)
    wait_for_nobody(folder)
    output = (folder / "output.txt").read_text()
    assert "Traceback" not in output
    if ending is signal.SIGINT:
        assert demo.returncode == 130
        assert addresses(folder / RUN_FOLDER) == {}


def wait_for_worker(demo: subprocess.Popen[str], folder: Path) -> None:
    """Until the worker of the demo says that it works."""
    log = folder / RUN_FOLDER / "worker.log"
    deadline = time.monotonic() + STARTED_WITHIN_S
    while not (addresses(folder / RUN_FOLDER) and log.exists() and "worker_started" in log.read_text()):
        assert demo.poll() is None, (folder / "output.txt").read_text()
        assert time.monotonic() < deadline, "the demo did not come up"
        time.sleep(0.1)


def wait_for_the_hint(demo: subprocess.Popen[str], folder: Path) -> None:
    """Until the demo has said how to get Alertmanager."""
    deadline = time.monotonic() + STARTED_WITHIN_S
    while HOW_TO_GET_IT not in " ".join((folder / "output.txt").read_text().split()):
        assert demo.poll() is None and time.monotonic() < deadline, (folder / "output.txt").read_text()
        time.sleep(0.1)


def wait_for_nobody(folder: Path) -> None:
    """The kernel ends orphans within moments; asserts that it did."""
    deadline = time.monotonic() + STARTED_WITHIN_S
    while processes_in(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_in(folder) == []
