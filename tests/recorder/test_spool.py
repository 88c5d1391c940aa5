"""The spool: what no collector has taken waits on disk, in order, within a bound, past the end of its process."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from producers.observation_batches import Answer
from producers.recorder import spool
from tests.recorder.hosts import FakeCollector, HeldClock, Host

AWAY = Answer(0)


def files(root: Path) -> list[Path]:
    return sorted(root.glob("*/*.batch"))


def recorded_while_away(root: Path, collector: FakeCollector, rounds: int, incarnation: int = 1, **more: Any) -> Host:
    collector.answer = AWAY
    host = Host(root, collector, incarnation=incarnation, **more)
    for _ in range(rounds):
        host.turns(10)
        host.cycle()
    return host


def test_what_a_killed_process_left_is_sent_by_the_next_under_its_own_numbers(tmp_path: Path) -> None:
    collector = FakeCollector()
    recorded_while_away(tmp_path, collector, 5).killed()
    collector.answer = None
    second = Host(tmp_path, collector, incarnation=2)
    second.turns(3)
    second.cycle()
    assert collector.sequences(incarnation=1) == [0, 1, 2, 3, 4]
    assert collector.sequences(incarnation=2) == [0]
    assert len(collector.rows()) == 53
    second.close()
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_lives_keeps_its_folder_to_itself(tmp_path: Path) -> None:
    collector = FakeCollector()
    first = recorded_while_away(tmp_path, collector, 2)
    collector.answer = None
    Host(tmp_path, collector, incarnation=2).cycle(60)
    assert collector.taken == {}
    first.cycle(60)
    assert collector.sequences(incarnation=1) == [0, 1]


def test_what_is_new_waits_behind_what_is_old(tmp_path: Path) -> None:
    """Numbers arrive in order although the collector comes back between two rounds."""
    collector = FakeCollector()
    host = recorded_while_away(tmp_path, collector, 4)
    collector.answer = None
    host.turns(10)
    host.cycle(0.0)
    assert collector.taken == {}, "it is not asked again yet"
    host.turns(10)
    host.cycle(60)
    assert collector.sequences(incarnation=1) == [0, 1, 2, 3, 4, 5]
    assert files(tmp_path) == []


def test_a_full_spool_drops_the_oldest_and_tells_with_the_next_batch(tmp_path: Path) -> None:
    collector = FakeCollector()
    host = recorded_while_away(tmp_path, collector, 12, spool_bytes_max=30_000)
    waiting = files(tmp_path)
    assert sum(path.stat().st_size for path in waiting) <= 30_000
    lost = 12 - len(waiting)
    assert lost > 2
    assert host.dropped() == {"spool_full": 10 * lost}
    collector.answer = None
    host.cycle(60)
    assert collector.sequences(incarnation=1) == list(range(lost, 13)), "the last one tells of drops alone"
    assert collector.told() == (120, 10 * lost)


def test_what_a_killed_process_had_dropped_is_told_by_the_next(tmp_path: Path) -> None:
    collector = FakeCollector()
    recorded_while_away(tmp_path, collector, 12, spool_bytes_max=30_000).killed()
    left = len(files(tmp_path))
    collector.answer = None
    Host(tmp_path, collector, incarnation=2).cycle(60)
    assert len(collector.rows()) == 10 * left
    assert collector.told() == (120, 120 - 10 * left)


def test_when_all_of_a_dead_process_is_dropped_the_next_one_tells_it(tmp_path: Path) -> None:
    collector = FakeCollector()
    recorded_while_away(tmp_path, collector, 3, spool_bytes_max=30_000).killed()
    second = recorded_while_away(tmp_path, collector, 12, incarnation=2, spool_bytes_max=30_000)
    collector.answer = None
    second.cycle(60)
    second.cycle(60)
    assert collector.sequences(incarnation=1) == []
    assert len(collector.rows()) + second.dropped()["spool_full"] == 150
    assert collector.told() == (150, second.dropped()["spool_full"])


def test_a_file_that_was_damaged_is_dropped_and_counted(tmp_path: Path) -> None:
    collector = FakeCollector()
    host = recorded_while_away(tmp_path, collector, 3)
    first, second, _ = files(tmp_path)
    first.write_bytes(first.read_bytes()[:-1] + b"!")
    second.unlink()
    collector.answer = None
    host.cycle(60)
    assert collector.sequences(incarnation=1) == [2, 3]
    assert host.dropped() == {"spool_damaged": 20}
    assert collector.told() == (30, 20)


def test_files_that_are_none_are_passed_over_when_a_folder_is_taken_over(tmp_path: Path) -> None:
    collector = FakeCollector()
    recorded_while_away(tmp_path, collector, 3).killed()
    first, second, _ = files(tmp_path)
    first.write_bytes(b"{}\n")
    second.rename(second.with_name(f"{second.name}.part"))
    (tmp_path / "notes.txt").write_text("not ours")
    collector.answer = None
    host = Host(tmp_path, collector, incarnation=2)
    assert host.spool.damaged == 2
    host.cycle()
    assert collector.sequences(incarnation=1) == [2]


def test_what_a_newer_version_left_is_sent_without_what_only_that_one_knows(tmp_path: Path) -> None:
    """And an older one reads on: of what there is nothing of nothing is written."""
    collector = FakeCollector()
    recorded_while_away(tmp_path, collector, 2).killed()
    first, _ = files(tmp_path)
    line, _, payload = first.read_bytes().partition(b"\n")
    facts = json.loads(line)
    assert not {"refused", "withheld"} & facts.keys()
    first.write_bytes(json.dumps(facts | {"of_tomorrow": 1}).encode() + b"\n" + payload)
    collector.answer = None
    host = Host(tmp_path, collector, incarnation=2)
    assert (host.spool.damaged, host.spool.newer) == (0, 1)
    host.cycle()
    assert collector.sequences(incarnation=1) == [0, 1]
    assert collector.told() == (20, 0)


def test_a_disk_that_cannot_be_written_drops_counted(tmp_path: Path) -> None:
    collector = FakeCollector(answer=AWAY)
    host = Host(tmp_path, collector)
    for path in tmp_path.iterdir():
        (path / "lock").unlink()
        path.rmdir()
    host.turns(10)
    host.cycle()
    assert host.dropped() == {"spool_unwritable": 10}
    collector.answer = None
    host.turns(10)
    host.cycle(60)
    assert collector.told() == (20, 10)


def test_a_disk_that_fills_up_costs_only_what_it_cannot_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room is made by dropping the oldest, each of which is counted once although that cannot be written down either."""
    collector = FakeCollector()
    host = recorded_while_away(tmp_path, collector, 30, spool_bytes_max=120_000)
    with monkeypatch.context() as full:
        full.setattr(spool, "_write", _no_space_left)
        for _ in range(5):
            host.turns(10)
            host.cycle()
    collector.answer = None
    for _ in range(3):
        host.turns(10)
        host.cycle(40)
    assert host.dropped().keys() == {"spool_full", "spool_unwritable"}
    assert host.dropped()["spool_unwritable"] == 50
    assert len(collector.rows()) + host.dropped().total() == 380
    assert collector.told() == (380, host.dropped().total())


def _no_space_left(path: Path, content: bytes) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_what_others_have_in_the_folder_of_the_spool_stays(tmp_path: Path) -> None:
    """A volume's lost+found, or whatever else a service keeps where it was told to put its spool."""
    collector = FakeCollector()
    recorded_while_away(tmp_path, collector, 2).killed()
    theirs = tmp_path / "host-1-1" / "notes.txt"
    theirs.write_text("not ours")
    for name in ("models", "lost+found", "voice-7"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights.bin").write_text("theirs")
    (tmp_path / "lost+found").chmod(0)
    collector.answer = None
    host = Host(tmp_path, collector, incarnation=2)
    host.cycle()
    host.close()
    (tmp_path / "lost+found").chmod(0o700)
    assert len(collector.rows()) == 20
    assert [path.read_text() for path in sorted(tmp_path.glob("*/weights.bin"))] == ["theirs"] * 3
    assert theirs.read_text() == "not ours"


def test_batches_for_a_collector_that_is_no_longer_named_are_given_to_no_other(tmp_path: Path) -> None:
    collector = FakeCollector()
    recorded_while_away(tmp_path, collector, 2).killed()
    collector.answer = None
    host = Host(tmp_path, collector, incarnation=2, addresses=("http://another:9471",))
    host.cycle(60)
    assert collector.sequences(incarnation=1) == []
    assert host.dropped() == {"collector_gone": 20}
    assert collector.told() == (20, 20)


@pytest.mark.parametrize(
    ("answer", "asked"),
    [(AWAY, 6), (Answer(503), 6), (Answer(500), 6), (Answer(429, retry_after_s=20), 4)],
    ids=["away", "ending", "broken", "full"],
)
def test_a_collector_that_is_away_is_asked_seldom(tmp_path: Path, answer: Answer, asked: int) -> None:
    """After 1, 2, 4, 8, 16 and 30 s, or when it says."""
    collector, time = FakeCollector(answer=answer), HeldClock()
    host = Host(tmp_path, collector, time)
    for _ in range(61):
        host.turns(1)
        host.cycle()
    assert collector.asked == asked


@pytest.mark.parametrize("poison", [{0}, {0, 1}, {7}])
def test_a_batch_at_which_a_collector_fails_holds_up_no_other(tmp_path: Path, poison: set[int]) -> None:
    """It waits aside, is tried again now and then, and is counted when it is taken at last."""
    collector = FakeCollector(fails_at=poison)
    host = Host(tmp_path, collector)
    for _ in range(60):
        host.turns(1)
        host.cycle(5)
    assert set(range(60)) - set(collector.sequences(incarnation=1)) == poison, "nothing else waits"
    assert (len(files(tmp_path)), host.dropped()) == (len(poison), {})
    assert host.tally.totals()["failures_batch_failing"] == len(poison)
    collector.fails_at = set()
    host.cycle(300)
    host.cycle()
    assert (len(collector.rows()), files(tmp_path)) == (60, [])
    assert collector.told() == (60, 0)


def test_a_collector_that_fails_at_all_blames_no_batch(tmp_path: Path) -> None:
    collector = FakeCollector(answer=Answer(500))
    host = Host(tmp_path, collector)
    for _ in range(20):
        host.turns(1)
        host.cycle(30)
    assert len(files(tmp_path)) == 20
    collector.answer = None
    host.cycle(30)
    assert (sorted(collector.sequences(incarnation=1)), files(tmp_path)) == (list(range(20)), [])
    assert "failures_batch_failing" not in host.tally.totals()


def test_what_was_set_aside_is_the_first_to_be_dropped_for_room(tmp_path: Path) -> None:
    collector = FakeCollector(fails_at={0})
    host = Host(tmp_path, collector, spool_bytes_max=30_000)
    for _ in range(20):
        host.turns(1)
        host.cycle(5)
    collector.answer = AWAY
    for _ in range(12):
        host.turns(10)
        host.cycle()
    collector.answer = None
    host.cycle(60)
    assert 0 not in collector.sequences(incarnation=1)
    assert files(tmp_path) == []
    assert collector.told() == (140, host.dropped()["spool_full"])


@pytest.mark.parametrize("status", [400, 413, 415])
def test_a_batch_that_no_collector_will_ever_take_is_dropped_once(tmp_path: Path, status: int) -> None:
    collector = FakeCollector(answer=Answer(status, error="No."))
    host = Host(tmp_path, collector)
    host.turns(10)
    host.cycle()
    assert (host.dropped(), files(tmp_path)) == ({"batch_refused": 10}, [])
    collector.answer = None
    host.turns(1)
    host.cycle()
    assert collector.told() == (11, 10)


def test_what_a_collector_refuses_is_counted_apart() -> None:
    host = Host(None, FakeCollector(answer=Answer(200, 7, {"negative": 2, "what a strange word": 1})))
    host.turns(10)
    host.cycle()
    totals = host.tally.totals()
    assert totals["turns_taken"] == 7
    assert (totals["turns_refused_negative"], totals["turns_refused_other"]) == (2, 1)


def test_a_recorder_with_nothing_to_say_says_that_it_lives() -> None:
    """Or a collector would end the call that has been quiet for a quarter of an hour."""
    collector = FakeCollector()
    host = Host(None, collector)
    host.event("streams", "call-1", is_start=True)
    for _ in range(15):
        host.cycle(60)
    assert collector.sequences(1, kind="streams") == [0, 1, 2]
    assert [len(batch.rows) for batch in collector.taken.values()] == [1, 0, 0]
    assert collector.told("streams") == (1, 0)


def test_what_went_through_the_spool_is_told_in_rows_and_bytes(tmp_path: Path) -> None:
    """What came has been sent or dropped, or is on disk: of the process that is told of, and of those before it."""
    collector = FakeCollector()
    first = recorded_while_away(tmp_path, collector, 12, spool_bytes_max=30_000)
    left, flow = files(tmp_path), first.spool.flow.totals()
    on_disk = sum(path.stat().st_size for path in left)
    assert (flow["spool_rows_kept"], flow["spool_rows_waiting"]) == (120, 10 * len(left))
    assert flow["spool_rows_dropped_full"] == first.dropped()["spool_full"] == 120 - 10 * len(left)
    assert flow["spool_bytes_waiting"] == on_disk == flow["spool_bytes_kept"] - flow["spool_bytes_dropped_full"]
    first.killed()
    second = Host(tmp_path, collector, incarnation=2)
    assert second.spool.flow.totals() == {
        "spool_bytes_found": on_disk,
        "spool_bytes_waiting": on_disk,
        "spool_rows_found": 10 * len(left),
        "spool_rows_waiting": 10 * len(left),
    }
    collector.answer = None
    second.turns(5)
    second.cycle(60)
    flow = second.spool.flow.totals()
    assert (flow["spool_rows_sent"], flow["spool_bytes_sent"]) == (10 * len(left), on_disk)
    assert (flow["spool_rows_waiting"], flow["spool_bytes_waiting"]) == (0, 0)
    assert "spool_rows_kept" not in flow, "what is sent at once goes through no spool"


def test_without_a_disk_what_cannot_be_sent_at_once_is_dropped_of_the_spool() -> None:
    host = Host(None, FakeCollector(answer=AWAY))
    host.turns(10)
    host.cycle()
    flow = host.spool.flow.totals()
    assert (flow["spool_rows_kept"], flow["spool_rows_dropped_full"], flow["spool_rows_waiting"]) == (10, 10, 0)
    assert host.dropped() == {"spool_full": 10}
