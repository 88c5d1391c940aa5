"""`turnwatch gate --release`: may the running canary go on? The exit code is the verdict, once it is on the record."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime
from typing import Any

from schemas.failures import BadInput
from schemas.verdicts import GateQuestion, Judgement, ReleaseVerdict
from turnwatch.answers.judged_table import print_judged
from turnwatch.answers.printing import Format
from turnwatch.canary.judging import judge
from turnwatch.declared_releases import DeclaredReleases
from turnwatch.gates.recording import record
from turnwatch.places import clickhouse, kafka
from turnwatch.printable import printable
from turnwatch.settings import load
from turnwatch.verdict_codes import EXIT_CODE


def run_release_gate(question: GateQuestion, output: Format) -> int:
    """Judges one look, records the verdict, prints it and returns its exit code, once it is really printed."""
    settings = load()
    log = kafka(settings)
    verdict = judge(question, clickhouse(settings), DeclaredReleases(log), int(time.time() * 1_000))
    asyncio.run(record(log, verdict))
    if output == "json":
        print(verdict.model_dump_json(exclude={"format"}))
    else:
        _print_table(verdict)
    sys.stdout.flush()
    return EXIT_CODE[verdict.decision]


def instant_ms(written: str | None) -> int | None:
    """`--since` in ms; raises `BadInput` where it is no time."""
    if written is None:
        return None
    try:
        read = datetime.fromisoformat(written)
    except ValueError:
        raise BadInput(f"--since {written[:100]!r} is no time: write 2026-10-01T12:00 (in UTC).") from None
    since_ms = int((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp() * 1_000)
    if since_ms < 0:
        raise BadInput(f"--since {written[:100]!r} is before 1970: write when the release began to serve.")
    return since_ms


def _print_table(verdict: ReleaseVerdict) -> None:
    print(printable(f"{verdict.decision}: {verdict.release} beside {verdict.baseline}. {verdict.because}"))
    if verdict.way_back:
        print(printable(f"Way back: {verdict.way_back.because}"))
    print_judged(map(_row, verdict.judged), len(verdict.judged))
    if verdict.unlisted:
        print(f"{verdict.unlisted} less important ones are listed nowhere.")


def _row(judged: Judgement) -> dict[str, Any]:
    low, high = (f"{each:.4g}" if each is not None else "?" for each in (judged.low, judged.high))
    return {
        "slice": f"{judged.slice} (protected)" if judged.is_protected else judged.slice,
        "metric": judged.metric,
        "outcome": judged.outcome,
        "baseline": judged.baseline,
        "candidate": judged.candidate,
        "worse by": f"{low} to {high}",
        "allowed": judged.allowed,
        "samples": f"{judged.baseline_samples} and {judged.candidate_samples}",
    }
