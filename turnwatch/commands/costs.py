"""What turns cost: questions asked of files, and of what the fleet used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from turnwatch.command_line import app
from turnwatch.commands.answers import Answered

cost_app = typer.Typer(
    help="Say what a successful turn costs: between two periods (--old, --new), or route by route (--routes).",
    rich_markup_mode=None,
)
app.add_typer(cost_app, name="cost")


@cost_app.callback(
    invoke_without_command=True,
    epilog="Example: turnwatch cost --old june.json --new july.json --tolerance 0.10 --format json",
)
def cost(
    context: typer.Context,
    old: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="JSON of what a period cost and served, to compare with."),
    ] = None,
    new: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="JSON of the period that is judged.")
    ] = None,
    tolerance: Annotated[str, typer.Option(help="Share by which the unit cost may rise.")] = "0.10",
    routes: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="JSON of routes, ranked by what a success costs.")
    ] = None,
    output: Answered = "table",
) -> None:
    """Say what a successful turn costs: between two periods (--old, --new), or route by route (--routes)."""
    if context.invoked_subcommand is not None:
        if old or new or routes:
            raise typer.BadParameter(f"Give the options of {context.invoked_subcommand} after its name.")
        return
    from turnwatch.answers.commands import run_cost_change, run_cost_routes

    if routes and not (old or new):
        raise typer.Exit(run_cost_routes(routes, output))
    if old and new and not routes:
        raise typer.Exit(run_cost_change(old, new, tolerance, output))
    raise typer.BadParameter("Give --old and --new, or --routes alone.")
