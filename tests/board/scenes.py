"""What is really drawn: the marks of a chart in Vega's scene graph, in px."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import vl_convert

from dashboards.local.drawn import Spec
from dashboards.local.specs import VEGA_LITE, on_paper

Item = dict[str, Any]


def scene(chart: Spec, width: int = 800) -> dict[str, Any]:
    """The chart with its gestures, in a fixed width."""
    drawn: dict[str, Any] = vl_convert.vegalite_to_scenegraph({**chart, "width": width}, vl_version=VEGA_LITE)
    return drawn


def svg(chart: Spec, width: int = 800) -> str:
    drawn: str = vl_convert.vegalite_to_svg(on_paper(chart, width), vl_version=VEGA_LITE)
    return drawn


def groups(node: object, kind: str, name: str = "") -> Iterator[list[Item]]:
    """Items of every group of marks of that kind, whose name begins so."""
    if isinstance(node, dict):
        if node.get("marktype") == kind and (node.get("name") or "").startswith(name):
            yield node.get("items", [])
        for child in node.values():
            yield from groups(child, kind, name)
    elif isinstance(node, list):
        for child in node:
            yield from groups(child, kind, name)


def items(node: object, kind: str, name: str = "") -> list[Item]:
    return [item for group in groups(node, kind, name) for item in group]


def texts(node: object, name: str = "") -> list[str]:
    return [str(item["text"]) for item in items(node, "text", name)]


def ticks(node: object) -> list[tuple[float, float, str]]:
    """Labels of axes: x and y in px, and the text."""
    return [(item["x"], item["y"], str(item["text"])) for group in _roles(node, "axis-label") for item in group]


def _roles(node: object, role: str) -> Iterator[list[Item]]:
    if isinstance(node, dict):
        if node.get("role") == role:
            yield node.get("items", [])
        for child in node.values():
            yield from _roles(child, role)
    elif isinstance(node, list):
        for child in node:
            yield from _roles(child, role)
