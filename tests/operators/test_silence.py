"""Silence: who has stopped is named, who has nothing to report is not, and a restart neither raises nor ends anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.families import FAMILIES, QUALITY
from schemas.silences import LISTED_MAX, Silence, decode
from stream_jobs.operators.totals.reach import LIVE, REPLAYED, Patience, SourceReach, completeness, remembered_ms
from stream_jobs.operators.totals.silence import (
    DEAF_MS,
    PARTITION_OF,
    RESTATED_EVENT_MS,
    RESTATED_MS,
    Reported,
    SilenceWatch,
)

START_MS = 1_700_000_000_000
NOW_MS = 1_800_000_000_000
SILENT_MS = LIVE.silent_after_ms


class Partition:
    """A source partition whose producers report at given seconds, and a watch that looks after each of them."""

    def __init__(self, patience: Patience = LIVE) -> None:
        self.patience = patience
        self.reaches: dict[str, SourceReach] = {"turns": SourceReach(), "heartbeats": SourceReach()}
        self.saved: dict[str, dict[int, tuple[int, Any]]] = {name: {} for name in self.reaches}
        self.version = 0
        self.watch = SilenceWatch(0, patience)

    def restart(self) -> None:
        """As after a crash: reaches come back from what was saved, nothing else does."""
        for name, reach in self.reaches.items():
            self.saved[name] |= {page: (-1, content) for page, content in reach.unsaved_pages(0)}
            again = self.reaches[name] = SourceReach()
            again.restore(reach.newest_ms, self.saved[name])
        self.watch = SilenceWatch(0, self.patience)

    def report(self, at_s: int, *producers: str, family: str = "turns", volume: int = 100) -> None:
        self.version += 1
        for producer in producers:
            self.reaches[family].report(producer, START_MS + at_s * 1_000, volume)
        self.reaches[family].forget_silent()

    def look(self, at_s: float) -> list[Silence]:
        reported: Mapping[str, Reported] = {
            name: Reported(self.version, reach) for name, reach in self.reaches.items() if reach.producers
        }
        return list(self.watch.look(reported, NOW_MS + round(at_s * 1_000)))

    def wait(self, from_s: int, to_s: int) -> list[Silence]:
        """Looks every second while nothing comes."""
        return [statement for at_s in range(from_s, to_s + 1) for statement in self.look(at_s)]


def silent(statements: list[Silence], family: str = "turns") -> list[set[str]]:
    return [{one.producer for one in each.silent} for each in statements if each.family == family]


def test_a_producer_is_silent_when_others_have_gone_on_without_it_for_long_enough() -> None:
    partition = Partition(REPLAYED)
    limit_s = REPLAYED.silent_after_ms // 1_000
    partition.report(0, "a", "b")
    partition.report(limit_s, "a")
    assert silent(partition.look(0)) == [set()]
    partition.report(limit_s + 10, "a")
    (statement,) = partition.look(0)
    assert [(one.producer, one.since_ms) for one in statement.silent] == [("b", START_MS)]
    assert (statement.volume, statement.silent[0].volume) == (200, 100)


def test_a_producer_that_reports_again_is_not_silent_any_more() -> None:
    partition = Partition(REPLAYED)
    partition.report(0, "a", "b")
    partition.report(700, "a")
    partition.look(0)
    partition.report(710, "b")
    assert silent(partition.look(1)) == [set()]


def test_a_producer_without_traffic_is_not_silent_while_its_heartbeats_come() -> None:
    partition = Partition(REPLAYED)
    partition.report(0, "a", "b")
    partition.report(0, "a", "b", family="heartbeats")
    for at_s in range(10, 1_210, 10):
        partition.report(at_s, "a", family="turns")
        partition.report(at_s, "a", "b", family="heartbeats")
        assert silent(partition.look(at_s)) in ([], [set()])


def test_a_producer_whose_heartbeats_have_stopped_is_silent_in_every_family() -> None:
    partition = Partition(REPLAYED)
    for family in ("turns", "heartbeats"):
        partition.report(0, "a", "b", family=family)
        partition.report(610, "a", family=family)
    statements = partition.look(0)
    assert silent(statements) == silent(statements, "heartbeats") == [{"b"}]


def test_a_producer_is_forgotten_where_its_partition_forgets_it() -> None:
    partition = Partition(REPLAYED)
    partition.report(0, "a", "b")
    partition.report(890, "a")
    assert silent(partition.look(0)) == [{"b"}]
    partition.report(910, "a")
    assert silent(partition.look(1)) == [set()]


# -- by the clock --------------------------------------------------------------------------------------------------------


def test_a_whole_partition_is_silent_when_nothing_newer_comes_for_long_enough() -> None:
    partition = Partition()
    partition.report(0, "a", "b")
    partition.look(0)
    partition.report(10, "a", "b")
    assert silent(partition.look(10)) == [set()]
    statements = partition.wait(11, 10 + SILENT_MS // 1_000)
    assert silent(statements)[:-1] == [set()] * (len(statements) - 1)
    assert silent(statements)[-1] == {"a", "b"}


def test_repeats_of_old_windows_do_not_end_the_silence() -> None:
    partition = Partition()
    partition.report(0, "a")
    partition.look(0)
    partition.report(10, "a")
    partition.wait(10, 80)
    partition.report(10, "a")
    assert set().union(*silent(partition.wait(81, 95))) == {"a"}


def test_a_replay_that_has_ended_is_no_silence() -> None:
    partition = Partition(REPLAYED)
    partition.report(0, "a", "b")
    partition.look(0)
    assert partition.wait(1, 3_600) == []


def test_a_backlog_that_is_worked_off_is_no_silence_however_old_its_windows_are() -> None:
    partition = Partition()
    for place in range(200):
        partition.report(-86_400 + place * 10, "a", "b")
        assert silent(partition.look(place)) in ([], [set()])


def test_nobody_is_silent_because_the_worker_stood_still() -> None:
    """Or Kafka was away, which held its last save up: then it could not have heard anybody."""
    partition = Partition()
    partition.report(0, "a")
    partition.look(0)
    partition.report(10, "a")
    partition.look(10)
    assert silent(partition.look(10 + 600)) == [set()]
    assert DEAF_MS < 600 * 1_000
    assert {"a"} in silent(partition.wait(611, 610 + SILENT_MS // 1_000))


def test_after_a_restart_nothing_is_said_until_it_is_known_again() -> None:
    """Else an alert would resolve because the worker died, and fire anew a minute later."""
    partition = Partition()
    partition.report(0, "a")
    partition.look(0)
    partition.report(10, "a")
    assert {"a"} in silent(partition.wait(10, 75))
    partition.restart()
    assert partition.wait(80, 80 + SILENT_MS // 1_000 - 1) == []
    assert silent(partition.look(80 + SILENT_MS // 1_000)) == [{"a"}]


def test_what_comes_after_a_restart_ends_the_silence_at_once() -> None:
    partition = Partition()
    partition.report(0, "a")
    partition.wait(0, 75)
    partition.restart()
    partition.look(76)
    partition.report(100, "a")
    assert silent(partition.look(77)) == [set()]


# -- statements ----------------------------------------------------------------------------------------------------------


def test_statements_are_made_again_at_a_bounded_pace() -> None:
    live, replayed = Partition(), Partition(REPLAYED)
    for place in range(60):
        for partition in (live, replayed):
            partition.report(place * 10, "a")
    said = {live: 0, replayed: 0}
    for place in range(60, 120):
        for partition in (live, replayed):
            partition.report(place * 10, "a")
            said[partition] += len(partition.look(place))
    assert said[live] <= 1 + 60_000 // RESTATED_MS + 600_000 // RESTATED_EVENT_MS
    assert said[replayed] <= 1 + 600_000 // RESTATED_EVENT_MS


def test_of_very_many_silent_producers_the_largest_are_named_and_the_others_counted() -> None:
    partition = Partition(REPLAYED)
    for number in range(LISTED_MAX + 50):
        partition.report(0, f"p{number:04d}", volume=number + 1)
    partition.report(700, "alive")
    (statement,) = partition.look(0)
    assert (len(statement.silent), statement.unlisted) == (LISTED_MAX, 50)
    assert statement.unlisted_volume == sum(range(1, 51))
    assert statement.silent[0].producer == f"p{LISTED_MAX + 49:04d}"
    assert len(statement.model_dump_json()) < 100_000
    assert decode(statement.model_dump_json().encode()) == statement


def test_nobody_is_silent_in_what_comes_every_ten_minutes_or_every_hour() -> None:
    widths = {name: min(each.k_window_s for each in family.partitions) for name, family in FAMILIES.items()}
    assert (
        set(FAMILIES) - set(PARTITION_OF)
        == {name for name, width_s in widths.items() if width_s > 60}
        == {"costs", "quality"}
    )


def test_who_reports_hourly_counts_as_missing_for_some_hours() -> None:
    """Otherwise a bucket would be whole as soon as the first of them has reported it."""
    reach = SourceReach(remembered_ms=remembered_ms(QUALITY.partitions[0].k_window_s))
    for hour, producers in ((1, "ab"), (2, "a"), (3, "a")):
        for producer in producers:
            reach.report(producer, START_MS + hour * 3_600_000, 10)
        reach.forget_silent()
    assert completeness([reach.summary()], START_MS + 2 * 3_600_000, lagging_ms=3 * 3_600_000) == 0.5
    reach.report("a", START_MS + 5 * 3_600_000, 10)
    reach.forget_silent()
    assert set(reach.producers) == {"a"}
