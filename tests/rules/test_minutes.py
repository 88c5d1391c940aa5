"""Where a budget is of minutes, pages, rules and notes say so."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from alerts.board_links import Lasting
from alerts.causes import Suspicions
from alerts.check import notes
from alerts.explanations import Links, Paging, explain
from alerts.openslo import read_slos
from alerts.policies import policy_for
from alerts.prometheus_rules import rules
from schemas.burns import Burn
from schemas.slos import PolicyRow, WatchedSlo
from tests.rules.burning import TURN_SLO, burning, suspect
from tests.rules.documents import OF_MINUTES

MINUTES = replace(TURN_SLO, name="minutes", budgeting="time_slices", time_slice_target=Decimal("0.95"))
FLEET = "pool=realtime"


def burn_of_minutes() -> Burn:
    """A third of an hour's minutes, of the fleet."""
    told = {"slo": "minutes", "unit": "minutes", "slice": FLEET, "long_bad": 20, "long_total": 60}
    return burning().model_copy(update=told | {"short_bad": 5, "short_total": 5})


def test_the_document_is_read_with_its_budget() -> None:
    (read,) = read_slos(OF_MINUTES)
    slo = read.slo
    assert slo is not None
    assert (slo.budgeting, slo.time_slice_target, slo.unit) == ("time_slices", Decimal("0.95"), "minutes")
    assert (slo.budget_rate, slo.turns_allowed) == (Decimal("0.01"), Decimal("0.05"))


def test_a_page_says_minutes_and_what_makes_one_bad() -> None:
    said = explain(burn_of_minutes(), Lasting(0, 0, 0), 1.0, Paging({"minutes": MINUTES}, Links()))
    assert "33.3 % of minutes bad in the last 1h" in said["summary"]
    for sentence in (
        "A minute is bad when more than 5 % of its turns are; minutes without turns do not count.",
        "Last 1h: 20 of 60 minutes bad (33.3 %)",
        "Last 5m: 5 of 5 minutes bad (100 %)",
        "One bad minute costs",
    ):
        assert sentence in said["description"]
    assert "turns bad" not in said["summary"] + said["description"]


def test_a_page_of_turns_says_nothing_of_minutes() -> None:
    said = explain(burning(), Lasting(0, 0, 0), 1.0, Paging({TURN_SLO.name: TURN_SLO}, Links()))
    assert "of turns bad" in said["summary"] and "minute" not in said["description"]


def test_a_burn_of_minutes_is_explained_by_turns_that_its_own_shard_states() -> None:
    canary, rest = f"{FLEET},bundle=v2", f"{FLEET},bundle=v1"
    stated = [suspect(canary, 900, 1_000, slo=MINUTES), suspect(rest, 250, 4_000, slo=MINUTES)]
    assert Suspicions(stated).causes(burn_of_minutes(), 0, MINUTES.turns_allowed).explanation is None
    whole = suspect(FLEET, 1_150, 5_000, slo=MINUTES)
    found = Suspicions([*stated, whole]).causes(burn_of_minutes(), 0, MINUTES.turns_allowed).explanation
    assert found is not None and found.slices == (canary,) and float(found.traffic) == 0.2


def test_rules_count_minutes_and_leave_out_rows_below_one() -> None:
    short = PolicyRow("page_5m_30s", 300, 30, Decimal("0.5"), Decimal("50"), "page")
    told = str(rules([WatchedSlo(MINUTES, (*policy_for(MINUTES).rows, short))], Links()))
    assert "of minutes bad, 1 % allowed" in told and "and in 30s" not in told
    assert "and in 30s" in str(rules([WatchedSlo(TURN_SLO, (short,))], Links()))


def test_a_row_below_a_minute_is_noted(tmp_path_factory: pytest.TempPathFactory) -> None:
    files, policies = tmp_path_factory.mktemp("slos"), tmp_path_factory.mktemp("policies")
    (files / "minutes.yaml").write_text(OF_MINUTES.replace("policy: standard", "policy: fast"), encoding="utf-8")
    (policies / "fast.yaml").write_text(FAST, encoding="utf-8")
    assert (
        "turn-minutes: row page_5m_30s skips cut pool: its short window of 30s is below the minutes it counts."
        in notes(files, policies)
    )


FAST = """\
apiVersion: turnwatch/v1
kind: BurnPolicy
metadata:
  name: fast
spec:
  description: Too fast for minutes.
  rows:
    - {long: 5m, short: 30s, factor: 20, severity: page}
    - {long: 1h, short: 5m, factor: 14, severity: page}
"""
