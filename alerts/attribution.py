"""Which slices explain a burn: the smallest set of one cut that holds most of the bad turns beyond the allowed ones.

A slice's *excess* is its bad turns less those that the objective allows on its traffic: bad - total x (1 - objective).
A burn is explained where few slices with little of the traffic hold most of its excess. The slices of one cut are
disjoint, so taking those with the largest excess first finds the smallest set. All is exact, in integers and fractions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate

from schemas.burns import Suspect
from schemas.slices import cut_of

EXPLAINED_MIN = Fraction(4, 5)
"""Share of the burn's excess that a set has to hold to explain it."""
LIFT_MIN = Fraction(3, 2)
"""How many times more of the excess than of the traffic it has to hold: below that it is a large part, not a cause."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Slices of one cut, by name, with their shares of the burn's excess and of its traffic.

    `explained` is above 1 where the other slices are better than the objective asks.
    """

    cut: str
    slices: tuple[str, ...]
    explained: Fraction
    traffic: Fraction

    @property
    def lift(self) -> Fraction:
        return self.explained / self.traffic


def explain_burn(
    root: Suspect,
    suspects: Sequence[Suspect],
    allowed: Decimal,
    explained_min: Fraction = EXPLAINED_MIN,
    lift_min: Fraction = LIFT_MIN,
) -> Explanation | None:
    """The fewest slices of one cut that hold `explained_min` of the root's excess; `None` if none do better than the whole.

    `suspects` lie within the root, `allowed` is 1 - objective. Of sets of one size in a cut the one that explains more
    counts, then the first by names; over cuts the smallest set, then the largest lift, of those that reach `lift_min`.
    """
    whole = _excess(root, Fraction(allowed))
    if whole <= 0:
        return None
    by_cut: dict[str, list[Suspect]] = {}
    for suspect in suspects:
        by_cut.setdefault(cut_of(suspect.slice), []).append(suspect)
    sets = [_smallest(cut, members, root, Fraction(allowed), explained_min) for cut, members in by_cut.items()]
    better = [each for each in sets if each is not None and each.lift >= lift_min]
    return min(better, key=_order, default=None)


def _smallest(
    cut: str, members: Sequence[Suspect], root: Suspect, allowed: Fraction, explained_min: Fraction
) -> Explanation | None:
    whole = _excess(root, allowed)
    excess = {each.slice: _excess(each, allowed) for each in members}
    total: Mapping[str, int] = {each.slice: each.total for each in members}
    worst = sorted((name for name in excess if excess[name] > 0), key=lambda name: (-excess[name], name))
    for size, explained in enumerate(accumulate(excess[name] for name in worst), start=1):
        if explained >= explained_min * whole:
            slices = tuple(sorted(worst[:size]))
            traffic = Fraction(sum(total[name] for name in slices), root.total)
            return Explanation(cut, slices, Fraction(explained) / whole, traffic)
    return None


def _excess(suspect: Suspect, allowed: Fraction) -> int:
    """Bad turns beyond the allowed ones, times the denominator of `allowed`, which makes it whole."""
    return suspect.bad * allowed.denominator - suspect.total * allowed.numerator


def _order(found: Explanation) -> tuple[int, Fraction, int, str]:
    return len(found.slices), -found.lift, found.cut.count(","), found.cut
