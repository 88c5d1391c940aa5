"""Questions asked of files and of stored minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from turnwatch.command_line import Answered, app


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


@app.command(epilog="Example: turnwatch report --from 2026-10-01T12:00 --to 2026-10-01T18:00 --out incident.html")
def report(
    begins: Annotated[
        str, typer.Option("--from", help="When it begins: 2026-10-01T12:00 (UTC), a day, or a while up to now: 6h, 7d.")
    ],
    out: Annotated[Path, typer.Option(help="Write the report there, as HTML.", dir_okay=False)],
    ends: Annotated[str | None, typer.Option("--to", help="When it ends, likewise; now unless given.")] = None,
    board: Annotated[
        list[str] | None,
        typer.Option(help="A board's name, or all (give it once for each); fleet-overview unless given."),
    ] = None,
    select: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, such as region=eu-west-1 (give it once for each).")
    ] = None,
) -> None:
    """Write pages, findings and boards of a range into one file, to attach to a post-mortem or a mail."""
    from turnwatch.report import run_report

    raise typer.Exit(run_report(begins, ends, board or [], select or [], out))


@app.command(epilog="Example: turnwatch board --port 9473")
def board(
    host: Annotated[
        str | None, typer.Option(help="Where to listen, on this machine; 127.0.0.1 unless given or set.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Port; 9473 unless given, 0 for a free one.")
    ] = None,
    is_opened: Annotated[bool, typer.Option("--open/--no-open", help="Open them in a browser.")] = True,
) -> None:
    """Serve the boards on this machine, live, without Grafana, until Ctrl-C."""
    from turnwatch.board.process import run_board

    raise typer.Exit(run_board(host, port, is_opened))


@app.command(epilog="Example: turnwatch burn points.csv --window 5 --budget-rate 0.01 --format json")
def burn(
    points: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV of minute, bad, total.")],
    window: Annotated[int, typer.Option(min=1, max=525_600, help="Minutes that the sliding window is long.")] = 5,
    budget_rate: Annotated[str, typer.Option(help="Share of turns that may be bad; more is a violation.")] = "0.01",
    output: Answered = "table",
) -> None:
    """Say in which sliding windows of counted minutes too much was bad. Minutes that are absent had no traffic."""
    from turnwatch.answers.questions_of_files import run_burn

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
    from turnwatch.answers.questions_of_files import run_peak

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
    from turnwatch.answers.questions_of_files import run_saturation

    raise typer.Exit(run_saturation(minutes, growth, p95_ms, output))


@app.command(epilog="Example: turnwatch capacity --streams 20000 --gpu-seconds-per-audio-second 0.05 --utilization 0.7")
def capacity(
    streams: Annotated[
        int | None, typer.Option(min=0, help="Concurrent streams to serve; the measured peak unless given.")
    ] = None,
    gpu_seconds: Annotated[
        str | None,
        typer.Option(
            "--gpu-seconds-per-audio-second", help="GPU time that a second of audio takes; measured unless given."
        ),
    ] = None,
    utilization: Annotated[
        str, typer.Option(help="Share of a replica's time to be used, above 0 and up to 1.")
    ] = "0.7",
    vad_savings: Annotated[
        str | None,
        typer.Option(
            help="Share of audio that is silence and costs nothing; with --data measured unless given, else 0."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="What was measured: 30d or FROM..TO (ClickHouse), or a CSV of minute (since 1970), peak."),
    ] = None,
    slice_text: Annotated[
        str | None,
        typer.Option("--slice", help="Whose capacity, with --data of ClickHouse; pool=realtime unless given."),
    ] = None,
    output: Answered = "table",
    out: Annotated[
        Path | None, typer.Option(help="Write the day and the week ahead there, as SVG; with --data.")
    ] = None,
) -> None:
    """Say how many replicas serve so many concurrent streams, or with --data those of a measured peak and of next week."""
    if data is not None:
        from turnwatch.capacity.command import Given, run_measured

        given = Given(streams, gpu_seconds, utilization, vad_savings)
        raise typer.Exit(run_measured(data, slice_text, given, output, out))
    if slice_text is not None or out is not None:
        raise typer.BadParameter("--slice and --out are about what was measured: give --data too.")
    if streams is None or gpu_seconds is None:
        raise typer.BadParameter("Give --streams and --gpu-seconds-per-audio-second, or --data.")
    from turnwatch.answers.questions_of_files import run_capacity

    raise typer.Exit(
        run_capacity(streams, gpu_seconds, utilization, "0" if vad_savings is None else vad_savings, output)
    )
