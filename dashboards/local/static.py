"""A chart as SVG that needs no script: drawn here, coloured where it is read, so that it follows the reader's theme."""

from __future__ import annotations

import re

import vl_convert

from dashboards.local.drawn import Spec
from dashboards.local.specs import VEGA_LITE, on_paper

_NAMESPACES = re.compile(r' xmlns(?::xlink)?="[^"]*"')
_FONT = re.compile(r' font-family="[^"]*"')
_NAMED_PART = re.compile(r'( id="|url\(#)(?=\w)')
_PATH = re.compile(r' d="[^"]*"')
_FINE = re.compile(r"(\.\d)\d+")


def svg(chart: Spec, width: int, name: str) -> str:
    """The chart, `width` px wide, to stand in HTML; `name` keeps its parts apart from those of other charts there."""
    drawn = vl_convert.vegalite_to_svg(on_paper(chart, width), vl_version=VEGA_LITE)
    # Within HTML an SVG needs no namespaces; fonts are the page's; a tenth of a pixel is fine enough for a line.
    drawn = _FONT.sub("", _NAMESPACES.sub("", drawn))
    drawn = _NAMED_PART.sub(rf"\g<1>{name}-", drawn)
    return _PATH.sub(lambda path: _FINE.sub(r"\1", path[0]), drawn)
