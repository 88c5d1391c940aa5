"""A tenant whose calls are suddenly spoken by synthetic voices pages, once, until it is over; and nobody else does."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from alerts.explanations import Links, Paging
from alerts.findings import Found, step
from alerts.incident_scope import OpenIncidents
from alerts.openslo import load_slos
from producers.collector import Collector, Frame
from producers.fleet.engine import simulate_fleet
from schemas.burns import LAST_INSTANT_MS
from schemas.families import TENANTS
from schemas.findings import Finding, FindingAlert, Findings, decode
from schemas.slices import slice_dimensions
from stream_jobs.operators.abuse.bursts import AbuseRule, surely_above
from stream_jobs.operators.abuse.watch import AbuseWatch
from stream_jobs.operators.totals.blocks import Block
from tests.operators.queue_worlds import Knowledge
from tests.operators.worlds import START_MS
from tests.producers.fleets import START_MS as FLEET_START_MS
from tests.producers.fleets import at_once, small
from tests.producers.worlds import rows_of

MINUTE_MS = 60_000
ABUSER, OTHER, NOBODY = (f"pool=realtime,tenant={name}" for name in ("t-00000000000000aa", "t-00000000000000bb", "*"))
PAGING = Paging(slos={slo.name: slo for slo in load_slos()}, links=Links(runbooks="https://git.example/main"))


def tell(watch: AbuseWatch, number: int, voices: Mapping[str, int]) -> None:
    rows = [
        {"bucket_start_ms": START_MS + number * MINUTE_MS, "slice": text, **dict.fromkeys(TENANTS.measure_names, 0)}
        | {"tenant_synthetic_voices": count, "version": 1}
        for text, count in voices.items()
    ]
    watch.tell(TENANTS, pl.DataFrame(rows), START_MS)


def said(watch: AbuseWatch, number: int, share: float = 1.0) -> list[Findings]:
    known = Knowledge(START_MS + (number + 1) * MINUTE_MS, share)
    return [decode(each.payload) for each in watch.statements(known)]


def found(watch: AbuseWatch, number: int, voices: Mapping[str, int], share: float = 1.0) -> dict[str, Finding]:
    """What is found once a minute is over in which tenants had so many synthetic voices."""
    tell(watch, number, voices)
    (statement,) = said(watch, number, share)
    return {each.slice: each for each in statement.findings}


def after_an_hour(voices: Mapping[str, int]) -> AbuseWatch:
    """A watch that has been told of an hour of it."""
    watch = AbuseWatch(0)
    for number in range(60):
        tell(watch, number, voices)
        if number == 0:
            assert said(watch, number)
    assert all(not each.findings for each in said(watch, 59))
    return watch


def test_a_burst_is_one_page_from_its_first_minute_to_the_fifth_quiet_one() -> None:
    watch = after_an_hour({ABUSER: 20, OTHER: 500})
    burst = [found(watch, number, {ABUSER: 18_000, OTHER: 510}) for number in range(60, 75)]
    assert {frozenset(each) for each in burst} == {frozenset({ABUSER})}
    quiet = [found(watch, number, {ABUSER: 20, OTHER: 490}) for number in range(75, 81)]
    assert [set(each) for each in quiet] == [{ABUSER}] * 4 + [set()] * 2
    told = burst[1][ABUSER]
    assert (told.alert, told.severity, told.since_ms) == ("AbuseBurst", "page", START_MS + 60 * MINUTE_MS)
    assert told.summary == (
        "Tenant t-00000000000000aa of pool realtime had 18,000 turns of a synthetic voice in the last minute, 900 times the "
        "usual 20.0; 36,000 since it began."
    )
    assert told.facts == {"voices_in_minute": 18_000, "usual_voices_in_minute": 20, "voices_since": 36_000}
    assert "in the last minute 20; it ends when that lasts" in quiet[0][ABUSER].summary


def test_it_is_told_to_those_who_answer_for_abuse_with_what_to_do() -> None:
    watch, state, news = after_an_hour({ABUSER: 0}), Found(), list[FindingAlert]()
    for number in range(60, 68):
        tell(watch, number, {ABUSER: 600 if number < 62 else 0})
        for statement in said(watch, number):
            incidents = OpenIncidents(found=state.open, before_ms=LAST_INSTANT_MS)
            stepped = step(state, statement, PAGING, incidents, now_ms=statement.decided_ms)
            state = stepped.found
            news += stepped.news
    assert [alert.state for alert in news] == ["firing", "resolved"]
    wanted = {"alertname": "AbuseBurst", "question": "privacy", "severity": "page", "owner": "trust-and-safety"}
    assert news[0].labels.items() >= (wanted | {"tenant": "t-00000000000000aa", "pool": "realtime"}).items()
    assert news[0].annotations["runbook_url"] == "https://git.example/main/docs/runbooks/abuse.md"
    assert news[0].annotations["action"].startswith("Limit the tenant's new calls")


@pytest.mark.parametrize(
    ("usual", "now", "is_burst"),
    [(0, 59, False), (0, 60, True), (20, 60, False), (20, 120, True), (1_000, 3_000, False), (1_000, 3_600, True)],
)
def test_it_has_to_be_much_and_surely_above_what_is_usual(usual: int, now: int, is_burst: bool) -> None:
    """Exactly three times the usual is not above it, and a little more may be chance."""
    watch = after_an_hour({ABUSER: usual, OTHER: 1})
    assert (set(found(watch, 60, {ABUSER: now, OTHER: 1})) == {ABUSER}) is is_burst


@given(st.integers(1, 400), st.integers(0, 3_000), st.integers(10, 60))
@settings(deadline=None, max_examples=200)
def test_surely_above_is_the_binomial_test_of_two_rates(voices: int, usual_voices: int, usual_minutes: int) -> None:
    rule = AbuseRule()
    frame = pl.DataFrame({"voices": [voices], "usual": [usual_voices], "minutes": [usual_minutes]})
    (is_above,) = surely_above(frame["voices"].to_numpy(), frame["usual"].to_numpy(), frame["minutes"].to_numpy(), rule)
    chance = binom.sf(voices - 1, voices + usual_voices, rule.times / (rule.times + usual_minutes))
    assert is_above == (chance <= rule.error)


def test_in_its_first_minutes_a_shard_knows_nothing_to_compare_with() -> None:
    watch = AbuseWatch(0)
    assert [set(found(watch, number, {ABUSER: 600})) for number in range(15)] == [set()] * 15


def test_what_lasts_does_not_become_usual_and_a_second_burst_is_found_within_the_hour() -> None:
    watch = after_an_hour({ABUSER: 20})
    burst = [set(found(watch, number, {ABUSER: 600})) for number in range(60, 150)]
    assert burst == [{ABUSER}] * 90, "an hour and a half of it"
    for number in range(150, 155):
        found(watch, number, {ABUSER: 20})
    assert set(found(watch, 155, {ABUSER: 20})) == set()
    for number in range(156, 166):
        assert found(watch, number, {ABUSER: 20}) == {}
    assert set(found(watch, 166, {ABUSER: 600})) == {ABUSER}


def test_minutes_that_nobody_told_of_or_too_few_did_lower_nothing_and_end_nothing() -> None:
    """After an outage everybody has what is usual, and not many times that."""
    watch = AbuseWatch(0)
    for number in range(20):
        found(watch, number, {ABUSER: 600})
    for number in range(20, 55):
        assert [each.findings for each in said(watch, number)] == [()]
    for number in range(55, 60):
        assert found(watch, number, {ABUSER: 10}, share=0.5) == {}
    assert found(watch, 60, {ABUSER: 600}) == {}
    assert set(found(watch, 61, {ABUSER: 6_000})) == {ABUSER}
    assert [set(found(watch, number, {ABUSER: 0}, share=0.5)) for number in range(62, 70)] == [{ABUSER}] * 8


def test_tenants_that_are_not_told_apart_are_watched_together() -> None:
    watch = after_an_hour({NOBODY: 5})
    summary = found(watch, 60, {NOBODY: 200})[NOBODY].summary
    assert summary.startswith("Tenants that are not told apart of pool realtime had 200 turns of a synthetic voice")


def test_more_than_can_be_watched_are_counted_and_those_with_most_are_watched() -> None:
    watch = AbuseWatch(0, slices_max=3)
    many = {f"pool=realtime,tenant=t-{number:016x}": 1 + number for number in range(10)}
    for number in range(20):
        found(watch, number, many)
    assert watch.left_out == 7
    abuser = "pool=realtime,tenant=t-0000000000000000"
    assert set(found(watch, 20, {**many, abuser: 900})) == {abuser}


def random_minutes(seed: int) -> list[dict[str, int]]:
    dice = Random(seed)
    return [
        {
            ABUSER: dice.choice((900, 15)) if 20 <= number < 45 else dice.randrange(25),
            OTHER: 300 + dice.randrange(60),
            NOBODY: dice.randrange(40) * (number % 3),
        }
        for number in range(60)
    ]


def stated(
    minutes: list[dict[str, int]], killed_before: frozenset[int], shuffled: Random | None = None
) -> dict[int, Findings]:
    """By minute what is stated of it last by a watch that is killed in the midst of saves, each after another block."""
    watch, kept, out = AbuseWatch(0), dict[bytes, bytes](), dict[int, Findings]()
    for number, voices in enumerate(minutes):
        if number in killed_before:
            watch = AbuseWatch(0)
            watch.restore(kept)
            for before in range(max(0, number - 3), number):  # Buckets that are open are told again.
                tell(watch, before, minutes[before])
        if shuffled:
            items = list(voices.items())
            shuffled.shuffle(items)
            tell(watch, number, {text: count // 2 for text, count in items})
            voices = dict(items)
        tell(watch, number, voices)
        out |= {each.decided_ms: each for each in said(watch, number)}
        blocks = [*watch.unsaved_blocks(number), *watch.forgotten_blocks()]
        torn = number % (len(blocks) + 1) if number + 1 in killed_before else len(blocks)
        for block in blocks[:torn]:
            _keep(kept, block)
    assert len(kept) < 3 * 62, "what is kept does not grow"
    return out


def _keep(kept: dict[bytes, bytes], block: Block) -> None:
    if block.value is None:
        kept.pop(block.key, None)
    else:
        kept[block.key] = block.value


@pytest.fixture(scope="module")
def unharmed() -> dict[int, Findings]:
    said = stated(random_minutes(3), frozenset())
    assert any(each.findings for each in said.values()) and not said[max(said)].findings
    return said


@pytest.mark.parametrize(
    "killed_before", [{2, 5, 21}, {22, 30, 44, 46, 59}, set(range(20, 56, 3))], ids=["before", "in and after", "often"]
)
def test_a_shard_that_is_killed_states_the_same(unharmed: dict[int, Findings], killed_before: set[int]) -> None:
    assert stated(random_minutes(3), frozenset(killed_before)) == unharmed


def test_order_and_earlier_tellings_of_a_minute_change_nothing(unharmed: dict[int, Findings]) -> None:
    assert stated(random_minutes(3), frozenset(), Random(1)) == unharmed


def test_the_simulated_burst_is_found_through_the_privacy_gate_in_its_first_whole_minute() -> None:
    """Turns of the scenario, in a smaller fleet; the gate, and frames; after a quarter of an hour without synthetic voices."""
    scenario = at_once(small("abuse_burst", calls=300))
    event = scenario.events[0]
    burst = event.model_copy(update={"does": event.does.model_copy(update={"calls": 60.0})})
    tenant = f"pool=realtime,tenant={event.where['tenant'][0]}"
    collector, frames = Collector("us-east-1-collector-0", "us-east-1", 1, FLEET_START_MS), list[Frame]()
    for chunk in simulate_fleet(scenario.model_copy(update={"events": (burst,)}), 7, FLEET_START_MS, 2 * MINUTE_MS):
        collector.observe_turns(pl.concat(chunk.turns.values()))
        frames += collector.close(chunk.end_ms)
    watch, found_in = AbuseWatch(0), list[set[str]]()
    for number in range(-15, 2):
        start_ms = FLEET_START_MS + number * MINUTE_MS
        of_minute = [each for each in frames if each.header.window_start_ms == start_ms]
        rows = rows_of(of_minute, "tenants", "tenancy") if number >= 0 else quiet_rows(tenant)
        watch.tell(TENANTS, _totals(rows, start_ms), start_ms)
        (statement,) = [decode(each.payload) for each in watch.statements(Knowledge(start_ms + MINUTE_MS))]
        found_in.append({each.slice for each in statement.findings})
    assert found_in[:15] == [set()] * 15
    assert found_in[16] == {tenant}, "and not those among whom it would hide"


def quiet_rows(slice_text: str) -> pl.DataFrame:
    return pl.DataFrame([slice_dimensions(slice_text) | dict.fromkeys(TENANTS.measure_names, 0)])


def _totals(rows: pl.DataFrame, start_ms: int) -> pl.DataFrame:
    if rows.is_empty():
        rows = quiet_rows(NOBODY)
    return (
        rows.group_by(slice=pl.format("pool={},tenant={}", "pool", "tenant"))
        .agg(pl.col(TENANTS.measure_names).sum())
        .with_columns(bucket_start_ms=pl.lit(start_ms, pl.Int64), version=pl.lit(1, pl.Int64))
    )
