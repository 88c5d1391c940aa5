"""Amounts become integers without losing a part of them, and arrivals follow from who was served and who is there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from producers.scraping.amounts import Amounts, add_arrivals, whole
from tests.producers.scraping import expositions as shows
from tests.producers.scraping.engines import Scraper, said, target

CELL = ("v2", "llm_first_token")


def queue(**measures: float) -> Amounts:
    return {(CELL, "queues", name): value for name, value in measures.items()}


@given(st.lists(st.floats(0.0, 1e6), max_size=50))
def test_what_is_not_whole_is_carried(amounts: list[float]) -> None:
    carried: Amounts = {}
    total = 0
    for amount in amounts:
        counts, carried = whole(queue(waited_ms_sum=amount), carried)
        total += counts[CELL, "queues", "waited_ms_sum"]
    assert abs(total - sum(amounts)) < 1 + 1e-6 * len(amounts)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=30))
def test_a_part_never_exceeds_its_whole_and_is_told_as_soon_as_it_can_be(steps: list[tuple[int, int]]) -> None:
    """Exporters read their counters one after the other, so for a moment more can be accepted than was proposed."""
    carried: Amounts = {}
    told = [0, 0]
    for proposed, accepted in steps:
        counts, carried = whole(queue(drafts_accepted=accepted, drafts_proposed=proposed), carried)
        one = counts[CELL, "queues", "drafts_proposed"], counts[CELL, "queues", "drafts_accepted"]
        assert 0 <= one[1] <= one[0] == proposed
        told = [told[0] + one[0], told[1] + one[1]]
    counts, _ = whole(queue(drafts_accepted=0.0, drafts_proposed=10_000.0), carried)
    assert told[1] + counts[CELL, "queues", "drafts_accepted"] == sum(accepted for _, accepted in steps)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=30))
def test_arrivals_are_those_who_came(steps: list[tuple[int, int]]) -> None:
    """Whoever comes waits or is served, and leaves when served: counted from that alone, every arrival is found."""
    there, in_system, carried, told = 7, {CELL: 7.0}, Amounts(), 0
    for came, wanted in steps:
        served = min(wanted, there + came)
        there += came - served
        amounts = queue(depth=float(there), running=0.0, served=float(served))
        in_system = add_arrivals(amounts, in_system, set(), is_baseline=False, is_reset=False)
        counts, carried = whole(amounts, carried)
        told += counts[CELL, "queues", "arrivals"]
    assert told == sum(came for came, _ in steps)


def test_nobody_arrives_negatively_and_what_left_unserved_is_made_up_for() -> None:
    amounts = queue(depth=0.0, running=0.0, served=2.0)  # Ten were there: eight have left without being served.
    in_system = add_arrivals(amounts, {CELL: 10.0}, set(), is_baseline=False, is_reset=False)
    counts, carried = whole(amounts, {})
    assert counts[CELL, "queues", "arrivals"] == 0
    later = queue(depth=5.0, running=0.0, served=6.0)
    add_arrivals(later, in_system, set(), is_baseline=False, is_reset=False)
    assert whole(later, carried)[0][CELL, "queues", "arrivals"] == 11 - 8


def test_after_a_restart_everybody_who_is_there_or_was_served_has_arrived_since() -> None:
    scraper = Scraper(target())
    scraper.scrape(shows.vllm([0.2] * 90, waiting=50, running=8))
    told = said(scraper.scrape(shows.vllm([0.2] * 4, waiting=3, running=2, started_s=1_700_009_000.0)), "queues")
    assert (told["served"], told["arrivals"]) == (4, 9)


def test_who_was_there_when_scraping_began_has_not_arrived_also_where_that_is_known_late() -> None:
    in_system = add_arrivals(queue(), {}, {CELL}, is_baseline=True, is_reset=False)
    later = queue(depth=5, running=2, served=3)
    in_system = add_arrivals(later, in_system, set(), is_baseline=False, is_reset=False)
    assert later[CELL, "queues", "arrivals"] == 3 and in_system == {CELL: 7.0}
    hidden = queue(depth=0, running=2, served=1)
    in_system = add_arrivals(hidden, in_system, {CELL}, is_baseline=False, is_reset=False)
    assert hidden[CELL, "queues", "arrivals"] == 1 and in_system == {CELL: 7.0}
