"""Operating: the worker, what it refused, its topics and tables, what is asked of them, releases and exclusions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from turnwatch.command_line import app
from turnwatch.verdict_codes import a_failure_is_no_verdict


@app.command(epilog="Example: turnwatch worker")
def worker(
    sink: Annotated[
        Literal["with", "without", "only"], typer.Option(help="Whether this process lands rollups in ClickHouse.")
    ] = "with",
    accept_gap: Annotated[
        bool, typer.Option("--accept-gap", help="Go on where retention removed records, this once.")
    ] = False,
    accept_refused: Annotated[
        bool, typer.Option("--accept-refused", help="Divert however many records are refused, this once.")
    ] = False,
) -> None:
    """Run the stream jobs: intake, traffic, burn_rate, incidents, and the sink."""
    from turnwatch.work import run_worker

    raise typer.Exit(run_worker(sink, accept_gap, accept_refused))


Since = Annotated[str | None, typer.Option(help="Only what was refused in this last while, such as 30m, 6h or 2d.")]
OfReason = Annotated[str | None, typer.Option(help="Only what was refused for this reason.")]


@app.command("dead-letters", epilog="Example: turnwatch dead-letters --since 1h")
def dead_letters(
    since: Since = None,
    reason: OfReason = None,
    output: Annotated[Literal["table", "json"], typer.Option("--format", help="How to print it.")] = "table",
) -> None:
    """List what was refused: how often, for which reason, from which topic and producer, when, and where it lies."""
    from turnwatch.dead_letters import run_dead_letters

    raise typer.Exit(run_dead_letters(since, reason, output))


@app.command(epilog="Example: turnwatch redrive --topic aggregates.turns --dry-run")
def redrive(
    since: Since = None,
    reason: OfReason = None,
    topic: Annotated[str | None, typer.Option(help="Only what was refused in this topic.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be put through, and send nothing.")
    ] = False,
) -> None:
    """Put refused records through again, after what refused them was mended. Harmless to repeat."""
    from turnwatch.redrive import run_redrive

    raise typer.Exit(run_redrive(since, reason, topic, dry_run))


@app.command(epilog="Example: turnwatch prepare")
def prepare() -> None:
    """Create what is missing: Kafka's topics and ClickHouse's tables. Harmless to repeat."""
    from turnwatch.prepare import run_prepare

    raise typer.Exit(run_prepare())


@app.command(epilog="""Example: turnwatch query "SELECT slice, sum(turns) FROM traffic_1m FINAL GROUP BY slice" """)
def query(
    sql: Annotated[str, typer.Argument(help="A SELECT; nothing that writes.")],
    output: Annotated[Literal["table", "csv", "json"], typer.Option("--format", help="How to print it.")] = "table",
) -> None:
    """Ask ClickHouse, and print a table, CSV or JSON."""
    from turnwatch.query import run_query

    raise typer.Exit(run_query(sql, output))


@app.command(
    epilog="Example: turnwatch export cost_per_success --from 2026-10-01 --to 2026-10-31 --where pool=realtime"
)
def export(
    view: Annotated[str, typer.Argument(help="A view of the data dictionary, such as burn_by_day.")],
    begins: Annotated[
        str | None, typer.Option("--from", help="First day or time, in UTC; the oldest stored unless given.")
    ] = None,
    ends: Annotated[
        str | None, typer.Option("--to", help="Last day, or the time after the last; the newest stored unless given.")
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="column=value; give it again for another column, or another value.")
    ] = None,
    output: Annotated[Literal["parquet", "csv"], typer.Option("--format", help="What to write.")] = "parquet",
    out: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write the file there; VIEW.parquet or VIEW.csv unless given.")
    ] = None,
) -> None:
    """Write a view as Parquet or CSV, and say how many rows there are and the file's SHA-256."""
    from turnwatch.export import run_export

    raise typer.Exit(run_export(view, begins, ends, where or [], output, out))


exclude = typer.Typer(help="What budgets are not charged for.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(exclude, name="exclude")

Who = Annotated[str, typer.Option(help="Who says so.")]
Why = Annotated[str, typer.Option(help="The reason, one line.")]


@exclude.command(
    "add",
    epilog="Example: turnwatch exclude add --slo all --slice pool=realtime,region=eu-west-1 "
    '--from 2026-10-01T12:00Z --to 2026-10-01T13:30Z --who ana --why "failover drill"',
)
def exclude_add(
    slo: Annotated[str, typer.Option(help="An SLO's name, or all.")],
    begins: Annotated[str, typer.Option("--from", help="First excluded minute: ISO 8601 with its zone.")],
    ends: Annotated[str, typer.Option("--to", help="The minute after the last: ISO 8601 with its zone.")],
    who: Who,
    why: Why,
    slice_text: Annotated[
        str, typer.Option("--slice", help="The slice, with every one inside of it; all unless given.")
    ] = "all",
) -> None:
    """Leave a slice's minutes out of corrected budgets, and print the id. Alerts are judged on everything all the same."""
    from turnwatch.exclude import run_exclude_add

    raise typer.Exit(run_exclude_add(slo, slice_text, begins, ends, who, why))


@exclude.command("list", epilog="Example: turnwatch exclude list --format json")
def exclude_list(
    output: Annotated[Literal["table", "json"], typer.Option("--format", help="How to print it.")] = "table",
) -> None:
    """List every exclusion that was declared or withdrawn: of what, when, by whom and why."""
    from turnwatch.exclude import run_exclude_list

    raise typer.Exit(run_exclude_list(output))


@exclude.command("withdraw", epilog='Example: turnwatch exclude withdraw 5b3f0c2a9d11 --who ana --why "wrong region"')
def exclude_withdraw(
    written_id: Annotated[str, typer.Argument(metavar="ID", help="As `turnwatch exclude list` shows it.")],
    who: Who,
    why: Why,
) -> None:
    """Take an exclusion back: budgets are charged for its minutes again. Both events are kept."""
    from turnwatch.exclude import run_exclude_withdraw

    raise typer.Exit(run_exclude_withdraw(written_id, who, why))


release = typer.Typer(
    help="What release bundles are made of, and the ways back.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(release, name="release")


@release.command("declare", epilog="Example: turnwatch release declare releases/v42.yaml --who ana")
def release_declare(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A document of kind Release: docs/releases.md.")],
    who: Who,
) -> None:
    """Declare a bundle before it serves, and print its name; one without owner, lineage, report or ways back is refused."""
    with a_failure_is_no_verdict("answer"):
        from turnwatch.release import run_release_declare

        raise typer.Exit(run_release_declare(file, who))


@release.command("list", epilog="Example: turnwatch release list --format json")
def release_list(
    output: Annotated[Literal["table", "json"], typer.Option("--format", help="How to print it.")] = "table",
) -> None:
    """List what was declared last of every bundle: artifacts, versions, owners, and the ways back."""
    with a_failure_is_no_verdict("answer"):
        from turnwatch.release import run_release_list

        raise typer.Exit(run_release_list(output))


@app.command(epilog="Example: turnwatch backfill --slo turn-4000ms-realtime --data 30d --dry-run")
def backfill(
    data: Annotated[str, typer.Option(help="30d up to now, or FROM..TO in UTC; minutes are kept for 95 days.")],
    slo: Annotated[
        str | None, typer.Option(help="An SLO file (FILE#NAME if it holds several), or a shipped SLO's name.")
    ] = None,
    cut: Annotated[str | None, typer.Option(help="Dimensions of a new cut, such as region,bundle.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many rows there are, and write nothing.")] = False,
) -> None:
    """Reckon a new SLO, or a new cut, over the minutes that ClickHouse has. Harmless to repeat."""
    from turnwatch.backfill import run_backfill

    if (slo is None) == (cut is None):
        raise typer.BadParameter("give either --slo or --cut.")
    raise typer.Exit(run_backfill(slo, cut, data, dry_run))


@app.command(epilog="Example: turnwatch check")
def check() -> None:
    """Check SLO files, policies, runbooks and the contract. Exit 1 if something is wrong."""
    from turnwatch.checks import run_check

    raise typer.Exit(run_check())


@app.command(epilog="Example: turnwatch render --check")
def render(
    what: Annotated[
        Literal["everything", "rules"], typer.Argument(help="rules: print those for Prometheus, and write nothing.")
    ] = "everything",
    is_check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 and show the difference if a file is stale.")
    ] = False,
) -> None:
    """Write the files that are derived from code: boards, provisioning, rules for Prometheus, the data dictionary."""
    from turnwatch.rendering import run_render, run_rules

    if what == "rules" and is_check:
        raise typer.BadParameter("--check looks at every derived file, the rules among them: leave out `rules`.")
    raise typer.Exit(run_rules() if what == "rules" else run_render(is_check))


@app.command(epilog="Example: TURNWATCH_GRAFANA__TOKEN=… turnwatch provision")
def provision(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be changed, field by field, and change nothing.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete what is turnwatch's there and no longer part of it.")
    ] = False,
    secrets: Annotated[
        bool,
        typer.Option("--secrets", help="Send passwords and tokens again: nobody can compare them."),
    ] = False,
) -> None:
    """Bring data source, boards, alert rules and whom they are told to into Grafana; changes nothing that is already right."""
    from turnwatch.provision import run_provision

    raise typer.Exit(run_provision(is_dry_run=dry_run, prunes=prune, resends=secrets))


routes = typer.Typer(help="Whom Alertmanager tells of what.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(routes, name="routes")


@routes.command("test", epilog="Example: turnwatch routes test alerts/routes/page_inhibits_ticket.yaml --speed 100")
def routes_test(
    scripts: Annotated[
        list[Path] | None, typer.Argument(help="Alerts, times and what is expected; the shipped ones unless given.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Alertmanager's configuration; alerts/alertmanager.yml unless given.")
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(min=0.1, max=10_000, help="Times as fast as the clock; the scripts' own unless given."),
    ] = None,
    late: Annotated[
        float, typer.Option(min=0.05, max=60.0, help="Seconds by the clock that a notification may be late.")
    ] = 1.0,
) -> None:
    """Play alerts through a real Alertmanager, and compare whom it notifies. Exit 1 if that is not as the script says."""
    from turnwatch.routes import run_routes_test

    raise typer.Exit(run_routes_test(scripts or [], config, speed, late))
