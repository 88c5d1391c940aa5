"""Starting, knowing and stopping the servers of the stack.

A server is known by its pid *and* the moment it started, so that a pid that the system has given to somebody else is
never taken for it, let alone killed. A server either lives and dies with this process (the demo, tests) or stays until
it is stopped (`turnwatch up`). Each has a session of its own: Ctrl-C reaches us alone, and we end the servers in order.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from stack.failures import StackFailure

Lifetime = Literal["parent", "detached"]

LIFELINE = Path(__file__).with_name("lifeline.py")
START_TIME_TOLERANCE_S = 2.0
"""Setting the clock moves the start times that the system reports; a pid is not reused this fast."""

POLL_S = 0.03
GRACE_S = 10.0
LOG_TAIL_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Running:
    """One server process: what it is called, how the system knows it, and where it logs."""

    name: str
    pid: int
    started_s: float
    log: Path

    def process(self) -> psutil.Process | None:
        """The live process, or `None` when it has ended or its pid is somebody else's by now."""
        try:
            process = psutil.Process(self.pid)
            is_ours = abs(process.create_time() - self.started_s) < START_TIME_TOLERANCE_S
            return process if is_ours and not _has_ended(process) else None
        except psutil.NoSuchProcess:
            return None

    def request_end(self) -> None:
        """Ask it to end, without waiting."""
        if process := self.process():
            process.terminate()

    def stop(self, grace_s: float = GRACE_S) -> None:
        """End it: politely, then by force."""
        self.request_end()
        if not self.has_ended_within(grace_s) and (process := self.process()):
            process.kill()
            self.has_ended_within(grace_s)
        reap(self.pid)

    def has_ended_within(self, timeout_s: float) -> bool:
        # Not psutil's wait: of an orphan that has ended, it waits until init takes note, which may be seconds later.
        deadline = time.monotonic() + timeout_s
        while self.process() and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return self.process() is None


def _has_ended(process: psutil.Process) -> bool:
    """Whether all of it has: while one thread still ends, its ports and locks are taken."""
    return bool(process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1)


def reap(pid: int) -> None:
    """Take note of a child's end, so that no zombie stays; what is not our child is somebody else's to reap."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def start(
    name: str, command: Sequence[str], log: Path, lifetime: Lifetime, environment: Mapping[str, str] | None = None
) -> Running:
    """Start a server whose output goes to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    arguments = tied(command) if lifetime == "parent" else [*command]
    appending = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), appending, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    settings = {**os.environ, **(environment or {})}
    # Unlike subprocess, this runs no Python between fork and exec: safe beside the threads of an engine or a client.
    pid = os.posix_spawn(arguments[0], arguments, settings, file_actions=actions, setsid=True)
    return Running(name, pid, psutil.Process(pid).create_time(), log)


def tied(command: Sequence[str]) -> list[str]:
    """The command with a lifeline to this process. See `lifeline.py`."""
    is_kernels = sys.platform == "linux" and threading.current_thread() is threading.main_thread()
    way = "kernel" if is_kernels else "supervisor"
    return [sys.executable, "-I", "-S", str(LIFELINE), way, str(os.getpid()), *command]


def wait_until(is_healthy: Callable[[], bool], running: Running, timeout_s: float) -> None:
    """Wait for a server to answer; when it ends instead, or is not in time, say so with what it logged last."""
    deadline = time.monotonic() + timeout_s
    while not is_healthy():
        if running.process() is None:
            reap(running.pid)
            raise StackFailure(f"{running.name} ended while it started: {last_words(running.log)}")
        if time.monotonic() > deadline:
            raise StackFailure(f"{running.name} did not answer within {timeout_s:.0f} s: {last_words(running.log)}")
        time.sleep(POLL_S)


def log_tail(log: Path) -> str:
    try:
        with log.open("rb") as lines:
            lines.seek(max(0, lines.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
            return lines.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


REASONS = (
    ("Address already in use", "its port is taken: stop what listens there or give another port"),
    ("No space left on device", "the disk is full"),
    ("Failed to acquire lock", "another broker uses its data folder: `turnwatch down` ends it"),
    ("Cannot lock file", "another process uses its data folder: `turnwatch down` ends it"),
    ("Could not reserve enough space", "not enough memory for the Java heap"),
    ("insufficient memory", "not enough memory for Java"),
    ("Permission denied", "it may not read or write its files"),
)


def last_words(log: Path) -> str:
    """Why a server ended, in our words where we know the reason, otherwise in its own."""
    tail = log_tail(log)
    for sign, reason in REASONS:
        if sign in tail:
            return f"{reason} (log: {log})."
    lines = [line.strip() for line in tail.splitlines() if line.strip() and not line.startswith(("\t", " "))]
    return f"“{lines[-1][:300]}” (log: {log})." if lines else f"it logged nothing (log: {log})."
