"""State that an older format wrote goes on exactly; a newer one stops the worker with a sentence.

`recorded/state_format_*.jsonl` were written by the last version of each format, halfway through a small world: its
changelogs, the records that came then, and what that version itself made of them.
"""

from __future__ import annotations

import json
from base64 import b64decode
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from schemas.families import INDICATORS, TURNS
from schemas.slos import LowTraffic, PolicyRow, Slo, WatchedSlo
from stream_jobs.operators.burn_rate.burn_rate import BurnRate
from stream_jobs.operators.burn_rate.history import UNNAMED
from stream_jobs.operators.totals.blocks import STATE_FORMAT, NewerState, applied_offset, state_format
from stream_jobs.operators.totals.intake import Intake
from stream_jobs.operators.totals.opening import Record
from tests.operators.worlds import Changelog

RECORDED = Path(__file__).parent / "recorded"
FORMATS = (1, 2, 3)
PAGE = PolicyRow("page_1h_5m", 3_600, 300, Decimal("0.144"), Decimal("14.4"), "page")
SLO = Slo("turns", INDICATORS[4], "realtime", Decimal("0.99"), 30 * 86_400, ("pool",), "owner", "", "")


def recorded(written: int, kind: str) -> list[dict[str, Any]]:
    path = RECORDED / f"state_format_{written}.jsonl"
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line["kind"] == kind]


def stored(written: int, kind: str) -> dict[bytes, bytes]:
    return {line["key"].encode(): b64decode(line["value"]) for line in recorded(written, kind)}


def records(written: int) -> list[Record]:
    return [
        Record(
            line["offset"],
            line["append_ms"],
            {name: b64decode(value) for name, value in line["headers"].items()},
            b64decode(line["payload"]),
        )
        for line in recorded(written, "record")
    ]


def shard() -> BurnRate:
    return BurnRate(0, 1, [WatchedSlo(SLO, (PAGE,), LowTraffic())])


def windows(burn_rate: BurnRate) -> dict[str, list[list[int]]]:
    """One hour of every slice up to the newest report, of the indicators that there were when it was recorded."""
    newest_ms = burn_rate._ledger.newest_ms("operational")
    counts = burn_rate._history.window(3_600_000, newest_ms, finest=1)[:, : len(UNNAMED)]
    return {text: counts[number].tolist() for number, text in enumerate(burn_rate._slices.texts) if text}


def since_recorded(columns: list[str]) -> list[pl.Expr]:
    """What all recorded formats, which are of contract 1.0, did not count yet."""
    since = [measure.name for measure in TURNS.measures if measure.since_minor]
    assert since and set(since) <= set(columns)
    return [pl.lit(0, pl.Int64).alias(name) for name in since]


@pytest.mark.parametrize("batch", [1, 4, 100])
@pytest.mark.parametrize("written", FORMATS)
def test_state_of_an_older_format_goes_on_exactly(written: int, batch: int) -> None:
    """Through a second restart, too, which finds blocks of both formats."""
    intakes, shards = Changelog(stored(written, "intake")), Changelog(stored(written, "burn_rate"))
    left, offset = records(written), max(map(applied_offset, shards.stored.values()))
    assert {state_format(value) for value in (*intakes.stored.values(), *shards.stored.values())} == {written}
    for place in range(0, len(left), batch):
        intake = Intake.restored(TURNS, 0, 1, intakes.stored)
        burn_rate = shard()
        burn_rate.restore(shards.stored)
        intake.apply(left[place : place + batch])
        for block in (*intake.unsaved_blocks(), *intake.marker()):
            intakes.write(block)
        for _, partial in intake.unsent_partials():
            burn_rate.apply(partial)
            offset += 1
        list(burn_rate.rollups())
        for block in (*burn_rate.unsaved_blocks(offset), *burn_rate.marker(offset)):
            shards.write(block)
    found = pl.concat(
        totals.rows.with_columns(bucket_start_ms=pl.lit(key[1])) for key, totals in intake._totals.blocks.items()
    )
    wanted = pl.DataFrame(recorded(written, "total")).drop("kind").with_columns(since_recorded(found.columns))
    wanted = wanted.select(found.columns)
    assert found.sort("bucket_start_ms", "slice").equals(wanted.sort("bucket_start_ms", "slice"))
    assert windows(burn_rate) == {line["slice"]: line["counts"] for line in recorded(written, "window")}


def test_state_of_a_newer_format_stops_with_its_sentence() -> None:
    newer = {key: bytes([STATE_FORMAT + 1]) + value[1:] for key, value in stored(FORMATS[-1], "intake").items()}
    sentence = f"has format {STATE_FORMAT + 1} and this worker knows {STATE_FORMAT}: deploy the newer worker again"
    with pytest.raises(NewerState, match=sentence):
        Intake.restored(TURNS, 0, 1, newer)
    with pytest.raises(NewerState, match=sentence):
        applied_offset(next(iter(newer.values())))
