"""`turnwatch collector`: puts the collector together from the settings, and runs it until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import re

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
    producer = _matching(SLUG, name or section.name, "name")
    return CollectorSettings(
        producer,
        _matching(DIMENSIONS["region"].full_pattern, region or section.region, "region"),
        section.folder or settings.run_dir / "collectors" / producer,
        section.host,
        section.port if port is None else port,
        settings.stop_within_s,
        Limits(round(section.grace_s * 1_000), section.disk_mb << 20, section.rows_max),
        opendp_sampler() if section.noise else None,
    )


async def _until_stopped(known: CollectorSettings, connect: Connect) -> None:
    await collect(known, connect, asked_to_stop())


def _matching(pattern: str, value: str | None, what: str) -> str:
    """A region that the contract does not know would be refused at intake, with every frame of its collector."""
    variable = f"TURNWATCH_COLLECTOR__{what.upper()}"
    if value is None:
        raise SettingsError(f"The collector's {what} is not known: give --{what}, or set {variable}.")
    if not re.fullmatch(pattern, value):
        raise SettingsError(f"{variable}: the collector's {what} has to match {pattern}.")
    return value
