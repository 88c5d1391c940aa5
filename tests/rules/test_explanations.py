"""What the on-call reads: the slice, the shares, what is left and until when, and links that lead there."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from alerts.explanations import Links, Paging, explain, labels_of
from tests.rules.burning import TURN_SLO, burning, decided

PAGING = Paging(
    slos={TURN_SLO.name: TURN_SLO},
    links=Links(runbooks="https://git.example/turnwatch/blob/main/", dashboard="http://127.0.0.1:3000/d/fleet"),
)
AT_MS = decided(10).decided_ms


def test_the_summary_names_slice_share_burn_and_what_is_left() -> None:
    assert explain(burning(), AT_MS, 1.0, PAGING)["summary"] == (
        "turn-4000ms-realtime burns 25 times its budget in pool=realtime,bundle=v2-canary: "
        "25 % of turns bad in the last 1h, 60 % of the budget left, spent in 17h16m"
    )


def test_the_description_gives_both_windows_the_allowance_and_the_data_it_rests_on() -> None:
    description = explain(burning(), AT_MS, 0.97, PAGING)["description"]
    assert "Last 1h: 1,000 of 4,000 turns bad (25 %): burn 25." in description
    assert "Last 5m: 100 of 400 turns bad (25 %): burn 25." in description
    assert "Allowed is 1 %; row page_1h_5m fires above 14.4 % in both windows (burn 14.4)." in description
    assert "One bad turn costs 0.01 % of it." in description
    assert "Decided at 2023-11-14T22:13:30Z (event time) on 97 % of recent volume." in description


def test_a_spent_budget_is_said_to_be_spent() -> None:
    spent = burning().model_copy(update={"budget_left": -0.2, "exhausted_in_s": 0.0})
    assert explain(spent, AT_MS, 1.0, PAGING)["summary"].endswith("the budget is spent")


def test_links_lead_to_the_runbook_and_to_the_board_at_the_slice_and_time() -> None:
    annotations = explain(burning(), AT_MS, 1.0, PAGING)
    assert annotations["runbook_url"] == "https://git.example/turnwatch/blob/main/docs/runbooks/slo-burn-rate.md"
    board = urlsplit(annotations["dashboard_url"])
    assert f"{board.scheme}://{board.netloc}{board.path}" == "http://127.0.0.1:3000/d/fleet"
    assert parse_qs(board.query) == {
        "from": [str(AT_MS - 2 * 3_600_000)],
        "to": [str(AT_MS)],
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
        "owner": "voice-serving",
        "pool": "realtime",
        "bundle": "v2-canary",
    }


def test_a_burn_of_an_objective_unknown_here_still_pages() -> None:
    unknown = burning()
    assert labels_of(unknown, Paging())["slo"] == unknown.slo
    assert "docs/runbooks/slo-burn-rate.md" in explain(unknown, AT_MS, 1.0, Paging())["runbook_url"]
