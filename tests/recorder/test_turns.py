"""What a host tells of a turn becomes that turn's row, whichever task or thread tells it; nothing reaches the host back."""

from __future__ import annotations

import asyncio
import gc
import threading
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import numpy as np
import pytest

from producers.collector import Collector
from producers.observations import TURN_COLUMNS, TURN_DIMENSIONS
from producers.recorder.cells import Cells, Defaults, texts_of
from producers.recorder.turns import Stage, Turn
from schemas.refusals import Refusal
from tests.producers.worlds import rows_of
from tests.recorder.hosts import START_S, FakeCollector, HeldClock, Host


@pytest.fixture
def host() -> Host:
    return Host(None, FakeCollector())


def rows(host: Host) -> list[dict[str, Any]]:
    """Every turn that a collector has, after a round of sending."""
    host.cycle()
    return host.collector.rows().to_dicts()


def test_stages_marks_wholes_and_notes_become_columns(host: Host) -> None:
    with host.turn("call-1", language="de", device_class="phone") as turn:
        with turn.stage("queue_wait"):
            host.time.pass_s(0.010)
        host.time.pass_s(0.005)
        turn.mark("asr_first_partial")
        host.time.pass_s(0.200)
        turn.mark("llm_first_token")
        turn.took("vad", 2.5)
        turn.reached("first_audio")
        host.time.pass_s(0.5)
        turn.note(tokens_in=812, tokens_out=60, is_success=True, jitter_ms=3.25)
    (row,) = rows(host)
    assert row["queue_wait_ms"] == pytest.approx(10)
    assert row["asr_first_partial_ms"] == pytest.approx(15), "a mark begins where the mark before it ended"
    assert row["llm_first_token_ms"] == pytest.approx(200)
    assert row["vad_ms"] == pytest.approx(2.5)
    assert row["first_audio_ms"] == pytest.approx(215)
    assert row["turn_ms"] == pytest.approx(715)
    assert (row["tokens_in"], row["tokens_out"], row["audio_in_ms"]) == (812, 60, 0)
    assert (row["is_success"], row["is_error"], row["is_privacy_error"]) == (True, False, None)
    assert row["jitter_ms"] == 3.25
    assert row["ended_at_ms"] == int((START_S + 0.715) * 1_000)
    assert (row["region"], row["language"], row["tenant"]) == ("eu-west-1", "de", "*")
    assert list(row) == list(TURN_COLUMNS)


def test_what_is_told_twice_adds_up(host: Host) -> None:
    with host.turn() as turn:
        for _ in range(2):
            with turn.stage("retrieval"):
                host.time.pass_s(0.020)
            turn.note(tokens_out=5, is_handoff=True)
        turn.note(is_handoff=False)
    (row,) = rows(host)
    assert row["retrieval_ms"] == pytest.approx(40)
    assert (row["tokens_out"], row["is_handoff"]) == (10, True)


@pytest.mark.parametrize(
    ("error", "is_error", "is_cancelled"),
    [(ValueError, True, False), (asyncio.CancelledError, False, True), (KeyboardInterrupt, False, False)],
)
def test_an_exception_passes_through_and_says_how_the_turn_ended(
    host: Host, error: type[BaseException], is_error: bool, is_cancelled: bool
) -> None:
    with pytest.raises(error), host.turn() as turn, turn.stage("retrieval"):
        raise error
    (row,) = rows(host)
    assert (row["is_error"], row["is_cancelled"]) == (is_error, is_cancelled)
    assert row["retrieval_ms"] == 0


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), "not_finite"),
        (float("inf"), "not_finite"),
        (-1, "negative"),
        (10**400, "not_finite"),
        (2.0**31, "inconsistent"),
        ("a secret", "malformed"),
        ("812", "malformed"),
        ([1.0], "embedding"),
        (b"812", "audio"),
        (np.array([0.12, -0.5]), "embedding"),
        ([[0.12, -0.5], [0.3]], "embedding"),
        (["a"], "malformed"),
        ({"a": 1.0}, "malformed"),
        ("ana@example.com", "email"),
        (1.5, "malformed"),
        (True, "malformed"),
        (np.True_, "malformed"),
        (Decimal("1.5"), "malformed"),
    ],
)
def test_a_value_that_cannot_be_is_dropped_and_counted_and_the_turn_goes_on(
    host: Host, value: Any, reason: str
) -> None:
    with host.turn() as turn:
        turn.note(tokens_in=value, tokens_out=7)
        turn.took("retrieval", value if isinstance(value, float) and value != 1.5 else 1.0)
    with host.turn() as turn:
        turn.note(tokens_in=3)
    first, second = rows(host)
    assert (first["tokens_in"], first["tokens_out"], second["tokens_in"]) == (0, 7, 3)
    lost = {name: count for name, count in host.tally.totals().items() if name.startswith("values_")}
    assert lost == {f"values_{reason}": 2 if isinstance(value, float) and value != 1.5 else 1}


@pytest.mark.parametrize(
    ("value", "reason"), [("812", "malformed"), ([812], "embedding"), (b"812", "audio"), ((8, 1), "embedding")]
)
def test_what_is_no_number_is_none_also_where_a_flush_has_nothing_else(host: Host, value: Any, reason: str) -> None:
    for _ in range(2):
        with host.turn() as turn:
            turn.note(tokens_in=value)
    assert [row["tokens_in"] for row in rows(host)] == [0, 0]
    assert host.tally.totals()[f"values_{reason}"] == 2


@pytest.mark.parametrize(
    "numbers",
    [
        *([0.12] * 192, (0.5, 0.25), np.zeros(8, np.float32), np.array([[1.0, 2.0]])),
        *(np.array([0.5] * 8, object), np.zeros(8, "V2")),
    ],
)
def test_a_list_of_numbers_is_an_embedding_wherever_a_host_puts_it(host: Host, numbers: Any) -> None:
    """In a dimension and as a session it refuses the turn; as an amount, a time or an undeclared field the turn goes on."""
    for told in ({"route": numbers}, {"pool": numbers}, {"session": numbers}):
        with host.turn(**told):
            pass
    noted: dict[str, Any] = {"tokens_in": numbers, "speaker": np.resize(numbers, 8)}
    with host.turn(voiceprint=numbers) as turn:
        turn.note(**noted)
        turn.took("retrieval", numbers)
    (row,) = rows(host)
    assert host.dropped() == {"embedding": 3}
    assert host.collector.refused() == {"realtime:embedding": 3}
    lost = {name: count for name, count in host.tally.totals().items() if name.startswith("values_")}
    undeclared = {"values_content_field": 1, "values_embedding": 3}
    assert lost == undeclared and (row["tokens_in"], row["retrieval_ms"]) == (0, None)


class Broken:
    @property
    def shape(self) -> tuple[int, ...]:
        raise RuntimeError("a secret")


def test_an_object_that_fails_at_being_looked_at_costs_its_own_value_alone(host: Host) -> None:
    noted: dict[str, Any] = {"tokens_in": Broken(), "mood": Broken(), "tokens_out": 7}
    with host.turn(weather=Broken()) as turn:
        turn.note(**noted)
    (row,) = rows(host)
    assert (row["tokens_in"], row["tokens_out"]) == (0, 7)
    lost = {name: count for name, count in host.tally.totals().items() if name.startswith("values_")}
    assert lost == {"values_malformed": 1, "values_unknown_field": 2}


def test_nothing_long_that_a_host_tells_stays_in_memory() -> None:
    """A prompt or an embedding in every turn was another combination of dimensions, and 10,000 of them were kept."""
    texts = texts_of("turns", "host-1")
    cells = Cells(texts)
    told = [(Defaults({"region": "eu-west-1"}), {"mood": "so sad " * 100, "weather": (0.5,) * 1_536, "route": "voice"})]
    for _ in range(2):
        placed = cells.place(told)
        assert placed.dropped == {("realtime", Refusal.FREE_TEXT): 1, ("realtime", Refusal.EMBEDDING): 1}
    kept = [value for each in (gc.get_referents(*vars(cells).values())) if isinstance(each, tuple) for value in each]
    assert not any(name in repr(kept) for name in ("sad", "0.5"))


class Tensor:
    """As those of several numbers are: no number, no array while gradients are kept, and the error has the values."""

    shape = (192,)

    def __float__(self) -> float:
        raise RuntimeError("only one element tensors can be converted: 0.12, -0.5")

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("cannot be an array: 0.12, -0.5")


@pytest.mark.parametrize("others", [{"tokens_out": 7}, {}])
def test_a_tensor_costs_its_own_value_alone(host: Host, others: dict[str, Any]) -> None:
    noted: dict[str, Any] = {"tokens_in": Tensor(), "speaker": Tensor(), **others}
    with host.turn() as turn:
        turn.note(**noted)
    (row,) = rows(host)
    assert (row["tokens_in"], row["tokens_out"]) == (0, others.get("tokens_out", 0))
    lost = {name: count for name, count in host.tally.totals().items() if name.startswith("values_")}
    assert lost == {"values_embedding": 2} and not host.dropped()


def test_numbers_of_other_types_are_numbers_beside_what_is_none(host: Host) -> None:
    values: dict[str, Any] = {"tokens_in": np.int64(812), "tokens_out": Decimal(7), "audio_out_ms": np.float32(0.5) * 8}
    with host.turn() as turn:
        turn.note(audio_in_ms=None, **values)
    (row,) = rows(host)
    assert (row["tokens_in"], row["tokens_out"], row["audio_in_ms"], row["audio_out_ms"]) == (812, 7, 0, 4)


def test_a_time_that_somebody_else_took_is_no_truth_and_no_text(host: Host) -> None:
    for told in (True, "ana@example.com", -3, 4_000_000.0):
        with host.turn() as turn:
            turn.took("vad", told)  # type: ignore[arg-type]  # Hosts are not checked.
    assert [row["vad_ms"] for row in rows(host)] == [None] * 4
    lost = {name: count for name, count in host.tally.totals().items() if name.startswith("values_")}
    assert lost == {f"values_{reason}": 1 for reason in ("malformed", "email", "negative", "inconsistent")}


def test_what_a_turn_goes_on_without_is_told_by_pool_and_reason_but_not_what_was_only_unknown(host: Host) -> None:
    """As of attributes and labels, so that family `privacy` says what no dashboard would: somebody hands in content."""
    host.change(pool="batch")
    for session, pool in (("call-1", "batch"), ("call-2", "realtime"), (None, "batch")):
        with host.turn(session, pool=pool, speaker="ana@example.com", mood="calm") as turn:
            turn.note(prompt="hers", loudness=3, tokens_in=-1)  # type: ignore[arg-type]  # Hosts are not checked.
            turn.took("vad", -1)
    host.cycle()
    assert host.collector.withheld() == {
        **{f"{pool}:{reason}": 1 for pool in ("batch", "realtime") for reason in ("email", "content_field")},
        **{f"{pool}:negative": 2 for pool in ("batch", "realtime")},
    }
    assert host.collector.refused() == {"batch:no_session": 1} and host.collector.told() == (3, 1)
    host.cycle()
    assert host.collector.sequences(1) == [0], "what was told is no news"
    host.event("costs", "call-1", pool="batch", prompt="hers")
    host.cycle()
    assert host.collector.refused("costs") == {"batch:outside_vocabulary": 1}
    assert host.collector.withheld("costs") == {"batch:content_field": 1}
    assert host.collector.sequences(1) == [0]


def test_what_a_turn_goes_on_without_is_told_alone_where_no_turn_comes_after_it(host: Host) -> None:
    """Of a turn whose session belongs to another collector the recorder's own one is told."""
    host = Host(None, FakeCollector(), addresses=("http://c-0", "http://c-1"))
    for number in range(8):
        with host.turn(f"call-{number}", prompt="hers"):
            pass
    host.cycle()
    told = {known[0]: batch.header.withheld for known, batch in host.collector.taken.items()}
    assert sorted(map(dict, told.values()), key=len) == [{}, {"realtime:content_field": 8}]
    (home,) = [address for address, withheld in told.items() if withheld]
    assert home == host.sender._home


def test_what_nobody_declared_is_counted_for_what_it_is_and_never_sent(host: Host) -> None:
    for _ in range(2):
        with host.turn(prompt="a secret", mood="a secret", language="en", self="a secret") as turn:
            turn.note(transcript="a secret", loudness=3, self=3)  # type: ignore[arg-type]  # Hosts are not checked.
            with turn.stage("thinking"):
                pass
    row, _ = rows(host)
    lost = {name: count for name, count in host.tally.totals().items() if name.startswith("values_")}
    assert lost == {"values_content_field": 4, "values_unknown_field": 10}
    assert "a secret" not in str(row)


def test_nothing_is_known_of_an_amount_that_was_told_as_none(host: Host) -> None:
    with host.turn() as turn:
        turn.note(is_success=None, tokens_in=None)
    (row,) = rows(host)
    assert row["is_success"] is None
    assert not [name for name in host.tally.totals() if name.startswith("values_")]


@pytest.mark.parametrize(("named", "most"), [({"session": UUID(int=7)}, 2), ({"route": ["voice"]}, 1)])
def test_a_host_that_names_everything_by_objects_pays_no_more_than_for_names(
    host: Host, named: dict[str, Any], most: int
) -> None:
    """Of sessions one conversion fails and one is of what is left, instead of two for every turn; of dimensions none fails."""
    for number in range(500):
        with host.turn(**{"session": number, **(named if number % 100 else {})}):
            pass
    with patch.object(host.sender, "_converted", side_effect=host.sender._converted) as conversions:
        assert len(rows(host)) == 5
    assert host.dropped() == {"malformed": 495}
    assert conversions.call_count == most


@pytest.mark.parametrize("session", [["a list"], {}, 1.5, True, object()])
def test_a_session_that_is_none_drops_its_turn_alone(host: Host, session: Any) -> None:
    for name in ("call-1", session, b"call-2", 3):
        with host.turn(name):
            pass
    assert len(rows(host)) == 3
    assert host.dropped() == {"malformed": 1}


@pytest.mark.parametrize("session", [True, 1.0])
def test_what_python_takes_for_a_session_that_is_known_is_none_all_the_same(host: Host, session: Any) -> None:
    for name in (1, session):
        with host.turn(name):
            pass
        host.event("quality", name, consent="granted", words=3)
        host.cycle()
    assert len(rows(host)) == 1 and host.dropped() == {"malformed": 1}
    assert host.tally.totals()["quality_dropped_malformed"] == 1


@pytest.mark.parametrize("session", ["", b"", " \t\n", "\u200b", "\u200b\ufeff ".encode()])
def test_a_session_without_a_name_is_none_and_makes_no_crowd_one_caller(host: Host, session: Any) -> None:
    """k callers that a host names alike would pass for one, whose cell is never told."""
    for name in ("call-1", session, session):
        with host.turn(name):
            pass
    host.event("quality", session, consent="granted", words=3)
    host.event("duplex", session, duplex_event="micro_turn", context_age_ms=30.0)
    assert len(rows(host)) == 1 and host.dropped() == {"no_session": 2}
    assert host.tally.totals()["quality_dropped_no_session"] == 1
    assert len(host.collector.rows("duplex")) == 1


@pytest.mark.parametrize("value", [5, 1.5, True, object(), {"a": 1}, ("de",)])
def test_a_dimension_that_is_no_text_is_malformed(host: Host, value: Any) -> None:
    for told in ("de", value, value):
        with host.turn(language=value if told is not value else told):
            pass
    with host.turn(language="de"):
        pass
    assert [row["language"] for row in rows(host)] == ["de"]
    assert host.dropped() == {"malformed": 3}


def test_a_dimension_that_is_told_as_none_is_not_known_and_costs_no_turn(host: Host) -> None:
    """What identifies is `*` then, also where there is a default; of what does not the default stays."""
    host.change(language="de")
    for dimensions in ({}, {"language": None}, {"pool": None}, dict.fromkeys(TURN_DIMENSIONS), {"unheard_of": None}):
        with host.turn(**dimensions):
            pass
    told = rows(host)
    assert [row["language"] for row in told] == ["de", "*", "de", "*", "de"]
    assert {(row["pool"], row["route"], row["tenant"], row["device_class"]) for row in told} == {
        ("realtime", "support", "*", "*")
    }
    assert not host.dropped() and not [name for name in host.tally.totals() if name.startswith("values_")]
    host.change(language=None)
    with host.turn():
        pass
    assert rows(host)[-1]["language"] == "*"


def test_a_none_that_nothing_else_says_is_refused_where_it_would_be(host: Host) -> None:
    host.event("queues", queue=None, depth=3)
    host.event("costs", None, gpu_reserved_ms=1, model_version="m-7b", gpu_type="h100", purchase=None)
    host.cycle()
    assert {f"{kind}_dropped_outside_vocabulary" for kind in ("queues", "costs")} <= host.tally.totals().keys()


@pytest.mark.parametrize(
    ("route", "reason"),
    [
        ("write to ana@example.com", "email"),
        ("4915112345678", "phone"),
        ("7f3a9c0d2be84f61a5", "high_entropy"),
        ("Sales", "outside_vocabulary"),
    ],
)
def test_what_may_not_leave_a_host_is_refused_there_by_reason(host: Host, route: Any, reason: str) -> None:
    for value in (route, "sales", route):
        with host.turn(route=value):
            pass
    assert [row["route"] for row in rows(host)] == ["sales"]
    assert host.dropped() == {reason: 2}
    assert host.collector.told() == (3, 2)
    assert host.collector.refused() == {f"realtime:{reason}": 2}


def test_a_collector_is_told_of_each_pool_what_was_refused_and_why_also_where_nothing_else_comes(host: Host) -> None:
    host.change(pool="batch")
    for session, dimensions in [("call", {"route": "No Such Route!"}), (None, {}), (None, {"pool": "realtime"})]:
        with host.turn(session, **dimensions):
            pass
    with host.turn(None, pool="nowhere"):
        pass
    host.event("quality", consent="granted", words=3)
    host.cycle()
    assert host.collector.refused() == {
        "batch:free_text": 1,
        "batch:no_session": 1,
        "realtime:no_session": 2,
    }
    assert host.collector.refused("quality") == {"batch:no_session": 1}


def test_what_comes_after_the_end_of_a_turn_is_counted(host: Host) -> None:
    with host.turn() as turn:
        late = turn.stage("playback")
    with late:
        pass
    turn.mark("network")
    turn.note(tokens_in=4)
    turn.__exit__(None, None, None)
    (row,) = rows(host)
    assert (row["playback_ms"], row["network_ms"], row["tokens_in"]) == (None, None, 0)
    assert host.tally.totals()["values_after_end"] == 4


def test_a_turn_that_is_told_without_end_is_cut_off(host: Host) -> None:
    with host.turn() as turn:
        for _ in range(300):
            turn.note(tokens_in=1)
    assert rows(host)[0]["tokens_in"] == 256
    assert host.tally.totals()["values_too_large"] == 44


def test_a_stage_may_be_entered_by_whoever_enters_blocks(host: Host) -> None:
    with host.turn() as turn, ExitStack() as blocks:
        blocks.enter_context(turn.stage("retrieval"))
        host.time.pass_s(0.020)
    (row,) = rows(host)
    assert row["retrieval_ms"] == pytest.approx(20)


def test_a_duration_below_zero_that_somebody_else_has_timed_is_no_clock_of_ours(host: Host) -> None:
    with host.turn() as turn:
        turn.took("retrieval", -1.5)
    (row,) = rows(host)
    assert row["retrieval_ms"] is None
    lost = {name: count for name, count in host.tally.totals().items() if name.startswith("values_")}
    assert lost == {"values_negative": 1}


def test_a_monotonic_clock_that_goes_back_is_no_duration(host: Host) -> None:
    with host.turn() as turn, turn.stage("retrieval"):
        host.time.monotonic_s -= 5
    (row,) = rows(host)
    assert (row["retrieval_ms"], row["turn_ms"]) == (None, None)
    assert host.tally.totals()["values_clock_backwards"] == 2


def test_a_full_buffer_drops_what_is_new_and_counts_it() -> None:
    host = Host(None, FakeCollector(), rows_max=5)
    host.turns(8)
    host.event("streams", "call-1", is_start=True)
    assert len(rows(host)) == 5
    assert host.dropped() == {"buffer_full": 3}
    assert host.collector.told() == (8, 3)
    host.turns(2)
    assert len(rows(host)) == 7, "there is room again"


def test_tasks_have_turns_of_their_own_and_may_share_one(host: Host) -> None:
    async def stage_of(turn: Any, name: str, pause: asyncio.Event) -> None:
        async with turn.stage(name):
            await pause.wait()

    async def serve(number: int) -> None:
        async with host.turn(f"call-{number}") as turn:
            pause = asyncio.Event()
            turn.note(tokens_in=number)
            both = asyncio.gather(stage_of(turn, "retrieval", pause), stage_of(turn, "orchestration", pause))
            await asyncio.sleep(0)
            pause.set()
            await both

    async def all_at_once() -> None:
        await asyncio.gather(*(serve(number) for number in range(50)))

    asyncio.run(all_at_once())
    told = rows(host)
    assert sorted(row["tokens_in"] for row in told) == list(range(50))
    assert all(row["retrieval_ms"] is not None and row["orchestration_ms"] is not None for row in told)
    assert len({row["session"] for row in told}) == 50


def test_threads_lose_nothing_while_the_sender_takes() -> None:
    host = Host(None, FakeCollector(), rows_max=1_000_000)

    def serve(thread: int) -> None:
        for number in range(2_000):
            with host.turn(f"{thread}-{number}") as turn, turn.stage("retrieval"):
                pass

    threads = [threading.Thread(target=serve, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        host.cycle()
    host.cycle()
    assert len(set(host.collector.rows()["session"])) == 8_000


def test_a_host_that_changes_its_dimensions_mid_window_counts_each_turn_where_it_began(tmp_path: Path) -> None:
    """Turns keep the dimensions that held when they began; the window's frame has both cells, and every turn once."""
    host = Host(tmp_path, FakeCollector(), HeldClock(wall_s=START_S // 60 * 60))
    began_before = host.turn("call-0")
    host.turns(10)
    host.change(bundle="v2")
    host.turns(5)
    with began_before:
        pass
    host.cycle()
    regional = Collector("c", "eu-west-1", 1, int(host.time.wall_s - 60) * 1_000)
    regional.observe_turns(host.collector.rows())
    told = rows_of(regional.close(int(host.time.wall_s + 60) * 1_000), "turns")
    assert dict(zip(told["bundle"], told["turns"], strict=True)) == {"v1": 11, "v2": 5}


def test_a_turn_leaves_no_garbage_behind(host: Host) -> None:
    """No reference cycles: collecting them would stop the serving thread."""
    gc.disable()
    try:
        for _ in range(100):
            with host.turn() as turn, turn.stage("retrieval"):
                turn.note(tokens_in=3)
        del turn
        assert not [each for each in gc.get_objects() if isinstance(each, Turn | Stage)]
    finally:
        gc.enable()


def test_sums_are_exact_for_any_mix_of_turns(host: Host) -> None:
    """Columns of many turns at once agree with turns told one by one."""
    dice = np.random.default_rng(7)
    tokens = dice.integers(0, 1_000, (200, 3))
    for three in tokens.tolist():
        with host.turn() as turn:
            for count in three[: three[0] % 4]:
                turn.note(tokens_in=count)
    assert [row["tokens_in"] for row in rows(host)] == [sum(three[: three[0] % 4]) for three in tokens.tolist()]
