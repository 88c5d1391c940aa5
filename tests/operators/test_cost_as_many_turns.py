"""With as many turns as then: fewer of them leave capacity idle, and explain nothing of what each turn uses."""

from __future__ import annotations

from random import Random

import polars as pl
import pytest

from schemas.instants import HOUR_MS
from stream_jobs.operators.cost.periods import CostPeriods
from stream_jobs.operators.cost.pricing import NANO
from stream_jobs.operators.cost.regressions import regressions
from tests.operators.spend_worlds import GPU_NUSD, POLICY, Row, cell

POOL, SUPPORT, SALES = "pool=realtime", "pool=realtime,route=support", "pool=realtime,route=sales"


def served(route: str, turns: int, gpu_ms: int = 3_000, **told: str) -> Row:
    """Turns of a route, of which 90 % succeed, and the GPU time of each."""
    return cell(route=route, turns=turns, successes=turns * 9 // 10, attempts=turns, gpu_used_ms=gpu_ms * turns, **told)


def hosted(route: str, turns: int, tokens: int) -> Row:
    """Turns of a route on a hosted model, and the tokens of each."""
    nusd = turns * tokens * NANO // 1_000_000
    told = {"tokens_out": turns * tokens, "used_nusd": nusd, "reserved_nusd": nusd}
    return served(route, turns, gpu_ms=0) | {"gpu_type": "none", "purchase": "hosted", **told}


def replicas(gpu_hours: float, **told: str) -> Row:
    return cell(route="shared", gpu_reserved_ms=round(gpu_hours * HOUR_MS), **told)


def found(old: list[Row], new: list[Row]) -> set[str]:
    return {each.slice for each in regressions(CostPeriods(pl.DataFrame(old), pl.DataFrame(new)), POLICY)}


def test_tokens_of_each_turn_that_doubled_are_told_although_turns_halved() -> None:
    old, new = [hosted("support", 20_000, 500)], [hosted("support", 10_000, 1_000)]
    assert POOL in found(old, new)
    assert found(old, [hosted("support", 10_000, 500)]) == set()


def test_tokens_are_told_beside_replicas_that_fewer_turns_leave_idle() -> None:
    """Of each turn they cost half as much again; idle replicas are not told for it."""
    old = [hosted("support", 20_000, 1_000), served("sales", 20_000), replicas(30)]
    assert found(old, [hosted("support", 10_000, 1_000), served("sales", 10_000), replicas(30)]) == set()
    new = [hosted("support", 10_000, 1_500), served("sales", 10_000), replicas(30)]
    assert {POOL, SUPPORT} & found(old, new)


def test_a_route_that_uses_more_is_told_although_the_other_one_lost_its_turns() -> None:
    """Support has as many turns and pays 90 % more, for what it uses and not for what sales left."""
    old = [served("support", 20_000), served("sales", 20_000), replicas(60)]
    new = [served("support", 20_000, 5_700), served("sales", 1_200), replicas(60)]
    assert SUPPORT in found(old, new)
    lost = [served("support", 20_000), served("sales", 1_200), replicas(60)]
    gone = [served("support", 20_000), replicas(60)]
    assert found(old, lost) == found(old, gone) == set()


def test_turns_that_would_need_more_replicas_than_there_are_pay_for_them() -> None:
    """Four fifths of the replicas were used; half of the turns use three times as much each, and fill them."""
    old, new = [served("support", 20_000, 4_000), replicas(28)], [served("support", 10_000, 12_000), replicas(34)]
    assert POOL in found(old, new)
    filled = [served("support", 10_000, 5_000), replicas(28)]
    assert found(old, filled) == set(), "as many turns would fit on what is there"


def test_idle_replicas_of_one_model_do_not_pay_for_another() -> None:
    def fleet(turns: int, large_ms: int) -> list[Row]:
        large = {"model_version": "llm-2"}
        of_two = [served("support", turns, 500), served("sales", turns, large_ms, **large)]
        return [*of_two, replicas(30), replicas(turns * large_ms / HOUR_MS, **large)]

    assert {POOL, SALES} & found(fleet(20_000, 5_000), fleet(10_000, 10_000))


@pytest.mark.parametrize("tells_use", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_fixed_capacity_is_no_regression_at_any_hour(seed: int, tells_use: bool) -> None:
    """Whatever comes of which route, on replicas of two models."""
    draw = Random(seed)
    gpu_ms = 3_000 if tells_use else 0

    def hour() -> list[Row]:
        support, sales, other = (draw.randint(2_000, 20_000) for _ in range(3))
        large = {"model_version": "llm-2"}
        told = [
            served("support", support, gpu_ms),
            served("sales", sales, 2 * gpu_ms),
            served("other", other, gpu_ms, **large),
        ]
        return [*told, replicas(60), replicas(30, **large)]

    for _ in range(10):
        assert found(hour(), hour()) == set(), f"seed {seed}"


def test_with_as_many_turns_as_there_are_it_costs_what_it_costs() -> None:
    rows = [served("support", 20_000), hosted("sales", 7_000, 333), replicas(31)]
    slices = CostPeriods(pl.DataFrame(rows), pl.DataFrame(rows)).by_slice
    assert slices["nusd_as_many"].to_list() == slices["nusd"].to_list()
    assert slices["nusd"].sum() > 31 * HOUR_MS * GPU_NUSD
