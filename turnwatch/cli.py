"""The command line: one function per subcommand, each importing what it needs only when it runs.

Exit codes: 0 done; 1 what was asked for failed, or a check found something; 2 the input or the settings are wrong.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
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
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same traffic.")]


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


@app.command(epilog="Example: turnwatch replay AzureLLMInferenceTrace_conv.csv --speed 60")
def replay(
    trace: Annotated[Path, typer.Argument(help="A recorded trace: azure_llm_2023, mooncake or vllm_load_test.")],
    speed: Speed = 60.0,
    seed: Seed = 7,
) -> None:
    """Send a recorded trace, shifted to now, as turns of a fleet. Without a stack it starts one for the run."""
    from turnwatch.traffic_in import run_replay

    raise typer.Exit(run_replay(trace, speed, seed))


@app.command(epilog="Example: turnwatch simulate --scenario canary_long_tail --truth truth.json --speed 30")
def simulate(
    scenario: Annotated[str, typer.Option(help="A name that `turnwatch scenarios` lists, or a YAML file.")] = "quiet",
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            max=MINUTES_MAX,
            help="Length in event time; the scenario's own unless given, endless for quiet and canary.",
        ),
    ] = None,
    speed: Speed = 1.0,
    seed: Seed = 7,
    truth: Annotated[
        Path | None,
        typer.Option(help="Write what goes wrong, where, from when to when and by how much there, as JSON."),
    ] = None,
    aggregates: Annotated[
        bool, typer.Option("--aggregates", help="Draw the aggregates directly, for long runs; see docs/simulator.md.")
    ] = False,
) -> None:
    """Send the traffic of a simulated fleet."""
    from turnwatch.traffic_in import run_simulation

    raise typer.Exit(run_simulation(scenario, minutes, speed, seed, truth, aggregates))


@app.command(epilog="Example: turnwatch scenarios --format json")
def scenarios(
    output: Annotated[Literal["table", "json"], typer.Option("--format", help="table or json.")] = "table",
) -> None:
    """List the scenarios of the simulated fleet, each with its length and a sentence."""
    from turnwatch.traffic_in import list_scenarios

    raise typer.Exit(list_scenarios(output))


@app.command(epilog="Example: turnwatch scrape scrape.yaml --once")
def scrape(
    config: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="YAML of targets; docs/scraping.md.")],
    once: Annotated[
        bool, typer.Option("--once", help="Ask every target once, show what it says, and send nothing.")
    ] = False,
) -> None:
    """Scrape serving engines and GPU exporters (vLLM, SGLang, TGI, Triton, DCGM), and send what they say as frames."""
    from turnwatch.scrape import run_scrape

    raise typer.Exit(run_scrape(config, once))


@app.command(epilog="Example: turnwatch ingest turns.ndjson --kind turns --region eu-west-1")
def ingest(
    source: Annotated[str, typer.Argument(help="A file of NDJSON, or - for standard input.")],
    region: Annotated[str, typer.Option(help="Where the hosts of these observations stand.")],
    kind: Annotated[
        str | None, typer.Option(help="The kind of every line; each line's field kind says it unless given.")
    ] = None,
    producer: Annotated[str, typer.Option(help="The name under which frames are sent.")] = "ingest",
    live: Annotated[
        bool, typer.Option("--live", help="End windows by the clock: for a pipe that does not end.")
    ] = False,
) -> None:
    """Send observations given as NDJSON, one a line. Exit 1 where lines were refused; they are told by number and reason."""
    from turnwatch.ingest import run_ingest

    raise typer.Exit(run_ingest(source, kind, producer, region, live))


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


@app.command(epilog="Example: turnwatch collector --name eu-west-1-collector-0 --region eu-west-1")
def collector(
    name: Annotated[str | None, typer.Option(help="Its name, unlike any other's; TURNWATCH_COLLECTOR__NAME.")] = None,
    region: Annotated[str | None, typer.Option(help="Its region; TURNWATCH_COLLECTOR__REGION.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65_535, help="Port; TURNWATCH_COLLECTOR__PORT.")] = None,
    finish: Annotated[
        bool, typer.Option("--finish", help="Take nothing; close and send all that is left in its folder, and end.")
    ] = False,
) -> None:
    """Take observations of a region's recorders over HTTP, and send frames: the privacy gate, exactly once."""
    from turnwatch.collect import run_collector

    raise typer.Exit(run_collector(name, region, port, finish))


@app.command(epilog="Example: turnwatch otlp --region eu-west-1 --collector http://127.0.0.1:9471")
def otlp(
    region: Annotated[str | None, typer.Option(help="Of what does not say its own; TURNWATCH_OTLP__REGION.")] = None,
    collector: Annotated[str | None, typer.Option(help="Whom it reports to; TURNWATCH_OTLP__COLLECTOR_URL.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65_535, help="Port; TURNWATCH_OTLP__PORT.")] = None,
    topic: Annotated[
        str | None, typer.Option(help="A Kafka topic of otlp_proto to read besides; TURNWATCH_OTLP__TOPIC.")
    ] = None,
    turns_from: Annotated[
        str | None, typer.Option(help="The metric that counts turns; TURNWATCH_OTLP__TURNS_FROM.")
    ] = None,
) -> None:
    """Take OTLP metrics over HTTP, and from Kafka, and report them to a collector."""
    from turnwatch.otlp_in import run_otlp

    raise typer.Exit(run_otlp(region, collector, port, topic, turns_from))


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


@app.command(epilog="Example: turnwatch backtest --slo turn-4000ms-realtime --data 30d --out month.svg")
def backtest(
    slo: Annotated[str, typer.Option(help="An SLO file (FILE#NAME if it holds several), or a shipped SLO's name.")],
    data: Annotated[
        list[str],
        typer.Option(help="30d or FROM..TO (ClickHouse), .csv or .parquet files (give it once for each), or a folder."),
    ],
    policy: Annotated[
        Path | None, typer.Option(help="A burn policy file; the shipped one that the SLO names unless given.")
    ] = None,
    incidents: Annotated[
        Path | None, typer.Option(help="CSV of from,to,slice: what was really wrong, to find delays and false pages.")
    ] = None,
    slice_text: Annotated[
        str | None, typer.Option("--slice", help="Whose budget is told and drawn; the fleet's unless given.")
    ] = None,
    exclusions: Annotated[
        str | None,
        typer.Option(help="CSV of from,to,slice,slo, or clickhouse: shows the budget without what was excluded, too."),
    ] = None,
    threshold_ms: Annotated[
        int | None, typer.Option(min=1, max=3_600_000, help="Another threshold than the SLO's, judged from histograms.")
    ] = None,
    output: Annotated[Literal["table", "json"], typer.Option("--format", help="How to print it.")] = "table",
    out: Annotated[Path | None, typer.Option(help="Write a picture there, as SVG.")] = None,
) -> None:
    """Say what an SLO would have paged in the past: pages, delays, false pages, and what became of the budget."""
    from turnwatch.backtest.command import run_backtest

    raise typer.Exit(run_backtest(slo, policy, data, threshold_ms, incidents, output, out, exclusions, slice_text))


Answered = Annotated[Literal["table", "json"], typer.Option("--format", help="How to print it; json is one document.")]


@app.command(epilog="Example: turnwatch burn points.csv --window 5 --budget-rate 0.01 --format json")
def burn(
    points: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV of minute, bad, total.")],
    window: Annotated[int, typer.Option(min=1, max=525_600, help="Minutes that the sliding window is long.")] = 5,
    budget_rate: Annotated[str, typer.Option(help="Share of turns that may be bad; more is a violation.")] = "0.01",
    output: Answered = "table",
) -> None:
    """Say in which sliding windows of counted minutes too much was bad. Minutes that are absent had no traffic."""
    from turnwatch.answers.commands import run_burn

    raise typer.Exit(run_burn(points, window, budget_rate, output))


@app.command(epilog="Example: turnwatch peak intervals.csv --format json")
def peak(
    intervals: Annotated[
        Path,
        typer.Argument(exists=True, dir_okay=False, help="CSV of start_ms, end_ms; an interval ends before end_ms."),
    ],
    output: Answered = "table",
) -> None:
    """Say how many streams were open at once at most, and when first."""
    from turnwatch.answers.commands import run_peak

    raise typer.Exit(run_peak(intervals, output))


@app.command(epilog="Example: turnwatch saturation minutes.csv --growth 25 --p95-ms 1200 --format json")
def saturation(
    minutes: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="CSV of minute, queue_depth, p95_ms, of one pool.")
    ],
    growth: Annotated[
        str | None, typer.Option(help="Entries a minute by which the queue has to grow at least; 25 unless given.")
    ] = None,
    p95_ms: Annotated[
        str | None, typer.Option("--p95-ms", help="Latency in ms that has to be reached as well; 1200 unless given.")
    ] = None,
    output: Answered = "table",
) -> None:
    """Say in which minutes a queue grew and was slow at the same time, and what to do about it."""
    from turnwatch.answers.commands import run_saturation

    raise typer.Exit(run_saturation(minutes, growth, p95_ms, output))


@app.command(epilog="Example: turnwatch cost --old june.json --new july.json --tolerance 0.10 --format json")
def cost(
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
    from turnwatch.answers.commands import run_cost_change, run_cost_routes

    if routes and not (old or new):
        raise typer.Exit(run_cost_routes(routes, output))
    if old and new and not routes:
        raise typer.Exit(run_cost_change(old, new, tolerance, output))
    raise typer.BadParameter("Give --old and --new, or --routes alone.")


@app.command(epilog="Example: turnwatch capacity --streams 20000 --gpu-seconds-per-audio-second 0.05 --utilization 0.7")
def capacity(
    streams: Annotated[int, typer.Option(min=0, help="Concurrent streams to serve.")],
    gpu_seconds: Annotated[
        str, typer.Option("--gpu-seconds-per-audio-second", help="GPU time that a second of audio takes.")
    ],
    utilization: Annotated[
        str, typer.Option(help="Share of a replica's time to be used, above 0 and up to 1.")
    ] = "0.7",
    vad_savings: Annotated[str, typer.Option(help="Share of audio that is silence and costs nothing.")] = "0",
    output: Answered = "table",
) -> None:
    """Say how many replicas serve so many concurrent streams."""
    from turnwatch.answers.commands import run_capacity

    raise typer.Exit(run_capacity(streams, gpu_seconds, utilization, vad_savings, output))


NO_VERDICT = 4


@contextmanager
def _a_crash_is_no_verdict() -> Iterator[None]:
    """Ends with `NO_VERDICT` whatever goes wrong but bad input: the exit code of a crash would read as "roll back"."""
    try:
        import turnwatch.sentences  # noqa: F401 - bad input is told by it, once it is too late for a code of our own

        yield
    except Exception as error:
        if isinstance(error, typer.Exit | typer.BadParameter) or _is_bad_input(error):
            raise
        with suppress(Exception):
            traceback.print_exception(error)
            print("turnwatch: there is no verdict: this is a defect of turnwatch; please report it.", file=sys.stderr)
        raise typer.Exit(NO_VERDICT) from None


def _is_bad_input(error: Exception) -> bool:
    failures = sys.modules.get("schemas.failures")
    return failures is not None and isinstance(error, failures.BadInput)


@app.command(
    epilog="Exit codes: 0 continue; 1 roll back; 3 pause; 2 bad input; 4 internal error. "
    "Example: turnwatch gate --baseline v1.json --candidate v2.json --format json"
)
def gate(
    baseline: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="JSON of the release that serves: slice or metric → figures."),
    ] = None,
    candidate: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="JSON of the release that is judged, alike.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A gate policy file; the shipped one unless given.")
    ] = None,
    deltas: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="JSON of how a rollout changed the fleet.")
    ] = None,
    output: Answered = "table",
) -> None:
    """Say whether a release may go on: on figures of two releases (--baseline, --candidate), or on --deltas alone."""
    with _a_crash_is_no_verdict():
        from turnwatch.answers.gate_commands import run_gate, run_rollout_gate

        if deltas and not (baseline or candidate or policy):
            raise typer.Exit(run_rollout_gate(deltas, output))
        if baseline and candidate and not deltas:
            raise typer.Exit(run_gate(baseline, candidate, policy, output))
        raise typer.BadParameter("Give --baseline and --candidate, or --deltas alone.")


@app.command(epilog="Example: turnwatch rollback --regressions r.json --weights w.json --format json")
def rollback(
    regressions: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="JSON of version → slice → how much worse it got.")
    ],
    weights: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="JSON of slice → weight; 1 unless given.")
    ] = None,
    output: Answered = "table",
) -> None:
    """Say which version to roll back first: the one whose regressions weigh most."""
    from turnwatch.answers.gate_commands import run_rollback

    raise typer.Exit(run_rollback(regressions, weights, output))


keys = typer.Typer(help="Keys of sessions and of tenant pseudonyms.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(keys, name="keys")

Ring = Annotated[Path, typer.Argument(dir_okay=False, help="The file of the key ring.")]


@keys.command("create", epilog="Example: turnwatch keys create keys.json")
def keys_create(
    ring: Ring,
    tenant_kept_days: Annotated[
        int | None, typer.Option(help="How long rows with tenants are kept; as long as any table of ours unless given.")
    ] = None,
) -> None:
    """Make a key ring, mode 0600, where there is no file yet. Secrets are never printed."""
    from turnwatch.keys import run_keys_create

    raise typer.Exit(run_keys_create(ring, tenant_kept_days))


@keys.command("show", epilog="Example: turnwatch keys show keys.json")
def keys_show(ring: Ring) -> None:
    """Say which keys there are and when they apply. Secrets are never printed."""
    from turnwatch.keys import run_keys_show

    raise typer.Exit(run_keys_show(ring))


@keys.command("rotate", epilog="Example: turnwatch keys rotate keys.json")
def keys_rotate(
    ring: Ring,
    tenant: Annotated[
        bool, typer.Option("--tenant", help="Change the tenant key too, once rows with its pseudonyms are gone.")
    ] = False,
    leaked: Annotated[
        bool, typer.Option("--leaked", help="With --tenant: do not wait, for somebody else may know the key.")
    ] = False,
) -> None:
    """Add a session key that applies from an hour on, and forget what no session needs. Budgets stay as they are."""
    from turnwatch.keys import run_keys_rotate

    if leaked and not tenant:
        raise typer.BadParameter("--leaked is about the tenant key; give --tenant too.")
    raise typer.Exit(run_keys_rotate(ring, tenant, leaked))


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
    from turnwatch.release import run_release_declare

    raise typer.Exit(run_release_declare(file, who))


@release.command("list", epilog="Example: turnwatch release list --format json")
def release_list(
    output: Annotated[Literal["table", "json"], typer.Option("--format", help="How to print it.")] = "table",
) -> None:
    """List what was declared last of every bundle: artifacts, versions, owners, and the ways back."""
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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be changed, and change nothing.")] = False,
) -> None:
    """Bring folder, data source and boards into Grafana; changes nothing that is already right."""
    from turnwatch.provision import run_provision

    raise typer.Exit(run_provision(dry_run))


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


bench = typer.Typer(
    help="Benchmarks: each prints a ratio to a limit or peer measured in the same run.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(bench, name="bench")


@bench.command("pipeline", epilog="Example: turnwatch bench pipeline --frames 20000")
def bench_pipeline(
    frames: Annotated[int, typer.Option(min=100, help="Frames of 200 rows to send through.")] = 30_000,
    slices: Annotated[int, typer.Option(min=10, help="Distinct slices of the finest cut.")] = 200,
) -> None:
    """Rows per second through Kafka, intake, burn_rate and the ClickHouse sink, next to the limit of this machine."""
    from turnwatch.bench.pipeline import run_pipeline

    raise typer.Exit(run_pipeline(frames, slices))


@bench.command("memory", epilog="Example: turnwatch bench memory --slices 5000 --slos 10")
def bench_memory(
    slices: Annotated[int, typer.Option(min=10)] = 5_000,
    slos: Annotated[int, typer.Option(min=1)] = 10,
) -> None:
    """Memory of a worker whose burn_rate state is full: every bucket of every resolution of a 30-day period."""
    from turnwatch.bench.memory import run_memory

    raise typer.Exit(run_memory(slices, slos))


@bench.command("burn", epilog="Example: turnwatch bench burn --slices 10000 --slos 10")
def bench_burn(
    slices: Annotated[int, typer.Option(min=1, max=100_000)] = 10_000,
    slos: Annotated[int, typer.Option(min=1, max=100)] = 10,
    buckets: Annotated[int, typer.Option(min=1, max=360, help="Buckets of 10 s to take in and decide.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same counts.")] = 7,
    prometheus: Annotated[
        bool, typer.Option("--prometheus/--without-prometheus", help="Evaluate the rendered rules in Prometheus, too.")
    ] = True,
    prometheus_past: Annotated[int, typer.Option(min=5, max=40, help="Minutes of samples that it is given.")] = 30,
    prometheus_memory: Annotated[int, typer.Option(min=256, help="MiB that it may take.")] = 8_192,
    prometheus_time: Annotated[
        int, typer.Option(min=10, max=900, help="Seconds that it may take for all sizes.")
    ] = 180,
) -> None:
    """Share of a core that deciding all windows of all slices and SLOs each 10 s takes, beside what Prometheus takes for
    the rendered rules. Exit 1 where ours is above a tenth.
    """
    from turnwatch.bench.burn import run_burn
    from turnwatch.bench.prometheus_side import Bounds

    bounds = Bounds(prometheus_past * 60, prometheus_memory << 20, prometheus_time)
    raise typer.Exit(run_burn(slices, slos, buckets, seed, bounds if prometheus else None))


@bench.command("detection", epilog="Example: turnwatch bench detection --rounds 3")
def bench_detection(
    rounds: Annotated[int, typer.Option(min=1, max=10, help="Times 32 outages, each of a slice of its own.")] = 1,
) -> None:
    """Seconds from the bucket that tips the arithmetic to the page's webhook, and from an outage to its page, next to
    the arithmetic floor. Exit 1 above 4 s, or more than 14 s beyond the floor.
    """
    from turnwatch.bench.detection import run_detection

    raise typer.Exit(run_detection(rounds))


@bench.command("simulator", epilog="Example: turnwatch bench simulator --minutes 5")
def bench_simulator(
    minutes: Annotated[int, typer.Option(min=1, max=60, help="Minutes of event time to simulate.")] = 3,
    seed: Seed = 7,
) -> None:
    """Turns per minute of processor time that the simulated fleet of 20,000 calls makes, next to the limit of 1,000,000,
    and how many times as fast aggregates are drawn directly. Exit 1 below the limit.
    """
    from turnwatch.bench.simulator import run_simulator

    raise typer.Exit(run_simulator(minutes, seed))


@bench.command("privacy", epilog="Example: turnwatch bench privacy --scenario abuse_burst")
def bench_privacy(
    scenario: Annotated[str, typer.Option(help="Name or file of one scenario, or all.")] = "all",
    seed: Seed = 7,
) -> None:
    """Share of the turns of each scenario's true slice that leave the edge as such, at 20,000 calls, next to the limit of
    0.90. Exit 1 below the limit.
    """
    from turnwatch.bench.privacy import run_privacy

    raise typer.Exit(run_privacy(seed, scenario))


@bench.command("fleets", epilog="Example: turnwatch bench fleets --days 30 --slices 500 --seed 7")
def bench_fleets(
    days: Annotated[int, typer.Option(min=1, max=95)] = 30,
    slices: Annotated[int, typer.Option(min=1, max=10_000)] = 500,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same fleet.")] = 7,
) -> None:
    """False pages a month of a simulated fleet without an incident, with and without the low-traffic rule."""
    from turnwatch.bench.fleets import run_fleets

    raise typer.Exit(run_fleets(days, slices, seed))


@bench.command("backtest", epilog="Example: turnwatch bench backtest --days 30 --slices 1000")
def bench_backtest(
    days: Annotated[int, typer.Option(min=1, max=95)] = 30,
    slices: Annotated[int, typer.Option(min=1, max=10_000)] = 1_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same fleet.")] = 7,
) -> None:
    """Seconds that a backtest of a fleet's minutes takes, file and all, next to the limit of 10 s. Exit 1 above it."""
    from turnwatch.bench.backtest import run_backtest_bench

    raise typer.Exit(run_backtest_bench(days, slices, seed))


@bench.command("producer", epilog="Example: turnwatch bench producer --turns 1000000")
def bench_producer(
    turns: Annotated[
        int, typer.Option(min=10_000, help="Turns of a minute that go through one collector.")
    ] = 1_000_000,
    rounds: Annotated[int, typer.Option(min=3, help="Rounds of 1,000 recorded turns, for each recorder.")] = 40,
    seed: Seed = 7,
) -> None:
    """Cost of recording a turn, turns a minute through a collector, and bytes of a row, next to limits and peers."""
    from turnwatch.bench.producer import run_producer

    raise typer.Exit(run_producer(turns, rounds, seed))


@bench.command("recovery", epilog="Example: turnwatch bench recovery --slices 5000 --slos 10 --days 3")
def bench_recovery(
    slices: Annotated[int, typer.Option(min=10)] = 5_000,
    slos: Annotated[int, typer.Option(min=1)] = 10,
    days: Annotated[int, typer.Option(min=1, max=30, help="How long the state was counted for.")] = 3,
) -> None:
    """Seconds until a worker has the state of days back from Kafka, next to the limit of 30 s. Exit 1 above it."""
    from turnwatch.bench.recovery import run_recovery

    raise typer.Exit(run_recovery(slices, slos, days))


@bench.command("fuzz", epilog="Example: turnwatch bench fuzz --frames 1000000 --seed 7")
def bench_fuzz(
    frames: Annotated[int, typer.Option(min=1, help="Mutated frames to decode.")] = 1_000_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same mutants.")] = 7,
    first: Annotated[int, typer.Option(min=0, help="Number of the first mutant: shows a single one again.")] = 0,
) -> None:
    """Mutated frames through every decoder. Exit 1 if one crashes, or is accepted and by the contract invalid."""
    from turnwatch.bench.fuzz.campaign import run_fuzz

    raise typer.Exit(run_fuzz(frames, seed, first))


@bench.command("faults", epilog="Example: turnwatch bench faults --rounds 20 --seed 7")
def bench_faults(
    rounds: Annotated[
        int,
        typer.Option(min=1, max=150, help="Rounds in the same servers, an hour of event time each; many are a soak."),
    ] = 1,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Draws the same schedule and traffic again; any unless given.")
    ] = None,
    faults: Annotated[int, typer.Option(min=10, max=400, help="Faults a round; about a quarter on processes.")] = 100,
) -> None:
    """Kills, freezes, restarts and corrupts while traffic flows, then compares every row and page. Exit 1 if one is off."""
    from turnwatch.bench.faults.play import run_faults

    raise typer.Exit(run_faults(rounds, seed, faults))


def main() -> None:
    """Runs the command; what was foreseen to go wrong is told in a sentence, never as a traceback."""
    # Without a handler of its own a client would write what it could not do beside our sentence about it.
    for client in ("aiokafka", "urllib3"):
        logging.getLogger(client).addHandler(logging.NullHandler())
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        from turnwatch.sentences import exit_code_for

        sys.exit(exit_code_for(error))
