"""What Alertmanager did is compared with the script: nothing too early, nothing missing, nothing besides."""

from __future__ import annotations

from collections.abc import Mapping

from alerts.routes_judgement import Finding, Heard, is_complete, judge
from alerts.routes_script import Script

S = 1_000


def script(*expect: Mapping[str, object]) -> Script:
    written = {
        "about": "test",
        "until": "10m",
        "alerts": {name: {"alertname": name} for name in "ab"},
        "steps": [{"at": "0s", "fire": ["a", "b"]}],
        "expect": list(expect),
    }
    return Script.model_validate(written)


def page(at_s: float, firing: str = "a", resolved: str = "", receiver: str = "on-call") -> Heard:
    return Heard(at_s * S, receiver, frozenset(firing), frozenset(resolved))


A_SOON = {"receiver": "on-call", "firing": ["a"], "between": ["5s", "1m"]}


def verdicts(findings: tuple[Finding, ...]) -> list[str]:
    return [f"{finding.what}: {finding.verdict}" for finding in findings]


def test_what_comes_in_time_is_as_expected() -> None:
    for at_s in (5, 30, 60):
        assert verdicts(judge(script(A_SOON), [page(at_s)])) == ["firing a: as expected"]


def test_what_comes_too_early_or_too_late_is_told_with_when_it_was_due() -> None:
    for at_s in (4.9, 61):
        told, missing = sorted(verdicts(judge(script(A_SOON), [page(at_s)])))
        assert told == "firing a: expected between 5s and 1m"
        assert missing == "firing a: never came; expected between 5s and 1m"


def test_a_slow_machine_excuses_lateness_never_haste() -> None:
    assert is_complete(script(A_SOON), [page(75)], late_ms=15 * S)
    assert not is_complete(script(A_SOON), [page(75.1)], late_ms=15 * S)
    assert not is_complete(script(A_SOON), [page(4.9)], late_ms=15 * S)


def test_another_receiver_or_other_alerts_are_something_else() -> None:
    for other in (page(30, receiver="tickets"), page(30, "ab"), page(30, "", "a"), page(30, "a", "b")):
        findings = judge(script(A_SOON), [other])
        assert sorted(finding.is_right for finding in findings) == [False, False]
        assert "nobody expected it" in {finding.verdict for finding in findings}


def test_what_nobody_expects_is_wrong_also_beside_what_is_right() -> None:
    findings = judge(script(A_SOON), [page(30), page(40, "b")])
    assert verdicts(findings) == ["firing a: as expected", "firing b: nobody expected it"]


def test_a_second_one_is_wrong_where_one_is_expected() -> None:
    assert [finding.is_right for finding in judge(script(A_SOON), [page(10), page(20)])] == [True, False]


def test_as_many_may_come_as_the_script_says() -> None:
    often = script(A_SOON | {"times": [2, 3]})
    for count, is_right in ((1, False), (2, True), (3, True), (4, False)):
        findings = judge(often, [page(10 + number) for number in range(count)])
        assert all(finding.is_right for finding in findings) is is_right
    (_, missing) = verdicts(judge(often, [page(10)]))
    assert missing == "firing a: came 1×, not 2 to 3×; expected between 5s and 1m"


def test_of_two_expectations_alike_each_gets_its_own() -> None:
    """The one that ends first is answered first, in whatever order they are written."""
    early, late = A_SOON, A_SOON | {"between": ["10s", "5m"]}
    for both in ((early, late), (late, early)):
        assert is_complete(script(*both), [page(20), page(200)], 0)
        assert is_complete(script(*both), [page(20), page(30)], 0)
        assert not is_complete(script(*both), [page(100), page(200)], 0)


def test_what_is_in_time_for_one_is_not_taken_for_a_late_other() -> None:
    early = A_SOON | {"times": [1, 9]}
    both = script(early, A_SOON | {"between": ["5m", "6m"]})
    assert is_complete(both, [page(20), page(310)], late_ms=600 * S)


def test_what_came_besides_keeps_nobody_waiting_for_more() -> None:
    assert is_complete(script(A_SOON), [page(30), page(40, "b")], 0)
    assert not is_complete(script(A_SOON), [page(40, "b")], 0)


def test_nothing_is_as_expected_where_nothing_may_come() -> None:
    assert judge(script(), []) == ()
    assert is_complete(script(), [], 0)


def test_what_comes_after_the_scripts_end_is_not_judged() -> None:
    assert judge(script(), [page(601)], late_ms=60 * S) == ()
