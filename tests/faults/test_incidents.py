"""The incidents stage between two saves: an end is told once it is saved, and parts of decisions are bounded."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.failures import Undecodable
from schemas.silences import Silence, SilentProducer
from stream_jobs.agents.burn_rate import PART_BURNS, in_parts
from stream_jobs.agents.incidents import Parts
from stream_jobs.operators.reach import REPLAYED
from tests.integration.test_silence import DEAD, Desk
from tests.rules.burning import burning, decided, suspect

SILENCE = Silence(
    family="turns", source_partition=0, version=7, newest_ms=1_700_000_700_000, volume=1_000,
    silent=(SilentProducer(producer=DEAD, since_ms=1_700_000_000_000, volume=500),),
)  # fmt: skip


def told(desk: Desk) -> list[str]:
    pages = [str(alert.state) for alert in desk.pager.pages.alerts]
    return [*pages, *(alert.state for alert in desk.pager.silences.alerts.values())]


def test_what_fires_is_told_at_once_and_an_end_once_it_is_saved(tmp_path: Path) -> None:
    desk = Desk(tmp_path, REPLAYED)
    desk.hear(decided(10, burning()))
    assert told(desk) == ["firing"], "nobody waits for a save to be paged"
    desk.save()
    desk.hear(decided(70))
    assert told(desk) == ["firing"]
    assert desk.save() == ["resolved"]
    assert told(desk) == ["resolved"]


def test_a_worker_killed_before_an_end_is_saved_has_not_told_it(tmp_path: Path) -> None:
    """Or its successor would page anew, and take it back a moment later."""
    desk = Desk(tmp_path, REPLAYED)
    desk.hear(decided(10, burning()))
    desk.hear(SILENCE)
    desk.save()
    desk.hear(decided(70))
    desk.hear(SILENCE.model_copy(update={"version": 8, "silent": ()}))
    assert told(desk) == ["firing", "firing"]
    desk.start()
    assert told(desk) == ["firing", "firing"]
    desk.hear(decided(70))
    desk.hear(SILENCE.model_copy(update={"version": 8, "silent": ()}))
    desk.save()
    desk.start()
    assert told(desk) == ["resolved", "resolved"]


def test_what_fires_again_before_its_end_was_saved_is_told_as_it_is(tmp_path: Path) -> None:
    desk = Desk(tmp_path, REPLAYED)
    desk.hear(decided(10, burning()))
    desk.save()
    desk.hear(decided(70))
    desk.hear(decided(80, burning(bad_share=0.5)))
    (alert,) = desk.pager.pages.alerts
    assert (alert.state, alert.decided_event_ms) == ("firing", decided(80).decided_ms)
    desk.save()
    assert told(desk) == ["firing"]


def test_parts_make_a_whole_in_any_order_and_a_newer_statement_supersedes_them() -> None:
    whole = decided(10, *(burning(slice_text=f"pool=p{number}") for number in range(3 * PART_BURNS)))
    first, second, third = in_parts(whole)
    parts = Parts()
    assert [parts.whole(part, 10) for part in (third, second, second)] == [None] * 3
    assert parts.whole(first, 10) == whole
    later = [part.model_copy(update={"decided_ms": 20_000}) for part in (first, second, third)]
    assert [parts.whole(part, 10) for part in (first, *later[:2])] == [None] * 3
    assert parts.whole(third, 10) is None, "two of one statement and one of another are no whole"
    assert parts.whole(decided(30), 10) == decided(30)


def test_suspects_are_split_and_joined_like_burns() -> None:
    many = tuple(suspect(f"pool=realtime,bundle=v{number}", 10, 20) for number in range(2 * PART_BURNS + 1))
    whole = decided(10, burning(), suspects=many)
    stated = in_parts(whole)
    assert [len(part.suspects) for part in stated] == [PART_BURNS, PART_BURNS, 1]
    parts = Parts()
    assert [parts.whole(part, 10) for part in stated] == [None, None, whole]


def test_parts_that_are_never_whole_hold_no_more_than_their_bytes() -> None:
    parts = Parts(bytes_max=1_000)
    endless = decided(10).model_copy(update={"parts": 10_000})
    pieces = [endless.model_copy(update={"part": place, "shard": place % 3}) for place in range(60)]
    refused = 0
    for piece in pieces:
        try:
            assert parts.whole(piece, 100) is None
        except Undecodable as error:
            assert "more than 1000 bytes" in str(error)
            refused += 1
        assert parts._bytes.total() <= 1_000
    assert refused
    with pytest.raises(Undecodable):
        parts.whole(pieces[0], 1_001)
    assert [parts.whole(each, 10) for each in in_parts(decided(40, burning()))] == [decided(40, burning())]
