"""Decimals of the command line as they were written; what cannot be meant is a sentence that names the option."""

from __future__ import annotations

from decimal import Decimal

from schemas.failures import BadInput
from turnwatch.answers.json_figures import exact


def option(name: str, written: str, most: Decimal | None = None) -> Decimal:
    """An option's decimal as it was written; raises `BadInput` where it is none, negative, or above `most`."""
    value = exact(written)
    if value is None:
        raise BadInput(f"{name} {written[:100]!r} is no decimal number, or has too many digits to be a figure.")
    if value < 0 or (most is not None and value > most):
        bounds = f"at least 0{f' and at most {most}' if most is not None else ''}"
        raise BadInput(f"{name} {written[:100]} has to be {bounds}{'' if most is None else _as_a_share(value)}.")
    return value


def utilization_of(written: str) -> Decimal:
    """What `--utilization` says, a share that is not 0."""
    value = option("--utilization", written)
    if not 0 < value <= 1:
        raise BadInput(f"--utilization {written[:100]} has to be above 0 and at most 1{_as_a_share(value)}.")
    return value


def vad_savings_of(written: str) -> Decimal:
    """What `--vad-savings` says, a share that is not 1."""
    value = option("--vad-savings", written)
    if value >= 1:
        raise BadInput(f"--vad-savings {written[:100]} has to be at least 0 and below 1{_as_a_share(value)}.")
    return value


def _as_a_share(value: Decimal) -> str:
    """The end of a sentence about what probably are per cent."""
    return f": write {(value / 100).normalize():f}" if 2 <= value <= 100 else ""
