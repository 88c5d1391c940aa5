"""The loads of what pages are made of: stages that grew, burns that become alerts, and findings that do.

None has a limit. Burns and findings are statements in full, of which only what changes is a row of state: rows a second are
of those stated, each of them an alert that goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import polars as pl
from numpy.random import Generator

from alerts.explanations import Paging
from alerts.findings import Found
from alerts.findings import step as step_findings
from alerts.incident_scope import OpenIncidents
from alerts.pages import Pages, step
from schemas.burns import AlertState, Burn, Decision
from schemas.families import STAGE_LATENCIES
from schemas.findings import LISTED_MAX, Finding, FindingAlert, Findings
from schemas.instants import MINUTE_MS
from stream_jobs.operators.stages.growth import GrowthWatch
from stream_jobs.operators.stages.minutes import KEPT_MS
from stream_jobs.operators.totals.blocks import Block, stamped
from turnwatch.bench.question import Question, Round
from turnwatch.bench.question_clock import START_MS, Now

STAGES = ("turn", "asr_first_partial", "llm_first_token", "tts_first_audio")
BUCKETS = np.arange(56, 60)
"""Of scale 3: latencies between 128 and 181 ms."""
SLO = "turn-4000ms-realtime"


def stage_growth(slices: int, rounds: int, dice: Generator) -> Question:
    """A minute of four stages in every slice, with the hour before it; in one slice in a hundred a stage has grown.

    All of them are kept: a worker leaves out what is beyond the 1,000 slices with the most observations.
    """
    watch, now = GrowthWatch(0, slices_max=slices), Now()

    def answered(totals: pl.DataFrame) -> Callable[[], object]:
        def stated() -> object:
            now.now_ms += MINUTE_MS
            watch.tell(STAGE_LATENCIES, totals, now.now_ms - MINUTE_MS)
            return list(watch.statements(now))

        return stated

    def steps() -> Iterator[Round]:
        before = KEPT_MS // MINUTE_MS
        for place in range(before + rounds):
            totals = _latencies(slices, START_MS + place * MINUTE_MS, place >= before, dice)
            yield Round(totals, answered(totals))

    def saved() -> Iterator[Block]:
        return chain(watch.unsaved_blocks(0), watch.forgotten_blocks())

    return Question("stage_growth", steps(), saved, f"{KEPT_MS // MINUTE_MS}_minutes")


def incidents(slices: int, rounds: int, dice: Generator) -> Question:
    """A decision of one shard in which every slice burns, round after round: alerts that begin, and then go on."""
    kept = _Kept()

    def answered(place: int) -> Callable[[], object]:
        burns = tuple(_burn(number, 100 + place) for number in range(slices))
        decision = Decision(shard=0, decided_ms=START_MS + place * 10_000, completeness=1.0, burns=burns)
        return lambda: kept.decide(decision)

    steps = (Round(_listed("bad", slices, dice), answered(place)) for place in range(rounds))
    return Question("incidents", steps, kept.saved, "alerts")


def findings(slices: int, rounds: int, dice: Generator) -> Question:
    """A queue that grows in every slice, in as many shards as it takes to state all of them."""
    kept = _Kept()

    def answered(place: int) -> Callable[[], object]:
        said = [_found(shard, slices, place) for shard in range(-(-slices // LISTED_MAX))]
        return lambda: kept.find(said)

    steps = (Round(_listed("depth", slices, dice), answered(place)) for place in range(rounds))
    return Question("findings", steps, kept.saved, "alerts")


@dataclass
class _Kept:
    """All alerts, and those that changed and were not saved since."""

    pages: Pages = field(default_factory=Pages)
    found: Found = field(default_factory=Found)
    unsaved: dict[str, AlertState | FindingAlert] = field(default_factory=dict)

    def decide(self, decision: Decision) -> None:
        stepped = step(self.pages, decision, Paging(), decision.decided_ms)
        self.pages = stepped.pages
        self.unsaved |= {alert.alert: alert for alert in stepped.published}

    def find(self, said: list[Findings]) -> None:
        for each in said:
            stepped = step_findings(self.found, each, Paging(), OpenIncidents(), each.decided_ms)
            self.found = stepped.found
            self.unsaved |= {alert.alert: alert for alert in stepped.published}

    def saved(self) -> Iterator[Block]:
        unsaved, self.unsaved = self.unsaved, {}
        for name, alert in unsaved.items():
            yield Block(name.encode(), stamped(0, alert.model_dump_json().encode()))


def _latencies(slices: int, start_ms: int, is_late: bool, dice: Generator) -> pl.DataFrame:
    names = [f"pool=realtime,bundle=v{number}" for number in range(slices)]
    rows = (
        pl.DataFrame({"slice": names, "grows": np.arange(slices) % 100 == 0})
        .join(pl.DataFrame({"stage": STAGES}), how="cross")
        .join(pl.DataFrame({"bucket_index": BUCKETS}, schema={"bucket_index": pl.Int32}), how="cross")
    )
    observations = pl.Series("observations", dice.integers(20, 40, len(rows)))
    grown = pl.col("grows") & (pl.col("stage") == "llm_first_token") & is_late
    bucket = pl.col("bucket_index") + pl.when(grown).then(16).otherwise(0)
    middle_ms = pl.lit(2.0).pow((bucket + 0.5) / 8)
    return rows.with_columns(observations, bucket_index=bucket).select(
        pl.lit(start_ms, pl.Int64).alias("bucket_start_ms"),
        "slice",
        "stage",
        pl.lit(3, pl.Int32).alias("scale"),
        pl.col("bucket_index").cast(pl.Int32),
        "observations",
        (pl.col("observations") * middle_ms).cast(pl.Int64).alias("latency_ms_sum"),
        pl.lit(0, pl.Int64).alias("latency_ms_sumsq"),
        pl.lit(1, pl.Int64).alias("version"),
    )


def _burn(number: int, bad: int) -> Burn:
    return Burn(
        slo=SLO,
        slice=_slice(number),
        row="page_1h_5m",
        severity="page",
        factor=14.4,
        threshold=0.144,
        long_s=3_600,
        short_s=300,
        long_bad=10 * bad,
        long_total=4_000,
        short_bad=bad,
        short_total=400,
        long_burn=bad / 4,
        short_burn=bad / 4,
        budget_left=0.6,
        exhausted_in_s=7_200.0,
        one_failure_costs=0.0001,
    )


def _found(shard: int, slices: int, place: int) -> Findings:
    numbers = range(shard * LISTED_MAX, min(slices, (shard + 1) * LISTED_MAX))
    return Findings(
        question="saturation",
        shard=shard,
        decided_ms=START_MS + place * MINUTE_MS,
        completeness=1.0,
        holds_s=180,
        findings=tuple(_finding(number, place) for number in numbers),
    )


def _finding(number: int, place: int) -> Finding:
    return Finding(
        alert="Saturated",
        slice=_slice(number),
        severity="page",
        since_ms=START_MS,
        summary=f"The queue of llm_first_token grows by 40 a minute and breaks its objective in {90 - place} min",
        action="Shed batch work, or add 3 replicas.",
        runbook="docs/runbooks/saturation.md",
        labels={"queue": "llm_first_token"},
        facts={"depth": 294.0 + 40 * place, "growth_per_min": 40.25},
    )


def _slice(number: int) -> str:
    return f"pool=realtime,bundle=v{number}"


def _listed(what: str, slices: int, dice: Generator) -> pl.DataFrame:
    """What is stated as columns, for the plain sum that stands beside."""
    return pl.DataFrame({"slice": [_slice(number) for number in range(slices)], what: dice.integers(1, 100, slices)})
