"""A page names the slices that explain it and the release that began before it, from the suspects of every shard."""

from __future__ import annotations

from alerts.explanations import Paging
from alerts.pages import Pages, Stepped, restore, step
from schemas.burns import AlertState, Decision
from tests.rules.burning import CANARY, TURN_SLO, burning, decided, suspect

PAGING = Paging(slos={TURN_SLO.name: TURN_SLO})
NOW_MS = 1_800_000_000_000
FLEET = "pool=realtime"
FLEET_BURN = burning(slice_text=FLEET)  # 1,000 of 4,000 turns bad, 960 more than allowed.
CULPRIT = suspect(CANARY, 893, 960, first_seen_s=-720)


def run(*decisions: Decision, pages: Pages | None = None, paging: Paging = PAGING) -> list[Stepped]:
    steps: list[Stepped] = []
    for place, decision in enumerate(decisions):
        steps.append(step(steps[-1].pages if steps else pages or Pages(), decision, paging, NOW_MS + place * 1_000))
    return steps


def fleet(*decisions: Decision, paging: Paging = PAGING) -> AlertState:
    """The fleet's alert after these decisions."""
    return next(alert for alert in run(*decisions, paging=paging)[-1].pages.alerts if alert.burn.slice == FLEET)


def test_of_what_must_never_happen_one_slice_explains_the_fleet_however_much_traffic_there_is() -> None:
    """One bad turn is fewer than an objective of 99.99 % allows of 20,000, and a page all the same."""
    one = {"factor": 0.0, "threshold": 0.0, "long_bad": 1, "long_total": 20_000, "short_bad": 1, "short_total": 20_000}
    alert = fleet(
        decided(10, shard=1, suspects=(suspect(CANARY, 1, 500),)), decided(10, FLEET_BURN.model_copy(update=one))
    )
    assert alert.annotations["explained_by"] == CANARY
    assert "1 bad turn in pool=realtime (all of the excess is in bundle=v2-canary" in alert.annotations["summary"]


def test_a_page_of_the_fleet_names_the_slice_that_explains_it_and_the_release_before_it() -> None:
    alert = fleet(decided(10, shard=1, suspects=(CULPRIT,)), decided(10, FLEET_BURN))
    assert alert.annotations["summary"].startswith(
        "turn-4000ms-realtime burns 25 times its budget in pool=realtime (92 % of the excess is in bundle=v2-canary, "
        "which has 24 % of the traffic; bundle=v2-canary was first seen 12m10s before): 25 % of turns bad"
    )
    assert alert.annotations["explained_by"] == CANARY
    assert alert.annotations["release"] == "bundle=v2-canary, first seen at 2023-11-14T22:01:20Z"
    assert f"Of it, 92 % is in:\n  {CANARY}\n" in alert.annotations["description"]


def test_labels_do_not_move_with_what_explains_a_burn() -> None:
    plain, explained = fleet(decided(10, FLEET_BURN)), fleet(decided(10, FLEET_BURN, suspects=(CULPRIT,)))
    assert plain.labels == explained.labels
    assert "explained_by" not in plain.annotations


def test_several_slices_are_named_up_to_three_in_the_title_and_all_in_the_description() -> None:
    suspects = tuple(suspect(f"{FLEET},region=r{place}", 160, 160) for place in range(5))
    said = fleet(decided(10, FLEET_BURN, suspects=suspects)).annotations
    assert (
        "(82.5 % of the excess is in region=r0, region=r1, region=r2 and 2 more, which have 20 % of" in said["summary"]
    )
    assert said["explained_by"] == "; ".join(each.slice for each in suspects)
    assert all(f"\n  {each.slice}\n" in said["description"] for each in suspects)


def test_the_culprits_own_page_explains_itself_by_nothing_and_names_its_release() -> None:
    (alert,) = run(decided(10, burning(), suspects=(CULPRIT,)))[0].published
    assert "explained_by" not in alert.annotations
    assert (
        "in pool=realtime,bundle=v2-canary (bundle=v2-canary was first seen 12m10s before): "
        in alert.annotations["summary"]
    )


def test_suspects_of_another_window_objective_or_pool_explain_nothing() -> None:
    other = TURN_SLO.name + "-2"
    suspects = (
        CULPRIT.model_copy(update={"long_s": 600}),
        CULPRIT.model_copy(update={"slo": other}),
        CULPRIT.model_copy(update={"slice": "pool=batch,bundle=v2-canary"}),
    )
    assert not {"explained_by", "release"} & fleet(decided(10, FLEET_BURN, suspects=suspects)).annotations.keys()


def test_what_another_shard_decided_long_ago_or_states_no_more_explains_nothing() -> None:
    stated = decided(10, shard=1, suspects=(CULPRIT,))
    assert "explained_by" in fleet(stated, decided(70, FLEET_BURN)).annotations
    assert "explained_by" not in fleet(stated, decided(80, FLEET_BURN)).annotations
    assert "explained_by" not in fleet(stated, decided(20, shard=1), decided(20, FLEET_BURN)).annotations


def test_an_explanation_that_comes_after_the_page_is_told_at_once_and_only_once() -> None:
    steps = run(
        decided(10, FLEET_BURN),
        decided(20, shard=1, suspects=(CULPRIT,)),
        decided(20, FLEET_BURN),
        decided(30, FLEET_BURN),
    )
    assert [len(each.news) for each in steps] == [1, 0, 1, 0]


def test_a_shard_that_decides_a_moment_after_the_page_explains_it_before_anybody_is_notified() -> None:
    suspects = decided(10, burning(), shard=1, suspects=(CULPRIT,))
    first, second, again = run(decided(10, FLEET_BURN), suspects, suspects)
    begun, explained = (next(each for each in step.published if each.burn.slice == FLEET) for step in (first, second))
    assert explained in second.news
    assert explained.annotations["explained_by"] == CANARY
    assert explained.version > begun.version
    assert explained == begun.model_copy(update={"annotations": explained.annotations, "version": explained.version})
    assert explained in second.pages.alerts
    assert FLEET not in [each.burn.slice for each in again.published], "once"


def test_a_page_that_lasts_is_explained_by_its_own_shards_decisions_only() -> None:
    steps = run(decided(10, FLEET_BURN), decided(20, FLEET_BURN), decided(20, shard=1, suspects=(CULPRIT,)))
    assert steps[-1].published == ()


def test_only_a_bundle_first_seen_within_a_day_before_the_page_is_its_release() -> None:
    def release(*seen_s: int | None) -> str | None:
        suspects = [
            suspect(f"{FLEET},bundle=v{place}", 300, 900, first_seen_s) for place, first_seen_s in enumerate(seen_s)
        ]
        stated = decided(10, FLEET_BURN, suspects=tuple(suspects))
        return fleet(stated).annotations.get("release", "").partition(",")[0] or None

    assert release(-600, -300, 20) == "bundle=v1", "the last before the start"
    assert release(-86_390) == "bundle=v0"
    assert release(-86_400) is None
    assert release(20) is None, "what began after it"
    assert release(None) is None, "what was there when the history began"


def test_a_release_is_told_against_the_beginning_of_the_page_however_long_it_lasts() -> None:
    last = run(*(decided(at_s, burning(), suspects=(CULPRIT,)) for at_s in (10, 20, 30)))[-1].published[0]
    assert "first seen 12m10s before" in last.annotations["summary"]


def test_a_bundle_new_in_a_region_is_the_release_of_that_region() -> None:
    region = f"{FLEET},region=eu"
    local = suspect(f"{region},bundle=v3", 900, 1_000, first_seen_s=-60)
    burn = burning(slice_text=region)
    (alert,) = run(decided(10, burn, suspects=(local, CULPRIT)))[0].published
    assert alert.annotations["explained_by"] == local.slice
    assert alert.annotations["release"].startswith("bundle=v3,")


def test_an_objective_unknown_here_pages_without_an_explanation_but_with_its_release() -> None:
    said = fleet(decided(10, FLEET_BURN, suspects=(CULPRIT,)), paging=Paging()).annotations
    assert "explained_by" not in said
    assert "release" in said


def test_a_page_that_was_saved_before_there_were_explanations_goes_on_with_one() -> None:
    before = run(decided(10, FLEET_BURN))[0].published[0]
    saved = AlertState.model_validate_json(before.model_dump_json())
    pages = restore([saved], shards=1, now_ms=NOW_MS)
    (after,) = run(decided(20, FLEET_BURN, suspects=(CULPRIT,)), pages=pages)[0].published
    assert (after.starts_ms, after.labels, after.annotations["explained_by"]) == (
        before.starts_ms,
        before.labels,
        CANARY,
    )
