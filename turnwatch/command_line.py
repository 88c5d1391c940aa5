"""The command line that all commands are registered on, and the options that several of them share."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

app = typer.Typer(
    name="turnwatch",
    help="Telemetry analytics for GPU fleets that serve voice and LLM turns.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done; 1 it failed, or a check found something; 2 input or settings are wrong.",
)

SPEED_MAX = 100_000.0
MINUTES_MAX = 30 * 24 * 60.0
"""Infinity is a number to the parser, and no speed or length that anything can be sent at."""

Port = Annotated[int | None, typer.Option(min=1, max=65_535, help="Port; a free one unless given.")]
Speed = Annotated[
    float, typer.Option(min=0.01, max=SPEED_MAX, help="Event time runs this many times as fast as the clock.")
]
Answered = Annotated[Literal["table", "json"], typer.Option("--format", help="How to print it; json is one document.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same traffic.")]
