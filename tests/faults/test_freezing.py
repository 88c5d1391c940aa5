"""Alerts freeze when nothing is decided any more, by the clock: here it is in our hand, as nobody waits a minute for a test."""

from __future__ import annotations

from pathlib import Path

from alerts.pages import FROZEN_AFTER_MS, to_send
from schemas.silences import Silence, SilentProducer
from stream_jobs.operators.totals.reach import LIVE, REPLAYED
from tests.faults.desk import NOW_MS, Desk, HeldClock
from tests.rules.burning import burning, decided

DEAD = "eu-west-1-collector-0"


def test_a_page_freezes_when_nothing_is_decided_any_more_and_thaws_with_the_next_decision(
    tmp_path: Path, clock: HeldClock
) -> None:
    desk = Desk(tmp_path, LIVE)
    desk.hear(decided(10, burning()))
    assert desk.save() == ["firing"]
    clock.now_ms += FROZEN_AFTER_MS
    assert desk.save() == ["frozen"]
    assert desk.save() == []
    assert desk.gauge("turnwatch_alerts", state="frozen") == 1
    assert desk.gauge("turnwatch_alerts", state="firing") == 0
    desk.hear(decided(20, burning()))
    assert desk.save() == ["firing"]
    assert desk.gauge("turnwatch_alerts", state="frozen") == 0


def test_a_frozen_page_is_frozen_after_a_kill_and_still_ends_on_evidence(tmp_path: Path, clock: HeldClock) -> None:
    desk = Desk(tmp_path, LIVE)
    desk.hear(decided(10, burning()))
    desk.save()
    clock.now_ms += FROZEN_AFTER_MS
    desk.save()
    desk.start()
    assert [alert.state for alert in desk.pager.pages.alerts] == ["frozen"]
    desk.hear(decided(20))
    assert desk.save() == ["firing"], "nobody knows when something last spoke for it: it waits its minute from here"
    desk.hear(decided(80))
    assert desk.save() == ["resolved"]


def test_a_pending_page_is_published_and_told_to_nobody(tmp_path: Path, clock: HeldClock) -> None:
    desk = Desk(tmp_path, LIVE)
    desk.hear(decided(10, held=(burning(),)))
    assert desk.save() == ["pending"]
    assert desk.gauge("turnwatch_alerts", state="pending") == 1
    desk.start()
    assert [alert.state for alert in desk.pager.pages.alerts] == ["pending"]
    assert desk.gauge("turnwatch_alerts", state="pending") == 1
    assert to_send(desk.pager.pages, NOW_MS) == ()
    desk.hear(decided(20))
    assert desk.save() == ["resolved"]
    assert desk.gauge("turnwatch_alerts", state="pending") == 0


def test_in_a_replay_that_has_ended_nothing_freezes(tmp_path: Path, clock: HeldClock) -> None:
    desk = Desk(tmp_path, REPLAYED)
    desk.hear(decided(10, burning()))
    desk.save()
    clock.now_ms += 24 * 3_600_000
    assert desk.save() == []


def test_pages_and_silences_share_a_changelog_and_find_their_own(tmp_path: Path, clock: HeldClock) -> None:
    desk = Desk(tmp_path, REPLAYED)
    gone = SilentProducer(producer=DEAD, since_ms=1_700_000_000_000, volume=500)
    silence = Silence(
        family="turns", source_partition=0, version=7, newest_ms=1_700_000_700_000, volume=1_000, silent=(gone,)
    )
    desk.hear(silence)
    desk.hear(decided(10, burning()))
    desk.save()
    desk.start()
    assert [alert.producer for alert in desk.pager.silences.firing] == [DEAD]
    assert [alert.state for alert in desk.pager.pages.alerts] == ["firing"]
    assert desk.gauge("turnwatch_producers_silent", family="turns") == 1
    desk.hear(silence.model_copy(update={"version": 8, "silent": ()}))
    desk.save()
    assert desk.pager.silences.firing == ()
    assert desk.gauge("turnwatch_silence_alerts", severity="page") == 0
