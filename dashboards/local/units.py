"""Figures as Grafana writes them: `formatted` for HTML, `expression` and `axis_expression` for Vega, of one table of scales.

Units are Grafana's names (`packages/grafana-data/src/valueFormats`). A figure without decimals of its own has three
significant digits, and none after the point where it is whole. Times are in UTC.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache

MISSING = "–"


@dataclass(frozen=True, slots=True)
class Scale:
    """From the magnitude `least` on, figures are divided by `divisor` and followed by `suffix`."""

    least: float
    divisor: float
    suffix: str


@dataclass(frozen=True, slots=True)
class Unit:
    """Scales, the finest first; `zero` follows a zero, `prefix` stands before the figure and after its sign."""

    scales: tuple[Scale, ...]
    zero: str = ""
    prefix: str = ""


def _plain(suffix: str = "", prefix: str = "", divisor: float = 1.0) -> Unit:
    return Unit((Scale(0, divisor, suffix),), suffix, prefix)


def _thousands(suffixes: tuple[str, ...], base: int = 0, factor: float = 1_000.0, prefix: str = "") -> Unit:
    """Powers of `factor`; the suffix at the place `base` is that of figures from 1 on."""
    scales = (Scale(factor ** (place - base), factor ** (place - base), name) for place, name in enumerate(suffixes))
    finest, *coarser = scales
    return Unit((Scale(0, finest.divisor, finest.suffix), *coarser), suffixes[base], prefix)


_SI = ("f", "p", "n", "µ", "m", "", "k", "M", "G", "T", "P", "E", "Z", "Y")
_SHORT = ("", " K", " Mil", " Bil", " Tri", " Quadr", " Quint", " Sext", " Sept")
_BYTES = (" B", " KiB", " MiB", " GiB", " TiB", " PiB")
_MONEY = ("", "K", "M", "B", "T")

_MINUTE, _HOUR, _DAY, _WEEK, _YEAR = 60.0, 3_600.0, 86_400.0, 604_800.0, 31_536_000.0
_LONGER = (
    Scale(_MINUTE, _MINUTE, " min"),
    Scale(_HOUR, _HOUR, " hour"),
    Scale(_DAY, _DAY, " day"),
    Scale(_WEEK, _WEEK, " week"),
    Scale(_YEAR, _YEAR, " year"),
)
_SHORTER = (Scale(0, 1e-9, " ns"), Scale(1e-6, 1e-6, " µs"), Scale(1e-3, 1e-3, " ms"), Scale(1, 1, " s"))


def _durations(second: float, finest: tuple[Scale, ...], zero: str, *absent: str) -> Unit:
    """Lengths of time of which `second` are a second; coarser ones follow the finest."""
    longer = (Scale(each.least * second, each.divisor * second, each.suffix) for each in _LONGER)
    return Unit((*finest, *(each for each in longer if each.suffix not in absent)), zero)


_UNITS: dict[str, Unit] = {
    "": _plain(),
    "none": _plain(),
    "string": _plain(),
    "short": _thousands(_SHORT),
    "percent": _plain("%"),
    "percentunit": _plain("%", divisor=0.01),
    "s": _durations(1, _SHORTER, " s"),
    "ms": _durations(1_000, (Scale(0, 1, " ms"), Scale(1_000, 1_000, " s")), " ms", " week"),
    "m": _durations(1 / 60, (Scale(0, 1, " min"),), " min", " min"),
    "h": _durations(1 / 3_600, (Scale(0, 1, " hour"),), " hour", " min", " hour"),
    "bytes": _thousands(_BYTES, factor=1_024.0),
    "decbytes": _thousands(tuple(f" {prefix}B" for prefix in _SI[5:11])),
    "currencyUSD": _thousands(_MONEY, prefix="$"),
    "currencyEUR": _thousands(_MONEY, prefix="€"),
}


@cache
def unit_of(name: str) -> Unit:
    """What a unit's name stands for; one that is not known follows the figure, as in Grafana."""
    if name in _UNITS:
        return _UNITS[name]
    kind, colon, words = name.partition(":")
    words = words.strip() if colon else name
    match kind:
        case "prefix":
            return _plain(prefix=words)
        case "si":
            return _thousands(tuple(f" {prefix}{words}" for prefix in _SI), base=_SI.index(""))
        case "count":
            return _thousands(tuple(f"{letter} {words}" for letter in _MONEY))
        case "currency":
            return _thousands(_MONEY, prefix=words)
    return _plain(f" {words}")


def formatted(value: object, unit: str = "", decimals: int | None = None) -> str:
    """A value as text; what is no number is said as it is, and nothing is nothing.

    >>> formatted(0.12345, "percentunit"), formatted(93_600, "s", 0), formatted(1234, "short"), formatted(0.5, "si: turns/s")
    ('12.3%', '1 day', '1.23 K', '500 mturns/s')
    """
    match value:
        case None:
            return ""
        case bool() | str():
            return str(value)
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M:%S")
        case date():
            return value.isoformat()
        case int() | float() | Decimal():
            return _number(float(value), unit_of(unit), decimals)
    return str(value)


def _number(value: float, unit: Unit, decimals: int | None) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}∞"
    size = abs(value)
    scale = next(each for each in reversed(unit.scales) if each.least <= size)
    scaled = size / scale.divisor
    text = _rounded(scaled, _decimals(scaled) if decimals is None else decimals)
    return f"{'-' if value < 0 else ''}{unit.prefix}{text}{scale.suffix if size else unit.zero}"


def _rounded(size: float, decimals: int) -> str:
    """Halves up, as JavaScript rounds; beyond what a float can tell apart there is nothing to round."""
    factor = 10.0**decimals
    whole = size * factor
    return f"{math.floor(whole + 0.5) / factor if whole < 2**52 else size:.{decimals}f}"


def _decimals(size: float) -> int:
    return 0 if size == int(size) else max(0, 2 - math.floor(math.log10(size)))


def expression(unit: str, decimals: int | None = None, of: str = "datum.value") -> str:
    """`formatted` as an expression of Vega, of the expression `of`, which is a finite number."""

    def text(size: str) -> str:
        digits = (
            f"({size} % 1 == 0 ? 0 : max(0, 2 - floor(log({size}) / LN10 + 1e-12)))" if decimals is None else decimals
        )
        return f"format({size}, '.' + {digits} + 'f')"

    return _of_scales(unit, of, text)


def axis_expression(unit: str, of: str = "datum.value") -> str:
    """The label of a tick: round numbers need no more digits than they have."""
    return _of_scales(unit, of, lambda size: f"format({size}, '.6~r')")


def _of_scales(unit: str, of: str, text: Callable[[str], str]) -> str:
    known = unit_of(unit)
    size = f"abs({of})"
    finest, *coarser = known.scales
    written = f"{text(f'({size} / {finest.divisor!r})')} + {_quoted(finest.suffix)}"
    for scale in coarser:
        larger = f"{text(f'({size} / {scale.divisor!r})')} + {_quoted(scale.suffix)}"
        written = f"{size} >= {scale.least!r} ? {larger} : ({written})"
    if known.zero != finest.suffix:
        written = f"{size} == 0 ? {text(size)} + {_quoted(known.zero)} : ({written})"
    return f"({of} < 0 ? '-' : '') + {_quoted(known.prefix)} + ({written})"


def _quoted(text: str) -> str:
    """A string of Vega's expression language."""
    return json.dumps(text)
