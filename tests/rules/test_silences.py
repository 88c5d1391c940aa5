"""`TelemetrySilent`: one alert each for a few, one for many, a page when much is missing, and an end that says why."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Sequence

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from alerts.alertmanager import postable
from alerts.check import REPOSITORY
from alerts.explanations import Links
from alerts.pages import RESOLVED_KEPT_MS
from alerts.silence_wording import RUNBOOK, labels_of_silence
from alerts.silences import NAMED_MAX, Silences, Stepped, step, to_send
from schemas.silences import LAGGING_MAX_MS, REMEMBERED_MS, Silence, SilenceAlert, SilentProducer
from tests.rules.conftest import SHIPPED_CONFIG

START_MS = 1_700_000_000_000
NOW_MS = 1_800_000_000_000
LINKS = Links(runbooks="https://git.example/main")


def stated(
    at_s: int, *silent: str, source: int = 0, volume: float = 1_000, each: float = 10, since_s: int = 0
) -> Silence:
    """What a source partition states when its newest window ends `at_s` seconds into the tests' event time."""
    return Silence(
        family="turns",
        source_partition=source,
        version=at_s,
        newest_ms=START_MS + at_s * 1_000,
        volume=volume,
        silent=tuple(
            SilentProducer(producer=name, since_ms=START_MS + since_s * 1_000, volume=each) for name in silent
        ),
    )


def run(statements: Sequence[Silence], silences: Silences | None = None) -> list[Stepped]:
    """Steps through statements, a second of wall clock apart."""
    steps: list[Stepped] = []
    for place, statement in enumerate(statements):
        before = steps[-1].silences if steps else silences or Silences()
        steps.append(step(before, statement, LINKS, NOW_MS + place * 1_000))
    return steps


def news(steps: list[Stepped]) -> list[list[tuple[str | None, str, str]]]:
    return [[(alert.producer, alert.severity, alert.state) for alert in each.news] for each in steps]


def test_a_silent_producer_is_an_alert_until_it_reports_again() -> None:
    steps = run([stated(70, "a"), stated(80, "a"), stated(90)])
    assert news(steps) == [[("a", "ticket", "firing")], [], [("a", "ticket", "resolved")]]
    assert steps[-1].news[0].annotations["resolved_because"] == "a reports again."
    assert steps[-1].news[0].starts_ms == NOW_MS


def test_it_says_who_since_when_and_how_much_is_missing() -> None:
    (alert,) = run([stated(70, "a", volume=1_000, each=42)])[0].news
    assert (
        alert.annotations["summary"]
        == "a has sent no turns since 2023-11-14T22:13:20Z: 4.2 % of recent volume is missing"
    )
    assert alert.annotations["runbook_url"] == "https://git.example/main/docs/runbooks/telemetry-silent.md"
    assert alert.labels == {"alertname": "TelemetrySilent", "severity": "ticket", "family": "turns", "producer": "a"}
    assert (REPOSITORY / RUNBOOK).is_file()


@pytest.mark.parametrize(("missing", "severity"), [(49, "ticket"), (50, "page"), (1_000, "page")])
def test_it_is_a_page_from_five_percent_of_recent_volume_on(missing: float, severity: str) -> None:
    assert news(run([stated(70, "a", each=missing)])) == [[("a", severity, "firing")]]


def test_the_share_is_of_the_whole_family_not_of_one_source_partition() -> None:
    others = [stated(60, source=source, volume=9_000) for source in (1, 2)]
    (alert,) = run([*others, stated(70, "a", each=400)])[-1].news
    assert (alert.severity, alert.annotations["missing_share"]) == ("ticket", "2.11 %")


def test_what_has_paged_stays_a_page_while_it_lasts() -> None:
    steps = run([stated(70, "a", each=60), stated(80, "a", each=40), stated(90), stated(100, "a", each=40)])
    assert news(steps) == [
        [("a", "page", "firing")],
        [],
        [("a", "page", "resolved")],
        [("a", "ticket", "firing")],
    ]


def test_a_ticket_that_becomes_a_page_ends_as_the_other_begins() -> None:
    steps = run([stated(70, "a", each=40), stated(80, "a", "b", each=40)])
    assert news(steps)[1] == [("a", "page", "firing"), ("b", "page", "firing"), ("a", "ticket", "resolved")]
    assert steps[1].news[-1].annotations["resolved_because"] == "It goes on as another alert of this family."


def test_many_silent_producers_are_one_alert_that_lists_them_until_all_are_back() -> None:
    many = [f"p{number}" for number in range(NAMED_MAX + 1)]
    steps = run([stated(70, *many, each=1), stated(80, many[0], each=1), stated(90)])
    assert news(steps) == [[(None, "ticket", "firing")], [], [(None, "ticket", "resolved")]]
    assert steps[0].news[0].annotations["producers"] == ", ".join(many)
    assert "producer" not in steps[0].news[0].labels


def test_producers_of_all_source_partitions_count_together() -> None:
    steps = run([stated(70, f"p{source}", source=source, each=1) for source in range(NAMED_MAX + 1)])
    assert [
        (alert.producer, alert.state) for alert in to_send(steps[-1].silences, NOW_MS) if alert.ends_ms is None
    ] == [(None, "firing")]


def test_a_silent_fleet_says_that_nobody_reports() -> None:
    (alert,) = run([stated(70, "a", "b", "c", "d", volume=400, each=100)])[0].news
    assert alert.severity == "page"
    assert alert.annotations["summary"].startswith("Nobody sends turns any more")


def test_a_producer_that_is_forgotten_resolves_and_says_so() -> None:
    gone_s = REMEMBERED_MS // 1_000 + 10
    steps = run([stated(70, "a"), stated(gone_s)])
    assert "forgotten" in steps[-1].news[0].annotations["resolved_because"]


def test_producers_of_a_silent_partition_are_forgotten_an_hour_behind_the_others() -> None:
    gone = stated(0, "a", "b", source=1, volume=500, each=250)
    within, after = LAGGING_MAX_MS // 1_000, LAGGING_MAX_MS // 1_000 + 10
    steps = run([stated(0), gone, stated(within), stated(after)])
    assert [len(each.news) for each in steps] == [0, 2, 0, 2]
    assert all("forgotten" in alert.annotations["resolved_because"] for alert in steps[-1].news)


def test_while_nobody_reports_nobody_is_forgotten() -> None:
    """The newest window of all stands still, whatever the clock says."""
    everybody = stated(70, "a", "b", volume=20)
    later = step(run([everybody])[-1].silences, everybody, LINKS, NOW_MS + 86_400_000)
    assert {alert.state for alert in later.silences.alerts.values()} == {"firing"}


def test_an_older_statement_changes_nothing() -> None:
    steps = run([stated(80, "a"), stated(70)])
    assert steps[1] == Stepped(steps[0].silences)


def test_another_family_is_another_alert() -> None:
    stages = stated(70, "a").model_copy(update={"family": "stages"})
    steps = run([stated(70, "a"), stages, stated(80)])
    assert [alert.family for alert in steps[-1].silences.firing] == ["stages"]


def test_an_end_is_told_for_a_while_and_then_forgotten() -> None:
    over = run([stated(70, "a"), stated(80)])[-1].silences
    ended_ms = NOW_MS + 1_000
    assert [alert.state for alert in to_send(over, ended_ms + RESOLVED_KEPT_MS - 1)] == ["resolved"]
    assert to_send(over, ended_ms + RESOLVED_KEPT_MS) == ()
    later = step(over, stated(90), LINKS, ended_ms + RESOLVED_KEPT_MS)
    assert later.silences.alerts == {}


def test_alertmanager_takes_it_as_it_takes_pages() -> None:
    (alert,) = run([stated(70, "a")])[0].news
    sent = postable(alert, NOW_MS + 1_000)
    assert sent["labels"] == alert.labels
    assert sent["startsAt"] < sent["endsAt"]


def test_its_state_reads_back_from_json() -> None:
    (alert,) = run([stated(70, "a")])[0].news
    assert SilenceAlert.model_validate_json(alert.model_dump_json()) == alert


worlds = st.lists(st.tuples(st.integers(0, 2), st.sets(st.sampled_from("abcde"))), min_size=1, max_size=20)


@given(world=worlds, seed=st.integers(0, 2**32 - 1))
def test_repeats_and_stragglers_never_change_who_is_silent(world: list[tuple[int, set[str]]], seed: int) -> None:
    ordered = [
        stated(at_s, *(f"{name}{source}" for name in sorted(names)), source=source)
        for at_s, (source, names) in enumerate(world, start=1)
    ]
    dice = random.Random(seed)
    disturbed = [
        each
        for place, statement in enumerate(ordered)
        for each in (statement, *dice.choices(ordered[: place + 1], k=dice.randrange(3)))
    ]
    undisturbed, found = (run(statements)[-1].silences for statements in (ordered, disturbed))
    assert found.of("turns") == undisturbed.of("turns")
    newest = {each.source_partition: each for each in ordered}
    named = {one.producer for each in newest.values() for one in each.silent}
    assert {one.producer for one in found.of("turns").silent} == named
    assert bool(found.firing) == bool(named)


# -- where it goes -------------------------------------------------------------------------------------------------------


@pytest.mark.needs("prometheus-alertmanager")
@pytest.mark.parametrize(("severity", "receiver"), [("page", "on-call"), ("ticket", "tickets")])
def test_pages_wake_somebody_and_tickets_wait(severity: str, receiver: str) -> None:
    labels = [f"{name}={value}" for name, value in labels_of_silence("turns", "a", severity).items()]
    routed = subprocess.run(
        [
            "amtool",
            "config",
            "routes",
            "test",
            f"--config.file={SHIPPED_CONFIG}",
            f"--verify.receivers={receiver}",
            *labels,
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert routed.returncode == 0, routed.stdout + routed.stderr


def test_a_page_without_an_objective_mutes_no_ticket() -> None:
    """To Alertmanager a missing label equals a missing label: each rule has to ask for one that it compares.

    A rule that compares none has to name whom it mutes, and what mutes.
    """
    for rule in yaml.safe_load(SHIPPED_CONFIG.read_text())["inhibit_rules"]:
        equal = {f'{label}!=""' for label in ("slo", "incident", "slice") if label in rule.get("equal", ())}
        for side in ("source_matchers", "target_matchers"):
            asked = {matcher.replace(" ", "") for matcher in rule[side]}
            assert asked & (equal or {'provisioned_by="turnwatch"'})
        assert equal or 'alertname="PipelineSilent"' in rule["source_matchers"]
