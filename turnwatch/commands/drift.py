"""What got worse, and where: questions asked of what is stored, and of files."""

from __future__ import annotations

from typing import Annotated

import typer

from turnwatch.command_line import Answered, app
from turnwatch.verdict_codes import a_failure_is_no_verdict

drift_app = typer.Typer(
    help="Say which slice got worse while all together looked flat.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(drift_app, name="drift")


@drift_app.command(
    "why",
    epilog="Example: turnwatch drift why --old 2026-10-01..2026-10-07 --new 2026-10-08..2026-10-14 --rate word_error_rate",
)
def why(
    old: Annotated[str, typer.Option(help="A day, 7d or FROM..TO (ClickHouse, in UTC), or a .csv or .json file.")],
    new: Annotated[str, typer.Option(help="What is compared with it, alike.")],
    rate: Annotated[
        list[str] | None, typer.Option(help="A rate such as word_error_rate, once for each; all unless given.")
    ] = None,
    cut: Annotated[
        list[str] | None, typer.Option(help="Only this cut, such as pool,accent; every declared one unless given.")
    ] = None,
    where: Annotated[list[str] | None, typer.Option(help="Only this slice, of both sides: pool=realtime.")] = None,
    old_where: Annotated[list[str] | None, typer.Option(help="Only this slice of --old, such as bundle=v1.")] = None,
    new_where: Annotated[list[str] | None, typer.Option(help="Only this slice of --new, such as bundle=v2.")] = None,
    share: Annotated[
        float, typer.Option(min=0.01, max=1.0, help="Share of what got worse that the smallest set has to explain.")
    ] = 0.8,
    least: Annotated[
        float, typer.Option(min=0.0, max=10.0, help="Relative change, either way, that counts as none.")
    ] = 0.02,
    samples: Annotated[
        int, typer.Option(min=1, max=1_000_000_000, help="Calls or turns that a slice needs in both, to be judged.")
    ] = 200,
    output: Answered = "table",
) -> None:
    """Say which slices got worse from one period or bundle to another, and what is only traffic that moved between them."""
    with a_failure_is_no_verdict("answer"):
        from turnwatch.drift.sides import Asked
        from turnwatch.drift.why import run_drift_why

        both, of_old, of_new, rates, cuts = (tuple(each or ()) for each in (where, old_where, new_where, rate, cut))
        asked = Asked(old, new, both, of_old, of_new, rates, cuts, share, least, samples)
        raise typer.Exit(run_drift_why(asked, output))
