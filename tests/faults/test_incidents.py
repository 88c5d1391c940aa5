"""The incidents stage between two saves: an end is told once it is saved, and parts of decisions are bounded."""

from __future__ import annotations

from pathlib import Path

import pytest

from alerts.pages import RESOLVED_KEPT_MS
from schemas.burns import Burn, Decision, Quiet, encode
from schemas.failures import Foreseen, Undecodable
from schemas.silences import Silence, SilentProducer
from schemas.topics import BURNS, DEAD_LETTERS
from stream_jobs.agents import incidents
from stream_jobs.agents.burn_rate import PART_BURNS, in_parts
from stream_jobs.agents.decision_parts import DIMENSIONS_MAX, Parts
from stream_jobs.agents.exact import Outgoing
from stream_jobs.operators.totals.reach import REPLAYED
from tests.faults.desk import Desk
from tests.rules.burning import burning, decided, suspect

DEAD = "eu-west-1-collector-0"
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


def test_an_alert_that_ended_long_ago_leaves_topic_and_changelog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compacted topic keeps the newest record of every key for ever, unless that has no value."""
    now_ms = 1_800_000_000_000
    monkeypatch.setattr(incidents, "_now_ms", lambda: now_ms)
    desk = Desk(tmp_path, REPLAYED)
    for at_s, said in ((10, (burning(slice_text="pool=batch"),)), (80, ())):
        desk.hear(decided(at_s, *said))
        desk.save()
    desk.start()
    now_ms += RESOLVED_KEPT_MS
    assert not desk.taken_away and len(desk.changelog) == 1
    desk.hear(decided(90, burning()))
    desk.save()
    (alert,) = desk.pager.pages.alerts
    assert desk.taken_away == [f"{alert.burn.slo}|pool=batch|page".encode()]
    assert list(desk.changelog) == [alert.alert.encode()]
    desk.hear(decided(100, burning()))
    desk.save()
    assert len(desk.taken_away) == 1, "it is taken away once"


# -- what no alert can be begun of ---------------------------------------------------------------------------------------


def diverted(desk: Desk) -> int:
    """How many records the next save sends to the dead letters."""
    sent = [item for phase in desk.stage.phases() for item in phase]
    return sum(isinstance(item, Outgoing) and item.topic == DEAD_LETTERS for item in sent)


def of_dimensions(count: int) -> Burn:
    names = ("pool", *(f"d_{chr(97 + place)}" for place in range(count - 1)))
    return burning(slice_text=",".join(f"{name}=x" for name in names))


@pytest.mark.parametrize("count", [DIMENSIONS_MAX + 1, 26])
@pytest.mark.parametrize("listed", ["burns", "quiet", "held"])
def test_a_slice_of_more_dimensions_than_any_cut_is_diverted(count: int, listed: str, tmp_path: Path) -> None:
    """What lies around it is 2 to the power of them: with forty, the worker would stand still for ever."""
    desk, burn = Desk(tmp_path, REPLAYED), of_dimensions(count)
    quiet = Quiet(slo=burn.slo, slice=burn.slice, severity=burn.severity)
    desk.hear(decided(10).model_copy(update={listed: (quiet if listed == "quiet" else burn,)}))
    assert told(desk) == []
    assert diverted(desk) == 1
    desk.hear(decided(20, of_dimensions(DIMENSIONS_MAX)))
    assert told(desk) == ["firing"]


def test_a_decision_of_a_newer_versions_family_ends_the_worker(tmp_path: Path) -> None:
    """Were it passed over, nobody would be paged for what burns; after a rolling upgrade it is read again."""
    desk = Desk(tmp_path, REPLAYED)
    newer = decided(10, burning()).model_copy(update={"family": "avatars"})
    with pytest.raises(Foreseen, match="of family avatars was read by a worker that knows turns and duplex: deploy"):
        desk.take_in(BURNS, encode(newer))
    assert told(desk) == []


@pytest.mark.parametrize(("family", "stated"), [("avatars", 1), ("Ava tars", 3), ("", 3)])
def test_a_decision_of_a_family_that_no_version_can_state_is_diverted(family: str, stated: int, tmp_path: Path) -> None:
    """Families are stated since format 3. Nobody would end what such a one begins."""
    desk = Desk(tmp_path, REPLAYED)
    never: Decision = decided(10, burning()).model_copy(update={"family": family, "format": stated})
    desk.take_in(BURNS, never.model_dump_json().encode())
    assert told(desk) == []
    assert diverted(desk) == 1
