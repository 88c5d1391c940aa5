"""`turnwatch routes test`: alerts into a real Alertmanager at scripted times, and what it notifies whom of.

Each script has an Alertmanager of its own, with the configuration's routes, groups and inhibitions, sped up; all are
played side by side. Every receiver is a webhook of ours, so nobody is woken. What a script does not expect may not arrive.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from alerts.durations import duration_written
from alerts.routes_config import Configuration, ConfigurationError, read_configuration
from alerts.routes_script import SHIPPED_SCRIPTS, ScriptError, ScriptFile, load_scripts, require_receivers
from alerts.webhook_receiver import WebhookReceiver
from schemas.counted import counted
from schemas.failures import BadInput
from stack.alertmanager import HOW_TO_GET_IT, Alertmanager, find_alertmanager, start_alertmanager
from stack.failures import StackFailure
from stack.local import ALERTMANAGER_CONFIGURATION
from turnwatch.printable import printable
from turnwatch.routes_player import Player, Tried

TOGETHER_MAX = 8
"""Scripts that are played side by side: more Alertmanagers would be in each other's way."""


def run_routes_test(paths: Sequence[Path], configuration: Path | None, speed: float | None, late_s: float) -> int:
    """Plays the scripts (the shipped ones where none is named) and prints what came of it; 1 where something is off."""
    if speed is not None and not math.isfinite(speed):
        raise BadInput(f"--speed: {speed} is no speed to play a script at.")
    files = load_scripts(paths or shipped_scripts())
    read = read_configuration(configuration or ALERTMANAGER_CONFIGURATION)
    require_receivers(files, read.receivers)
    if find_alertmanager() is None:
        raise StackFailure(HOW_TO_GET_IT)
    tried: list[Tried] = []
    for first in range(0, len(files), TOGETHER_MAX):
        tried += asyncio.run(try_all(files[first : first + TOGETHER_MAX], read, speed, late_s))
        for each in tried[first:]:
            _show(each, late_s)
    wrong = sum(not each.is_right for each in tried)
    print(f"{counted(len(tried), 'script')}, {'all as expected' if not wrong else f'{wrong} not as expected'}.")
    return 1 if wrong else 0


def shipped_scripts() -> tuple[Path, ...]:
    found = tuple(sorted(SHIPPED_SCRIPTS.glob("*.yaml")))
    if not found:
        raise ScriptError([f"{SHIPPED_SCRIPTS}: no scripts (*.yaml) are here: name one."])
    return found


async def try_all(
    files: Sequence[ScriptFile], configuration: Configuration, speed: float | None, late_s: float
) -> tuple[Tried, ...]:
    """Every script at once, each with an Alertmanager of its own; none begins before all of these are up."""
    async with AsyncExitStack() as closing:
        folder = Path(closing.enter_context(TemporaryDirectory(prefix="turnwatch-routes-")))
        players = []
        for number, file in enumerate(files):
            pace = speed or float(file.script.speed)
            webhook = await closing.enter_async_context(WebhookReceiver())
            server = _start(folder / str(number), configuration, webhook.url, pace)
            closing.callback(server.stop)
            players.append(Player(file, server, webhook, pace, late_s))
        for player in players:
            _wait(player.server, configuration)
        return tuple(await _together(player.play() for player in players))


async def _together(plays: Iterable[Coroutine[None, None, Tried]]) -> list[Tried]:
    """All of them to their end; when one fails, none goes on."""
    tasks = [asyncio.create_task(play) for play in plays]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _start(run_dir: Path, configuration: Configuration, webhook_url: str, speed: float) -> Alertmanager:
    run_dir.mkdir()
    hastened = run_dir / "hastened.yml"
    hastened.write_text(yaml.safe_dump(configuration.hastened(webhook_url, speed)), encoding="utf-8")
    server = start_alertmanager(run_dir, hastened)
    assert server is not None, "it was there a moment ago"
    return server


def _wait(server: Alertmanager, configuration: Configuration) -> None:
    try:
        server.wait_until_healthy()
    except StackFailure as failure:
        _, refused, why = str(failure).partition('Loading configuration file failed" ')
        if not refused:
            raise
        raise ConfigurationError(f"{configuration.path}: Alertmanager refuses it: {_err_in(why)}.") from failure


def _err_in(logged: str) -> str:
    """The reason in a line of Alertmanager's log."""
    return logged.partition('err="')[2].rpartition('"')[0].replace('\\"', '"') or logged


def _show(tried: Tried, late_s: float) -> None:
    print(printable(f"{_from_here(tried.file.path)}: {tried.file.script.about}"))
    print(
        f"  {tried.speed:g} times as fast as the clock; {duration_written(late_s * 1_000 * tried.speed)} late is in time"
    )
    widest = max((len(finding.receiver) for finding in tried.findings), default=0)
    for finding in tried.findings:
        verdict = finding.verdict if finding.is_right else f"WRONG, {finding.verdict}"
        at = duration_written(finding.at_ms // 1_000 * 1_000)
        print(printable(f"  {at:>7}  {finding.receiver:<{widest}}  {finding.what}: {verdict}"))
    if not tried.findings:
        print("  nobody is told anything, as expected")


def _from_here(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
