"""How random a value looks: the statistic by which keys, tokens and identifiers are told from names.

Names are made of few, common pairs of letters; keys are not. `_SURPRISAL` holds, for each pair of neighbouring symbols
(letters without case, any digit, any separator), how many bits the second tells after the first: −log2 of its frequency
in 600,000 names of published software packages (of which nothing but these frequencies is kept; a digit adds log2 10 for
which of them it is). A value's **excess** is the largest sum, over any stretch of it, of what its symbols tell beyond 4 bits
each; a separator takes 10 bits off. It grows with the length of what is random, and is small for names however long.

Of 200,000 other names 1 in 6,000 has an excess above `EXCESS_MAX`, nearly all of them typed at random; of random
values of 24 letters and digits, all do, of 20 nearly all (`tests/security/test_private_values.py`). `tests/security/fit_names.py` fits the table.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

EXCESS_MAX = 35.0
"""Bits of excess above which a value is no name."""
LOOKED_AT_BYTES = 256
"""The statistic looks at the beginning of a value; what is longer is refused for its length."""
USUAL_BITS = 4.0
SEPARATOR_BITS = 10.0
STEP_BITS = 0.2
"""One place in the alphabet of `_SURPRISAL` is this much."""

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
DIGIT, SEPARATOR = 26, 27

_SURPRISAL = (
    "EqjlEymHmKwjngGkLhjgrxxBuBOk",
    "fwvwhCBBiyIixDfuLknwjHIGtNOd",
    "iHuzjDIgqOjiyGdmOmqhqGLKyOOj",
    "hqxldtvFinotwBeyOqqAqEFGxOOe",
    "munpszxHBMEmogyrCcimCvwoBIOc",
    "hDxzjnDGcNDfxDgyOksonMECoOOh",
    "mBuAbCrqgOMpvsgtKirxoJGFyLOd",
    "dzyycDFJiLFxvCdyDrxlnIELsOOd",
    "qojnnqpMGOzkmdjqHrkiDrLwLvOh",
    "7EyAgFHCmGBCxHlwwCcBjGvIFJOo",
    "ixzsdxszgKDtxypwOumtrDCLvMO8",
    "gBvseCDLcOzluIgtOFmrmCIJrNOf",
    "drkveCzKiMCoqBhiDAqyqHIIsOOg",
    "kCnlhtgGnGvxCtnyNDkevtJDyKOb",
    "utnkFyrHxBvlmdknOfomowqxFMJh",
    "hFxuhECpiOAiBGkpOirosLIKdOOf",
    "qzrvyCBFqLIcvCxtAqrl7EwEJKOg",
    "fAprdywKjNswrvhvMwonrsJKpOOb",
    "pCnqgBEnkOtuuAnoxDmesBzKsOOa",
    "iCtCezElgMFvxEgwOjorsJAHrNOb",
    "nnplmAlKlLDjlgCmOhhfGEKwJEOp",
    "fEvB7FxIcOEyxBlyNzvxqGLJCOIi",
    "fAyxdzDqeNCsAngxOnivCMEEEMOe",
    "mzovnzACmIHtrBtjKxvdwIFBpMI7",
    "otprrvuBxFCqpnsjDtkfwCyDIzN8",
    "hyuzazCqjFytuuiwFzvwkFCCmnLf",
    "yCwtDDDHFEHDysGuODwzFGIDKOm7",
    "ioikoopsqvwokqpgzmhlutsBCCOB",
)
"""Row: the symbol before, a to z, digit, separator. Column: the symbol. At most 10 bits (`O`)."""

_CHUNK = 4_096


def _symbols() -> NDArray[np.uint8]:
    """The symbol of each byte."""
    symbols = np.full(256, SEPARATOR, np.uint8)
    for place, letter in enumerate(LETTERS):
        symbols[[ord(letter), ord(letter.upper())]] = place
    symbols[[ord(digit) for digit in "0123456789"]] = DIGIT
    return symbols


def _gains() -> NDArray[np.float32]:
    """What each pair adds to a stretch: bits beyond the usual; a separator takes off."""
    bits = np.array([[ALPHABET.index(place) for place in row] for row in _SURPRISAL], np.float32) * STEP_BITS
    gains = bits - np.float32(USUAL_BITS)
    gains[:, SEPARATOR] = -SEPARATOR_BITS
    return gains


SYMBOLS, _GAINS = _symbols(), _gains()


def excess_bits(values: pl.Series) -> pl.Series:
    """The excess of each text, in bits; 0 for nulls and for whatever is usual throughout.

    >>> excess_bits(pl.Series(["whisper-large-v3-turbo", "q8fj2kz0x7vb3nw9ty5h"])).gt(EXCESS_MAX).to_list()
    [False, True]
    """
    chunks = [_excess(values.slice(start, _CHUNK)) for start in range(0, len(values), _CHUNK)]
    return pl.Series(values.name, np.concatenate([np.zeros(0, np.float32), *chunks]))


def _excess(values: pl.Series) -> NDArray[np.float32]:
    """The largest sum over any stretch is the largest rise of the running sum above its lowest point before."""
    texts = [text.encode()[:LOOKED_AT_BYTES] for text in values.fill_null("")]
    width = max(map(len, texts)) or 1
    cut = np.array(texts, dtype=f"S{width}")
    symbols = SYMBOLS[cut.view(np.uint8).reshape(len(values), width)]
    before = np.pad(symbols[:, :-1], ((0, 0), (1, 0)), constant_values=SEPARATOR)
    running = np.cumsum(_GAINS[before, symbols], axis=1)
    lowest = np.minimum.accumulate(np.pad(running[:, :-1], ((0, 0), (1, 0))), axis=1)
    excess: NDArray[np.float32] = np.maximum((running - lowest).max(axis=1), 0)
    return excess
