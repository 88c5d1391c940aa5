"""Nano-dollars as dollars, exactly: text with nine decimals, so that no digit is lost on its way."""

from __future__ import annotations

from decimal import Decimal, localcontext

import polars as pl

CURRENCY = "USD"
NANO_DIGITS = 9
_DIGITS = 50
"""More than any sum of nano-dollars has."""


def dollars(nusd: int) -> str:
    """
    >>> dollars(1_025_000_000), dollars(-1)
    ('1.025000000', '-0.000000001')
    """
    with localcontext(prec=_DIGITS):
        return f"{Decimal(nusd).scaleb(-NANO_DIGITS):.{NANO_DIGITS}f}"


def dollars_of(nusd: pl.Expr) -> pl.Expr:
    """The same for a column."""
    return decimal_of(nusd, NANO_DIGITS)


def decimal_of(whole: pl.Expr, digits: int) -> pl.Expr:
    """Whole numbers of 10^-digits as decimals that are written out."""
    sign = pl.when(whole < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    size, unit = whole.abs(), 10**digits
    fraction = (size % unit).cast(pl.String).str.zfill(digits)
    return pl.concat_str([sign, (size // unit).cast(pl.String), pl.lit("."), fraction])
