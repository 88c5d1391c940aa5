"""Help is there for every command, shows an example, and loads nothing that takes time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import typer

from turnwatch.cli import app

_PLAIN = "up down status demo replay simulate worker prepare query export dead-letters redrive check render provision routes exclude release keys collector otlp scenarios gates bench"
COMMANDS = (
    "",
    *_PLAIN.split(),
    "bench pipeline",
    "bench memory",
    "bench faults",
    "bench fuzz",
    "bench recovery",
    "bench producer",
    "bench backtest",
    "bench burn",
    "bench detection",
    "bench fleets",
    "bench simulator",
    "bench privacy",
    "bench questions",
    "bench drift",
    "bench boards",
    "bench canary",
    "backtest",
    "report",
    "board",
    "backfill",
    "burn",
    "peak",
    "saturation",
    "cost",
    "cost why",
    "cost bill",
    "cost export",
    "cost reconcile",
    "drift",
    "drift why",
    "capacity",
    "gate",
    "rollback",
    "scrape",
    "ingest",
    "routes test",
    "exclude add",
    "exclude list",
    "exclude withdraw",
    "release declare",
    "release list",
    "keys create",
    "keys show",
    "keys rotate",
    "gates serve",
    "gates list",
)

HEAVY = {
    "aiohttp",
    "aiokafka",
    "chdb",
    "clickhouse_connect",
    "faust",
    "numpy",
    "polars",
    "pyarrow",
    "scipy",
    "vl_convert",
}

LOADED = """
import contextlib, io, json, os, sys
from turnwatch.cli import main
sys.argv[1:] = ["status", "--help"]
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main()
for command in json.load(sys.stdin):
    sys.stdout.flush()
    if (forked := os.fork()) == 0:
        sys.argv[1:] = [*command.split(), "--help"]
        try:
            main()
        finally:
            print("LOADED", *sorted({name.split(".")[0] for name in sys.modules}))
    print("ENDED", os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]))
"""
"""Loads what every help needs once, by giving one; each command is a fork of it, which loads the rest."""


@cache
def all_helped() -> dict[str, tuple[str, set[str]]]:
    """What `turnwatch COMMAND --help` prints, and the packages that it loaded."""
    asked, environment = json.dumps(COMMANDS), {**os.environ, "COLUMNS": "200"}
    ended = subprocess.run(
        [sys.executable, "-c", LOADED], input=asked, capture_output=True, text=True, check=False, env=environment
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    told = re.findall(r"(.*?)^LOADED (.*?)\nENDED 0\n", ended.stdout, re.DOTALL | re.MULTILINE)
    return {command: (text, set(loaded.split())) for command, (text, loaded) in zip(COMMANDS, told, strict=True)}


def helped(command: str) -> tuple[str, set[str]]:
    return all_helped()[command]


def registered(group: typer.Typer, prefix: str = "") -> set[str]:
    """The commands of the program, with those of its groups."""
    names = {f"{prefix}{each.name or each.callback.__name__}" for each in group.registered_commands if each.callback}
    for nested in group.registered_groups:
        assert nested.name and nested.typer_instance
        names |= {nested.name} | registered(nested.typer_instance, f"{nested.name} ")
    return names


def test_every_command_is_looked_at() -> None:
    assert registered(app) == set(COMMANDS) - {""}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_loads_nothing_heavy(command: str) -> None:
    text, loaded = helped(command)
    assert text.startswith(f"Usage: -c {command}".rstrip())
    assert loaded & HEAVY == set()


@pytest.mark.parametrize(
    "command",
    [name for name in COMMANDS if name not in ("", "bench", "routes", "exclude", "release", "keys", "drift", "gates")],
)
def test_help_shows_an_example_that_the_command_itself_would_take(command: str) -> None:
    text, _ = helped(command)
    example = re.search(r"Example: .*?turnwatch (.+)", text)
    assert example, f"{command} has no example"
    assert example[1].startswith(command)
    options = {word for word in example[1].split() if word.startswith("--")}
    assert options <= set(re.findall(r"--[a-z0-9-]+", text.replace(example[0], "")))


@pytest.mark.parametrize("command", ["replay", "simulate"])
def test_traffic_says_that_it_starts_a_stack_where_there_is_none(command: str) -> None:
    assert "Without a stack it starts one for the run." in " ".join(helped(command)[0].split())


def test_the_exit_codes_are_told() -> None:
    text, _ = helped("")
    assert re.search(r"Exit codes: 0 .*1 .*2 ", text)


def test_the_module_is_the_command(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "turnwatch", "status"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (ended.returncode, ended.stderr) == (1, "")
    assert "turnwatch up" in ended.stdout
