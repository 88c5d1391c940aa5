"""Policy files: what they give an objective, and that a row which is of no use to one is refused with its arithmetic."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.check import check, notes
from alerts.definitions import watched_slos
from alerts.document_files import WrongFiles
from alerts.openslo import SHIPPED_SLOS
from alerts.policies import policy_for, policy_problems, unreachable_rows
from alerts.policy_document import SHIPPED_POLICIES, PolicyFileError, load_policies, load_policy, shipped_policies
from alerts.policy_rows import AnyEvent, BudgetShare, Exhausts, Outage, Policy, WrittenRow
from schemas.slos import Life, LowTraffic, PolicyRow, Slo
from tests.rules.burning import DAY_S, TURN_SLO
from tests.rules.documents import LIVELY_POLICY, OF_A_THRESHOLD, OF_GOOD_TURNS, TURN_ALONE, WRITTEN_POLICY

HOUR_S = 3_600
STANDARD = (SHIPPED_POLICIES / "standard.yaml").read_text(encoding="utf-8")

Folders = Callable[[str, str], tuple[Path, Path]]


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """Writes one SLO file and one policy file beside the shipped policies; their folders."""

    def write(slo: str, policy: str) -> tuple[Path, Path]:
        shutil.copytree(SHIPPED_POLICIES, tmp_path / "policies")
        (tmp_path / "slos").mkdir()
        (tmp_path / "slos" / "slo.yaml").write_text(slo, encoding="utf-8")
        (tmp_path / "policies" / "by_hand.yaml").write_text(policy, encoding="utf-8")
        return tmp_path / "slos", tmp_path / "policies"

    return write


def by_hand(slo: str) -> str:
    """An SLO document that names the written policy."""
    return slo.replace("turnwatch/owner", "turnwatch/policy: by-hand\n    turnwatch/owner", 1)


def slo_of(objective: str, period_d: int = 30) -> Slo:
    return replace(TURN_SLO, objective=Decimal(objective), period_s=period_d * DAY_S)


def of_rows(*rows: BudgetShare | WrittenRow, outage: Outage | None = None) -> Policy:
    return Policy("by-hand", rows, outage)


def only_refusal(slo: Slo, policy: Policy) -> str:
    (problem,) = policy_problems(slo, policy)
    with pytest.raises(PolicyFileError) as refused:
        policy_for(slo, policy)
    assert refused.value.problems == (problem,)
    return problem


def only_problem(folders: Folders, policy: str, sound: str, wrong: str, where: str) -> str:
    """The one problem of a policy in which something sound is wrong; it has to be told there."""
    assert sound in policy
    slos, policies = folders(TURN_ALONE, policy.replace(sound, wrong, 1))
    (problem,) = check(slos, policies=policies)
    assert problem.startswith(f"{policies / 'by_hand.yaml'}:{where}")
    return problem


# -- what files say ----------------------------------------------------------------------------------------------------


LIVELY = TURN_ALONE.replace("turnwatch/owner", "turnwatch/policy: lively\n    turnwatch/owner", 1).replace(
    "target: 0.99", "target: 0.9999"
)


def test_the_shipped_policy_is_the_one_that_is_promised() -> None:
    standard = shipped_policies()["standard"]
    assert standard.rows == (
        BudgetShare(Decimal("0.02"), HOUR_S, "page"),
        BudgetShare(Decimal("0.05"), 6 * HOUR_S, "page"),
        BudgetShare(Decimal("0.1"), DAY_S, "ticket"),
        BudgetShare(Decimal("0.1"), 3 * DAY_S, "ticket"),
    )
    assert standard.outage == Outage(Decimal("0.02"), 600, 60, Decimal("0.5"), "page")
    assert standard.low_traffic == LowTraffic()


def test_every_shipped_objective_is_watched_by_a_shipped_policy() -> None:
    assert [each.slo for each in watched_slos()] == [policy_for(each.slo).slo for each in watched_slos()]
    assert all(each.rows for each in watched_slos())


def test_a_written_policy_watches_by_its_own_rows_and_evidence(folders: Folders) -> None:
    (watched,) = watched_slos(*folders(by_hand(TURN_ALONE), WRITTEN_POLICY))
    assert watched.slo.policy == "by-hand"
    assert [(row.name, row.factor, row.threshold) for row in watched.rows] == [
        ("outage_10m_1m", Decimal(50), Decimal("0.5")),
        ("page_1h_5m", Decimal("14.4"), Decimal("0.144")),
        ("ticket_3d_6h", Decimal(1), Decimal("0.01")),
    ]
    assert watched.low_traffic == LowTraffic(0.99, 5, Decimal("0.02"))


@pytest.mark.parametrize(
    ("document", "indicator", "period_d"), [(OF_GOOD_TURNS, "turn_error", 28), (OF_A_THRESHOLD, "turn_4000ms", 30)]
)
def test_good_turns_and_counted_thresholds_are_indicators_too(
    folders: Folders, document: str, indicator: str, period_d: int
) -> None:
    (watched,) = watched_slos(*folders(document, WRITTEN_POLICY))
    assert (watched.slo.indicator.name, watched.slo.period_s) == (indicator, period_d * DAY_S)


def test_a_policy_says_what_exhausts_and_that_any_event_pages_and_how_long_alerts_last(folders: Folders) -> None:
    (watched,) = watched_slos(*folders(LIVELY, LIVELY_POLICY))
    assert watched.rows == (
        PolicyRow("ticket_any_event_10m", 600, 600, Decimal(0), Decimal(0), "ticket", "any_event"),
        PolicyRow(
            "page_exhausts_2h_1h_5m", 3_600, 300, Decimal("0.0001"), Decimal(1), "page", "exhausts", within_s=2 * HOUR_S
        ),
    )
    assert watched.life == Life(Decimal("0.8"), {"page": 120, "ticket": 5_400}, {"page": 30, "ticket": 0})


def test_what_a_policy_leaves_out_of_the_life_of_alerts_is_as_shipped(folders: Folders) -> None:
    partly = LIVELY_POLICY.replace("    ticket: 1h30m\n", "").partition("  pendingFor")[0]
    (watched,) = watched_slos(*folders(LIVELY, partly))
    assert watched.life == Life(Decimal("0.8"), {"page": 120, "ticket": 600}, Life().pending_s)
    assert [policy.life for policy in shipped_policies().values()] == [Life()] * 2


def test_the_policy_of_what_must_never_happen_pages_for_one_bad_turn() -> None:
    never = replace(TURN_SLO, policy="any-event", objective=Decimal("0.9999"))
    watched = policy_for(never)
    assert watched.rows == (PolicyRow("page_any_event_10m", 600, 600, Decimal(0), Decimal(0), "page", "any_event"),)
    assert unreachable_rows(never) == ()


def test_one_bad_turn_is_no_page_for_an_objective_that_allows_some() -> None:
    assert only_refusal(slo_of("0.999"), Policy("by-hand", any_event=AnyEvent(600, "page"))) == (
        "by-hand: spec.anyEvent: Row page_any_event_10m fires while turn-4000ms-realtime is met: it fires at one bad turn, and "
        "1 - 0.999 = 0.001 of them may be bad. Give an objective that allows next to none, 0.9999 or more, or watch it by rows "
        "of budget shares."
    )


def test_a_policy_that_does_not_exist_is_told_at_the_line_that_names_it(folders: Folders) -> None:
    slos, policies = folders(by_hand(TURN_ALONE).replace("by-hand", "by-hnd"), WRITTEN_POLICY)
    assert check(slos, policies=policies) == [
        f"{slos / 'slo.yaml'}:10: metadata.annotations.turnwatch/policy: "
        "No policy is named 'by-hnd'; did you mean `by-hand`?"
    ]
    with pytest.raises(
        PolicyFileError, match="turn-4000ms-realtime: no policy is named 'nightly'; known are `any-event`, `standard`"
    ):
        policy_for(replace(TURN_SLO, policy="nightly"))


def test_two_policies_of_one_name_are_refused(folders: Folders) -> None:
    slos, policies = folders(TURN_ALONE, STANDARD)
    (problem,) = check(slos, policies=policies)
    assert problem.startswith(f"{policies / 'standard.yaml'}:10: metadata.name: ")
    assert "exists already, at by_hand.yaml:10" in problem


def test_problems_of_both_kinds_of_files_are_told_at_once(folders: Folders) -> None:
    slos, policies = folders(TURN_ALONE.replace("pool: realtime", "pool: life"), WRITTEN_POLICY.replace("1h", "1 h"))
    (slos / "other.yml").write_text(TURN_ALONE, encoding="utf-8")
    with pytest.raises(WrongFiles) as refused:
        watched_slos(slos, policies)
    told = [problem.removeprefix(f"{slos.parent}/").split(" ")[0] for problem in refused.value.problems]
    assert told == ["slos/slo.yaml:7:", "slos/other.yml:1:", "policies/by_hand.yaml:8:"]
    assert check(slos, policies=policies) == list(refused.value.problems)
    assert notes(slos, policies) == []


def test_a_folder_without_policies_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyFileError, match="no policy files"):
        load_policies(tmp_path)


def test_one_policy_can_be_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(WRITTEN_POLICY, encoding="utf-8")
    assert load_policy(tmp_path / "one.yaml").name == "by-hand"
    (tmp_path / "two.yaml").write_text(f"{WRITTEN_POLICY}---\n{STANDARD}", encoding="utf-8")
    with pytest.raises(PolicyFileError, match="There are 2 policies"):
        load_policy(tmp_path / "two.yaml")
    with pytest.raises(PolicyFileError, match="cannot be read"):
        load_policy(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("sound", "wrong", "line", "field", "says"),
    [
        (
            "    - long: 1h\n",
            "    - budgetShare: 0.1\n      long: 1h\n",
            8,
            "rows[0]",
            "`factor` follows from `budgetShare`",
        ),
        ("      factor: 14.4\n", "", 8, "rows[0]", "add `budgetShare`, or `short` and `factor`"),
        ("      short: 5m\n", "", 8, "rows[0]", "add `short`"),
        ("short: 5m", "short: 1h", 8, "rows[0]", "`short` (1h) is not shorter than `long` (1h)"),
        ("short: 5m", "short: 15s", 9, "rows[0].short", "15s cannot be summed from buckets of 10 s"),
        ("short: 5m", "short: 0s", 9, "rows[0].short", "0s cannot be summed"),
        ("short: 5m", "short: 5", 9, "rows[0].short", "has to be text, and 5 is written: put it in quotes"),
        ("short: 5m", "short: " + "9" * 5_000 + "s", 9, "rows[0].short", "is no duration: write one such as 5m"),
        ("long: 3d", "long: 1m", 12, "rows[1]", "a twelfth of 1m, is below 10 s: write 2m or more"),
        ("factor: 14.4", "factor: .inf", 10, "rows[0].factor", "has to be a decimal"),
        ("short: 1m", "short: 10m", 15, "outage", "is not shorter than `long` (10m)"),
        ("badEventsMin: 5", "badEventsMin: 5.5", 23, "lowTraffic.badEventsMin", "has to be a whole number"),
        ("badEventsMin: 5", "badEventsMin: 1" + "0" * 5_000, 23, "lowTraffic.badEventsMin", "0 to 1000000"),
        ("  outage:\n", "  repeatInterval: 1m\n  outage:\n", 15, "repeatInterval", "There is no such field; known are"),
        ("  outage:\n", "  exhausts_within: 2h\n  outage:\n", 15, "exhausts_within", "did you mean `exhausts`?"),
        ("  outage:\n", "  keepFiringFor: 1m\n  outage:\n", 15, "keepFiringFor", "has to be a section with fields"),
    ],
    ids=lambda given: str(given)[:30],
)
def test_what_no_policy_can_mean_is_told_at_its_line(
    folders: Folders, sound: str, wrong: str, line: int, field: str, says: str
) -> None:
    assert says in only_problem(folders, WRITTEN_POLICY, sound, wrong, f"{line}: spec.{field}: ")


# -- what is refused for an objective ----------------------------------------------------------------------------------


def test_a_written_row_that_can_never_fire_is_refused_with_its_arithmetic() -> None:
    row = WrittenRow(HOUR_S, 300, Decimal("14.4"), "page")
    outage = Outage(Decimal("0.02"), 600, 60, Decimal("0.5"), "page")
    assert only_refusal(slo_of("0.9"), of_rows(row, outage=outage)) == (
        "by-hand: spec.rows[0]: Row page_1h_5m can never fire for turn-4000ms-realtime: more than "
        "14.4 × 0.1 = 1.44 times all its turns would have to be bad. The largest possible burn is 1 ÷ 0.1 = 10: "
        "write a smaller factor, or leave it to row outage_10m_1m (bad share above 0.5)."
    )


def test_a_written_row_that_only_more_than_all_turns_reach_is_refused() -> None:
    assert "20 × 0.05 = 1 times" in only_refusal(slo_of("0.95"), of_rows(WrittenRow(HOUR_S, 300, Decimal(20), "page")))


def test_a_written_row_that_fires_while_the_objective_is_met_is_refused_with_its_arithmetic() -> None:
    row = WrittenRow(3 * DAY_S, 6 * HOUR_S, Decimal("0.7"), "ticket")
    assert only_refusal(slo_of("0.99", 7), of_rows(row)) == (
        "by-hand: spec.rows[0]: Row ticket_3d_6h fires while turn-4000ms-realtime is met: a burn of 0.7 for all "
        "of 7d spends 0.7 × 100 % = 70 % of the budget. Write a factor of 1 or more, or 1 with `long: 2d2h24m`, which "
        "spends as much."
    )


def test_a_written_row_that_looks_back_further_than_history_is_kept_is_refused() -> None:
    row = WrittenRow(10 * DAY_S, DAY_S, Decimal(1), "ticket")
    assert only_refusal(slo_of("0.99", 7), of_rows(row)) == (
        "by-hand: spec.rows[0]: Row ticket_10d_1d looks back 10d, and of turn-4000ms-realtime 7d (its period) and a day are "
        "kept: write 7d or less."
    )
    assert list(policy_problems(slo_of("0.99", 28), of_rows(row))) == []


def test_a_written_row_that_fires_only_once_the_budget_is_spent_is_refused_with_its_arithmetic() -> None:
    row = WrittenRow(3 * DAY_S, 6 * HOUR_S, Decimal("14.4"), "ticket")
    assert only_refusal(slo_of("0.999"), of_rows(row)) == (
        "by-hand: spec.rows[0]: Row ticket_3d_6h fires only once the budget of turn-4000ms-realtime is spent: "
        "14.4 × 3d ÷ 30d = 1.44 of it goes within the long window. Write a factor of at most 30d ÷ 3d = 10."
    )


def test_a_row_over_the_whole_period_may_tell_that_the_budget_is_spent() -> None:
    row = WrittenRow(30 * DAY_S, DAY_S, Decimal(1), "ticket")
    assert list(policy_problems(slo_of("0.999"), of_rows(row))) == []


def test_an_outage_within_what_the_objective_allows_is_refused_with_its_arithmetic() -> None:
    rows = (BudgetShare(Decimal("0.1"), DAY_S, "page"),)
    strict = Policy("by-hand", rows, Outage(Decimal("0.02"), 600, 60, Decimal("0.3"), "page"))
    assert only_refusal(slo_of("0.5"), strict) == (
        "by-hand: spec.outage: Row outage_10m_1m fires while turn-4000ms-realtime is met: it fires above 0.3 of turns bad, "
        "and 1 - 0.5 = 0.5 of them may be. Write a `badShareMax` of 0.5 or more."
    )
    little = Policy("by-hand", rows, Outage(Decimal("0.0005"), 600, 60, Decimal("0.5"), "page"))
    assert only_refusal(slo_of("0.99", 7), little) == (
        "by-hand: spec.outage: Row outage_10m_1m fires while turn-4000ms-realtime is met: 0.0005 × 7d ÷ 10m = 0.504 is a "
        "burn below 1. Write a `budgetShare` of at least 10m ÷ 7d = 0.000992."
    )


def test_an_outage_at_exactly_what_the_objective_allows_is_refused_for_its_share_alone() -> None:
    allowed = Policy("by-hand", (), Outage(Decimal("0.02"), 600, 60, Decimal("0.5"), "page"))
    assert list(policy_problems(slo_of("0.5"), allowed)) == []
    little = Policy("by-hand", (), Outage(Decimal("0.0005"), 600, 60, Decimal("0.5"), "page"))
    assert "Write a `budgetShare`" in only_refusal(slo_of("0.5", 7), little)


def test_a_share_of_the_budget_that_is_gone_in_seconds_is_refused() -> None:
    assert only_refusal(slo_of("0.99", 7), of_rows(BudgetShare(Decimal("0.0001"), HOUR_S, "page"))) == (
        "by-hand: spec.rows[0]: 0.0001 of the budget of turn-4000ms-realtime goes at a burn of 1 within 0.0001 × 7d = 1m, "
        "and a long window has to be 2m or more: write a larger `budgetShare`."
    )


def test_a_policy_of_which_nothing_can_fire_is_refused_and_has_nothing_that_covers() -> None:
    policy = of_rows(BudgetShare(Decimal("0.02"), HOUR_S, "page"))
    assert only_refusal(slo_of("0.9"), policy) == (
        "by-hand: spec.rows: No row of policy by-hand can fire for turn-4000ms-realtime: even row page_1h_5m needs more than "
        "14.4 × 0.1 = 1.44 times all its turns to be bad. Add an `outage`, or a row with a longer window."
    )
    assert unreachable_rows(slo_of("0.9"), policy) == ()


def exhausting(within_s: int, window_s: int = HOUR_S) -> Policy:
    return Policy("by-hand", exhausts=(Exhausts(within_s, window_s, "page"),))


def test_a_budget_that_is_to_last_longer_than_its_period_is_refused_with_its_arithmetic() -> None:
    assert only_refusal(slo_of("0.99"), exhausting(31 * DAY_S)) == (
        "by-hand: spec.exhausts[0]: Row page_exhausts_31d_1h_5m fires while turn-4000ms-realtime is met: a whole budget goes "
        "within 31d at a burn of 30d ÷ 31d = 0.968, which is below 1. Write a `within` of 30d (its period) or less."
    )
    assert list(policy_problems(slo_of("0.99"), exhausting(30 * DAY_S))) == []


def test_a_budget_that_is_gone_before_the_row_can_see_it_is_refused_with_its_arithmetic() -> None:
    assert only_refusal(slo_of("0.99"), exhausting(290)) == (
        "by-hand: spec.exhausts[0]: Row page_exhausts_4m50s_1h_5m can never fire in time for turn-4000ms-realtime: its short "
        "window, 5m, is longer than the 4m50s in which the budget is to go, and even at the largest possible burn, "
        "1 ÷ 0.01 = 100, it fires with 100 × 4m50s ÷ 30d = 1.12 % of it left. Write a `within` of 5m or more, or a shorter "
        "`window`."
    )
    assert list(policy_problems(slo_of("0.99"), exhausting(300))) == []
    assert list(policy_problems(slo_of("0.99"), exhausting(10, window_s=10))) == []


@pytest.mark.parametrize(
    ("policy", "objective"),
    [
        (exhausting(DAY_S, 8 * DAY_S), "0.99"),
        (Policy("by-hand", any_event=AnyEvent(8 * DAY_S, "page")), "0.9999"),
    ],
)
def test_a_window_longer_than_the_period_is_refused_for_every_kind_of_row(policy: Policy, objective: str) -> None:
    assert "looks back 8d, and of turn-4000ms-realtime 7d (its period)" in only_refusal(slo_of(objective, 7), policy)
    assert list(policy_problems(slo_of(objective, 28), policy)) == []


def test_a_row_that_waits_for_the_budget_covers_only_where_nothing_else_does() -> None:
    hour = BudgetShare(Decimal("0.02"), HOUR_S, "page")
    (left_out,) = unreachable_rows(slo_of("0.9"), replace(exhausting(HOUR_S), rows=(hour,)))
    assert left_out.covered_by.name == "page_exhausts_1h_1h_5m"
    outage = Outage(Decimal("0.02"), 600, 60, Decimal("0.5"), "page")
    (left_out,) = unreachable_rows(slo_of("0.9"), replace(exhausting(HOUR_S), rows=(hour,), outage=outage))
    assert left_out.covered_by.name == "outage_10m_1m"


@pytest.mark.parametrize(
    ("sound", "wrong", "line", "field", "says"),
    [
        ("within: 2h", "within: 0s", 8, "exhausts[0].within", "0s cannot be summed from buckets of 10 s"),
        ("within: 2h", "within: -2h", 8, "exhausts[0].within", "'-2h' is no duration"),
        ("window: 1h", "window: 5s", 9, "exhausts[0].window", "5s cannot be summed from buckets of 10 s"),
        ("window: 10m", "window: 5s", 12, "anyEvent.window", "5s cannot be summed from buckets of 10 s"),
        ("severity: ticket", "severity: log", 13, "anyEvent.severity", "has to be page or ticket"),
        ("resolveBelow: 0.8", "resolveBelow: 0", 14, "resolveBelow", "0 is no part of a threshold: write one above 0"),
        ("resolveBelow: 0.8", "resolveBelow: 1.01", 14, "resolveBelow", "1.01 is no part of a threshold"),
        ("resolveBelow: 0.8", "resolveBelow: -0.9", 14, "resolveBelow", "-0.9 is no part of a threshold"),
        ("page: 2m", "page: -2m", 16, "keepFiringFor.page", "'-2m' is no duration: write one such as 5m"),
        ("page: 2m", "page: 250ms", 16, "keepFiringFor.page", "250ms is no time to wait or to keep an alert"),
        ("ticket: 1h30m", "ticket: 24h1s", 17, "keepFiringFor.ticket", "write whole seconds, 0s to 1d"),
        ("ticket: 0s", "ticket: -1s", 20, "pendingFor.ticket", "'-1s' is no duration"),
    ],
)
def test_what_no_alert_can_live_by_is_told_at_its_line(
    folders: Folders, sound: str, wrong: str, line: int, field: str, says: str
) -> None:
    assert says in only_problem(folders, LIVELY_POLICY, sound, wrong, f"{line}: spec.{field}: ")


def test_a_policy_that_watches_nothing_is_told_what_it_could_watch(folders: Folders) -> None:
    slos, policies = folders(TURN_ALONE, LIVELY_POLICY.partition("  exhausts")[0])
    (problem,) = check(slos, policies=policies)
    assert problem == (
        f"{policies / 'by_hand.yaml'}:5: spec: Nothing is watched: add `rows`, `outage`, `exhausts` or `anyEvent`."
    )


def test_rows_that_differ_by_nothing_but_their_factor_are_refused() -> None:
    low, high = (WrittenRow(HOUR_S, 300, Decimal(factor), "page") for factor in (10, 14))
    assert only_refusal(slo_of("0.99"), of_rows(high, low)) == (
        "by-hand: spec.rows[0]: Row page_1h_5m is there for turn-4000ms-realtime with a burn of 10 too, which fires whenever "
        "this one of 14 does: keep one of them."
    )
    assert len(policy_for(slo_of("0.99"), of_rows(low, low)).rows) == 1


def test_a_refused_row_is_told_at_its_line_for_each_objective_that_names_it(folders: Folders) -> None:
    slo = by_hand(TURN_ALONE).replace("target: 0.99", "target: 0.9")
    slos, policies = folders(f"{slo}---\n{slo.replace('realtime', 'batch')}", WRITTEN_POLICY)
    told = check(slos, policies=policies)
    assert [problem.partition(" can never")[0] for problem in told] == [
        f"{policies / 'by_hand.yaml'}:8: spec.rows[0]: Row page_1h_5m"
    ] * 2
    assert ["turn-4000ms-realtime" in told[0], "turn-4000ms-batch" in told[1]] == [True, True]


# -- properties --------------------------------------------------------------------------------------------------------

objectives = st.integers(50_000, 99_999).map(lambda part: Decimal(part).scaleb(-5))
periods = st.sampled_from([7, 28, 30, 90])
windows_s = st.integers(2, 95 * 8_640).map(lambda tens: tens * 10)
factors = st.integers(1, 200_000).map(lambda part: Decimal(part).scaleb(-3))
shares = st.integers(1, 10_000).map(lambda part: Decimal(part).scaleb(-4))


@given(objective=objectives, period_d=periods, long_s=windows_s, factor=factors)
def test_a_written_row_is_refused_exactly_when_it_is_of_no_use(
    objective: Decimal, period_d: int, long_s: int, factor: Decimal
) -> None:
    slo = slo_of(str(objective), period_d)
    is_useful = (
        1 <= Fraction(factor) < 1 / (1 - Fraction(objective))
        and Fraction(factor) * long_s <= slo.period_s
        and long_s <= slo.period_s
    )
    assert (list(policy_problems(slo, of_rows(WrittenRow(long_s, 10, factor, "page")))) == []) is is_useful


@given(objective=objectives, period_d=periods, share=shares, long_s=windows_s, bad_share_max=factors)
def test_what_is_not_refused_can_fire_and_never_while_the_objective_is_met(
    objective: Decimal, period_d: int, share: Decimal, long_s: int, bad_share_max: Decimal
) -> None:
    slo = slo_of(str(objective), period_d)
    outage = Outage(share, long_s, 10, min(bad_share_max, Decimal("0.9999")), "page")
    policy = of_rows(BudgetShare(share, long_s, "page"), outage=outage)
    if not list(policy_problems(slo, policy)):
        for row in policy_for(slo, policy).rows:
            assert slo.budget_rate <= row.threshold < 1
            assert 10 <= row.short_s < row.long_s <= slo.period_s


@given(objective=objectives, period_d=periods)
def test_the_shipped_policies_are_refused_for_no_objective_but_that_of_any_event(
    objective: Decimal, period_d: int
) -> None:
    for policy in shipped_policies().values():
        problems = list(policy_problems(slo_of(str(objective), period_d), policy))
        assert bool(problems) is (policy.any_event is not None and objective < Decimal("0.9999"))


@given(objective=objectives, period_d=periods, within_s=windows_s, window_s=windows_s)
def test_a_row_that_exhausts_is_refused_exactly_when_it_is_of_no_use(
    objective: Decimal, period_d: int, within_s: int, window_s: int
) -> None:
    slo = slo_of(str(objective), period_d)
    short_s = max(10, window_s // 12 // 10 * 10)
    is_useful = window_s <= slo.period_s and short_s <= within_s <= slo.period_s
    assert (list(policy_problems(slo, exhausting(within_s, window_s))) == []) is is_useful
    if is_useful:
        (row,) = policy_for(slo, exhausting(within_s, window_s)).rows
        assert (row.long_s, row.short_s, row.within_s) == (window_s, short_s, within_s)


def test_the_shipped_slos_folder_is_watched_by_the_shipped_policies() -> None:
    assert check(SHIPPED_SLOS, policies=SHIPPED_POLICIES) == []
