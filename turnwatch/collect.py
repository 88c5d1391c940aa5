"""`turnwatch collector`: puts the collector together from the settings, and runs it until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path

from producers.collecting.beginning import SETTINGS, SetBy
from producers.collecting.durable import Limits
from producers.collecting.engine import Connect
from producers.collecting.process import CollectorSettings, collect, finish, kafka
from producers.discrete_laplace import opendp_sampler
from schemas.counted import counted
from schemas.dimensions import DIMENSIONS, SLUG
from turnwatch.long_running import asked_to_stop, log_events
from turnwatch.places import kafka as kafka_address
from turnwatch.settings import Settings, SettingsError, load


def run_collector(name: str | None, region: str | None, port: int | None, is_finishing: bool) -> int:
    """Collects until it is asked to stop, or sends what is left; arguments win over settings."""
    settings = load()
    log_events()
    known = collector_settings(settings, name, region, port)
    connect = kafka(kafka_address(settings))
    if is_finishing:
        held = asyncio.run(finish(known, connect))
        print(
            f"Everything is sent; {counted(held, 'turn too few shared stays', 'turns too few shared stay')} private, in the operational partition only."
        )
    else:
        asyncio.run(_until_stopped(known, connect))
    return 0


def collector_settings(settings: Settings, name: str | None, region: str | None, port: int | None) -> CollectorSettings:
    """What the process needs; `SettingsError` names what is missing or cannot be meant."""
    section = settings.collector
    set_by = _set_by(section.folder, name=name, region=region, port=port)
    producer = _matching(SLUG, section.name if name is None else name, "name", set_by.name)
    return CollectorSettings(
        producer,
        _matching(
            DIMENSIONS["region"].full_pattern, section.region if region is None else region, "region", set_by.region
        ),
        section.folder or settings.run_dir / "collectors" / producer,
        section.host,
        section.port if port is None else port,
        settings.stop_within_s,
        Limits(round(section.grace_s * 1_000), section.disk_mb << 20, section.rows_max),
        opendp_sampler() if section.noise else None,
        set_by,
    )


async def _until_stopped(known: CollectorSettings, connect: Connect) -> None:
    await collect(known, connect, asked_to_stop())


def _set_by(folder: Path | None, **options: object) -> SetBy:
    """What the user wrote: `--name` where that was given, else the variable. A folder that nobody named is called as the collector is."""
    given = {what: f"--{what}" for what, value in options.items() if value is not None}
    set_by = replace(SETTINGS, **given)
    return set_by if folder else replace(set_by, folder=f"{set_by.name}, or {SETTINGS.folder}")


def _matching(pattern: str, value: str | None, what: str, set_by: str) -> str:
    """A region that the contract does not know would be refused at intake, with every frame of its collector."""
    if value is None:
        raise SettingsError(f"The collector's {what} is not known: give --{what}, or set {set_by}.")
    if not re.fullmatch(pattern, value):
        raise SettingsError(f"{set_by}: the collector's {what} has to match {pattern}.")
    return value
