"""Traffic: what is sent, received or recorded, and by which keys it is named."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from turnwatch.command_line import MINUTES_MAX, Seed, Speed, app


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
    """Send the traffic of a simulated fleet. Without a stack it starts one for the run."""
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
        bool,
        typer.Option(
            "--once", help="Ask every target once, show what it says, and send nothing; 1 where one gives nothing."
        ),
    ] = False,
) -> None:
    """Scrape serving engines and GPU exporters (vLLM, SGLang, TGI, Triton, DCGM), and send what they say as frames."""
    from turnwatch.scrape import run_scrape

    raise typer.Exit(run_scrape(config, once))


@app.command(epilog="Example: turnwatch ingest turns.ndjson --kind turns --region eu-west-1")
def ingest(
    source: Annotated[str, typer.Argument(help="A file of NDJSON, or - for standard input.")],
    region: Annotated[
        str,
        typer.Option(
            help="The region of every line that says none; a line's own stays. What this run refused is counted there."
        ),
    ],
    kind: Annotated[
        str | None, typer.Option(help="The kind of every line; each line's field kind says it unless given.")
    ] = None,
    producer: Annotated[str, typer.Option(help="The name under which frames are sent.")] = "ingest",
    live: Annotated[
        bool, typer.Option("--live", help="End windows by the clock: for a pipe that does not end.")
    ] = False,
) -> None:
    """Send observations given as NDJSON, one a line. Exit 1 where lines were refused; they are told by number, reason and column."""
    from turnwatch.ingest import run_ingest

    raise typer.Exit(run_ingest(source, kind, producer, region, live))


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
        bool,
        typer.Option(
            "--leaked", help="With --tenant: replace all keys and wait for nothing, for somebody else may know them."
        ),
    ] = False,
) -> None:
    """Add a session key that applies one to two hours later, and forget what no session needs. Budgets stay as they are.

    Until it applies another rotation is refused, but for keys that leaked.
    """
    from turnwatch.keys import run_keys_rotate

    if leaked and not tenant:
        raise typer.BadParameter("A ring that leaked has given away its tenant key too; give --tenant as well.")
    raise typer.Exit(run_keys_rotate(ring, tenant, leaked))
