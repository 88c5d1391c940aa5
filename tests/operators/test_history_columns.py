"""Columns of the history are known by name: a worker with fewer, more or others reads what it knows, and never a wrong one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.families import INDICATORS
from stream_jobs.operators.burn_rate.history import TIME_SLICES, UNNAMED, History
from stream_jobs.operators.totals.blocks import Block, NewerState, UnreadableState, body, stamped
from tests.operators.test_state_formats import stored
from tests.operators.worlds import Changelog

START_MS = 1_700_000_000_000 // 3_600_000 * 3_600_000
PERIOD_S = 30 * 86_400
MINUTES, OTHER_MINUTES = f"{TIME_SLICES}turn_error|0.95", f"{TIME_SLICES}abandonment|0.9"


def history(columns: Sequence[str], bucket: int = 0, times: int = 1) -> History:
    """Two slices; the counts in a column are told by its name's place in the alphabet, so that a mix-up shows."""
    counted = History(columns, PERIOD_S)
    counts = np.array([[count_of(name, number, times) for name in columns] for number in (0, 1)], dtype=np.int64)
    counted.assign(1, START_MS + bucket * 60_000, np.array([0, 1]), counts)
    return counted


def count_of(name: str, number: int, times: int = 1) -> tuple[int, int]:
    seed = sum(name.encode())
    return (seed % 97 + number) * times, (seed + number) * times


def saved(counted: History) -> list[Block]:
    return list(counted.unsaved_blocks(applied_offset=3))


def restored(columns: Sequence[str], blocks: Sequence[Block]) -> History:
    again = History(columns, PERIOD_S)
    for block in blocks:
        assert block.value is not None
        again.restore(block.key, block.value)
    return again


def told(counted: History) -> dict[tuple[str, int], tuple[int, int]]:
    counts = counted.between(1, START_MS, START_MS + 3_600_000)
    return {
        (name, number): (int(counts[number, place, 0]), int(counts[number, place, 1]))
        for place, name in enumerate(counted.columns)
        for number in range(len(counts))
    }


@settings(max_examples=40, deadline=None)
@given(
    written=st.lists(st.sampled_from(["a", "b", "c", MINUTES, OTHER_MINUTES]), min_size=1, unique=True),
    others=st.permutations(["a", "b", "c", MINUTES, "d"]),
)
def test_every_known_column_keeps_its_counts_and_every_other_has_none(written: list[str], others: list[str]) -> None:
    """In whatever order they stand in either worker, and again once the reader has written them."""
    again = restored(others, saved(history(written)))
    wanted = {
        (name, number): count_of(name, number) if name in written else (0, 0) for name in others for number in (0, 1)
    }
    assert told(again) == wanted
    again.assign(1, START_MS, np.array([], dtype=np.int64), np.zeros((0, len(others), 2), dtype=np.int64))
    again.assign(1, START_MS + 60_000, np.array([0]), np.ones((1, len(others), 2), dtype=np.int64))
    assert told(restored(others, [*saved(history(written)), *saved(again)])) == told(again)


def test_minutes_that_no_objective_asks_for_any_more_are_let_go() -> None:
    again = restored(["turn_error"], saved(history(["turn_error", MINUTES])))
    assert told(again) == {("turn_error", number): count_of("turn_error", number) for number in (0, 1)}


def test_an_indicator_that_this_worker_does_not_know_is_of_a_newer_version() -> None:
    sentence = "counts the indicator 'privacy', which this worker does not know: deploy the version that wrote it"
    with pytest.raises(NewerState, match=sentence):
        restored(["turn_error", MINUTES], saved(history(["turn_error", MINUTES, "privacy"])))


def test_counts_beyond_32_bits_keep_their_width_in_another_place() -> None:
    again = restored(["b", "a"], saved(history(["a", "b"], times=2**33)))
    assert told(again) == {(name, number): count_of(name, number, 2**33) for name in "ba" for number in (0, 1)}


def test_a_crash_between_two_workers_blocks_leaves_every_chunk_readable() -> None:
    """Chunks of both lie side by side, whichever writes of the newer one landed before it died."""
    older, newer = ["a", "b", MINUTES], ["d", "b", OTHER_MINUTES, "a"]
    of_older = [block for bucket in range(4) for block in saved(history(older, bucket))]
    of_newer = [block for bucket in range(4) for block in saved(history(newer, bucket))]
    for landed in range(16):
        log = Changelog()
        for block in of_older:
            log.write(block)
        for place, block in enumerate(of_newer):
            if landed >> place & 1:
                log.write(block)
        again = restored(newer, [Block(key, value) for key, value in log.stored.items()])
        rewritten = landed.bit_count()
        for (name, number), counts in told(again).items():
            times = 4 if name in older else rewritten
            assert counts == count_of(name, number, times)


@pytest.mark.parametrize("written", [1, 2, 3])
def test_chunks_without_names_are_in_the_order_that_the_contract_had(written: int) -> None:
    chunks = [Block(key, value) for key, value in stored(written, "burn_rate").items() if key.startswith(b"history|")]
    whole = restored(UNNAMED, chunks)
    mixed = restored([MINUTES, *reversed(UNNAMED), "later"], chunks)
    counts = {each: each.between(0, START_MS, START_MS + 3_600_000) for each in (whole, mixed)}
    assert counts[whole].sum() > 0
    assert np.array_equal(counts[mixed][:, 1 : 1 + len(UNNAMED)], counts[whole][:, ::-1])
    assert not counts[mixed][:, [0, -1]].any()
    assert tuple(each.name for each in INDICATORS)[: len(UNNAMED)] == UNNAMED


def test_chunks_without_names_of_another_count_are_refused() -> None:
    key, value = next(each for each in stored(3, "burn_rate").items() if each[0].startswith(b"history|"))
    packed = body(value)
    with pytest.raises(NewerState, match="counts 8 indicators without their names"):
        restored(UNNAMED, [Block(key, value[:9] + packed[:1] + b"\x08" + packed[2:])])


@pytest.mark.parametrize("length", [0, 1, 3, 5, 14, 20])
def test_a_chunk_that_is_cut_off_ends_with_a_sentence(length: int) -> None:
    (block,) = saved(history(["a", "b"]))
    assert block.value is not None
    with pytest.raises(UnreadableState, match="cannot be read: restore its changelog topic"):
        restored(["a", "b"], [Block(block.key, stamped(3, body(block.value)[:length]))])


@pytest.mark.parametrize("names", [b"", b"a\na", b"a b", b"\xff", b"a\x1b[31m", b"a" * 101])
def test_names_that_no_version_writes_are_not_repeated(names: bytes) -> None:
    (block,) = saved(history(["a"]))
    assert block.value is not None
    packed = body(block.value)
    written = packed[:2] + len(names).to_bytes(2, "big") + names + packed[5:]
    with pytest.raises(UnreadableState) as raised:
        restored(["a"], [Block(block.key, stamped(3, written))])
    assert str(raised.value).endswith(("It names columns as no version does.", "It holds no counts."))


def test_a_chunk_that_claims_more_than_any_counts_is_not_unpacked() -> None:
    (block,) = saved(history(["a", "b"]))
    assert block.value is not None
    packed = bytearray(body(block.value))
    packed[7:15] = (2**40).to_bytes(8, "big")
    with pytest.raises(UnreadableState, match="counts nothing, or more than any chunk does"):
        restored(["a", "b"], [Block(block.key, stamped(3, bytes(packed)))])


def test_a_column_that_begins_later_is_not_taken_for_one_that_counted_nothing_until_then() -> None:
    """An hour of a new indicator's turns is an hour's: its month would otherwise be expected to allow next to nothing."""
    begin_ms, hour_ms = 1_700_000_000_000 // 3_600_000 * 3_600_000, 3_600_000
    history, first = History(["old", "new"], PERIOD_S), np.array([0])
    for minute in range(12 * 60):
        start_ms = begin_ms + minute * 60_000
        new = int(minute >= 5 * 60 + 30)
        history.assign(1, start_ms, first, np.array([[[0, 7], [0, new]]]))
        history.retell(3, start_ms // hour_ms * hour_ms, 1, first)
    new_ms = begin_ms + 5 * hour_ms + 30 * 60_000
    assert history.counted_since_ms(0, begin_ms + 2 * hour_ms) == begin_ms
    assert history.counted_since_ms(1, new_ms + hour_ms) == new_ms
    assert history.counted_since_ms(1, new_ms + 7 * hour_ms) == begin_ms + 5 * hour_ms
    again = History(["old", "new", "newest"], PERIOD_S)
    for block in history.unsaved_blocks(0):
        assert block.value is not None
        again.restore(block.key, block.value)
    for column, after_h in ((0, 2), (1, 1), (1, 7)):
        end_ms = new_ms + after_h * hour_ms
        assert again.counted_since_ms(column, end_ms) == history.counted_since_ms(column, end_ms)
    assert again.counted_since_ms(2, new_ms) == 0
