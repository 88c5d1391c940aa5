"""`turnwatch otlp`: puts the gateway of OTLP together from the settings, and runs it until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import re

from producers.otlp.mapping import TURNS_FROM, TURNS_FROM_ANY
from producers.otlp.process import OtlpSettings, receive
from schemas.addresses import web_address
from schemas.dimensions import DIMENSIONS, SLUG
from turnwatch.long_running import asked_to_stop, log_events
from turnwatch.places import kafka as kafka_address
from turnwatch.settings import Settings, SettingsError, load


def run_otlp(
    region: str | None, collector: str | None, port: int | None, topic: str | None, turns_from: str | None
) -> int:
    """Receives until it is asked to stop; arguments win over settings."""
    settings = load()
    log_events()
    asyncio.run(_until_stopped(otlp_settings(settings, region, collector, port, topic, turns_from)))
    return 0


def otlp_settings(
    settings: Settings,
    region: str | None = None,
    collector: str | None = None,
    port: int | None = None,
    topic: str | None = None,
    turns_from: str | None = None,
) -> OtlpSettings:
    """What the process needs; `SettingsError` names what is missing or cannot be meant."""
    section = settings.otlp
    if not re.fullmatch(SLUG, section.name):
        raise SettingsError(f"TURNWATCH_OTLP__NAME has to match {SLUG}.")
    topic = topic or section.topic
    return OtlpSettings(
        section.name,
        _dimension("region", region or section.region),
        section.host,
        section.port if port is None else port,
        _address(collector or section.collector_url),
        _metric(turns_from or section.turns_from or TURNS_FROM),
        {name: _dimension(name, getattr(section, name)) for name in ("pool", "route", "bundle")},
        topic,
        kafka_address(settings) if topic else None,
    )


async def _until_stopped(known: OtlpSettings) -> None:
    await receive(known, asked_to_stop())


def _dimension(name: str, value: str | None) -> str:
    variable = f"TURNWATCH_OTLP__{name.upper()}"
    if value is None:
        raise SettingsError(f"The {name} of what does not say its own is not known: give --{name}, or set {variable}.")
    if not re.fullmatch(DIMENSIONS[name].full_pattern, value):
        raise SettingsError(f"{variable} is no {name}: {DIMENSIONS[name].full_pattern} is what one looks like.")
    return value


def _metric(name: str) -> str:
    if name not in TURNS_FROM_ANY:
        raise SettingsError(f"TURNWATCH_OTLP__TURNS_FROM has to be one of {', '.join(TURNS_FROM_ANY)}.")
    return name


def _address(url: str) -> str:
    web_address(url, "TURNWATCH_OTLP__COLLECTOR_URL")
    return url
