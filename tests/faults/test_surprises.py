"""State that a stage cannot take up, because a newer version wrote it or because it is damaged, ends the worker at once.

Faust swallows what its tables raise. So the stores are asked as Faust asks them, and what they kept is what must be told.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from faust.types import TP
from prometheus_client import CollectorRegistry

from alerts.alertmanager import Alertmanagers
from alerts.explanations import Links, Paging
from alerts.openslo import load_slos
from alerts.pages import Pages, step
from alerts.policies import policy_for
from schemas.failures import Foreseen
from schemas.kafka import KafkaAddress
from schemas.metrics import WorkerMetrics
from schemas.spend_policies import STANDARD
from schemas.topics import changelog
from stream_jobs.agents.application import ApplicationSettings, build
from stream_jobs.agents.block_tables import BlockStore
from stream_jobs.agents.burn_rate import BurnRateStage
from stream_jobs.agents.cost import CostStage
from stream_jobs.agents.exact import Stage, StageSettings
from stream_jobs.agents.incidents import IncidentsStage
from stream_jobs.agents.intake import IntakeStage
from stream_jobs.agents.pager import Pager
from stream_jobs.agents.surprises import Surprise
from stream_jobs.agents.traffic import TrafficStage
from stream_jobs.agents.worker import _until_first
from stream_jobs.operators.totals.blocks import (
    STATE_FORMAT,
    NewerState,
    UnreadableState,
    key_kind,
    pack_json,
    pack_rows,
    stamped,
)
from stream_jobs.operators.totals.reach import LIVE
from tests.rules.burning import burning, decided

Record = tuple[bytes | None, bytes | None]
ALERT = step(Pages(), decided(10, burning()), Paging(), 1_800_000_000_000).published[0]
NEWER = bytes([STATE_FORMAT + 1]) + stamped(7, b"{}")[1:]
NEW_SENTENCE = (
    f"The state in Kafka has format {STATE_FORMAT + 1} and this worker knows {STATE_FORMAT}: deploy the newer"
)
DAMAGED = "The state in Kafka holds a block that cannot be read: restore its changelog topic"


def stages(folder: Path) -> dict[str, Stage]:
    app = build(ApplicationSettings(KafkaAddress("127.0.0.1:1"), 1, data_dir=folder))
    metrics, settings = WorkerMetrics(CollectorRegistry()), StageSettings()
    pager = Pager(Alertmanagers([]), Paging({}, Links("https://runbooks.example/", "https://boards.example/")), metrics)
    watched = [policy_for(slo) for slo in load_slos()]
    made: tuple[Stage, ...] = (
        IntakeStage(app, 1, settings, metrics),
        TrafficStage(app, 1, settings, metrics, None),
        BurnRateStage(app, 1, settings, metrics, watched, LIVE),
        CostStage(app, 1, settings, metrics, STANDARD),
        IncidentsStage(app, 1, settings, pager, metrics),
    )
    return {stage.name: stage for stage in made}


async def recover(stage: Stage, records: Sequence[Record]) -> None:
    """What Faust does with the changelog of the stage's only partition; none of it may raise."""
    store = BlockStore("memory://", stage._app, stage._table, table_name=stage.name, key_type=bytes, value_type=bytes)
    stage._app.consumer.stop_flow()
    for key, value in records:
        event: Any = SimpleNamespace(message=SimpleNamespace(partition=0, key=key, value=value))
        store.apply_changelog_batch([event], None, None)
    await store.on_recovery_completed({TP(changelog(stage.name), 0)}, set())


def alert(**changed: Any) -> bytes:
    return stamped(3, json.dumps(json.loads(ALERT.model_dump_json()) | changed).encode())


NAME = ALERT.alert.encode()
LATER = b"later" + (8).to_bytes(8, "big") + pa.compress(bytes(8), "zstd", asbytes=True)
HISTORY = stamped(7, bytes([4, 0]) + (5).to_bytes(2, "big") + LATER)
UNKNOWN = "in AlertState that this worker does not know: deploy the newer worker again"
CASES: dict[str, tuple[str, list[Record], type[Foreseen], str, str]] = {
    "newer format, once": ("intake", [(b"turns|marker", NEWER)], NewerState, "marker", NEW_SENTENCE),
    "newer format, over a known one": (
        "traffic", [(b"turns|reach", stamped(1, b"{}")), (b"turns|reach", NEWER)], NewerState, "reach", NEW_SENTENCE,
    ),
    "newer format, twice": ("burn_rate", [(b"decided", NEWER)] * 2, NewerState, "decided", NEW_SENTENCE),
    "a state of an alert that came later": ("incidents", [(NAME, alert(state="hushed"))], NewerState, "alert", UNKNOWN),
    "a field of an alert that came later": ("incidents", [(NAME, alert(hushed_by="x"))], NewerState, "alert", UNKNOWN),
    "another history": ("burn_rate", [(b"history|0|0|0", HISTORY)], NewerState, "history", "counts the indicator 'later'"),
    "an alert that is no JSON": ("incidents", [(NAME, stamped(3, b"\x00{"))], UnreadableState, "alert", DAMAGED),
    "a silence that is no JSON": (
        "incidents", [(b"|silence|turns|0", stamped(3, b"["))], UnreadableState, "silence", DAMAGED,
    ),
    "a marker of another shape": (
        "intake", [(b"turns|marker", stamped(3, pack_json(7)))], UnreadableState, "marker", DAMAGED,
    ),
    "an empty value": ("traffic", [(b"turns|reach", b"")], UnreadableState, "reach", DAMAGED),
    "no key": ("traffic", [(None, stamped(1, b"{}"))], UnreadableState, "unknown", DAMAGED),
    "a key of nobody": ("intake", [(b"x", stamped(1, b"{}"))], UnreadableState, "unknown", DAMAGED),
    "a key that is no text": ("traffic", [(b"\xff", stamped(1, b"{}"))], UnreadableState, "unknown", DAMAGED),
    "an hour of spend that is cut short": ("cost", [(b"cost|hour|0|0", stamped(1, b""))], UnreadableState, "hour", DAMAGED),
    "a bucket of spend with other columns": (
        "cost", [(b"cost|bucket|0|0", stamped(1, pack_rows(pl.DataFrame({"x": [1]}))))], UnreadableState, "bucket", DAMAGED,
    ),
    "what was judged in another shape": (
        "cost", [(b"cost|judged", stamped(1, pack_json([7])))], UnreadableState, "judged", DAMAGED,
    ),
    "a history that is cut short": ("burn_rate", [(b"history|0|0|0", stamped(1, b""))], UnreadableState, "history", DAMAGED),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
async def test_state_that_cannot_be_taken_up_is_told_in_one_sentence_that_says_where(case: str, tmp_path: Path) -> None:
    name, records, kind, block, sentence = CASES[case]
    stage = stages(tmp_path)[name]
    await recover(stage, records)
    assert not stage.owns_partitions
    with pytest.raises(Foreseen) as raised:
        await asyncio.wait_for(stage.surprise.raised(), timeout=10)
    told = str(raised.value)
    assert type(raised.value) is kind
    assert sentence in told and f"{changelog(name)}[0], block of kind {block}" in told
    assert "\n" not in told and ALERT.burn.slice not in told


async def test_the_bad_block_is_found_among_good_ones(tmp_path: Path) -> None:
    stage = stages(tmp_path)["incidents"]
    good: list[Record] = [
        (f"slo|pool=p{number}|page".encode(), alert(alert=f"slo|pool=p{number}|page")) for number in range(50)
    ]
    await recover(stage, [*good, (b"|silent|turns||page", stamped(1, b"{}")), *good])
    with pytest.raises(NewerState, match=r"block of kind silent: .* SilenceAlert"):
        stage.surprise.check()
    assert isinstance(stage, IncidentsStage)
    assert stage._pager.pages.alerts == (), "of state that cannot be taken up whole nothing is told"


async def test_state_that_can_be_taken_up_is_no_surprise(tmp_path: Path) -> None:
    for stage in stages(tmp_path).values():
        await recover(stage, [])
        stage.surprise.check()
        assert stage.owns_partitions


async def test_a_defect_of_ours_is_told_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = stages(tmp_path)["traffic"]

    def broken(partition: int, stored: dict[bytes, bytes]) -> None:
        raise AssertionError("must hold")

    monkeypatch.setattr(stage, "restore", broken)
    await recover(stage, [])
    with pytest.raises(AssertionError, match="must hold"):
        stage.surprise.check()


async def test_a_surprise_ends_a_worker_that_has_not_started_yet() -> None:
    """Faust goes on recovering for ever."""
    surprise = Surprise()
    starting = asyncio.create_task(asyncio.Event().wait(), name="start")
    waiting = asyncio.create_task(surprise.raised(), name="intake state")
    with surprise.kept():
        raise NewerState("It is newer.")
    surprise.keep(NewerState("It came later."))
    tasks: list[asyncio.Task[Any]] = [starting, waiting]
    with pytest.raises(NewerState, match=r"It is newer\."):
        await asyncio.wait_for(_until_first(asyncio.Event(), tasks, ready=True), timeout=10)
    starting.cancel()


@pytest.mark.parametrize("ends", [asyncio.CancelledError, KeyboardInterrupt])
def test_who_asks_to_end_is_no_surprise(ends: type[BaseException]) -> None:
    surprise = Surprise()
    with pytest.raises(ends), surprise.kept():
        raise ends
    surprise.check()


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (b"turns|marker", "marker"),
        (b"turns|totals|operational|0|0", "totals"),
        (b"|silent|turns||page", "silent"),
        (b"slo|pool=realtime|ticket", "alert"),
        (b"someone@example.org", "unknown"),
        (b"\xff\xfe", "unknown"),
        (None, "unknown"),
    ],
)
def test_a_key_is_told_by_its_kind_and_never_by_what_it_holds(key: bytes | None, kind: str) -> None:
    assert key_kind(key) == kind
