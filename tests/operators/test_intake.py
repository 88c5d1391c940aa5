"""Intake: what happened matters; when, how often and in what batches we heard of it does not."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.families import OPERATIONAL, TURNS
from schemas.frames import FRAME_BYTES_MAX, NDJSON, SCHEMA_MINOR, FrameHeader, encode, headers_of
from schemas.rejections import Reason
from schemas.rows import arrow_schema
from stream_jobs.operators.totals import slice_register
from stream_jobs.operators.totals.blocks import NOTHING_APPLIED, STATE_FORMAT, NewerState
from stream_jobs.operators.totals.intake import Intake, Intaken
from stream_jobs.operators.totals.opening import FUTURE_MAX_MS, Record, open_records
from tests.operators.worlds import START_MS, Crash, Plant, oracle, renumbered, world

_SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=12, deadline=None)
@given(seed=_SEEDS)
def test_disorder_duplicates_and_batch_borders_never_change_a_total(seed: int) -> None:
    made, dice = world(seed), random.Random(seed)
    disturbed = [*made.records, *dice.sample(made.records, 5)]
    dice.shuffle(disturbed)
    plant = Plant()
    plant.run(renumbered(disturbed), batches=[dice.randint(1, 7) for _ in range(5)])
    assert plant.totals() == oracle(made.rows)


@pytest.fixture(autouse=True, scope="module")
def small_chunks() -> Iterator[None]:
    """Blocks of two slices, so that what belongs to which is tried in every world."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slice_register, "_CHUNK_SLICES_DEFAULT", 2)
        yield


@settings(max_examples=15, deadline=None)
@given(seed=_SEEDS)
def test_a_crash_between_any_two_effects_loses_and_doubles_nothing(seed: int) -> None:
    made, dice = world(seed, audience=True), random.Random(seed)
    lives = [5]

    def survive() -> None:
        if lives[0] and dice.random() < 0.15:
            lives[0] -= 1
            raise Crash

    plant = Plant(survive)
    plant.run(renumbered(made.records), batches=[dice.randint(1, 6) for _ in range(4)])
    assert plant.totals() == oracle(made.rows)


def test_the_oracle_notices_one_dropped_frame() -> None:
    made = world(seed=1)
    plant = Plant()
    plant.run(renumbered(made.records[:-1]), batches=[4])
    assert plant.totals() != oracle(made.rows)


def test_a_large_batch_has_places_for_others_and_is_judged_once_all_of_it_is_taken() -> None:
    records = renumbered(world(seed=1).records)
    intake, at_once, outcome = Intake(TURNS, 0, 1), Intake(TURNS, 0, 1), Intaken()
    marks = [intake.marked for _ in intake.taking_in(open_records(TURNS, records), outcome)]
    assert len(marks) > 10 and set(marks) == {NOTHING_APPLIED}, "a place after each block, and the marker last"
    assert outcome == at_once.apply(records) and intake.marked == at_once.marked == records[-1].offset
    assert {block.key for block in intake.unsaved_blocks()} == {block.key for block in at_once.unsaved_blocks()}


def test_slices_above_the_cap_count_under_other_and_are_counted() -> None:
    made = world(seed=3)
    intake = Intake(TURNS, 0, 1, slices_max=2)
    outcome = intake.apply(renumbered(made.records))
    rows = {
        partial.rows.column("slice")[place].as_py()
        for _, partial in intake.unsent_partials()
        for place in range(partial.rows.num_rows)
    }
    assert "pool=realtime,bundle=__other__" in rows
    assert outcome.overflowed["pool,region,bundle"] > 0
    totals = {key for key in rows if key.count("=") == 1}
    assert totals == {"pool=realtime", "pool=batch"}


def test_a_refused_frame_can_be_put_through_again_and_is_applied_once() -> None:
    made = world(seed=4, windows=1, producers=1)
    good = made.records[0]
    broken = replace(good, payload=good.payload[:-3])
    intake = Intake(TURNS, 0, 1)
    outcome = intake.apply(renumbered([broken, good, good]))
    assert [refusal.rejected.reason for refusal in outcome.refusals] == [Reason.CHECKSUM_MISMATCH]
    assert (outcome.frames_applied, outcome.frames_repeated) == (1, 1)


# -- bad input: each a reason, and the frames around it go on ----------------------------------------------------------


def _frame(
    changes: dict[str, Any] | None = None, header: dict[str, Any] | None = None, drop: str | None = None
) -> tuple[dict[str, bytes], bytes]:
    columns: dict[str, Any] = dict.fromkeys(TURNS.dimensions)
    columns |= {"region": "eu-west-1", "pool": "realtime", "route": "support", "bundle": "v1"}
    columns |= dict.fromkeys(TURNS.measure_names, 3)
    table = pa.Table.from_pylist([columns | (changes or {})], schema=arrow_schema(TURNS))
    about = FrameHeader(TURNS, OPERATIONAL, "host-1", 1, 0, START_MS)
    about = replace(about, **(header or {}))
    headers, payload = encode(about, table)
    return {name: value for name, value in headers if name != drop}, payload


def _arrow(table: pa.Table, minor: int = SCHEMA_MINOR) -> tuple[dict[str, bytes], bytes]:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    payload = sink.getvalue().to_pybytes()
    return dict(headers_of(FrameHeader(TURNS, OPERATIONAL, "host-1", 1, 0, START_MS, minor=minor), payload)), payload


def _with(headers: dict[str, bytes], **changed: str) -> dict[str, bytes]:
    return headers | {name.replace("_", "-"): value.encode() for name, value in changed.items()}


def _ndjson(payload: bytes) -> tuple[dict[str, bytes], bytes]:
    return dict(
        headers_of(FrameHeader(TURNS, OPERATIONAL, "host-1", 1, 0, START_MS, content_type=NDJSON), payload)
    ), payload


def _sound_table() -> pa.Table:
    _, payload = _frame()
    with pa.ipc.open_stream(payload) as reader:
        return reader.read_all()


@cache
def _bad_frames() -> dict[str, tuple[tuple[dict[str, bytes], bytes], Reason]]:
    headers, payload = _frame()
    table = _sound_table()
    garbage = b"not arrow at all"
    return {
        "malformed Arrow": (
            (dict(headers_of(FrameHeader(TURNS, OPERATIONAL, "host-1", 1, 0, START_MS), garbage)), garbage),
            Reason.MALFORMED_PAYLOAD,
        ),
        "wrong checksum": ((headers, payload[:-1] + b"\x01"), Reason.CHECKSUM_MISMATCH),
        "newer major version": ((_with(headers, tw_schema="2.0"), payload), Reason.UNSUPPORTED_VERSION),
        "unknown column": (_arrow(table.append_column("transcript", pa.array(["hello"]))), Reason.CONTENT_FIELD),
        "missing column": (_arrow(table.drop_columns(["turns"])), Reason.MISSING_COLUMN),
        "wrong type": (
            _arrow(table.set_column(table.schema.get_field_index("turns"), "turns", pa.array([1.5]))),
            Reason.WRONG_TYPE,
        ),
        "negative count": (_frame({"turns": -1}), Reason.NEGATIVE_COUNT),
        "a count no fleet has": (_frame({"turns": 2**51}), Reason.COUNT_TOO_LARGE),
        "bad > total": (_frame({"turn_error_bad": 4}), Reason.BAD_EXCEEDS_TOTAL),
        "outside the vocabulary": (_frame({"pool": "call me at home"}), Reason.OUTSIDE_VOCABULARY),
        "an identifying value where none may be": (_frame({"language": "de"}), Reason.DIMENSION_NOT_IN_PARTITION),
        "time a year off": (_frame(header={"window_start_ms": START_MS - 365 * 86_400_000}), Reason.WINDOW_TOO_OLD),
        "time a year ahead": (
            _frame(header={"window_start_ms": START_MS + 365 * 86_400_000}),
            Reason.WINDOW_FROM_FUTURE,
        ),
        "a misaligned window": (
            (_with(headers, tw_window_start_ms=str(START_MS + 1)), payload),
            Reason.WINDOW_MISALIGNED,
        ),
        "an empty payload": ((headers, b""), Reason.EMPTY_FRAME),
        "no rows": (_arrow(table.slice(0, 0)), Reason.EMPTY_FRAME),
        "too large": (_arrow(pa.concat_tables([table] * 9_000)), Reason.FRAME_TOO_LARGE),
        "a small frame that grows": (_frame_of_many(), Reason.FRAME_TOO_LARGE),
        "no header": (_frame(drop="tw-producer"), Reason.MISSING_HEADER),
        "a header that is no number": ((_with(headers, tw_sequence="-1"), payload), Reason.MALFORMED_HEADER),
        "another family": ((_with(headers, tw_family="stages"), payload), Reason.UNKNOWN_FAMILY),
        "another content type": ((_with(headers, tw_content_type="text/html"), payload), Reason.UNKNOWN_CONTENT_TYPE),
        "NDJSON that is HTML": (_ndjson(b"<html>"), Reason.MALFORMED_PAYLOAD),
        "NDJSON with free text": (_ndjson(b'{"region":"eu-west-1","transcript":"hello"}'), Reason.CONTENT_FIELD),
    }


def _frame_of_many() -> tuple[dict[str, bytes], bytes]:
    many = pa.concat_tables([_sound_table()] * 50_000).combine_chunks()
    headers, payload = encode(FrameHeader(TURNS, OPERATIONAL, "host-1", 1, 0, START_MS), many)
    assert len(payload) < FRAME_BYTES_MAX < many.nbytes
    return dict(headers), payload


@pytest.mark.parametrize("case", _bad_frames())
def test_bad_input_is_refused_with_its_reason_and_the_frames_around_it_go_on(case: str) -> None:
    (headers, payload), reason = _bad_frames()[case]
    sound_headers, sound = _frame(header={"producer": "host-2"})
    append_ms = START_MS + 10_500
    records = [Record(0, append_ms, headers, payload), Record(1, append_ms, sound_headers, sound)]
    outcome = Intake(TURNS, 0, 1).apply(records)
    assert [(refusal.offset, refusal.rejected.reason) for refusal in outcome.refusals] == [(0, reason)]
    assert outcome.frames_applied == 1
    assert outcome.refusals[0].rejected.detail.endswith((".", ")."))
    assert "hello" not in outcome.refusals[0].rejected.detail and "home" not in outcome.refusals[0].rejected.detail


def test_unknown_columns_of_a_newer_minor_version_are_dropped_and_counted() -> None:
    headers, payload = _arrow(_sound_table().append_column("invented_later", pa.array([7])), minor=SCHEMA_MINOR + 1)
    outcome = Intake(TURNS, 0, 1).apply([Record(0, START_MS + 10_500, headers, payload)])
    assert (outcome.frames_applied, outcome.columns_dropped, outcome.refusals) == (1, {"unknown_field": 1}, [])


@pytest.mark.parametrize("content_type", ["arrow", "ndjson"])
@pytest.mark.parametrize(("minor", "is_newer"), [(SCHEMA_MINOR, False), (SCHEMA_MINOR + 1, True)])
def test_a_private_text_in_a_column_of_a_newer_minor_version_is_dropped_and_counted_as_what_it_is(
    content_type: str, minor: int, is_newer: bool
) -> None:
    """The version behind may mean something by it, and a worker that is rolled back must not lose its frames."""
    secret = {"planted.ana@example.org": "email", "calm": "unknown_field"}
    table = _sound_table()
    for place, text in enumerate(secret):
        table = table.append_column(f"invented_{place}", pa.array([text]))
    if content_type == "arrow":
        headers, payload = _arrow(table, minor=minor)
    else:
        absent = set(TURNS.dimensions) - set(OPERATIONAL.dimensions)
        payload = json.dumps(table.drop_columns(sorted(absent)).to_pylist()[0]).encode()
        header = FrameHeader(TURNS, OPERATIONAL, "host-1", 1, 0, START_MS, content_type=NDJSON, minor=minor)
        headers = dict(headers_of(header, payload))
    outcome = Intake(TURNS, 0, 1).apply([Record(0, START_MS + 10_500, headers, payload)])
    if is_newer:
        assert (outcome.frames_applied, outcome.refusals) == (1, [])
        assert outcome.columns_dropped == {"email": 1, "unknown_field": 1}
    else:
        assert [refusal.rejected.reason for refusal in outcome.refusals] == [Reason.PRIVATE_VALUE]
        assert not outcome.columns_dropped
    assert not any(text in repr(outcome) for text in secret if "@" in text)


def test_a_frame_later_than_the_lateness_is_late_whatever_the_batches() -> None:
    def at(minutes: float, sequence: int) -> Record:
        headers, payload = _frame(header={"window_start_ms": START_MS + int(minutes * 60_000), "sequence": sequence})
        return Record(sequence, START_MS + int(minutes * 60_000) + FUTURE_MAX_MS, headers, payload)

    together = Intake(TURNS, 0, 1).apply([at(0, 0), at(5, 1), replace(at(0, 2), append_ms=START_MS + 310_000)])
    assert (together.frames_late, together.refusals) == (1, [])
    apart = Intake(TURNS, 0, 1)
    outcomes = [
        apart.apply([record]) for record in (at(0, 0), at(5, 1), replace(at(0, 2), append_ms=START_MS + 310_000))
    ]
    assert [outcome.frames_late for outcome in outcomes] == [0, 0, 1]


def test_unknown_fields_of_a_newer_minor_version_are_dropped_from_ndjson_too() -> None:
    fields = _sound_table().select([*OPERATIONAL.dimensions, *TURNS.measure_names]).to_pylist()[0]
    payload = json.dumps(fields | {"invented_later": 7}).encode()
    header = FrameHeader(TURNS, OPERATIONAL, "host-1", 1, 0, START_MS, content_type=NDJSON, minor=SCHEMA_MINOR + 1)
    record = Record(0, START_MS + 10_500, dict(headers_of(header, payload)), payload)
    outcome = Intake(TURNS, 0, 1).apply([record])
    assert (outcome.frames_applied, outcome.columns_dropped, outcome.refusals) == (1, {"unknown_field": 1}, [])


def test_state_of_a_newer_format_is_not_guessed_at() -> None:
    intake = Intake(TURNS, 0, 1)
    intake.apply(renumbered(world(seed=5).records))
    stored = {block.key: bytes([STATE_FORMAT + 1]) + (block.value or b"")[1:] for block in intake.unsaved_blocks()}
    with pytest.raises(NewerState, match="deploy the newer worker"):
        Intake.restored(TURNS, 0, 1, stored)
