"""Which cuts are looked through: every declared one that can say what was asked, or those that were named.

A cut by what tells callers apart (accent, tenant, client version) is taken with its bundles together, as a new bundle would
make all of its slices new ones; so is every dimension in which the two sides were told apart. A cut named in full is taken as
it is declared.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from schemas.declarations import Cut, Family
from schemas.dimensions import DIMENSIONS
from schemas.failures import BadInput
from schemas.slices import EVERYTHING

BUNDLE = "bundle"


@dataclass(frozen=True, slots=True)
class Cutting:
    """A declared cut of a family, and the dimensions of it that slices are told by; others are together."""

    family: Family
    cut: Cut
    dimensions: tuple[str, ...]

    @property
    def name(self) -> str:
        return ",".join(self.dimensions) or EVERYTHING


def cuttings(
    families: Sequence[Family], named: Sequence[str], needed: Collection[str], apart: Collection[str]
) -> tuple[Cutting, ...]:
    """Of these families, each name once; `needed`: the dimensions that something is narrowed by, `apart`: the sides.

    Raises `BadInput` where a name is none, or no cut can say what was asked.
    """
    found: dict[tuple[str, str], Cutting] = {}
    for family in families:
        for cut in family.cuts:
            if set(needed) <= set(cut.dimensions):
                each = _cutting(family, cut, cut.name in named, apart)
                found.setdefault((family.name, each.name), each)
    chosen = tuple(each for each in found.values() if not named or {each.name, each.cut.name} & set(named))
    for name in named:
        if not any(name in (each.name, each.cut.name) for each in chosen):
            raise BadInput(_unknown(name, tuple(found.values()), needed))
    if not chosen:
        raise BadInput(f"No cut of {' or '.join(each.name for each in families)} has {' and '.join(sorted(needed))}.")
    return chosen


def _cutting(family: Family, cut: Cut, is_named: bool, apart: Collection[str]) -> Cutting:
    tells_callers = any(DIMENSIONS[name].is_identifying for name in cut.dimensions)
    together = {*apart, BUNDLE} if tells_callers and not is_named else set(apart)
    return Cutting(family, cut, tuple(name for name in cut.dimensions if name not in together))


def _unknown(name: str, known: Sequence[Cutting], needed: Collection[str]) -> str:
    names = list(dict.fromkeys(each for cutting in known for each in (cutting.name, cutting.cut.name)))
    close = get_close_matches(name, names, n=1)
    of = f" of {' and '.join(sorted(needed))}" if needed else ""
    meant = f"did you mean {close[0]}?" if close else f"there are {'; '.join(names) or 'none'}."
    return f"--cut {name[:100]!r} is no cut{of} that these rates are told by: {meant}"
