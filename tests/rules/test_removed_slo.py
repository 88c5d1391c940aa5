"""An objective that is removed while it fires: its alerts end with what their shards decide next, and say why."""

from __future__ import annotations

from alerts.explanations import Paging
from alerts.pages import Pages, restore, step
from schemas.burns import Decision
from schemas.slices import shard_of
from tests.rules.burning import CANARY, TURN_SLO, burning, decided

KNOWN, REMOVED = Paging(slos={TURN_SLO.name: TURN_SLO}), Paging()
NOW_MS = 1_800_000_000_000
SHARDS = 2
SLICES = (CANARY, next(text for text in map("pool=realtime,bundle=v{}".format, range(9)) if shard_of(text, SHARDS) != shard_of(CANARY, SHARDS)))  # fmt: skip
BECAUSE = {"resolved_because": "the objective turn-4000ms-realtime was removed while this fired"}


def fired(paging: Paging = KNOWN) -> Pages:
    """A page in each of two shards."""
    return stepped(Pages(), *(stated(10, text) for text in SLICES), paging=paging)


def stated(at_s: int, text: str) -> Decision:
    return decided(at_s, burning(slice_text=text), shard=shard_of(text, SHARDS))


def unstated(at_s: int, text: str, completeness: float = 1.0) -> Decision:
    return decided(at_s, shard=shard_of(text, SHARDS), completeness=completeness)


def stepped(pages: Pages, *decisions: Decision, paging: Paging) -> Pages:
    for decision in decisions:
        pages = step(pages, decision, paging, NOW_MS).pages
    return pages


def states(pages: Pages) -> dict[str, str]:
    return {alert.burn.slice: alert.state for alert in pages.alerts}


def reasons(pages: Pages) -> list[dict[str, str]]:
    return [{name: text for name, text in alert.annotations.items() if name in BECAUSE} for alert in pages.alerts]


def test_each_alert_of_a_removed_objective_ends_with_its_own_shards_next_decision_and_says_why() -> None:
    pages = stepped(fired(), unstated(20, SLICES[0]), paging=REMOVED)
    assert states(pages) == dict(zip(SLICES, ("resolved", "firing"), strict=True))
    pages = stepped(pages, unstated(20, SLICES[1]), paging=REMOVED)
    assert set(states(pages).values()) == {"resolved"}
    assert reasons(pages) == [BECAUSE, BECAUSE]


def test_also_after_a_restart_without_its_file() -> None:
    pages = restore(fired().alerts, SHARDS, NOW_MS)
    assert set(states(pages).values()) == {"firing"}, "until the shards have decided"
    pages = stepped(pages, *(unstated(20, text) for text in SLICES), paging=REMOVED)
    assert set(states(pages).values()) == {"resolved"}
    assert reasons(pages) == [BECAUSE, BECAUSE]


def test_silence_does_not_end_it_either_and_what_was_frozen_ends_with_enough_data() -> None:
    pages = stepped(fired(), unstated(80, SLICES[0], completeness=0.5), paging=REMOVED)
    assert states(pages)[SLICES[0]] == "frozen"
    pages = stepped(pages, unstated(90, SLICES[0]), paging=REMOVED)
    assert states(pages)[SLICES[0]] == "resolved"
    assert BECAUSE in reasons(pages)


def test_while_a_shard_still_states_it_it_goes_on_paging() -> None:
    """A worker that has the file yet: nothing ends because this one does not."""
    pages = stepped(fired(), *(stated(20, text) for text in SLICES), paging=REMOVED)
    assert set(states(pages).values()) == {"firing"}


def test_an_objective_that_was_never_known_here_was_not_removed() -> None:
    """A newer worker's: it pages while it is stated, and ends like any other."""
    pages = stepped(fired(REMOVED), unstated(20, SLICES[0]), paging=REMOVED)
    assert set(states(pages).values()) == {"firing"}, "it waits for its end"
    pages = stepped(pages, unstated(70, SLICES[0]), paging=REMOVED)
    assert states(pages) == dict(zip(SLICES, ("resolved", "firing"), strict=True))
    assert reasons(pages) == [{}, {}]


def test_an_alert_that_ends_for_its_own_good_says_nothing_of_removal() -> None:
    assert reasons(stepped(fired(), unstated(20, SLICES[0]), paging=KNOWN)) == [{}, {}]
