"""Gates on figures: what blocks, what is too little, and that exactly on what is allowed passes."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.gate_document import load_gate
from schemas.gates import Figures, GateMetric, GatePolicy
from stream_jobs.operators.release.comparing import Values, compared, regresses
from stream_jobs.operators.release.gates import (
    POOLED,
    RolloutDeltas,
    metric_gate,
    roll_back_first,
    rollout_gate,
    slice_gate,
)

STANDARD = load_gate()


def served(calls: int = 500, wer: str = "0.1", p95_ms: str = "900", cost_per_min: str = "0.05") -> Figures:
    written = {"calls": str(calls), "wer": wer, "p95_ms": p95_ms, "cost_per_min": cost_per_min}
    return {name: Decimal(value) for name, value in written.items()}


@pytest.mark.parametrize(
    ("changed", "reasons"),
    [
        ({}, ()),
        ({"wer": "0.115"}, ()),
        ({"wer": "0.1150001"}, ("quality",)),
        ({"p95_ms": "1150"}, ()),
        ({"p95_ms": "1150.1"}, ("latency",)),
        ({"cost_per_min": "0.06"}, ()),
        ({"cost_per_min": "0.0601"}, ("cost",)),
        ({"wer": "0.2", "p95_ms": "2000", "cost_per_min": "1"}, ("quality", "latency", "cost")),
        ({"wer": "0.0", "p95_ms": "1", "cost_per_min": "0"}, ()),
    ],
)
def test_a_slice_blocks_for_the_reasons_of_what_got_worse(changed: dict[str, str], reasons: tuple[str, ...]) -> None:
    verdict = slice_gate({"far": served()}, {"far": served(**changed)}, STANDARD)  # type: ignore[arg-type]
    assert verdict.decision == ("rollback" if reasons else "continue")
    assert verdict.reasons == reasons
    assert [(each.slice, each.reasons) for each in verdict.blockers] == ([("far", reasons)] if reasons else [])


def test_a_baseline_that_costs_nothing_counts_as_a_cent_a_minute() -> None:
    for cost, decision in (("0.012", "continue"), ("0.0121", "rollback")):
        free, dear = served(cost_per_min="0"), served(cost_per_min=cost)
        assert slice_gate({"a": free}, {"a": dear}, STANDARD).decision == decision


@pytest.mark.parametrize(
    ("baseline", "candidate", "decision", "insufficient"),
    [
        ({}, {}, "pause", ()),
        ({"a": served()}, {}, "pause", ("a",)),
        ({}, {"a": served()}, "pause", ("a",)),
        ({"a": served()}, {"a": served(199)}, "pause", ("a",)),
        ({"a": served(10)}, {"a": served(200)}, "continue", ()),
        ({"a": served(0)}, {"a": served(200)}, "pause", ("a",)),
        ({"a": served(0)}, {"a": served(wer="0.9")}, "pause", ("a",)),
        ({"a": served(), "b": served()}, {"a": served()}, "pause", ("b",)),
        ({"a": served()}, {"a": served(), "b": served()}, "pause", ("b",)),
        ({"a": served(), "b": served()}, {"a": served(wer="0.9"), "b": served(3)}, "rollback", ("b",)),
    ],
    ids=[
        "nothing",
        "gone",
        "new",
        "too small",
        "just enough",
        "a baseline of no calls",
        "worse than no calls",
        "one gone",
        "one new",
        "a blocker beside too little",
    ],
)
def test_what_cannot_be_judged_is_never_good_news(
    baseline: dict[str, Figures], candidate: dict[str, Figures], decision: str, insufficient: tuple[str, ...]
) -> None:
    verdict = slice_gate(baseline, candidate, STANDARD)
    assert (verdict.decision, verdict.insufficient) == (decision, insufficient)


def test_a_metric_that_a_slice_lacks_is_not_judged_and_pauses_where_the_slice_is_protected() -> None:
    without = {name: value for name, value in served().items() if name != "wer"}
    assert slice_gate({"a": served()}, {"a": without}, STANDARD).decision == "pause"
    unprotected = GatePolicy("p", STANDARD.metrics, protected=frozenset())
    verdict = slice_gate({"a": served()}, {"a": without}, unprotected)
    assert (verdict.decision, verdict.insufficient) == ("continue", ("a",))


def test_who_goes_on_is_told_how_many_slices_were_not_judged() -> None:
    policy = GatePolicy("p", STANDARD.metrics, protected=frozenset({"big"}))
    slices = {"big": served(), "s1": served(10), "s2": served(10)}
    assert "; 2 of 3 could not be judged" in slice_gate(slices, slices, policy).because
    assert slice_gate({"big": served()}, {"big": served()}, policy).because == "No slice got worse than allowed."


def test_a_slice_that_is_protected_by_name_and_that_neither_side_has_is_a_pause() -> None:
    policy = GatePolicy("p", STANDARD.metrics, protected=frozenset({"emergency", "big"}))
    verdict = slice_gate({"big": served()}, {"big": served()}, policy)
    assert (verdict.decision, verdict.insufficient) == ("pause", ("emergency",))
    assert slice_gate({}, {}, policy).insufficient == ("big", "emergency")
    worse = slice_gate({"big": served()}, {"big": served(wer="0.9")}, policy)
    assert (worse.decision, worse.insufficient) == ("rollback", ("emergency",))


def test_small_slices_that_nobody_protects_are_judged_together_by_calls() -> None:
    policy = GatePolicy("p", STANDARD.metrics, protected=frozenset({"big"}))
    baseline = {"big": served(), "s1": served(150, wer="0.10"), "s2": served(50, wer="0.30")}
    # 0.15 on average before; 0.1652 and 0.165 now: the allowed 0.015 more is between them.
    for wer, decision in (("0.1652", "rollback"), ("0.1650", "continue")):
        candidate = {"big": served(), "s1": served(120, wer=wer), "s2": served(80, wer=wer)}
        verdict = slice_gate(baseline, candidate, policy)
        assert (verdict.decision, verdict.pooled) == (decision, ("s1", "s2"))
        assert [each.slice for each in verdict.blockers] == ([POOLED] if decision == "rollback" else [])
        assert verdict.insufficient == ("s1", "s2"), "their p95 cannot be pooled"
        assert (
            "taken together" if decision == "rollback" else "; 2 of 3 are too small and were judged together."
        ) in verdict.because
        pooled = next(each for each in verdict.judged if (each.slice, each.metric) == (POOLED, "wer"))
        assert (pooled.baseline, pooled.candidate, pooled.candidate_samples) == (Fraction("0.15"), Fraction(wer), 200)
        assert pooled.outcome == ("worse" if decision == "rollback" else "inside") and not pooled.is_protected


def test_small_slices_that_are_too_small_together_are_only_named() -> None:
    policy = GatePolicy("p", STANDARD.metrics, protected=frozenset({"big"}))
    slices = {"big": served(), "s1": served(99, wer="0.9"), "s2": served(100)}
    verdict = slice_gate({**slices, "s1": served()}, slices, policy)
    assert (verdict.decision, verdict.pooled, verdict.insufficient) == ("continue", (), ("s1", "s2"))


@pytest.mark.parametrize("side", ["baseline", "candidate"])
def test_a_small_slice_without_a_metric_leaves_the_others_judged_by_it(side: str) -> None:
    policy = GatePolicy("p", STANDARD.metrics, protected=frozenset())
    without = {name: value for name, value in served(199).items() if name != "wer"}
    baseline = {"a": served(100), "b": served(100), "c": served(199)}
    for calls, reasons in ((100, ("quality",)), (99, ())):
        candidate = {"a": served(100, wer="0.9"), "b": served(calls, wer="0.9"), "c": served(199)}
        sides = {"baseline": baseline, "candidate": candidate}
        verdict = slice_gate(**(sides | {side: sides[side] | {"c": without}}), policy=policy)
        assert (verdict.reasons, verdict.pooled) == (reasons, ("a", "b", "c")), "c is judged by its cost"


@pytest.mark.parametrize("side", ["baseline", "candidate"])
def test_a_small_slice_of_which_a_side_has_no_calls_is_not_pooled(side: str) -> None:
    policy = GatePolicy("p", STANDARD.metrics, protected=frozenset({"big"}))
    slices = {"big": served(), "s1": served(199), "s2": served(199)}
    sides = {"baseline": slices, "candidate": slices}
    verdict = slice_gate(**(sides | {side: slices | {"s2": served(0, wer="0.9")}}), policy=policy)
    assert (verdict.decision, verdict.pooled, verdict.insufficient) == ("continue", (), ("s1", "s2"))


def test_slices_that_no_metric_judges_together_are_not_named_as_pooled() -> None:
    policy = GatePolicy("p", tuple(each for each in STANDARD.metrics if not each.is_pooled), protected=frozenset())
    verdict = slice_gate({"a": served(150), "b": served(150)}, {"a": served(150), "b": served(150)}, policy)
    assert (verdict.decision, verdict.pooled, verdict.insufficient) == ("pause", (), ("a", "b"))


@pytest.mark.parametrize("named", ["baseline", "both", "policy"])
def test_a_slice_that_is_called_pooled_is_judged_beside_the_pool(named: str) -> None:
    policy = GatePolicy("p", STANDARD.metrics, protected=frozenset({"pooled"} if named == "policy" else ()))
    small, worse = {"s": served(199), "t": served(199)}, served(199, wer="0.9")
    baseline = small | ({} if named == "policy" else {"pooled": served()})
    candidate = {"s": worse, "t": worse} | ({"pooled": served(p95_ms="9000")} if named == "both" else {})
    verdict = slice_gate(baseline, candidate, policy)
    of_the_slice = [("pooled", ("latency",))] if named == "both" else []
    assert [(each.slice, each.reasons) for each in verdict.blockers] == [*of_the_slice, ("pooled_", ("quality",))]
    assert ("pooled" in verdict.insufficient) is (named != "both")


def test_latency_of_small_slices_is_not_averaged() -> None:
    policy = GatePolicy("p", STANDARD.metrics, protected=frozenset())
    verdict = slice_gate(
        {"a": served(150), "b": served(150)}, {"a": served(150, p95_ms="9000"), "b": served(150)}, policy
    )
    assert (verdict.decision, verdict.insufficient) == ("continue", ("a", "b"))


ACCURACY = GateMetric("accuracy", "accuracy", "higher_is_better", allowed_delta=Decimal("0.01"))
LATENCY = GateMetric("latency_ms", "latency_ms", allowed_delta=Decimal(50))


def figures(**values: str) -> Figures:
    return {name: Decimal(value) for name, value in values.items()}


@pytest.mark.parametrize(
    ("candidate", "decision", "reasons"),
    [
        (figures(accuracy="0.89", latency_ms="150"), "continue", ()),
        (figures(accuracy="0.8899", latency_ms="1"), "rollback", ("accuracy",)),
        (figures(accuracy="0.99", latency_ms="150.01"), "rollback", ("latency_ms",)),
        (figures(accuracy="0.99"), "pause", ()),
        (figures(accuracy="0.1"), "rollback", ("accuracy",)),
        (figures(), "pause", ()),
    ],
)
def test_metrics_of_the_whole(candidate: Figures, decision: str, reasons: tuple[str, ...]) -> None:
    verdict = metric_gate(figures(accuracy="0.90", latency_ms="100"), candidate, (ACCURACY, LATENCY))
    assert (verdict.decision, verdict.reasons) == (decision, reasons)


def test_a_gate_without_metrics_is_refused_and_goes_on_for_nobody() -> None:
    with pytest.raises(ValueError, match="without metrics"):
        metric_gate(figures(accuracy="0.9"), figures(accuracy="0.9"), ())


@pytest.mark.parametrize(
    ("latency", "far_field", "privacy", "wer", "decision", "reasons"),
    [
        ("100", "0.03", 0, "-0.02", "continue", ("quality_gain",)),
        ("100.1", "0.03", 0, "-0.5", "rollback", ("latency",)),
        ("0", "0.0300001", 0, "-0.5", "rollback", ("far_field_wer",)),
        ("0", "0", 1, "-0.5", "rollback", ("privacy",)),
        ("101", "0.04", 2, "-0.5", "rollback", ("latency", "far_field_wer", "privacy")),
        ("0", "0", 0, "-0.0199", "pause", ("insufficient_gain",)),
    ],
)
def test_deltas_of_a_rollout(
    latency: str, far_field: str, privacy: int, wer: str, decision: str, reasons: tuple[str, ...]
) -> None:
    verdict = rollout_gate(RolloutDeltas(Decimal(latency), Decimal(far_field), privacy, Decimal(wer)))
    assert (verdict.decision, verdict.reasons) == (decision, reasons)


@pytest.mark.parametrize(
    ("regressions", "weights", "version"),
    [
        ({}, {}, None),
        ({"v1": {"a": "0"}, "v2": {"a": "-3"}}, {}, None),
        ({"v1": {"a": "0.1"}, "v2": {"a": "0.1"}}, {}, "v1"),
        ({"v1": {"a": "0.3"}, "v2": {"emergency": "0.1"}}, {"emergency": "4"}, "v2"),
        ({"v1": {"a": "0.3"}, "v2": {"a": "5", "b": "-9"}}, {"b": "100"}, "v2"),
        ({"v1": {"a": "9"}, "v2": {"b": "0.1"}}, {"a": "0"}, "v2"),
    ],
)
def test_the_version_that_weighs_most_is_rolled_back_first(
    regressions: dict[str, dict[str, str]], weights: dict[str, str], version: str | None
) -> None:
    read = {name: figures(**slices) for name, slices in regressions.items()}
    assert roll_back_first(read, figures(**weights)).version == version


def test_scores_that_differ_in_the_thirtieth_digit_differ() -> None:
    long = "1.00000000000000000000000000001"
    assert roll_back_first({"v1": figures(a="1"), "v2": figures(a=long)}, {}).version == "v2"


SHARES = st.decimals(0, 2, places=3)


@given(SHARES, SHARES, st.sampled_from(["lower_is_better", "higher_is_better"]), SHARES, st.booleans())
def test_a_metric_regresses_as_the_arithmetic_of_fractions_says(
    before: Decimal, now: Decimal, direction: str, allowed: Decimal, is_ratio: bool
) -> None:
    floor = Decimal("0.01") if direction == "lower_is_better" else Decimal(0)
    bound = {"allowed_ratio": allowed + 1, "floor": floor} if is_ratio else {"allowed_delta": allowed}
    metric = GateMetric("m", "m", direction, **bound)  # type: ignore[arg-type]
    worse, better = (now, before) if direction == "lower_is_better" else (before, now)
    expected = (
        Fraction(worse) > (1 + Fraction(allowed)) * max(Fraction(better), Fraction(floor))
        if is_ratio
        else Fraction(worse) - Fraction(better) > Fraction(allowed)
    )
    assert regresses(metric, Fraction(before), Fraction(now)) is expected
    told = compared(metric, Values(Fraction(before), Fraction(now)))
    assert told.worse_by == Fraction(worse) - Fraction(better) and told.allowed is not None
    assert (told.worse_by > told.allowed) is expected is (told.outcome == "worse")
