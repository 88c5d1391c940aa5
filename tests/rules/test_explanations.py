"""What the on-call reads: the slice, the shares, what is left and until when, and links that lead there."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from alerts.board_links import Lasting
from alerts.explanations import Links, Paging, explain, labels_of
from tests.rules.burning import TURN_SLO, burning, decided

PAGING = Paging(
    slos={TURN_SLO.name: TURN_SLO},
    links=Links(runbooks="https://git.example/turnwatch/blob/main/", grafana="http://127.0.0.1:3000/"),
)
AT_MS = decided(10).decided_ms
AT = Lasting(AT_MS, AT_MS, AT_MS + 2_000)


def test_the_summary_names_slice_share_burn_and_what_is_left() -> None:
    assert explain(burning(), AT, 1.0, PAGING)["summary"] == (
        "turn-4000ms-realtime burns 25 times its budget in pool=realtime,bundle=v2-canary: "
        "25 % of turns bad in the last 1h, 60 % of the budget left, spent in 17h16m"
    )


def test_the_description_gives_both_windows_the_allowance_and_the_data_it_rests_on() -> None:
    description = explain(burning(), AT, 0.97, PAGING)["description"]
    assert "Last 1h: 1,000 of 4,000 turns bad (25 %): burn 25." in description
    assert "Last 5m: 100 of 400 turns bad (25 %): burn 25." in description
    assert "Allowed is 1 %; row page_1h_5m fires above 14.4 % in both windows (burn 14.4)." in description
    assert "One bad turn costs 0.01 % of it." in description
    assert "Decided at 2023-11-14T22:13:30Z (event time) on 97 % of recent volume." in description


def test_what_was_spent_today_is_said_where_it_is_known() -> None:
    assert "spent today" not in explain(burning(), AT, 1.0, PAGING)["description"]
    known = burning().model_copy(update={"spent_today": 0.0725})
    assert (
        "Budget: 60 % of the budget left, spent in 17h16m. 7.25 % of it was spent today (since 00:00 UTC). One bad turn costs"
        in explain(known, AT, 1.0, PAGING)["description"]
    )


def test_one_bad_turn_that_pages_is_told_as_one_and_with_its_one_window() -> None:
    once = {"row": "page_any_event_10m", "factor": 0.0, "threshold": 0.0, "long_s": 600, "short_s": 600}
    counts = {
        "long_bad": 1,
        "long_total": 5_000,
        "short_bad": 1,
        "short_total": 5_000,
        "long_burn": 0.02,
        "short_burn": 0.02,
    }
    said = explain(burning().model_copy(update=once | counts), AT, 1.0, PAGING)
    assert said["summary"] == (
        "turn-4000ms-realtime: 1 bad turn in pool=realtime,bundle=v2-canary in the last 10m, where any one is a page"
    )
    assert said["description"].splitlines()[1:3] == [
        "Last 10m: 1 of 5,000 turns bad (0.02 %): burn 0.02.",
        "Row page_any_event_10m fires at one bad turn in 10m, however little traffic there is.",
    ]
    more = burning().model_copy(update=once)
    assert ": 1,000 bad turns in pool=" in explain(more, AT, 1.0, PAGING)["summary"]


def test_a_budget_that_will_not_last_is_told_with_the_time_it_would_have_to_and_the_burn_that_spends_it() -> None:
    soon = {"row": "page_exhausts_2h_1h_5m", "factor": 20.0, "threshold": 0.2, "within_s": 7_200}
    said = explain(burning().model_copy(update=soon), AT, 1.0, PAGING)
    assert (
        "Row page_exhausts_2h_1h_5m fires where the budget will be spent within 2h: by what is left, above 20 % in both windows "
        "(burn 20)." in said["description"]
    )


def test_a_spent_budget_is_said_to_be_spent() -> None:
    spent = burning().model_copy(update={"budget_left": -0.2, "exhausted_in_s": 0.0})
    assert explain(spent, AT, 1.0, PAGING)["summary"].endswith("the budget is spent")


def test_links_lead_to_the_runbook_and_to_the_board_at_the_slice_and_time() -> None:
    annotations = explain(burning(), AT, 1.0, PAGING)
    assert annotations["runbook_url"] == "https://git.example/turnwatch/blob/main/docs/runbooks/slo-burn-rate.md"
    board = urlsplit(annotations["dashboard_url"])
    assert f"{board.scheme}://{board.netloc}{board.path}" == "http://127.0.0.1:3000/d/turnwatch-fleet-overview"
    assert parse_qs(board.query) == {
        "from": [str(AT_MS - 2 * 3_600_000)],
        "to": ["now"],
        "var-slo": ["turn-4000ms-realtime"],
        "var-pool": ["realtime"],
        "var-bundle": ["v2-canary"],
    }


def test_a_runbook_that_is_an_address_stays_one() -> None:
    assert PAGING.links.runbook("https://wiki.example/burn") == "https://wiki.example/burn"


def test_labels_are_the_slo_the_severity_the_slice_its_dimensions_and_the_owner() -> None:
    assert labels_of(burning(), PAGING) == {
        "alertname": "SloBurnRateHigh",
        "slo": "turn-4000ms-realtime",
        "severity": "page",
        "slice": "pool=realtime,bundle=v2-canary",
        "scope": "slice",
        "owner": "voice-serving",
        "pool": "realtime",
        "bundle": "v2-canary",
    }


def test_a_burn_of_an_objective_unknown_here_still_pages() -> None:
    unknown = burning()
    assert labels_of(unknown, Paging())["slo"] == unknown.slo
    assert "docs/runbooks/slo-burn-rate.md" in explain(unknown, AT, 1.0, Paging())["runbook_url"]
