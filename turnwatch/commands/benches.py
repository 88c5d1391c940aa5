"""Benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from turnwatch.command_line import Seed, app

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


@bench.command("questions", epilog="Example: turnwatch bench questions --slices 10000")
def bench_questions(
    slices: Annotated[int, typer.Option(min=10, max=100_000, help="Slices that every question is told of.")] = 10_000,
    rounds: Annotated[int, typer.Option(min=2, max=200, help="Rounds of each; the last ones are counted.")] = 12,
    seed: Seed = 7,
) -> None:
    """Rows a second and core, and bytes of state a slice, of each question's operator, next to a plain sum of its rows.
    Exit 1 where saturation, pricing (alone, and as a worker does it) or spending takes in less than 1,000,000, or a decomposition takes more than 1 s.
    """
    from turnwatch.bench.questions import run_questions

    raise typer.Exit(run_questions(slices, rounds, seed))


@bench.command("canary", epilog="Example: turnwatch bench canary --runs 2000")
def bench_canary(
    runs: Annotated[int, typer.Option(min=20, max=10_000, help="Canaries without a difference to simulate.")] = 2_000,
    slices: Annotated[int, typer.Option(min=2, max=5_000, help="Slices of the gate that is timed.")] = 500,
    seed: Seed = 7,
) -> None:
    """How often the gate of a running canary errs at hourly looks of a day, how soon it sees a slow tail and worse words next
    to tests for one look, and what it takes. Exit 1 above 5 % or 1 s, or where one is not seen.
    """
    from turnwatch.bench.canary import run_canary

    raise typer.Exit(run_canary(runs, slices, seed))


@bench.command("drift", epilog="Example: turnwatch bench drift --slices 96 --seed 7")
def bench_drift(
    slices: Annotated[int, typer.Option(min=24, max=100, help="Slices of each of three figures.")] = 96,
    days: Annotated[int, typer.Option(min=14, max=63, help="Changes begin six days before the last.")] = 21,
    seed: Seed = 7,
    river: Annotated[bool, typer.Option("--river/--without-river", help="Run river's detectors beside ours.")] = True,
) -> None:
    """Planted changes that the drift watch finds, how soon, and false alarms a week where nothing changes, beside river's
    ADWIN and Page-Hinkley on the same figures. Exit 1 where ours raises more than one a week, or misses evident changes.
    """
    from turnwatch.bench.drift import run_drift

    raise typer.Exit(run_drift(slices, days, seed, river))


@bench.command("boards", epilog="Example: turnwatch bench boards --slices 500 --days 7")
def bench_boards(
    slices: Annotated[int, typer.Option(min=50, max=20_000, help="Slices of the cuts that boards read.")] = 5_000,
    days: Annotated[int, typer.Option(min=1, max=90, help="Days of 1-minute rollups.")] = 30,
    runs: Annotated[int, typer.Option(min=1, max=100, help="Times that each statement is asked.")] = 5,
    keep: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="A folder to fill, and to ask again without filling it for a day."),
    ] = None,
) -> None:
    """Seconds of each panel, of the overview whole and until its first paint, on a month of rollups, and bytes of a row beside a
    plain MergeTree's. Exit 1 where the overview as it opens, or its first paint over any range, takes 1 s or more. 5,000 slices of 30 days are 216 million rows a table, which takes space and time.
    """
    from turnwatch.bench.boards import run_boards

    raise typer.Exit(run_boards(slices, days, runs, keep))
