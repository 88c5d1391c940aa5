"""The slices that explain a burn are the fewest that hold most of its excess, as trying every set would find them."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.attribution import EXPLAINED_MIN, LIFT_MIN, Explanation, explain_burn
from schemas.burns import Suspect
from schemas.slices import cut_of
from tests.rules.burning import suspect

ROOT = "pool=realtime"
ALLOWED = Decimal("0.01")


def within(dimensions: str, bad: int, total: int) -> Suspect:
    return suspect(f"{ROOT},{dimensions}", bad, total)


def tried(root: Suspect, suspects: list[Suspect], allowed: Decimal) -> Explanation | None:
    """The oracle: every subset of every cut, the best by the promise of `explain_burn`."""
    per, of = Fraction(allowed).as_integer_ratio()
    whole = root.bad * of - root.total * per
    found: list[Explanation] = []
    for cut in {cut_of(each.slice) for each in suspects if whole > 0}:
        members = {each.slice: each for each in suspects if cut_of(each.slice) == cut}
        excess = {name: max(0, each.bad * of - each.total * per) for name, each in members.items()}
        subsets = [names for size in range(1, len(members) + 1) for names in combinations(sorted(members), size)]
        held = [(len(names), -sum(excess[name] for name in names), names) for names in subsets]
        fit = [each for each in held if -each[1] * EXPLAINED_MIN.denominator >= EXPLAINED_MIN.numerator * whole]
        if fit:
            _, explained, names = min(fit)
            traffic = Fraction(sum(members[name].total for name in names), root.total)
            found.append(Explanation(cut, names, Fraction(-explained, whole), traffic))
    better = [each for each in found if each.lift >= LIFT_MIN]
    return min(better, key=lambda each: (len(each.slices), -each.lift, each.cut.count(","), each.cut), default=None)


@st.composite
def burns(draw: st.DrawFn) -> tuple[Suspect, list[Suspect]]:
    """A fleet cut by bundle (up to 15) and by region (up to 4), in small numbers so that much is equal."""
    counts = st.tuples(st.integers(0, 12), st.integers(1, 60)).map(lambda each: (min(each), max(each)))
    several = draw(st.integers(1, 15))
    bundles = draw(st.lists(counts, min_size=several, max_size=several))
    regions = draw(st.lists(counts, max_size=4))
    suspects = [within(f"bundle=v{place}", bad, total) for place, (bad, total) in enumerate(bundles)]
    suspects += [within(f"region=r{place}", bad, total) for place, (bad, total) in enumerate(regions)]
    root = suspect(ROOT, sum(bad for bad, _ in bundles), sum(total for _, total in bundles))
    return root, draw(st.permutations(suspects))


@settings(max_examples=150, deadline=None)
@given(burn=burns(), allowed=st.sampled_from([Decimal("0.001"), Decimal("0.05"), Decimal("0.2")]))
def test_the_explanation_is_what_trying_every_set_finds(burn: tuple[Suspect, list[Suspect]], allowed: Decimal) -> None:
    root, suspects = burn
    assert explain_burn(root, suspects, allowed) == tried(root, suspects, allowed)


def test_one_bad_bundle_explains_the_fleet() -> None:
    found = explain_burn(
        suspect(ROOT, 500, 10_000),
        [within("bundle=v3", 392, 2_400), within("bundle=v2", 108, 7_600), within("region=eu", 260, 5_000)],
        ALLOWED,
    )
    assert found == Explanation("pool,bundle", (f"{ROOT},bundle=v3",), Fraction(92, 100), Fraction(24, 100))


def test_what_is_bad_everywhere_alike_is_explained_by_no_slice() -> None:
    regions = [within(f"region=r{place}", 250, 2_500) for place in range(4)]
    assert explain_burn(suspect(ROOT, 1_000, 10_000), regions, ALLOWED) is None


def test_a_slice_with_nearly_all_traffic_hides_no_smaller_cause() -> None:
    """The only region explains everything and nothing; two bundles with a tenth of the traffic do explain it."""
    found = explain_burn(
        suspect(ROOT, 900, 10_000),
        [within("region=eu", 900, 9_900), within("bundle=v3", 400, 500), within("bundle=v4", 390, 500)],
        ALLOWED,
    )
    assert found is not None
    assert found.slices == (f"{ROOT},bundle=v3", f"{ROOT},bundle=v4")


def test_of_two_single_slices_the_one_with_less_traffic_explains_more() -> None:
    found = explain_burn(
        suspect(ROOT, 500, 10_000),
        [within("region=eu", 450, 4_000), within("region=eu,bundle=v3", 400, 800), within("bundle=v3", 400, 900)],
        ALLOWED,
    )
    assert found is not None
    assert found.slices == (f"{ROOT},region=eu,bundle=v3",)


def test_a_slice_does_not_explain_itself_and_what_is_within_its_budget_nothing_does() -> None:
    root = suspect(ROOT, 500, 10_000)
    assert explain_burn(root, [root], ALLOWED) is None
    assert explain_burn(suspect(ROOT, 100, 10_000), [within("bundle=v3", 90, 100)], ALLOWED) is None


def test_exactly_four_fifths_of_the_excess_is_enough_and_so_is_exactly_half_as_much_again_as_the_traffic() -> None:
    """Of 400 bad turns beyond the allowed ones 320 are in v3, one less in v4; its traffic is 8 / 15 of all, or a bit more."""
    root, allowed = suspect(ROOT, 1_150, 1_500), Decimal("0.5")
    assert explain_burn(root, [within("bundle=v3", 720, 800)], allowed) is not None
    assert explain_burn(root, [within("bundle=v4", 719, 800)], allowed) is None
    assert explain_burn(root, [within("bundle=v5", 721, 802)], allowed) is None
