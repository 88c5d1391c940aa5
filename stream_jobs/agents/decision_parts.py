"""Decisions as the incidents stage reads them: whole once all of their parts have come, and of a family that it knows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import chain
from re import fullmatch

from schemas.burns import LISTS, SINCE, Decision
from schemas.failures import Foreseen, Undecodable
from schemas.families import FAMILIES, INDICATORS_OF

PARTS_BYTES_MAX = 32 * 1024 * 1024
"""Of decisions of which parts are missing. One that names 20,000 slices that burn has 8 MB."""
DIMENSIONS_MAX = max(len(cut.dimensions) for family in FAMILIES.values() for cut in family.cuts)
"""Of a slice. What lies around one is 2 to the power of them."""


def require_known(part: Decision) -> None:
    """Refuses what no alert can be begun of, or none ended.

    Raises `Undecodable` where no version has stated it, and `Foreseen`, which ends the worker, where a newer one has: nobody
    would be paged for what is passed over.
    """
    slices = {each.slice for name in LISTS for each in getattr(part, name)}
    if any(text.count(",") >= DIMENSIONS_MAX for text in slices):
        raise Undecodable(f"The decision names a slice of more than {DIMENSIONS_MAX} dimensions, which no cut has.")
    if part.family in INDICATORS_OF:
        return
    if part.format < SINCE["family"] or not fullmatch("[a-z][a-z_]{0,39}", part.family):
        raise Undecodable("The decision is of a family that there is in no version.")
    raise Foreseen(
        f"A decision of family {part.family} was read by a worker that knows {' and '.join(INDICATORS_OF)}: "
        "deploy the newer worker."
    )


@dataclass(slots=True)
class Parts:
    """Parts of decisions that came in several, until they are whole; never more than `bytes_max` of them."""

    bytes_max: int = PARTS_BYTES_MAX
    _of: dict[tuple[str, int], dict[int, Decision]] = field(default_factory=dict)
    """By whose they are, and place."""
    _bytes: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By whose they are, as they came."""

    def whole(self, part: Decision, size: int) -> Decision | None:
        """The decision that this part completes, if it does; a newer one of the same owner supersedes what is open.

        Raises `Undecodable` where there is no room for the part: its decision will not be whole.
        """
        if part.parts == 1:
            return part
        known = self._of.setdefault(part.owner, {})
        if known and not _is_same_statement(next(iter(known.values())), part):
            self._let_go(part.owner)
            known = self._of[part.owner] = {}
        if part.part not in known:
            self._bytes[part.owner] += size
        known[part.part] = part
        if self._bytes.total() > self.bytes_max:
            self._let_go(part.owner)
            raise Undecodable(f"The parts of decisions that are not whole are more than {self.bytes_max} bytes.")
        if len(known) < part.parts:
            return None
        self._let_go(part.owner)
        parts = [known[place] for place in sorted(known)]
        listed = {name: tuple(chain.from_iterable(getattr(each, name) for each in parts)) for name in LISTS}
        return part.model_copy(update={**listed, "part": 0, "parts": 1})

    def _let_go(self, owner: tuple[str, int]) -> None:
        del self._of[owner], self._bytes[owner]


def _is_same_statement(one: Decision, other: Decision) -> bool:
    """Whether both are parts of one statement: the same instant may be decided again, on more of the volume."""
    return (one.decided_ms, one.completeness, one.parts) == (other.decided_ms, other.completeness, other.parts)
