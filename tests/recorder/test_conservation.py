"""Whatever happens, what was recorded is what collectors have plus what was counted as dropped; and they are told so."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.observation_batches import Answer
from tests.recorder.hosts import COLLECTOR, FakeCollector, HeldClock, Host

AWAY, FULL, BROKEN = Answer(0), Answer(429, error="The outbox is full.", retry_after_s=3), Answer(502)

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("record"), st.integers(1, 40)),
        st.tuples(st.just("record badly"), st.integers(1, 5)),
        st.tuples(st.just("answer"), st.sampled_from([None, AWAY, FULL, BROKEN])),
        st.tuples(st.just("cycle"), st.integers(1, 40)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    min_size=3,
    max_size=25,
)


def through_spool(host: Host) -> Counter[str]:
    """Rows by what became of them; its totals add up to what seen, taken and dropped leave."""
    totals = host.tally.totals() | host.spool.flow.totals()
    flow = Counter(
        {name.removeprefix("spool_rows_"): totals[name] for name in totals if name.startswith("spool_rows_")}
    )
    gone = sum(count for name, count in totals.items() if name == "turns_taken" or name.startswith("turns_dropped_"))
    assert totals.get("turns_seen", 0) + flow["found"] == gone + flow["waiting"]
    return flow


@given(steps=STEPS, spool_bytes_max=st.sampled_from([12_000, 40_000, 10_000_000]))
@settings(max_examples=30, deadline=None)
def test_recorded_is_taken_plus_dropped_and_the_collector_is_told(
    steps: list[tuple[str, object]], spool_bytes_max: int
) -> None:
    collector, time, recorded = FakeCollector(), HeldClock(), 0
    dropped: Counter[str] = Counter()
    flow: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        host = Host(Path(folder), collector, time, rows_max=60, spool_bytes_max=spool_bytes_max)
        for step, value in [*steps, ("answer", None), ("cycle", 60), ("cycle", 60), ("restart", 0)]:
            match step, value:
                case "record", int(count):
                    host.turns(count)
                    recorded += count
                case "record badly", int(count):
                    for _ in range(count):
                        with host.turn(None):
                            pass
                        with host.turn("call", route="No Such Route!"):
                            pass
                    recorded += 2 * count
                case "answer", None | Answer() as answer:
                    collector.answer = answer
                case "cycle", int(seconds):
                    host.cycle(seconds)
                case _:
                    host.close()
                    dropped += host.dropped()
                    flow += through_spool(host)
                    started = host.incarnation + 1
                    host = Host(Path(folder), collector, time, started, (COLLECTOR,), 60, spool_bytes_max)
        host.cycle(60)
        host.close()
        dropped += host.dropped()
        flow += through_spool(host)
        assert not list(Path(folder).iterdir()), "nothing waits any more"
    taken = sum(len(batch.rows) for batch in collector.taken.values())
    assert recorded == taken + dropped.total()
    assert flow["kept"] == flow["sent"] + flow["dropped_full"], "with what was found nothing comes or goes"
    seen_told, dropped_told = collector.told()
    if spool_bytes_max == 10_000_000:
        assert (seen_told, dropped_told) == (recorded, dropped.total())
    assert taken <= seen_told <= recorded
    assert dropped_told <= dropped.total()


@pytest.mark.parametrize("is_killed", [False, True])
def test_an_answer_that_is_lost_makes_nothing_count_twice(tmp_path: Path, is_killed: bool) -> None:
    collector, time = FakeCollector(loses_answers=True), HeldClock()
    host = Host(tmp_path, collector, time)
    for _ in range(3):
        host.turns(10)
        host.cycle(40)
    host.killed() if is_killed else host.close()
    collector.loses_answers = False
    Host(tmp_path, collector, time, incarnation=2).cycle(60)
    assert len(collector.rows()) == 30
    assert collector.sequences(incarnation=1) == [0, 1, 2]
