"""Light and dark: one set of CSS variables, in which charts and HTML alike are coloured, so that neither is drawn twice.

Colours of panels keep their hue and are moved towards black or white until they stand out from the theme's paper, as WCAG
asks of graphics (3 : 1). Cells keep the colours that panels name, under whichever of black and white is easier to read;
only calm is no more than a tint.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from dashboards.panels import CALM, OKABE_ITO, PAGE, TICKET

GRAPHICS, TEXT = 3.0, 4.5
"""Contrasts that WCAG 2 asks for at level AA."""

_FURTHER = ("#F0E442", "#7B5EA7", "#B8B8B8")
"""Of bars with more parts than Okabe and Ito have colours."""

COLOURS = tuple(dict.fromkeys((CALM, TICKET, PAGE, *OKABE_ITO, *_FURTHER)))
"""What panels may be coloured in."""

SHADES = 8
"""Colours from blue to purple in which lines that have none of their own are drawn, and cells of a heat map."""

_TINT = 0.16

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif"

Rgb = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Theme:
    """`paper` is behind everything, `surface` behind a panel; lines run from `line_low` to `line_high`, cells likewise."""

    paper: str
    surface: str
    ink: str
    muted: str
    rule: str
    accent: str
    line_low: str
    line_high: str
    cell_low: str
    cell_high: str


LIGHT = Theme(
    paper="#f4f5f7", surface="#ffffff", ink="#1a1f26", muted="#545d68", rule="#d5dae0", accent="#0b57a4",
    line_low="#0072b2", line_high="#8f3bb8", cell_low="#dcebf7", cell_high="#5b1a80",
)  # fmt: skip
DARK = Theme(
    paper="#0e1217", surface="#161b22", ink="#e6eaf0", muted="#a0abb8", rule="#333c47", accent="#7cb7ff",
    line_low="#56b4e9", line_high="#d59bf0", cell_low="#1d3a52", cell_high="#e3b5ff",
)  # fmt: skip


def token(colour: str) -> str:
    """A panel's colour in whichever theme is shown."""
    return f"var(--c-{colour.removeprefix('#').lower()}, {colour})"


def cell_class(colour: str) -> str:
    """The class of a cell with that background."""
    return f"cell-{colour.removeprefix('#').lower()}"


def line_shade(place: int, of: int) -> str:
    """The colour of the line at `place` of `of`, from the lowest to the highest."""
    return f"var(--line-{_spread(place, of)})"


def cell_shades() -> list[str]:
    return [f"var(--heat-{place})" for place in range(SHADES)]


def _spread(place: int, of: int) -> int:
    return SHADES - 1 if of < 2 else round(place * (SHADES - 1) / (of - 1))


@cache
def variables(theme: Theme) -> dict[str, str]:
    """Every CSS variable and its value."""
    named = {
        "paper": theme.paper, "surface": theme.surface, "ink": theme.ink, "muted": theme.muted,
        "rule": theme.rule, "accent": theme.accent,
    }  # fmt: skip
    named |= {f"c-{colour[1:].lower()}": standing_out(colour, theme.surface) for colour in COLOURS}
    named["tint"] = _mixed(_rgb(theme.surface), _rgb(CALM), _TINT)
    lines = _blend(theme.line_low, theme.line_high)
    cells = _blend(theme.cell_low, theme.cell_high)
    named |= {f"line-{place}": standing_out(colour, theme.surface) for place, colour in enumerate(lines)}
    return named | {f"heat-{place}": colour for place, colour in enumerate(cells)}


def stylesheet() -> str:
    """Variables of both themes, by the reader's system or by `data-theme` on the root, and classes of coloured cells.

    Paper is light.
    """
    light, dark = (_declared(variables(theme)) for theme in (LIGHT, DARK))
    return "\n".join(
        (
            f":root {{ color-scheme: light dark; --font: {FONT}; {light} }}",
            f"@media screen and (prefers-color-scheme: dark) {{ :root:not([data-theme=light]) {{ {dark} }} }}",
            f"@media screen {{ :root[data-theme=dark] {{ color-scheme: dark; {dark} }} }}",
            ":root[data-theme=light] { color-scheme: light; }",
            *_cell_classes(),
        )
    )


def _declared(values: dict[str, str]) -> str:
    return " ".join(f"--{name}: {value};" for name, value in values.items())


def _cell_classes() -> Iterable[str]:
    for colour in COLOURS:
        yield f".{cell_class(colour)} {{ {_cell(colour)} }}"
        yield f".bar-{colour[1:].lower()} {{ fill: {token(colour)}; }}"


def _cell(colour: str) -> str:
    """What is as it should be has a tint only, so that what is not is seen first."""
    if colour == CALM:
        return f"background: var(--tint); box-shadow: inset 3px 0 {token(colour)};"
    return f"background: {colour}; color: {ink_on(colour)};"


def vega_config() -> dict[str, Any]:
    """The configuration of every chart."""
    muted, rule = "var(--muted)", "var(--rule)"
    return {
        "background": None,
        "font": FONT,
        "aria": False,
        "view": {"stroke": None},
        "axis": {
            "labelColor": muted, "titleColor": muted, "gridColor": rule, "domainColor": rule, "tickColor": rule,
            "labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal", "gridOpacity": 0.7, "aria": False,
        },
        "text": {"fill": "var(--ink)", "fontSize": 11},
        "style": {"cell": {"stroke": None}},
    }  # fmt: skip


def standing_out(colour: str, background: str, least: float = GRAPHICS) -> str:
    """The colour, moved away from the background until the contrast is `least`."""
    towards = (0.0, 0.0, 0.0) if luminance(background) > 0.5 else (1.0, 1.0, 1.0)
    shares = (step / 50 for step in range(51))
    tried = (_mixed(_rgb(colour), towards, share) for share in shares)
    return next(mixed for mixed in tried if contrast(mixed, background) >= least)


def ink_on(background: str) -> str:
    """Black or white, whichever is easier to read there."""
    return max(("#000000", "#ffffff"), key=lambda ink: contrast(ink, background))


def contrast(one: str, other: str) -> float:
    """WCAG 2's contrast ratio, from 1 to 21.

    >>> contrast("#ffffff", "#000000")
    21.0
    """
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    """WCAG 2's relative luminance, from 0 to 1."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in _rgb(colour)]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _blend(low: str, high: str) -> list[str]:
    return [_mixed(_rgb(low), _rgb(high), place / (SHADES - 1)) for place in range(SHADES)]


def _mixed(one: Rgb, other: Rgb, share: float) -> str:
    parts = (a + (b - a) * share for a, b in zip(one, other, strict=True))
    return "#" + "".join(f"{round(part * 255):02x}" for part in parts)


def _rgb(colour: str) -> Rgb:
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return red, green, blue
