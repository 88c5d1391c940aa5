"""May a release go on, and if not, what is rolled back: asked once, or by pipelines over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from turnwatch.command_line import Answered, app
from turnwatch.verdict_codes import a_failure_is_no_verdict


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
        from turnwatch.answers.gates_of_files import run_gate, run_rollout_gate

        if release and not (baseline or candidate or deltas):
            from schemas.verdicts import GateQuestion
            from turnwatch.canary.command import instant_ms, run_release_gate

            named = str(policy) if policy else None
            question = GateQuestion(release, who, beside, named, instant_ms(since))
            raise typer.Exit(run_release_gate(question, output))
        if release:
            raise typer.BadParameter(
                "--release is a canary that is read from ClickHouse, without files: its baseline is named by --beside; leave out "
                "--baseline, --candidate and --deltas."
            )
        if beside or since:
            raise typer.BadParameter("--beside and --since go with --release.")
        if deltas and not (baseline or candidate or policy):
            raise typer.Exit(run_rollout_gate(deltas, output))
        if baseline and candidate and not deltas:
            raise typer.Exit(run_gate(baseline, candidate, policy, output))
        raise typer.BadParameter("Give --release, or --baseline and --candidate, or --deltas alone.")


@app.command(
    epilog="Exit codes: 0 said; 2 bad input; 4 no answer. "
    "Example: turnwatch rollback --regressions r.json --weights w.json --format json"
)
def rollback(
    regressions: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="JSON of version → slice → how much worse it got.")
    ],
    weights: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="JSON of slice → weight; 1 unless given.")
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="A gate policy whose critical slices weigh, instead of --weights."
        ),
    ] = None,
    output: Answered = "table",
) -> None:
    """Say which version to roll back first: the one whose regressions weigh most."""
    with a_failure_is_no_verdict():
        from turnwatch.answers.gates_of_files import run_rollback

        if weights and policy:
            raise typer.BadParameter("give --weights or --policy: each says what slices weigh.")
        raise typer.Exit(run_rollback(regressions, weights, policy, output))


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
    with a_failure_is_no_verdict("answer"):
        from turnwatch.gates.listing import run_gates_list

        raise typer.Exit(run_gates_list(output))
