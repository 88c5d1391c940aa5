"""The local stack, and the demonstration that runs on it."""

from __future__ import annotations

from typing import Annotated

import typer

from turnwatch.command_line import SPEED_MAX, Port, Seed, app


@app.command(epilog="Example: turnwatch up && turnwatch status")
def up(kafka_port: Port = None, clickhouse_port: Port = None, alertmanager_port: Port = None) -> None:
    """Start the local stack (Kafka, ClickHouse, Alertmanager) and leave it running."""
    from turnwatch.local import start_local

    start_local(kafka_port, clickhouse_port, alertmanager_port)


@app.command(epilog="Example: turnwatch down")
def down() -> None:
    """Stop the local stack of this folder."""
    from turnwatch.local import stop_local

    stop_local()


@app.command(epilog="Example: turnwatch status")
def status() -> None:
    """Say what of the local stack runs, where, and how to mend what does not. Exit 1 if something is down."""
    from turnwatch.local import show_status

    raise typer.Exit(show_status())


@app.command(epilog="Example: turnwatch demo --once")
def demo(
    once: Annotated[bool, typer.Option("--once", help="End with exit 0 when the page has arrived.")] = False,
    seed: Seed = 7,
    speed: Annotated[
        float, typer.Option(min=1, max=SPEED_MAX, help="Event time runs this many times as fast as the clock.")
    ] = 20.0,
    kafka_port: Port = None,
    clickhouse_port: Port = None,
    alertmanager_port: Port = None,
) -> None:
    """Run the whole flow on this machine: a fleet, an incident, and the page that it causes."""
    from turnwatch.demo import run_demo

    raise typer.Exit(run_demo(once, seed, speed, (kafka_port, clickhouse_port, alertmanager_port)))
