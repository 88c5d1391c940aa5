"""What turns cost: questions asked of files, and of what the fleet used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from turnwatch.command_line import Answered, app
from turnwatch.verdict_codes import a_failure_is_no_verdict

cost_app = typer.Typer(
    help="Say what a successful turn costs: between two periods (--old, --new), or route by route (--routes).",
    rich_markup_mode=None,
)
app.add_typer(cost_app, name="cost")


@cost_app.callback(
    invoke_without_command=True,
    epilog="Of --old and --new, dollars are divided by successful turns, or by 1 where there are none. "
    "Example: turnwatch cost --old june.json --new july.json --tolerance 0.10 --format json",
)
def cost(
    context: typer.Context,
    old: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="JSON of what a period cost and served, to compare with.",
        ),
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
        if any(_is_given(context, name) for name in context.params):
            raise typer.BadParameter(f"Give the options of {context.invoked_subcommand} after its name.")
        return
    from turnwatch.answers.questions_of_files import run_cost_change, run_cost_routes

    if routes and not (old or new):
        if _is_given(context, "tolerance"):
            raise typer.BadParameter("--tolerance is about --old and --new: routes are ranked without it.")
        raise typer.Exit(run_cost_routes(routes, output))
    if old and new and not routes:
        raise typer.Exit(run_cost_change(old, new, tolerance, output))
    raise typer.BadParameter("Give --old and --new, or --routes alone.")


def _is_given(context: typer.Context, name: str) -> bool:
    """Whether an option was written, even if as its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


Where = Annotated[list[str] | None, typer.Option(help="Only this slice, of both sides, such as pool=realtime.")]


@cost_app.command(
    "why",
    epilog="Example: turnwatch cost why --old 2026-10-01..2026-10-07 --new 2026-10-08..2026-10-14 --where pool=realtime",
)
def why(
    old: Annotated[str, typer.Option(help="A day, 7d or FROM..TO (ClickHouse, in UTC), or a .csv of rows of costs.")],
    new: Annotated[str, typer.Option(help="What is compared with it, alike.")],
    where: Where = None,
    old_where: Annotated[list[str] | None, typer.Option(help="Only this slice of --old, such as bundle=v1.")] = None,
    new_where: Annotated[list[str] | None, typer.Option(help="Only this slice of --new, such as bundle=v2.")] = None,
    basis: Annotated[
        Literal["reserved", "used"], typer.Option("--cost", help="Of all that was paid for, or of what turns used.")
    ] = "reserved",
    models: Annotated[
        Literal["apart", "together"],
        typer.Option(help="Together: models on one kind of GPU count as one, to compare bundles that have others."),
    ] = "apart",
    prices: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A price list; that of the settings unless given.")
    ] = None,
    output: Answered = "table",
) -> None:
    """Say what moved the cost of a success from one period, day or bundle to another; the parts sum to the change."""
    from turnwatch.answers.cost_why import Asked, run_cost_why

    both, of_old, of_new = (tuple(each or ()) for each in (where, old_where, new_where))
    raise typer.Exit(run_cost_why(Asked(old, new, both, of_old, of_new, basis, models), prices, output))


Data = Annotated[
    list[str],
    typer.Option(help="30d or FROM..TO (ClickHouse), or CSV files of the view costs (give it once for each)."),
]
Prices = Annotated[
    Path | None,
    typer.Option(
        exists=True, dir_okay=False, help="A price list; that of the settings unless given, or the shipped example."
    ),
]


@cost_app.command("bill", epilog="Example: turnwatch cost bill --data 2026-10-01..2026-10-31 --by tenant --format csv")
def cost_bill(
    data: Data,
    by: Annotated[
        Literal["tenant", "route", "pool", "bundle", "region"], typer.Option(help="Whose cost each row is.")
    ] = "tenant",
    prices: Prices = None,
    output: Annotated[Literal["table", "csv", "json"], typer.Option("--format", help="How to print it.")] = "table",
) -> None:
    """Say what was used and paid for, and whose it is: rows that sum to the bill, with what nobody can be billed for."""
    from turnwatch.costs.bill import run_bill

    raise typer.Exit(run_bill(data, by, prices, output))


@cost_app.command("export", epilog="Example: turnwatch cost export --data 2026-10-01..2026-10-31 --out october.csv")
def cost_export(
    data: Data,
    prices: Prices = None,
    provider: Annotated[str | None, typer.Option(help="ProviderName; the price list's name unless given.")] = None,
    account: Annotated[str, typer.Option(help="BillingAccountId.")] = "turnwatch",
    out: Annotated[Path | None, typer.Option(help="Write it there instead of to standard output.")] = None,
) -> None:
    """Write the bill as CSV in the columns of FOCUS 1.2: a line per day, capacity and meter."""
    from turnwatch.costs.export import run_export

    raise typer.Exit(run_export(data, prices, provider, account, out))


@cost_app.command(
    "reconcile",
    epilog="Exit codes: 0 all agree; 1 a line differs; 2 bad input; 4 no verdict, such as where ClickHouse is away. "
    "Example: turnwatch cost reconcile october.csv --tolerance 0.005",
)
def cost_reconcile(
    invoice: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV in the columns of FOCUS.")],
    data: Annotated[
        list[str] | None,
        typer.Option(help="CSV files of the view costs; what ClickHouse has of the invoice's time unless given."),
    ] = None,
    prices: Prices = None,
    skus: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="CSV of SkuPriceId,ours: what the invoice's SKUs are here."),
    ] = None,
    cost: Annotated[
        Literal["BilledCost", "EffectiveCost", "ContractedCost", "ListCost"],
        typer.Option(help="Which cost of the invoice is compared."),
    ] = "BilledCost",
    tolerance: Annotated[str, typer.Option(help="Share of what is invoiced that a line may differ by.")] = "0.01",
    output: Annotated[Literal["table", "csv", "json"], typer.Option("--format", help="How to print it.")] = "table",
) -> None:
    """Compare an invoice with what was metered, line by line, and say what each difference is of."""
    with a_failure_is_no_verdict():
        from turnwatch.costs.reconcile import run_reconcile

        raise typer.Exit(run_reconcile(invoice, data or [], prices, skus, cost, tolerance, output))
