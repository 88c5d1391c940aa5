"""The page of a board and the list of boards: all that is known before ClickHouse is asked, so that it is seen at once.

Panels are frames with a title; scripts of this folder (`page/*.js`) fill them, one by one. There is no inline script or
style: a strict Content-Security-Policy holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dashboards.boards import Board, Choice
from dashboards.local.drawing import titled
from dashboards.local.markup import element, prose, text
from dashboards.local.views import View, elsewhere, length_text
from dashboards.panels import Bars, Chart, Figures, Grid, HeatMap, Panel
from schemas.dimensions import DIMENSIONS

REFRESHES = ("10s", "30s", "1m", "5m", "15m")

PRESETS = (
    ("now-5m", "5 minutes"), ("now-15m", "15 minutes"), ("now-30m", "30 minutes"), ("now-1h", "hour"),
    ("now-3h", "3 hours"), ("now-6h", "6 hours"), ("now-12h", "12 hours"), ("now-24h", "24 hours"),
    ("now-2d", "2 days"), ("now-7d", "7 days"), ("now-30d", "30 days"), ("now-90d", "90 days"),
)  # fmt: skip
"""Ranges that end now."""

KEYS = (
    ("?", "these keys"),
    ("t", "time range"),
    ("f", "filters"),
    ("r", "ask again now"),
    ("l", "live on or off"),
    ("[ and ]", "earlier, later by half the range"),
    ("-", "twice the range"),
    ("j and k", "next panel, panel before"),
    ("v", "panel in focus as a table, and back"),
    ("b", "list of boards"),
    ("d", "dark or light"),
    ("Esc", "closes what is open"),
)


@dataclass(frozen=True, slots=True)
class Numbered:
    """A panel and its number, which is the one it has in Grafana."""

    number: int
    panel: Panel


def numbered(board: Board) -> dict[str, list[Numbered]]:
    """Panels by section; as in Grafana a section's own row has a number, too."""
    number, told = 0, {}
    for title, panels in board.sections.items():
        told[title] = [Numbered(number + place, panel) for place, panel in enumerate(panels, start=2)]
        number += 1 + len(panels)
    return told


def panel_of(board: Board, number: int) -> Panel | None:
    """The panel of that number."""
    every = (each for panels in numbered(board).values() for each in panels)
    return next((each.panel for each in every if each.number == number), None)


def board_page(
    board: Board, boards: Mapping[str, Board], view: View, selection: Mapping[str, str | list[str]], trouble: str, script: str
) -> str:  # fmt: skip
    """The board's page. `trouble` is a sentence about the address, `script` where Vega is."""
    sections = "".join(
        _section(place, title, panels, selection) for place, (title, panels) in enumerate(numbered(board).items())
    )
    main = _opening(board, view) + _choices(board, view) + _banner(trouble) + sections
    data = {
        "data_board": board.uid,
        "data_range": f"now-{length_text(board.range_s)}",
        "data_refresh": length_text(board.refresh_s),
        "data_vega": script,
    }
    return _document(board.title, boards, view, board.uid, main, data)


def list_page(boards: Mapping[str, Board], view: View | None) -> str:
    """All boards, with what each is about."""
    entries = "".join(
        element("li", element("a", text(board.title), href=elsewhere(board.uid, view) if view else f"/d/{board.uid}"))[:-5]
        + f"<p>{prose(board.description)}</p></li>"
        for board in boards.values()
    )  # fmt: skip
    main = f'<div class="top"><h1>Boards</h1></div><ul class="boards">{entries}</ul>'
    return _document("Boards", boards, view, "", main, {})


def sentence_page(title: str, sentence: str, boards: Mapping[str, Board]) -> str:
    """A page that only says something."""
    return _document(
        title, boards, None, "", f'<div class="top"><h1>{text(title)}</h1></div><p>{text(sentence)}</p>', {}
    )


def layout() -> str:
    """Classes of the grid of 24 columns: how wide, and how many rows of 30 px high."""
    rows = "\n".join(f".panel.h-{number} {{ --rows: {number}; }}" for number in range(1, 41))
    columns = "\n".join(f".panel.w-{number} {{ grid-column: span {number}; }}" for number in range(1, 25))
    return f"{rows}\n@media (min-width: 72rem) {{\n{columns}\n}}\n"


def _document(
    title: str, boards: Mapping[str, Board], view: View | None, uid: str, main: str, data: dict[str, str]
) -> str:
    styles = "".join(f'<link rel="stylesheet" href="/static/{name}.css">' for name in ("theme", "panels", "board"))
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)} · turnwatch</title>"
        f'<link rel="icon" href="/static/icon.svg">{styles}<script src="/static/theme.js"></script>'
        '<script type="module" src="/static/board.js"></script>'
    )
    body = (
        '<a class="skip" href="#content">Skip to content</a>'
        f'{_navigation(boards, view, uid)}<main id="content" tabindex="-1">{main}</main>{_keys()}'
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n{element("body", body, **data)}</html>\n'


def _navigation(boards: Mapping[str, Board], view: View | None, uid: str) -> str:
    entries = "".join(
        element(
            "li",
            element(
                "a",
                text(board.title),
                href=elsewhere(board.uid, view) if view else f"/d/{board.uid}",
                aria_current="page" if board.uid == uid else None,
            ),
        )
        for board in boards.values()
    )
    return (
        '<header class="side"><a class="brand" href="/"><span aria-hidden="true" class="mark"></span>turnwatch</a>'
        f'<nav aria-label="Boards"><ul>{entries}</ul></nav>'
        '<div class="foot"><button type="button" id="theme" aria-pressed="false">Dark</button>'
        '<button type="button" id="show-keys" aria-haspopup="dialog">Keys</button></div></header>'
    )


def _opening(board: Board, view: View) -> str:
    return (
        f'<div class="top"><div><h1>{text(board.title)}</h1><p class="lead">{prose(board.description)}</p></div>'
        f'<div class="tools" role="group" aria-label="Time range and refresh">{_times()}{_live(board)}</div></div>'
    )


def _times() -> str:
    presets = "".join(
        element("button", text(f"Last {words}"), type="button", data_from=begins) for begins, words in PRESETS
    )
    return (
        '<button type="button" id="earlier" aria-label="Earlier by half the range" title="Earlier  [">‹</button>'
        '<details class="menu" id="times"><summary><span class="unseen">Time range: </span><span id="range">…</span></summary>'
        f'<div class="sheet wide"><div class="presets" role="group" aria-label="Ranges that end now">{presets}</div>'
        '<form id="between" aria-label="From and to"><label>From (UTC)<input name="from" required autocomplete="off" '
        'spellcheck="false"></label><label>To (UTC)<input name="to" required autocomplete="off" spellcheck="false"></label>'
        '<p class="hint">2026-10-01 12:00, now-6h or now. Dragging over a chart does the same.</p>'
        '<p class="wrong" role="alert" hidden></p><button type="submit" class="main">Apply</button></form></div></details>'
        '<button type="button" id="later" aria-label="Later by half the range" title="Later  ]">›</button>'
        '<button type="button" id="wider" aria-label="Twice the range" title="Twice the range  -">−</button>'
    )


def _live(board: Board) -> str:
    own = length_text(board.refresh_s)
    each = "".join(
        element("option", text(f"every {name}"), value=name, selected="" if name == own else None)
        for name in dict.fromkeys((*REFRESHES, own))
    )  # fmt: skip
    return (
        '<button type="button" id="again" title="Ask again  r">Refresh</button>'
        '<button type="button" id="live" aria-pressed="true" title="Live  l"><span class="dot" aria-hidden="true"></span>Live</button>'
        f'<label class="unseen" for="refresh">How often</label><select id="refresh">{each}</select>'
    )


def _choices(board: Board, view: View) -> str:
    shown = "".join(_choice(choice, view.given.get(choice.name, ())) for choice in board.choices)
    reset = '<button type="button" id="everything" hidden>Clear filters</button>'
    shown += reset + _unapplied(board, view)
    return f'<div class="choices" role="group" aria-label="Filters">{shown}</div>' if board.choices else ""


def _unapplied(board: Board, view: View) -> str:
    """Dimensions that the address chooses and this board has no filter for: what is shown is wider than it seems."""
    known = {choice.name for choice in board.choices}
    others = {name: values for name, values in view.given.items() if name in DIMENSIONS and name not in known}
    said = ", ".join(f"{name} = {' or '.join(values)}" for name, values in others.items())
    words = f"No filter of this board, so not applied: {said}."
    return element("p", text(words), class_="hint", id="unapplied", data_names=" ".join(others)) if others else ""


def _choice(choice: Choice, values: Sequence[str]) -> str:
    name = text(choice.name)
    if not choice.is_multi and isinstance(choice.options, tuple):
        picked = values[0] if values else choice.chosen
        options = "".join(
            element("option", text(value), value=value, selected="" if value == picked else None)
            for value in dict.fromkeys((*choice.options, picked))
        )
        select = element("select", options, id=f"choice-{name}", data_one=choice.name, data_default=choice.chosen)
        return element("label", f"<span>{text(choice.label)}</span>{select}", class_="one", title=choice.meaning)
    kept = "".join(element("option", "", value=value) for value in values)
    return (
        f'<details class="menu choice" data-choice="{name}" data-label="{text(choice.label)}" title="{text(choice.meaning)}">'
        f'<summary><span class="what">{text(choice.label)}</span> <span class="picked">{text(_picked(values))}</span></summary>'
        f'<div class="sheet"><label class="unseen" for="search-{name}">Search {text(choice.label)}</label>'
        f'<input id="search-{name}" type="search" placeholder="Search {text(choice.label)}" autocomplete="off" spellcheck="false">'
        f'<fieldset><legend class="unseen">{text(choice.label)}: {text(choice.meaning)}</legend><div class="options"></div></fieldset>'
        f'<p class="hint" role="status"></p><div class="actions"><button type="button" class="all">All</button>'
        f'<button type="button" class="main apply">Apply</button></div><datalist hidden>{kept}</datalist></div></details>'
    )


def _picked(values: Sequence[str]) -> str:
    """
    >>> _picked(()), _picked(("eu", "us", "ap"))
    ('all', 'eu +2')
    """
    return "all" if not values else values[0] + (f" +{len(values) - 1}" if len(values) > 1 else "")


def _banner(trouble: str) -> str:
    noscript = "<noscript><p class='failure'>Panels are drawn by this page's scripts: allow them for this address.</p></noscript>"
    hidden = "" if trouble else " hidden"
    return (
        f'<p id="banner" class="failure" role="alert"{hidden}>{text(trouble)}</p>{noscript}'
        '<p id="status" class="unseen" role="status"></p>'
    )


def _section(place: int, title: str, panels: Sequence[Numbered], selection: Mapping[str, str | list[str]]) -> str:
    name = f"section-{place}"
    body = "".join(_panel(each.number, titled(each.panel, selection)) for each in panels)
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{text(title)}</h2><div class="panels">{body}</div></section>'


def _panel(number: int, panel: Panel) -> str:
    name = f"panel-{number}"
    kind = _KINDS[type(panel)]
    as_table = (
        element("button", "Table", type="button", class_="as-table", aria_pressed="false", aria_describedby=f"{name}-title")
        if kind == "plot"
        else ""
    )  # fmt: skip
    about = (
        f'<details class="about"><summary aria-label="About {text(panel.title)}"><span aria-hidden="true">i</span></summary>'
        f"<p>{prose(panel.description)}</p></details>"
    )
    header = f'<div class="head"><h3 id="{name}-title">{text(panel.title)}</h3>{as_table}{about}</div>'
    body = '<div class="body" aria-busy="true"><div class="skeleton" aria-hidden="true"></div></div>'
    return element(
        "article",
        header + body,
        id=name,
        class_=f"panel {kind} w-{panel.place.width} h-{panel.place.height}",
        tabindex="-1",
        data_number=str(number),
        aria_labelledby=f"{name}-title",
    )


_KINDS: dict[type, str] = {Chart: "plot", HeatMap: "plot", Bars: "plot", Grid: "rows", Figures: "large"}


def _keys() -> str:
    rows = "".join(f"<div><dt>{''.join(_caps(keys))}</dt><dd>{text(meaning)}</dd></div>" for keys, meaning in KEYS)
    return (
        '<dialog id="keys" aria-labelledby="keys-title"><h2 id="keys-title">Keys</h2>'
        f'<dl>{rows}</dl><label class="switch"><input type="checkbox" id="keys-on" checked> Single keys do this</label>'
        '<form method="dialog"><button class="main">Close</button></form></dialog>'
    )


def _caps(keys: str) -> Iterator[str]:
    for word in keys.split():
        yield f" {word} " if word == "and" else element("kbd", text(word))
