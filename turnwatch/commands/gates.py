"""Gates as pipelines reach them: the server, and what was said last."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from turnwatch.command_line import app

gates = typer.Typer(
    help="What release pipelines ask, and what they were told.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(gates, name="gates")


@gates.command("serve", epilog="Example: turnwatch gates serve --port 9472")
def gates_serve(
    host: Annotated[
        str | None, typer.Option(help="Where to listen; beyond this machine TURNWATCH_GATES__TOKEN is needed.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Port; 9472 unless given, 0 for a free one.")
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A file of kind CanaryPolicy; the shipped one unless given."),
    ] = None,
) -> None:
    """Answer Argo Rollouts, Flagger and others over HTTP whether a running canary may go on. Every answer is recorded first."""
    from turnwatch.gates.process import run_gates_serve

    raise typer.Exit(run_gates_serve(host, port, policy))


@gates.command("list", epilog="Example: turnwatch gates list --format json")
def gates_list(
    output: Annotated[Literal["table", "json"], typer.Option("--format", help="How to print it.")] = "table",
) -> None:
    """List what was said last of every release, to whom, and why."""
    from turnwatch.gates.listing import run_gates_list

    raise typer.Exit(run_gates_list(output))
