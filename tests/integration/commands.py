"""Running `turnwatch` as a user does: a process of its own, in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

TURNWATCH = Path(sys.executable).with_name("turnwatch")
WIDTH = "200"


def turnwatch(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs it to its end."""
    return subprocess.run(
        [str(TURNWATCH), *arguments],
        cwd=folder,
        env=surrounded(environment),
        capture_output=True,
        text=True,
        check=False,
    )


def begun(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Starts it, with its output in `folder/output.txt`."""
    with (folder / "output.txt").open("w") as output:
        return subprocess.Popen(
            [str(TURNWATCH), *arguments],
            cwd=folder,
            env=surrounded(environment),
            stdout=output,
            stderr=output,
            text=True,
        )


def surrounded(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without settings of whoever runs the tests."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TURNWATCH_")}
    return {**inherited, "COLUMNS": WIDTH, **environment}


def processes_in(folder: Path) -> list[str]:
    """Everything alive that was started in `folder`, by command line."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(folder):
                found.append(" ".join(process.cmdline()))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found
