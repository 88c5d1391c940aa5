"""Records of our own: partials, rollups, decisions, alerts and blocks of state, with other bytes in them.

Nobody but a stage of ours writes them, so no judge says which mutants are valid: what they must not do is end a worker
with anything but a sentence. What passes the decoder goes on to whoever would take it in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

import polars as pl
import pyarrow as pa

from alerts.explanations import Paging
from alerts.findings import Found
from alerts.findings import step as step_findings
from alerts.grown_stages import GrownStages
from alerts.incident_scope import OpenIncidents
from alerts.pages import Pages, step
from schemas import burns, findings, growths, partials, rollups, spend, verdicts
from schemas.failures import Foreseen
from schemas.families import FAMILIES, TURNS, Family
from schemas.spend_policies import STANDARD
from schemas.tables import TABLES, Table
from schemas.verdict_rows import rows as verdict_rows
from stream_jobs.operators.cost.spending import Spending
from stream_jobs.operators.totals.blocks import (
    applied_offset,
    body,
    pack_json,
    pack_rows,
    stamped,
    unpack_json,
    unpack_rows,
)
from stream_jobs.operators.totals.ledger import Ledger
from stream_jobs.sinks.batches import Message, batch_of
from turnwatch.bench.fuzz.mutations import BYTE_MUTATIONS
from turnwatch.bench.fuzz.specimens import WINDOW_START_MS
from turnwatch.bench.fuzz.trial import Tally, crash_of

ROWS = 5
SLICE = "pool=realtime"


@dataclass(frozen=True, slots=True)
class Record:
    """A record as one of our own stages writes it. `read` takes it in, and says whether it did."""

    surface: str
    headers: Mapping[str, bytes]
    payload: bytes
    read: Callable[[Mapping[str, bytes], bytes], bool]


@cache
def records() -> tuple[Record, ...]:
    """One of each kind."""
    return (
        *(_partial(family) for family in FAMILIES.values()),
        *(_rollup(table) for table in TABLES.values()),
        Record("burns", {}, burns.encode(_decision()), _read_decision),
        Record("growths", {}, _growths().model_dump_json().encode(), _read_growths),
        Record("findings", {}, _findings().model_dump_json().encode(), _read_findings),
        _spend(),
        Record("alerts", {}, _alert(), _read_alert),
        Record("verdicts", {}, _verdict().encode(), _read_verdict),
        Record("state rows", {}, stamped(7, pack_rows(_rows_of_state())), _read_rows),
        Record("state JSON", {}, stamped(7, pack_json({"operational": [[1, 2], ["a"]]})), _read_json),
    )


def _by_surface() -> tuple[tuple[Record, ...], ...]:
    surfaces = dict.fromkeys(record.surface for record in records())
    return tuple(tuple(record for record in records() if record.surface == surface) for surface in surfaces)


def try_records(seed: int, numbers: range, tally: Tally) -> None:
    """Mutants of these numbers; only a crash is told."""
    by_surface = _by_surface()
    for number in numbers:
        chance = Random(seed << 40 | 1 << 39 | number)
        record = chance.choice(chance.choice(by_surface))  # Each surface as often, however many tables there are.
        headers, payload = _mutated(chance, record)
        try:
            accepted = record.read(headers, payload)
        except Foreseen:
            accepted = False
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # What polars panics with is no Exception.
            tally.crashes.append(f"record {number} ({record.surface}): {crash_of(error)}")
            continue
        tally.records[record.surface, "accepted" if accepted else "refused"] += 1


def _mutated(chance: Random, record: Record) -> tuple[dict[str, bytes], bytes]:
    headers, kind = dict(record.headers), chance.random()
    if kind < 0.1:
        return headers, chance.randbytes(chance.randint(0, 200))
    if kind < 0.2:
        return headers, chance.choice(records()).payload
    if headers and kind < 0.4:
        name = chance.choice(sorted(headers))
        headers[name] = chance.choice((b"", b"null", b"[]", b'{"format":2}', _changed(chance, headers[name])))
        return headers, record.payload
    return headers, _changed(chance, record.payload)


def _changed(chance: Random, content: bytes) -> bytes:
    return chance.choice(BYTE_MUTATIONS)(chance, content)


def _partial(family: Family) -> Record:
    partition = family.partitions[0]
    dimensions = next(cut.dimensions for cut in family.cuts if cut.partition == partition.name)
    known: dict[str, Any] = {"slice": ",".join(f"{name}=x" for name in dimensions), "bucket_start_ms": WINDOW_START_MS}
    known |= {key.name: key.vocabulary[0] if key.vocabulary else key.integer_range[0] for key in family.keys}
    known |= dict.fromkeys(family.measure_names, 3)
    rows = pa.Table.from_pylist([known] * ROWS, schema=partials.partial_schema(family))
    partial = partials.Partial(family, partition, 0, 7, ((WINDOW_START_MS, 30),), rows)
    headers, payload = partials.encode(partial)

    def read(headers: Mapping[str, bytes], payload: bytes) -> bool:
        ledger = Ledger(family, keep_ms=120_000, sources=1)
        ledger.apply(partials.decode(family, headers, payload))
        ledger.totals(ledger.changed())
        return True

    return Record("partials", dict(headers), payload, read)


def _rollup(table: Table) -> Record:
    rows = pa.table([_column(field) for field in table.arrow_schema], schema=table.arrow_schema)
    headers, payload = rollups.encode(table.name, rows)
    return Record("rollups", dict(headers), payload, _read_rollup)


def _column(field: pa.Field) -> pa.Array:
    values: Sequence[Any] = [f"{SLICE}{place}" for place in range(ROWS)] if field.type == pa.string() else range(ROWS)
    return pa.array(values, pa.int64() if pa.types.is_timestamp(field.type) else None).cast(field.type)


def _read_rollup(headers: Mapping[str, bytes], payload: bytes) -> bool:
    return not batch_of([Message("rollups", 0, 0, headers, payload)]).refused


def _decision() -> burns.Decision:
    burn = burns.Burn(
        slo="turn_latency", slice=SLICE, row="page_1h_5m", severity="page", factor=14.4, threshold=0.144, long_s=3_600,
        short_s=300, long_bad=40, long_total=100, short_bad=4, short_total=10, long_burn=40.0, short_burn=40.0,
        budget_left=0.5, exhausted_in_s=36_000.0, one_failure_costs=0.001,
    )  # fmt: skip
    quiet = burns.Quiet(slo="turn_latency", slice=SLICE, severity="ticket")
    suspect = burns.Suspect(
        slo="turn_latency", slice=SLICE, long_s=3_600, bad=40, total=100, first_seen_ms=WINDOW_START_MS - 60_000
    )
    return burns.Decision(
        shard=0, decided_ms=WINDOW_START_MS, completeness=1.0, burns=(burn,), quiet=(quiet,), suspects=(suspect,)
    )


def _read_decision(headers: Mapping[str, bytes], payload: bytes) -> bool:
    step(Pages(), burns.decode(payload), Paging(), WINDOW_START_MS)
    return True


def _growths() -> growths.Growths:
    grown = burns.StageGrowth(
        slice=SLICE, stage="retrieval", since_ms=WINDOW_START_MS, now_s=60, before_s=3_600, added_ms=400.0, of_added=0.9,
        mean_ms_now=700.0, mean_ms_before=300.0, tail_ms=512.0, tail_now=0.4, tail_before=0.04, observed_now=300,
        observed_before=9_000,
    )  # fmt: skip
    return growths.Growths(shard=0, decided_ms=WINDOW_START_MS, grown=(grown,), unlisted=2)


def _read_growths(headers: Mapping[str, bytes], payload: bytes) -> bool:
    GrownStages().heard(growths.decode(payload)).of(SLICE, WINDOW_START_MS)
    return True


def _findings() -> findings.Findings:
    saturated = findings.Finding(
        alert="Saturated", slice=SLICE, severity="page", since_ms=WINDOW_START_MS - 60_000, summary="A queue breaks.",
        action="Shed batch work, or add 3 replicas.", runbook="docs/runbooks/slo-burn-rate.md", labels={"queue": "llm"},
        facts={"depth": 294.0, "break_in_s": 380.0, "stage_first": "llm"},
    )  # fmt: skip
    return findings.Findings(
        question="saturation", shard=0, decided_ms=WINDOW_START_MS, completeness=1.0, holds_s=180, findings=(saturated,)
    )


def _read_findings(headers: Mapping[str, bytes], payload: bytes) -> bool:
    said = findings.decode(payload)
    step_findings(Found(), said, Paging(), OpenIncidents(), WINDOW_START_MS)
    return True


def _spend() -> Record:
    columns: dict[str, Any] = {name: [f"{name}-{row}" for row in range(ROWS)] for name in spend.CELL}
    columns |= {name: range(ROWS) for name in (*spend.CELL_MEASURES, "version")}
    about: dict[str, Any] = {"version": 7, "completeness": 1.0, "decidable_until_ms": WINDOW_START_MS}
    start_ms = WINDOW_START_MS // spend.BUCKET_MS * spend.BUCKET_MS - spend.BUCKET_MS
    told = spend.Spend(0, start_ms, cells=pa.table(columns, schema=spend.spend_schema()), **about)
    headers, payload = next(spend.encode(told))
    return Record("spend", dict(headers), payload, _read_spend)


def _read_spend(headers: Mapping[str, bytes], payload: bytes) -> bool:
    spending = Spending(1, STANDARD)
    spending.hear(spend.decode(headers, payload))
    list(spending.findings())
    return True


def _alert() -> bytes:
    published = step(Pages(), _decision(), Paging(), WINDOW_START_MS).published
    return published[0].model_dump_json().encode()


def _read_alert(headers: Mapping[str, bytes], payload: bytes) -> bool:
    burns.decode_alert(payload)
    return True


def _verdict() -> verdicts.ReleaseVerdict:
    judged = verdicts.Judgement(
        slice=SLICE, metric="wer", reason="quality", outcome="inside", is_protected=True, unit="ratio", baseline=0.1,
        candidate=0.1, baseline_samples=9_000, candidate_samples=900, windows=60, allowed=0.015, low=-0.01, high=0.01,
        alpha=0.001, because="At most 0.01 worse.",
    )  # fmt: skip
    return verdicts.ReleaseVerdict(
        release="v42", baseline="v41", decision="continue", because="Nothing got worse.", judged=(judged,),
        policy="standard", policy_version="0123456789abcdef", alpha=0.05, asked=("SELECT 1",), who="ana",
        from_ms=WINDOW_START_MS - 60_000, to_ms=WINDOW_START_MS, at_ms=WINDOW_START_MS,
    )  # fmt: skip


def _read_verdict(headers: Mapping[str, bytes], payload: bytes) -> bool:
    verdict_rows(verdicts.decode(payload))
    return True


def _rows_of_state() -> pl.DataFrame:
    columns: dict[str, Any] = {"slice": [SLICE] * ROWS}
    return pl.DataFrame(columns | {name: range(ROWS) for name in TURNS.measure_names})


def _read_rows(headers: Mapping[str, bytes], payload: bytes) -> bool:
    applied_offset(payload)
    unpack_rows(body(payload), TURNS.measure_names)
    return True


def _read_json(headers: Mapping[str, bytes], payload: bytes) -> bool:
    applied_offset(payload)
    unpack_json(body(payload))
    return True
