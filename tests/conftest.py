"""What all tests share: the servers, what may be missing on a machine, and what no run may leave behind.

A test that needs a Debian package skips where it is absent, and says how to get it; in CI (`CI=true`) it fails instead,
and so does the whole run if anything skipped there. Tests on recorded data and on a real Grafana are deselected, not
skipped, where those are absent; how many is printed at the end.

`make test` runs files side by side (pytest-xdist). Two lanes begin with whole systems, and those that go by the clock run one after
the other. They wait a good deal, and a third lane takes short files meanwhile; it gives way to the two, as a simulated fleet that
sends by the clock falls behind it where three have equal shares of 2 cores. `pytest` alone runs everything one after the other.
"""

from __future__ import annotations

import ctypes
import gc
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import psutil
import pytest
from xdist.scheduler import LoadScopeScheduling

pytest_plugins = ["tests.stack_fixtures"]

REPOSITORY = Path(__file__).resolve().parent.parent
RECORDED_DATA = Path(os.environ.get("TURNWATCH_DATA") or REPOSITORY.parent / "shared" / "data").absolute()
IS_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")

PROGRAMS_OF = {
    "prometheus-alertmanager": ("prometheus-alertmanager", "amtool"),
    "prometheus": ("prometheus", "promtool"),
    "chromium": ("chromium",),
    "openssl": ("openssl",),
}
"""The programs that tests use of each Debian package."""

DESELECTED = pytest.StashKey[list[str]]()
SKIPPED_IN_CI = pytest.StashKey[list[str]]()
LEFT_BEHIND = pytest.StashKey[list[str]]()

PR_SET_CHILD_SUBREAPER = 36

os.environ.setdefault(
    "JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1"
)  # A broker that lives for a minute never earns better code.

os.environ.setdefault("GOGC", "400")  # promtool and amtool end before their heaps are any size.

BY_THE_CLOCK = tuple(
    f"tests/integration/test_{name}.py" for name in ("demo", "faults", "kafka_away", "membership", "silence", "stages")
)
"""Tests of whole systems that say when something happens, or how long somebody may be away: never two of them at once."""
LONG = (*BY_THE_CLOCK, "tests/integration", "tests/worlds", "tests/faults", "tests/contracts")
"""Whose files take minutes; they start first, so that nobody waits for one of them at the end."""
CLOCK = "by the clock"
THIRD_LANE, GIVES_WAY = "gw2", 5
"""Which of xdist's workers takes short files only, and how much nicer than the others it is."""

gc.disable()  # Until all tests are collected: what modules make stays, and to look it through again and again takes seconds.

hypothesis.settings.register_profile(
    "turnwatch",
    max_examples=40,  # Of a property that says nothing else; every run looks elsewhere.
    deadline=None,  # How fast an example runs on a busy machine is no property of the code.
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize=False,  # Also in CI: every run looks elsewhere, and a failure prints how to see it again.
    print_blob=True,
)
hypothesis.settings.load_profile("turnwatch")


@pytest.fixture(scope="session")
def recorded_data() -> Path:
    """The folder of recorded data. Mark its tests `recorded`."""
    return RECORDED_DATA


def pytest_configure(config: pytest.Config) -> None:
    """Orphans of what tests start become ours, so that none escapes the check at the end."""
    config.stash[DESELECTED] = []
    config.stash[LEFT_BEHIND] = []
    if os.environ.get("PYTEST_XDIST_WORKER") == THIRD_LANE:
        os.nice(GIVES_WAY)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    absent = dict(_absent())
    kept = [item for item in items if not any(item.get_closest_marker(marker) for marker in absent)]
    for marker, reason in absent.items():
        count = sum(item.get_closest_marker(marker) is not None for item in items)
        if count:
            tests = "1 test" if count == 1 else f"{count} tests"
            config.stash[DESELECTED].append(f"{tests} marked {marker} deselected: {reason}")
    if len(kept) < len(items):
        staying = set(kept)
        config.hook.pytest_deselected(items=[item for item in items if item not in staying])
    items[:] = sorted(kept, key=_turn)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What is there now stays to the end, so nobody looks for garbage in it."""
    gc.freeze()
    gc.enable()


def _turn(item: pytest.Item) -> int:
    return next((turn for turn, folder in enumerate(LONG) if item.nodeid.startswith(folder)), len(LONG))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return FileByFile(config, log)


class FileByFile(LoadScopeScheduling):  # type: ignore[misc]  # xdist's schedulers are untyped.
    """Tests of one file run in one process, and all that go by the clock in one; the third lane takes short files while there are any."""

    def _assign_work_unit(self, node: Any) -> None:
        if node.gateway.id == THIRD_LANE:
            short = next((file for file in self.workqueue if not file.startswith((CLOCK, *LONG))), None)
            if short is not None:
                self.workqueue.move_to_end(short, last=False)
        super()._assign_work_unit(node)

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return CLOCK if file in BY_THE_CLOCK else file


def _absent() -> Iterator[tuple[str, str]]:
    """Markers whose tests cannot run here, and why."""
    if not RECORDED_DATA.is_dir():
        yield "recorded", f"there is no recorded data in {RECORDED_DATA} (TURNWATCH_DATA)."
    if not os.environ.get("GRAFANA_URL"):
        yield "grafana", "GRAFANA_URL names no Grafana."


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        (package,) = marker.args
        missing = [program for program in PROGRAMS_OF[package] if shutil.which(program) is None]
        if missing:
            sentence = f"{' and '.join(missing)} not installed: `apt-get install {package}`"
            pytest.fail(sentence, pytrace=False) if IS_CI else pytest.skip(sentence)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = [report.nodeid for report in reporter.stats.get("skipped", [])] if reporter else []
    session.config.stash[SKIPPED_IN_CI] = skipped if IS_CI else []
    session.config.stash[LEFT_BEHIND] += _ended_children()
    if (told := getattr(session.config, "workeroutput", None)) is not None:
        told["deselected"] = session.config.stash[DESELECTED]
        told["left_behind"] = session.config.stash[LEFT_BEHIND]
        return
    is_unclean = session.config.stash[SKIPPED_IN_CI] or session.config.stash[LEFT_BEHIND]
    if is_unclean and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """One of several processes that ran tests has ended: all of them deselected the same, each left its own behind."""
    told = getattr(node, "workeroutput", {})
    node.config.stash[DESELECTED] = told.get("deselected", node.config.stash[DESELECTED])
    node.config.stash[LEFT_BEHIND] += told.get("left_behind", [])


def _ended_children() -> list[str]:
    """What tests started and left running; it is ended here."""
    left = []
    for child in psutil.Process().children(recursive=True):
        try:
            if child.status() != psutil.STATUS_ZOMBIE:
                left.append(f"{child.pid}: {' '.join(child.cmdline())[:200]}")
                child.kill()
        except psutil.NoSuchProcess:
            continue
    return left


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash[DESELECTED]:
        terminalreporter.write_line(line)
    if skipped := config.stash.get(SKIPPED_IN_CI, []):
        terminalreporter.write_line(f"In CI nothing may be skipped, but these were: {', '.join(skipped)}.", red=True)
    if left := config.stash.get(LEFT_BEHIND, []):
        terminalreporter.write_line(f"Tests left processes running: {'; '.join(left)}.", red=True)
