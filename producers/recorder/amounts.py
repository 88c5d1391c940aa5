"""What a host tells as a number or a claim, judged by the rule that lines of NDJSON are read by.

A claim is true or false, and no number; a number is neither of them. What counts is whole, and 2.0 is; time is measured, so a
column of whole milliseconds (or seconds) takes what is broken and is rounded. An amount that a collector would refuse its
observation for is none. Types of others that are numbers, such as numpy's and `Decimal`, count like Python's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import polars as pl

from producers.duplex import LATENCY_MS_MAX as EVENT_MS_MAX
from producers.observation_batches import OBSERVATIONS
from producers.observations import LATENCY_MS_MAX as TURN_MS_MAX
from producers.sifting import AMOUNT_MAX
from schemas.arrays import Flags, Floats, Integers
from schemas.families import FAMILIES
from schemas.misplaced import numbers_in
from schemas.refusals import Refusal

TURNS = "turns"
_BOOLEANS = frozenset({bool, np.bool_})
_MEASURED = frozenset(
    measure.name for family in FAMILIES.values() for measure in family.measures if measure.unit in ("ms", "s")
)
"""Sums of time: whole in a column, and broken where somebody's clock told them."""
_MAY_BE_NEGATIVE = frozenset({"safety_lead_ms"})


@dataclass(frozen=True, slots=True)
class Allowed:
    """What values may be, one array each or one of all: a claim, whole, below zero, and how far from it."""

    is_claim: Flags
    is_whole: Flags
    is_signed: Flags
    largest: Floats

    def at(self, places: Integers) -> Allowed:
        """The same of values that are told for the columns at these places."""
        return Allowed(self.is_claim[places], self.is_whole[places], self.is_signed[places], self.largest[places])


def allowed_in(kind: str, columns: Sequence[str]) -> Allowed:
    """What the contract says of these columns of a kind."""
    dtypes = [OBSERVATIONS[kind][name] for name in columns]
    ms_max = TURN_MS_MAX if kind == TURNS else EVENT_MS_MAX
    return Allowed(
        np.array([dtype == pl.Boolean() for dtype in dtypes]),
        np.array([dtype == pl.Int64() and name not in _MEASURED for name, dtype in zip(columns, dtypes, strict=True)]),
        np.array([name in _MAY_BE_NEGATIVE for name in columns]),
        np.array([AMOUNT_MAX if dtype == pl.Int64() else ms_max for dtype in dtypes], np.float64),
    )


def are_claims(values: Sequence[object]) -> Flags:
    """Which of them are true or false: Python's, or numpy's."""
    return np.fromiter(map(_BOOLEANS.__contains__, map(type, values)), np.bool_, len(values))


def wrong(values: Floats, are_claims: Flags, allowed: Allowed) -> dict[Refusal, Flags]:
    """Which values may not be counted, each under the one reason that comes first in the order of refusals."""
    is_finite = np.isfinite(values)
    is_broken = allowed.is_whole & (values != np.rint(values))
    is_malformed = is_finite & ((are_claims != allowed.is_claim) | is_broken)
    is_number = is_finite & ~is_malformed
    is_negative = is_number & (values < 0) & ~allowed.is_signed
    return {
        Refusal.MALFORMED: is_malformed,
        Refusal.NOT_FINITE: ~is_finite,
        Refusal.NEGATIVE: is_negative,
        Refusal.INCONSISTENT: is_number & ~is_negative & (np.abs(values) > allowed.largest),
    }


def is_number(value: object) -> bool:
    """Whether it is one number or truth of any type, such as an array of one; those of several or none have the method as well."""
    try:
        if not hasattr(value, "__float__") or numbers_in(value) > 1:
            return False
        float(value)
    except OverflowError:
        return True  # One that is too large is one.
    except Exception:  # An object that fails at being looked at, or has no number after all.
        return False
    return True


def is_list_of_numbers(value: object) -> bool:
    """Whether it is a list, or an array of one dimension, of numbers and nothing else."""
    if not issubclass(type(value), list | tuple | np.ndarray):  # What an object says it is may raise.
        return False
    try:
        if isinstance(value, np.ndarray):
            return bool(value.ndim == 1 and value.dtype.kind in "iuf")
        return all(is_number(each) and type(each) not in _BOOLEANS for each in cast(Sequence[object], value))
    except Exception:  # A list of a type of its own may fail at being gone through.
        return False


def as_float(value: object) -> float:
    """Any type's number, such as Decimal's; text is none."""
    try:
        return float(value) if hasattr(value, "__float__") else np.nan
    except OverflowError:
        return np.inf
    except Exception:  # Tensors of several numbers raise what they like.
        return np.nan
