"""A collector that is killed at any instant, and starts again, counts what it has answered exactly once.

Kills are simulated at every call that reaches the disk: what was written stays, what was not is gone.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from producers.collecting import admission, beginning
from producers.collecting.admission import Received
from producers.collecting.beginning import OtherState, identity_of
from producers.collecting.durable import DurableCollector, Limits
from producers.collecting.records import numbered, packed, unpacked
from producers.collecting.store import Damaged, FolderTaken, NotWritten
from producers.collector import Frame
from producers.observation_batches import Answer, BatchHeader, encode_batch
from schemas.families import FAMILIES, K_SESSIONS_MIN, QUALITY
from tests.producers.worlds import START_MS, duplex_world, rows_of, stream_changes, turns_world

LIMITS = Limits(grace_ms=2_000)
NAME, REGION = "eu-west-1-collector-0", "eu-west-1"


def received(header: BatchHeader, rows: pl.DataFrame, at_ms: int = START_MS) -> Received:
    return admission.received(header, encode_batch(header, rows)[1], at_ms)


def header(sequence: int, kind: str = "turns", incarnation: int = 1, seen: int = 100, dropped: int = 0) -> BatchHeader:
    return BatchHeader(kind, "host-1", incarnation, sequence, seen, dropped)


def turns(sequence: int, at_ms: int = START_MS, incarnation: int = 1, seed: int = 1, count: int = 40) -> Received:
    """A batch of turns of the last seconds before `at_ms`."""
    rows = turns_world(seed, count=count, start_ms=at_ms - 5_000, span_ms=5_000)
    return received(header(sequence, incarnation=incarnation), rows, at_ms)


def opened(folder: Path, now_ms: int = START_MS, limits: Limits = LIMITS) -> DurableCollector:
    return DurableCollector.opened(folder, NAME, REGION, now_ms, limits)


def frames_of(core: DurableCollector) -> list[Frame]:
    return [frame for number in core.store.unsent for frame in core.store.read_frames(number)]


def again(core: DurableCollector, now_ms: int, limits: Limits = LIMITS) -> DurableCollector:
    """As after `kill -9`: only the lock is gone."""
    core.store.close()
    return opened(core.store.folder, now_ms, limits)


def counted(frames: list[Frame], partition: str = "operational") -> int:
    rows = rows_of(frames, "turns", partition)
    return int(rows["turns"].sum()) if len(rows) else 0


def test_a_batch_counts_once_and_a_repeat_is_told_so(tmp_path: Path) -> None:
    core = opened(tmp_path)
    first, same = turns(0), turns(0)
    assert core.take([first, same]) == [Answer(200, 40), Answer(200, is_repeated=True)]
    assert core.take([same]) == [Answer(200, is_repeated=True)]
    core.close(START_MS + 12_000)
    assert counted(frames_of(core)) == 40


def test_what_was_answered_survives_a_kill_and_is_still_known(tmp_path: Path) -> None:
    core = opened(tmp_path)
    core.take([turns(0), turns(2, seed=2)])
    core = again(core, START_MS + 3_000)
    assert (core.recovered.batches, core.recovered.rows) == (2, 80)
    assert core.take([turns(0), turns(1, seed=3), turns(2)]) == [
        Answer(200, is_repeated=True),
        Answer(200, 40),
        Answer(200, is_repeated=True),
    ]
    core.close(START_MS + 12_000)
    assert counted(frames_of(core)) == 120


def test_frames_are_the_same_after_a_kill_and_numbers_go_on(tmp_path: Path) -> None:
    core = opened(tmp_path)
    core.take([turns(0)])
    core.close(START_MS + 12_000)
    before = frames_of(core)
    core = again(core, START_MS + 95_000)
    assert frames_of(core) == before
    core.take([turns(1, START_MS + 95_000)])
    while core.close(START_MS + 130_000):
        pass
    frames = frames_of(core)
    assert {frame.header.incarnation for frame in frames} == {START_MS}
    for _, of_family in groupby(sorted(frames, key=_place), key=lambda frame: frame.header.family.name):
        numbers = [frame.header.sequence for frame in of_family]
        assert numbers == list(range(len(numbers)))


def _place(frame: Frame) -> tuple[str, int]:
    return frame.header.family.name, frame.header.sequence


def test_a_window_is_closed_after_its_grace_and_not_before(tmp_path: Path) -> None:
    core = opened(tmp_path)
    assert core.next_close_ms == START_MS + 12_000
    assert (core.close(START_MS + 11_999), core.close(START_MS + 12_000)) == (0, 1)


def test_a_clock_that_goes_back_closes_nothing_twice_and_loses_nothing(tmp_path: Path) -> None:
    core = opened(tmp_path)
    core.take([turns(0)])
    core.close(START_MS + 32_000)
    core.take([turns(1, seed=2)])
    assert core.close(START_MS - 60_000) == 0
    core = again(core, START_MS - 60_000)
    assert core.close(START_MS + 41_000) == 0
    core.close(START_MS + 42_000)
    frames = frames_of(core)
    starts = [each.header.window_start_ms for each in frames if each.header.family.name == "heartbeats"]
    assert starts == sorted(set(starts))
    assert counted(frames) == 80


def test_late_turns_of_several_windows_are_counted_in_each_of_them(tmp_path: Path) -> None:
    core = opened(tmp_path)
    core.close(START_MS + 42_000)
    late = turns_world(1, count=60, start_ms=START_MS, span_ms=30_000)
    core.take([received(header(0), late, START_MS + 43_000)])
    core.close(START_MS + 52_000)
    told = rows_of(frames_of(core), "turns").group_by("window_start_ms").agg(pl.col("turns").sum())
    window = pl.col("ended_at_ms") // 10_000 * 10_000
    wanted = late.group_by(window.alias("window_start_ms")).agg(turns=pl.len().cast(pl.Int64))
    assert told.sort("window_start_ms").rows() == wanted.sort("window_start_ms").rows()


def test_a_recorder_that_starts_anew_counts_from_zero_again(tmp_path: Path) -> None:
    core = opened(tmp_path)
    assert [each.taken for each in core.take([turns(0), turns(0, incarnation=2), turns(5, incarnation=2)])] == [40] * 3
    assert again(core, START_MS).take([turns(0, incarnation=2)]) == [Answer(200, is_repeated=True)]


@pytest.mark.parametrize(("later_life", "within_ms"), [(True, 60_000), (False, 900_000)])
def test_streams_of_a_recorder_that_is_gone_end(later_life: bool, within_ms: int, tmp_path: Path) -> None:
    """Nobody else would end them: the number of active streams would never come down again."""
    core = opened(tmp_path)
    core.take([received(header(0, "streams"), stream_changes([(1_000, 7, True), (1_000, 8, True)]))])
    if later_life:
        core.take([received(header(0, "streams", incarnation=2), stream_changes([(2_000, 9, True)]))])
    for now_ms in (12_000, *range(within_ms - 10_000, within_ms + 40_000, 10_000)):
        while core.close(START_MS + now_ms + 2_000):
            pass
        core = again(core, START_MS + now_ms)
    told = rows_of(frames_of(core), "streams")
    active = dict(told.group_by(pl.col("window_start_ms") - START_MS).agg(pl.col("active_at_start").sum()).rows())
    assert told["ends"].sum() == 2
    assert active[within_ms] == 2 + later_life
    assert active.get(within_ms + 20_000, 0) == later_life


def test_what_is_of_the_future_or_too_old_is_refused_and_counted(tmp_path: Path) -> None:
    core = opened(tmp_path)
    batch = turns_world(1, count=40, start_ms=START_MS - 5_000, span_ms=5_000)
    shifts = pl.Series([2 * 60_000, -8 * 86_400_000, 0, 0]).extend_constant(0, 36)
    (answer,) = core.take([received(header(0, dropped=7), batch.with_columns(pl.col("ended_at_ms") + shifts))])
    assert (answer.taken, sum(answer.refused.values())) == (38, 2)
    core.close(START_MS + 12_000)
    heartbeat = rows_of(frames_of(core), "heartbeats").filter(reported_family="turns")
    assert heartbeat.select("observations_seen", "observations_dropped").sum().row(0) == (47, 9)


def test_each_batch_of_a_group_is_told_its_own_refusals(tmp_path: Path) -> None:
    """Batches of a kind are observed together; who is refused what must not get mixed up."""
    rows = turns_world(1, count=40, start_ms=START_MS - 5_000, span_ms=5_000)
    broken = rows.with_columns(tokens_in=pl.Series([-1, -2] + [1] * 38), turn_ms=pl.Series([1.0] * 39 + [-5.0]))
    broken = broken.with_columns(
        pl.lit(None).alias(name) for name in ("first_audio_ms", "queue_wait_ms", "asr_first_partial_ms")
    )
    core = opened(tmp_path)
    answers = core.take([turns(0), received(header(1), broken), turns(2, seed=3)])
    assert answers == [Answer(200, 40), Answer(200, 37, {"negative": 3}), Answer(200, 40)]


def test_what_is_private_is_counted_by_reason_and_never_written_down(tmp_path: Path) -> None:
    """Neither a value of a declared column, nor an undeclared column, nor a note beside the columns."""
    secret = "ana.maria@example.org"
    rows = turns_world(1, count=40, start_ms=START_MS - 5_000, span_ms=5_000)
    private = rows.with_columns(route=pl.Series([secret] * 3 + ["support"] * 37))
    table = (
        private.with_columns(prompt=pl.lit(f"write to {secret}")).to_arrow().replace_schema_metadata({"note": secret})
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    core = opened(tmp_path)
    (answer,) = core.take([admission.received(header(0), sink.getvalue().to_pybytes(), START_MS)])
    assert answer == Answer(200, 37, {"email": 3}, dropped={"content_field": 40})
    assert all(secret.encode() not in path.read_bytes() for path in tmp_path.iterdir())
    core = again(core, START_MS + 5_000)
    core.close(START_MS + 12_000)
    heartbeat = rows_of(frames_of(core), "heartbeats").filter(reported_family="turns")
    assert heartbeat.select("observations_seen", "observations_dropped").sum().row(0) == (40, 3)
    told = rows_of(frames_of(core), "privacy").filter(fate="refused", reported_family="turns", because="email")
    assert told["observations"].sum() == 3


def test_columns_that_nobody_declared_count_by_what_they_hold_and_family_privacy_is_told_once(tmp_path: Path) -> None:
    """Of a sender that is none of ours, whatever types it has; also where the batch comes again and the journal is read again."""
    rows = turns_world(1, count=3, start_ms=START_MS - 5_000, span_ms=5_000).with_columns(pool=pl.lit("batch"))
    mail = "planted.ana@example.org"
    foreign = {
        "gen_ai.input.messages": pa.array(["hello", None, "again"]),
        "contact": pa.array([mail, "support", None]),
        "caller": pa.array([None, None, {"number": "+49 151 12345678"}]),
        "input": pa.array([{"value": 1}, None, None]),
        "notes": pa.array([[("to", mail)], None, None], pa.map_(pa.string(), pa.string())),
        "voice_vector": pa.array([None, [0.5, 0.25], None], pa.list_view(pa.float64())),
        "wave": pa.array([b"RI", None, None], pa.binary(2)),
        "no_width": pa.array([[], None, None], pa.list_(pa.string(), 0)),
        "shard": pa.array([1, None, 2]),
        "nothing": pa.nulls(3),
    }
    table = rows.to_arrow()
    for name, values in foreign.items():
        table = table.append_column(name, values)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    came = admission.received(header(0), sink.getvalue().to_pybytes(), START_MS)
    dropped = {"content_field": 3, "audio": 1, "embedding": 1, "email": 2, "phone": 1, "unknown_field": 4}
    core = opened(tmp_path)
    answers = core.take([came]) + core.take([came])
    assert answers == [Answer(200, 3, dropped=dropped), Answer(200, is_repeated=True)]
    assert all(mail.encode() not in path.read_bytes() for path in tmp_path.iterdir())
    core = again(again(core, START_MS + 3_000), START_MS + 5_000)
    core.close(START_MS + 12_000)
    told = rows_of(frames_of(core), "privacy").filter(fate="refused")
    assert set(told.select("reported_family", "pool").rows()) == {("turns", "batch")}
    del dropped["unknown_field"]
    assert dict(told.select("because", "observations").rows()) == dropped
    heartbeat = rows_of(frames_of(core), "heartbeats").filter(reported_family="turns")
    assert heartbeat.select("observations_seen", "observations_dropped").sum().row(0) == (3, 0)


@pytest.mark.parametrize(
    ("column", "values", "told"),
    [
        ("is_error", [float("nan"), 0.5, 1.0, 0.0], {"not_finite": 1, "malformed": 1}),
        ("ended_at_ms", ["1732294800000", "2026-11-22T17:00:00Z", None, None], {"malformed": 4}),
        ("session", ["call-1", None, None, None], {"malformed": 1, "no_session": 3}),
        ("tokens_in", [float("inf"), 3.0, 2.5, -1.0], {"not_finite": 1, "malformed": 1, "negative": 1}),
    ],
)
def test_of_a_column_of_another_type_each_row_that_does_not_fit_is_refused(
    column: str, values: list[object], told: dict[str, int], tmp_path: Path
) -> None:
    """Nothing is made true, or a time, that was not said so, and the rows that do fit are no worse for it: after a crash, too."""
    rows = turns_world(1, count=4, start_ms=START_MS - 5_000, span_ms=5_000)
    core = opened(tmp_path)
    (answer,) = core.take([received(header(0), rows.with_columns(pl.Series(column, values)))])
    assert answer == Answer(200, 4 - sum(told.values()), told)
    core = again(core, START_MS + 5_000)
    core.close(START_MS + 12_000)
    assert counted(frames_of(core)) == 4 - sum(told.values())


def test_what_a_recorder_refused_itself_is_told_once_by_pool_and_reason(tmp_path: Path) -> None:
    """Also where batches come again, or the journal is read again, or nothing but refusals came."""

    def refusing(number: int, dropped: int, **refused: int) -> Received:
        told = replace(
            header(number, dropped=dropped),
            refused={f"batch:{name}": of for name, of in refused.items()},
            withheld={"realtime:audio": 2 + number, "unknown:batch:outside_vocabulary": 1},
        )
        return received(told, turns_world(1, count=40, start_ms=START_MS - 5_000, span_ms=5_000).head(0), START_MS)

    core = opened(tmp_path)
    core.take([refusing(0, 5, email=3), refusing(0, 5, email=3)])
    core = again(core, START_MS + 3_000)
    core.take([refusing(0, 5, email=3), refusing(1, 9, email=4, content_field=2)])
    core = again(core, START_MS + 5_000)
    core.close(START_MS + 12_000)
    told = rows_of(frames_of(core), "privacy").filter(fate="refused", reported_family="turns")
    assert sorted(told.select("pool", "because", "observations").rows()) == [
        ("batch", "content_field", 2),
        ("batch", "email", 4),
        ("realtime", "audio", 3),
    ]
    unknown = rows_of(frames_of(core), "privacy").filter(reported_family="unknown")
    assert unknown.select("pool", "because", "observations").rows() == [("batch", "outside_vocabulary", 1)]
    heartbeat = rows_of(frames_of(core), "heartbeats").filter(reported_family="turns")
    assert heartbeat.select("observations_seen", "observations_dropped").sum().row(0) == (9, 9)


def test_state_is_small_what_waits_is_written_once(tmp_path: Path) -> None:
    core = opened(tmp_path)
    for number in range(5):
        at_ms = START_MS + number * 10_000
        core.take([turns(number, at_ms + 9_000, seed=number, count=2_000)])
        core.close(at_ms + 12_000)
    sizes = [path.stat().st_size for path in numbered(tmp_path, "tables").values()]
    assert max(sizes) < 2 * min(size for size in sizes if size > 10_000)
    assert list(numbered(tmp_path, "journal")) == []
    core = again(core, START_MS + 55_000)
    core.close(START_MS + 62_000)
    assert counted(frames_of(core), "audience") + core.collector.held_turns == 10_000
    assert len(numbered(tmp_path, "state")) == 1


def test_beyond_its_bounds_it_takes_nothing_until_there_is_room(tmp_path: Path) -> None:
    core = opened(tmp_path, limits=Limits(2_000, rows_max=60))
    core.take([turns(0), turns(1)])
    (answer,) = core.take([turns(2)])
    assert (answer.status, answer.retry_after_s) == (429, 2)
    core.close(START_MS + 62_000)
    assert core.take([turns(2)])[0].status == 200
    core = again(core, START_MS, Limits(2_000, disk_bytes_max=1))
    assert core.take([turns(3)])[0].status == 429
    assert "disk" in core.why_full


def test_a_full_disk_is_another_try_and_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    core = opened(tmp_path)
    core.take([turns(0)])
    with monkeypatch.context() as full:
        full.setattr("os.fsync", _refuse)
        (answer,) = core.take([turns(1, seed=2)])
    assert (answer.status, answer.retry_after_s) == (429, 2)
    assert core.take([turns(1, seed=2)])[0].taken == 40
    assert again(core, START_MS).recovered.batches == 2


def test_a_disk_that_takes_no_state_ends_the_process_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = opened(tmp_path)
    core.take([turns(0)])
    with monkeypatch.context() as full:
        full.setattr("os.fsync", _refuse)
        with pytest.raises(NotWritten, match=r"No space left on device.*start it again"):
            core.close(START_MS + 12_000)
    core = again(core, START_MS + 13_000)
    core.close(START_MS + 13_000)
    assert counted(frames_of(core)) == 40


def test_a_journal_without_a_state_is_observed_once(tmp_path: Path) -> None:
    core = opened(tmp_path)
    core.take([turns(0)])
    (state,) = numbered(tmp_path, "state").values()
    state.unlink()
    core = again(again(core, START_MS + 1_000), START_MS + 2_000)
    core.close(START_MS + 22_000)
    assert counted(frames_of(core)) == 40


def _refuse(_: int) -> None:
    raise OSError(28, "No space left on device")


def test_a_folder_is_for_one_collector_and_one_process(tmp_path: Path) -> None:
    core = opened(tmp_path)
    with pytest.raises(FolderTaken, match="another collector is running"):
        opened(tmp_path)
    core.shut()
    with pytest.raises(OtherState, match=f"that of {NAME} in {REGION}"):
        DurableCollector.opened(tmp_path, "other", REGION, START_MS, LIMITS)
    assert opened(tmp_path).collector.incarnation == START_MS


def test_a_state_of_another_version_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(tmp_path).shut()
    monkeypatch.setattr("producers.collecting.beginning._layout", lambda: "another")
    with pytest.raises(OtherState, match="with other columns"):
        opened(tmp_path)


def test_a_state_whose_windows_are_of_other_partitions_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without consent in one of its partitions the family has the columns that it had."""
    opened(tmp_path).shut()
    told = {"tenancy": ("pool", "bundle", "tenant")}
    partitions = tuple(replace(each, dimensions=told.get(each.name, each.dimensions)) for each in QUALITY.partitions)
    assert replace(QUALITY, partitions=partitions).dimensions == QUALITY.dimensions
    monkeypatch.setitem(FAMILIES, "quality", replace(QUALITY, partitions=partitions))
    monkeypatch.setattr("producers.collecting.beginning._layout", beginning._layout.__wrapped__)
    with pytest.raises(OtherState, match="with other columns"):
        opened(tmp_path)


def _says_more(head: dict[str, Any]) -> None:
    head["of_tomorrow"] = {}


@pytest.mark.parametrize(
    "newer",
    [
        _says_more,
        lambda head: _says_more(head["header"]),
        lambda head: head["header"].update(kind="thoughts"),
        lambda head: head.update(refused={"realtime": {"of_tomorrow": 1}}),
    ],
    ids=["of the batch", "of its header", "a kind", "a reason"],
)
def test_a_journal_of_a_newer_version_is_one_sentence_and_stays_for_that_version(
    newer: Callable[[dict[str, Any]], None], tmp_path: Path
) -> None:
    opened(tmp_path).shut()
    (record,), _ = unpacked(admission.journalled(turns(0)))
    newer(record.head)
    journal = tmp_path / "000000000007.journal"
    journal.write_bytes(packed(record.head, record.body))
    with pytest.raises(OtherState, match=r"a newer version has written here.* start that version again"):
        opened(tmp_path)
    assert unpacked(journal.read_bytes())[0] == [record]


def test_a_state_of_a_newer_version_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, more in (
        ("identity_of", lambda core: identity_of(core) | {"of_tomorrow": 1}),
        ("Fences.as_json", lambda _: {"sources": [["a", 1, "turns", 0, [], 0, 0, 0, {}, {}, {}]], "expired": {}}),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(f"producers.collecting.durable.{name}", more)
            opened(tmp_path / name).shut()
        with pytest.raises(OtherState, match="a newer version has written here"):
            opened(tmp_path / name)


def test_a_state_that_names_another_k_is_held_to_that_of_the_running_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As versions wrote it that kept theirs: one that asks for more sessions must not go on with fewer."""
    monkeypatch.setattr("producers.collecting.durable.identity_of", lambda core: identity_of(core) | {"k": 2})
    core = opened(tmp_path)
    core.take([turns(0, count=K_SESSIONS_MIN)])
    monkeypatch.undo()
    core = again(core, START_MS + 5_000)
    assert core.collector.k == K_SESSIONS_MIN


def test_what_there_is_nothing_of_is_not_written_so_an_older_version_reads_on(tmp_path: Path) -> None:
    """Versions from before what is withheld was told take no word of it."""
    (record,), _ = unpacked(admission.journalled(turns(0)))
    assert record.head.keys() == {"header", "at_ms", "refused"}
    assert record.head["header"].keys() == {"kind", "recorder", "incarnation", "sequence", "seen", "dropped"}
    core = opened(tmp_path)
    core.take([turns(0)])
    assert [len(entry) for entry in core.fences.as_json()["sources"]] == [8]


def test_damage_is_one_sentence(tmp_path: Path) -> None:
    opened(tmp_path).shut()
    (path,) = numbered(tmp_path, "state").values()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Damaged, match=r"000000000000\.state: the file is damaged\."):
        opened(tmp_path)


def test_records_end_where_the_last_one_was_cut_off() -> None:
    whole = packed({"number": 1}, b"first") + packed({"number": 2}, b"second")
    for length in range(len(whole) + 1):
        records, unread = unpacked(whole[:length])
        assert unread == length - sum(len(packed(each.head, each.body)) for each in records)
        assert [each.body for each in records] == [b"first", b"second"][: len(records)]
    assert len(unpacked(whole)[0]) == 2


# -- kills at every step ---------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


@contextmanager
def killed_after(calls: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process dies at the call to the disk with this number: before it, or in the middle of a write."""
    left = [calls]

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                if real is os_write:
                    real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                raise Killed
            return real(*arguments)

        return call

    os_write = os.write
    with monkeypatch.context() as dangerous:
        for name in ("write", "fsync", "replace", "unlink"):
            dangerous.setattr(os, name, dying(getattr(os, name)))
        yield


@dataclass(slots=True)
class Run:
    """Recorders that try again until they are answered, a collector that is killed and started again, and Kafka."""

    folder: Path
    rng: np.random.Generator
    monkeypatch: pytest.MonkeyPatch
    now_ms: int = START_MS
    kafka: list[Frame] = field(default_factory=list)
    kills: int = 0
    core: DurableCollector | None = None

    def survive(self, step: Callable[[DurableCollector], object]) -> None:
        """Does it until it was done once without being killed."""
        while True:
            try:
                with killed_after(int(self.rng.integers(0, 20)), self.monkeypatch):
                    self.core = self.core or opened(self.folder, self.now_ms)
                    step(self.core)
                    return
            except Killed:
                self.kills += 1
                if self.core:
                    self.core.store.close()
                self.core = None
                self.now_ms += int(self.rng.integers(0, 9_000))

    def send(self, core: DurableCollector) -> None:
        for number in list(core.store.unsent):
            self.kafka += core.store.read_frames(number)
            core.store.note_sent(number)


def batches(rng: np.random.Generator, count: int) -> list[Received]:
    """Of two kinds and two incarnations, over 90 s; streams that start and end once."""
    made = []
    for sequence in range(count):
        start_ms = START_MS + int(rng.integers(0, 90_000))
        of_turns = turns_world(sequence, count=50, start_ms=start_ms, span_ms=4_000)
        made.append(received(header(sequence // 2, incarnation=1 + sequence % 2), of_turns, START_MS + 95_000))
        changes = stream_changes(
            [(start_ms - START_MS, sequence, True), (start_ms - START_MS + 20_000, sequence, False)]
        )
        made.append(received(header(sequence, "streams"), changes, START_MS + 95_000))
        made.append(
            received(header(sequence, "duplex"), duplex_world(sequence, 20, 4_000, start_ms), START_MS + 95_000)
        )
    return made


@pytest.mark.parametrize("seed", range(2))
def test_kills_at_any_step_neither_lose_nor_double_an_observation(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(seed)
    run = Run(tmp_path, rng, monkeypatch)
    sent: list[Received] = []
    for each in batches(rng, 9):
        sent.append(each)
        run.now_ms += int(rng.integers(0, 6_000))
        run.survive(lambda core, each=each: core.take([each]))  # type: ignore[misc]
        run.survive(lambda core: core.close(run.now_ms))
        if rng.random() < 0.5:
            run.survive(run.send)
            earlier = sent[int(rng.integers(0, len(sent)))]  # Its recorder never heard that it was taken.
            run.survive(lambda core, earlier=earlier: core.take([earlier]))  # type: ignore[misc]
    run.now_ms += 300_000
    run.survive(lambda core: [core.close(run.now_ms) for _ in range(4)])
    run.survive(run.send)
    assert run.core and run.kills > 5
    frames = fenced(run.kafka)
    assert counted(frames) == 450
    assert counted(frames, "audience") + run.core.collector.held_turns == 450
    assert rows_of(frames, "stages").filter(stage="turn")["observations"].sum() == 450
    assert rows_of(frames, "duplex")["events"].sum() == 180
    assert rows_of(frames, "streams").select("starts", "ends").sum().row(0) == (9, 9)
    seen = dict(rows_of(frames, "heartbeats").group_by("reported_family").agg(pl.col("observations_seen").sum()).rows())
    assert {name: seen[name] for name in ("turns", "stages", "duplex", "streams")} == {
        "turns": 450, "stages": 450, "duplex": 180, "streams": 18,
    }  # fmt: skip


def fenced(frames: list[Frame]) -> list[Frame]:
    """As intake takes them: each number once. What comes again under its number is what came before."""
    known: dict[tuple[object, ...], Frame] = {}
    for frame in frames:
        place = (frame.header.incarnation, frame.header.family.name, frame.header.sequence)
        assert known.setdefault(place, frame) == frame
    numbers = Counter((incarnation, family) for incarnation, family, _ in known)
    assert all((*source, number) in known for source, count in numbers.items() for number in range(count))
    return list(known.values())
