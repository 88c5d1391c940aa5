"""Questions asked of files and of stored minutes."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Literal

import typer

from turnwatch.command_line import app


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
    from turnwatch.answers.commands import run_capacity

    raise typer.Exit(
        run_capacity(streams, gpu_seconds, utilization, "0" if vad_savings is None else vad_savings, output)
    )


NO_VERDICT = 4


@contextmanager
def a_failure_is_no_verdict() -> Iterator[None]:
    """Ends with `NO_VERDICT` whatever goes wrong but bad input: the exit code of a failure would read as a verdict."""
    try:
        import turnwatch.sentences  # noqa: F401 - bad input is told by it, once it is too late for a code of our own

        yield
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # Libraries have failures that are no `Exception`: a panic of polars is one.
        if isinstance(error, typer.Exit | typer.BadParameter) or _is(error, "BadInput"):
            raise
        with suppress(Exception):
            _tell(error)
        raise typer.Exit(NO_VERDICT) from None


def _tell(error: BaseException) -> None:
    """A sentence where it was foreseen, else a traceback."""
    if isinstance(error, OSError) or _is(error, "Foreseen"):
        from turnwatch.sentences import exit_code_for

        exit_code_for(error)
        return
    traceback.print_exception(error)
    print("turnwatch: there is no verdict: this is a defect of turnwatch; please report it.", file=sys.stderr)


def _is(error: BaseException, kind: Literal["BadInput", "Foreseen"]) -> bool:
    failures = sys.modules.get("schemas.failures")
    return failures is not None and isinstance(error, getattr(failures, kind))


@app.command(
    epilog="Exit codes: 0 continue; 1 roll back; 3 pause; 2 bad input; 4 no verdict. "
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
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="A gate policy file, of kind CanaryPolicy with --release; the shipped one unless given.",
        ),
    ] = None,
    deltas: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="JSON of how a rollout changed the fleet.")
    ] = None,
    release: Annotated[
        str | None, typer.Option(help="The bundle of a running canary, judged by what ClickHouse has of it.")
    ] = None,
    beside: Annotated[
        str | None,
        typer.Option(help="With --release: its baseline; the bundle that it was declared to restore unless given."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="With --release: when it began to serve (UTC); its first turn unless given.")
    ] = None,
    who: Annotated[str, typer.Option(help="With --release: who asks, as the verdict keeps it.")] = "pipeline",
    output: Answered = "table",
) -> None:
    """Say whether a release may go on: a running canary (--release), figures of two releases (--baseline, --candidate), or
    --deltas alone.
    """
    with a_failure_is_no_verdict():
        from turnwatch.answers.gate_commands import run_gate, run_rollout_gate

        if release and not (baseline or candidate or deltas):
            from schemas.verdicts import GateQuestion
            from turnwatch.canary.command import instant_ms, run_release_gate

            named = str(policy) if policy else None
            question = GateQuestion(release, who, beside, named, instant_ms(since))
            raise typer.Exit(run_release_gate(question, output))
        if release or beside or since:
            raise typer.BadParameter("--beside and --since go with --release, and files do not.")
        if deltas and not (baseline or candidate or policy):
            raise typer.Exit(run_rollout_gate(deltas, output))
        if baseline and candidate and not deltas:
            raise typer.Exit(run_gate(baseline, candidate, policy, output))
        raise typer.BadParameter("Give --release, or --baseline and --candidate, or --deltas alone.")


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
