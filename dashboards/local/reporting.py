"""A report's page: one file with everything in it, readable without a script, a network or turnwatch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

from dashboards.local.drawn import Drawn
from dashboards.local.markup import element, prose, text
from dashboards.local.static import svg
from dashboards.local.themes import stylesheet
from dashboards.panels import Bars, Chart, Grid, HeatMap, Panel
from dashboards.substitution import Range
from schemas.counted import counted

COLUMN_PX = 46
"""Width in px of one of the 24 columns of the page."""

_COLUMNS_MAX = 6
"""Columns of a table that has less than the page's width."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A panel of the report; `failure` is a sentence where its query failed."""

    panel: Panel
    drawn: Drawn | None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Chapter:
    """A board of the report: its panels by section; `note` is a sentence where something is missing on all of them."""

    name: str
    title: str
    description: str
    sections: dict[str, list[Shown]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """`given` is what was chosen of all there is, `made_s` when the report was made, in seconds since 1970."""

    during: Range
    given: Mapping[str, Sequence[str]]
    chapters: Sequence[Chapter]
    made_s: int


def page(report: Report) -> str:
    """The report as HTML."""
    span = f"{_time(report.during.from_s)} to {_time(report.during.to_s)} UTC"
    body = "".join(_chapter(chapter) for chapter in report.chapters)
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{text(f'turnwatch, {span}')}</title><style>{stylesheet()}\n{_css('panels.css')}\n{_css('report.css')}</style>"
    )
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body><a class="skip" href="#content">Skip to content</a>'
        f'{_header(report, span)}<main id="content">{body}</main>{_footer(report)}</body></html>\n'
    )


def _header(report: Report, span: str) -> str:
    entries = "".join(
        element("li", element("a", text(chapter.title), href=f"#{chapter.name}")) for chapter in report.chapters
    )
    facts = (("Range", span), ("Length", _length(report.during)), ("Slice", slice_text(report.given)))
    told = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in facts)
    contents = element("nav", f"<ul>{entries}</ul>", aria_label="Contents")
    return f'<header><h1>turnwatch report</h1><dl class="facts">{told}</dl>{contents}</header>'


def _footer(report: Report) -> str:
    made = f"Made by turnwatch at {_time(report.made_s)} UTC. All times are UTC, and of events."
    return f"<footer><p>{text(made)}</p></footer>"


def _chapter(chapter: Chapter) -> str:
    sections = "".join(
        f"<h3>{text(title)}</h3>" + f'<div class="panels">{_panels(chapter, title, panels)}</div>'
        for title, panels in chapter.sections.items()
    )
    name = f"{chapter.name}-title"
    opening = f'<h2 id="{name}">{text(chapter.title)}</h2><p class="lead">{prose(chapter.description)}</p>'
    opening += element("p", text(chapter.note), class_="failure") if chapter.note else ""
    return element("section", opening + sections, id=chapter.name, aria_labelledby=name)


def _panels(chapter: Chapter, section: str, panels: list[Shown]) -> str:
    place = list(chapter.sections).index(section)
    return "".join(_panel(shown, f"{chapter.name}-{place}-{number}") for number, shown in enumerate(panels))


def _panel(shown: Shown, name: str) -> str:
    panel = shown.panel
    caption = element("figcaption", f"<h4>{text(panel.title)}</h4><p>{prose(panel.description)}{_unit(panel)}</p>")
    return element("figure", caption + _body(shown, name), class_=f"panel w-{_width(panel)}")


def _width(panel: Panel) -> int:
    """Columns of the page; a table of many columns has all of them, for paper does not scroll."""
    is_wide = isinstance(panel, Grid) and sum(not each.is_hidden for each in panel.columns.values()) > _COLUMNS_MAX
    return 24 if is_wide else panel.place.width


def _unit(panel: Panel) -> str:
    """The unit that a chart's figures are in, in words."""
    if not isinstance(panel, Chart | HeatMap | Bars):
        return ""
    axis = panel.axis if not isinstance(panel, HeatMap) else ""
    kind, _, words = panel.unit.partition(":")
    named = words.strip() if words else _WORDS.get(kind, kind)
    told = f"{axis} ({named})" if axis and named.lower() not in axis.lower() else axis or named
    return f' <span class="unit">Unit: {text(told)}.</span>' if told else ""


_WORDS = {
    "none": "",
    "short": "",
    "percentunit": "per cent",
    "s": "seconds",
    "ms": "milliseconds",
    "currencyUSD": "US dollars",
}


def _body(shown: Shown, name: str) -> str:
    if shown.drawn is None:
        return element("p", text(shown.failure), class_="failure")
    drawn = shown.drawn
    if drawn.spec is None:
        return element("div", drawn.html, class_="scrolls")
    width = shown.panel.place.width * COLUMN_PX
    chart = element("div", svg(drawn.spec, width, name), class_="chart", role="img", aria_label=drawn.summary)
    return chart + element("div", drawn.html, class_="scrolls")


@cache
def _css(name: str) -> str:
    return files("dashboards.local").joinpath(name).read_text(encoding="utf-8")


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def slice_text(given: Mapping[str, Sequence[str]]) -> str:
    """What was chosen, in words.

    >>> slice_text({"region": ["eu-west-1", "us-east-2"], "pool": ["batch"]}), slice_text({})
    ('region = eu-west-1 or us-east-2, pool = batch', 'all')
    """
    return ", ".join(f"{name} = {' or '.join(values)}" for name, values in given.items()) or "all"


def _length(during: Range) -> str:
    """
    >>> _length(Range(0, 93_600)), _length(Range(0, 90))
    ('1 day 2 hours', '1 minute 30 seconds')
    """
    left, parts = during.to_s - during.from_s, []
    for name, seconds in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        count, left = divmod(left, seconds)
        parts += [counted(count, name)] if count else []
    return " ".join(parts)
