"""Fits the table of `schemas/randomness.py`: `python -m tests.security.fit_names FILE`, a name in each line, prints it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas.randomness import ALPHABET, DIGIT, SEPARATOR, STEP_BITS, SYMBOLS

BITS_MAX = 10.0
HARDLY_SEEN = 0.5
"""Added to each count: what was never seen is rare, not impossible."""
SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{2,62}")
HASH = re.compile(r"[0-9a-f]{16}|[0-9a-f]{8}-[0-9a-f]{4}")


def surprisal_bits(names: Iterable[str]) -> NDArray[np.float64]:
    """−log2 of how often a symbol follows another; which digit it is adds log2 10. At most 10 bits."""
    counts = np.full((SEPARATOR + 1, SEPARATOR + 1), HARDLY_SEEN)
    for name in names:
        symbols = SYMBOLS[np.frombuffer(f"-{name}-".encode(), np.uint8)]
        np.add.at(counts, (symbols[:-1], symbols[1:]), 1)
    counts[SEPARATOR, SEPARATOR] = counts[SEPARATOR, DIGIT]
    bits: NDArray[np.float64] = -np.log2(counts / counts.sum(axis=1, keepdims=True))
    bits[:, DIGIT] += np.log2(10)
    return bits.clip(max=BITS_MAX)


def rows(bits: NDArray[np.float64]) -> list[str]:
    """The table as the module writes it."""
    return ["".join(ALPHABET[round(value / STEP_BITS)] for value in row) for row in bits.tolist()]


if __name__ == "__main__":
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").lower().split()
    for row in rows(surprisal_bits(name for name in lines if SLUG.fullmatch(name) and not HASH.search(name))):
        print(f'    "{row}",')
