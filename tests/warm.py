"""`turnwatch` as a user runs it, in a process of its own that starts warm.

To start Python and import libraries takes most of a second, and hundreds of tests do little else. So one process imports
them, and each command is a fork of it: with arguments, an environment, a folder and output of its own, and with all of our
own modules, which it imports as a cold one does. What is about the start itself, or is killed, runs cold
(`tests.integration.commands`).
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

LIBRARIES = (
    "aiohttp",
    "aiokafka.admin",
    "clickhouse_connect.driver.asyncclient",
    "faust.app",
    "faust.stores",
    "faust.streams",
    "faust.transport.drivers",
    "faust.types",
    "google.protobuf.message",
    "grafana_client.api",
    "grafana_foundation_sdk.builders.dashboard",
    "niquests",
    "prometheus_client",
    "psutil",
    "pyarrow.compute",
    "pyarrow.parquet",
    "polars",
    "pydantic_settings",
    "rich.live",
    "rich.progress",
    "rich.table",
    "scipy.special",
    "typer",
    "xxhash",
    "yaml",
)
"""What commands import of others, as far as it takes time. None of it knows us, or reads an environment of ours."""

REQUEST_BYTES = 1 << 17
PROGRAM = Path(sys.executable).with_name("turnwatch")


def turnwatch(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs it to its end, as its cold namesake does."""
    from tests.integration.commands import surrounded

    command = [str(PROGRAM), *arguments]
    asked = {"command": command, "folder": str(folder), "environment": surrounded(environment)}
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors, Path(os.devnull).open() as nothing:
        code = _ended(asked, [nothing.fileno(), output.fileno(), errors.fileno()])
        said = [_text(output), _text(errors)]
    return subprocess.CompletedProcess(command, code, *said)


def turnwatch_printing_to(output: int, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The same with a file of the caller's as standard output."""
    from tests.integration.commands import surrounded

    command = [str(PROGRAM), *arguments]
    asked = {"command": command, "folder": str(folder), "environment": surrounded({})}
    with tempfile.TemporaryFile() as errors, Path(os.devnull).open() as nothing:
        code = _ended(asked, [nothing.fileno(), output, errors.fileno()])
        return subprocess.CompletedProcess(command, code, "", _text(errors))


def _ended(asked: dict[str, Any], files: list[int]) -> int:
    """The exit code, negative for a signal, as `subprocess` has it."""
    hears, tells = os.pipe()
    try:
        socket.send_fds(_server()[1], [json.dumps(asked).encode()], [*files, tells])
    finally:
        os.close(tells)
    with os.fdopen(hears) as told:
        return int(told.read())


def _text(file: Any) -> str:
    file.seek(0)
    return str(file.read().decode())


@cache
def _server() -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        command = [sys.executable, "-P", __file__, str(its.fileno())]
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[its.fileno()])
    return server, ours


def stop() -> None:
    """Ends the warm process, where there is one."""
    if _server.cache_info().currsize:
        server, asking = _server()
        asking.close()
        server.wait(10)
        _server.cache_clear()


# -- in the warm process -----------------------------------------------------------------------------------------------


def serve(asking: socket.socket) -> bool:
    """Forks for every request until nobody asks any more. Returns true in each fork, which is to be the command."""
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.freeze()  # Forks share the pages of what no collection touches.
    while True:
        asked, files, _, _ = socket.recv_fds(asking, REQUEST_BYTES, 4)
        reap()
        if not asked:
            return False
        if os.fork() == 0:
            asking.close()
            leave_to_waiter(files[3])
            become(json.loads(asked), files)
            return True
        for file in files:
            os.close(file)


def reap() -> None:
    """Takes note of waiters that have told."""
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return


def leave_to_waiter(tells: int) -> None:
    """Forks once more: one process waits and tells how the other ended. Only the other returns."""
    if command := os.fork():
        _, status = os.waitpid(command, 0)
        os.write(tells, str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)


def become(asked: dict[str, Any], files: list[int]) -> None:
    for place, file in enumerate(files[:3]):
        os.dup2(file, place)
    for file in files:
        os.close(file)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = asked["command"]


if __name__ == "__main__":
    if serve(socket.socket(fileno=int(sys.argv[1]))):
        from turnwatch.cli import main

        main()
