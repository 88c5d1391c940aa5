"""The answer of `turnwatch drift why` for a terminal: for each rate what there is in words, and a table of its best cut."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.counted import counted
from turnwatch.printable import printable

BILLION = 1_000_000_000
ROWS_MAX = 12
Answer = dict[str, Any]


def print_why(answer: Answer) -> None:
    """Prints the document that `turnwatch.drift.why.told` makes: rates in which something got worse with a table."""
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    for rate in sorted(answer["rates"], key=lambda rate: not _is_news(rate)):
        for line in rate["sentences"]:
            console.print(Text(printable(line)))
        if _is_news(rate) or len(answer["rates"]) == 1:
            for line in began(rate):
                console.print(Text(printable(line)))
            console.print(_table(rate))
            for line in _other_cuts(rate):
                console.print(Text(printable(line), style="dim"))
    for note in answer["notes"]:
        console.print(Text(printable(note), style="dim"))


def began(rate: Answer) -> Iterator[str]:
    """Since when, and what began with it: nothing is said of causes."""
    if rate["is_begun_between"]:
        yield "since some time between the last window of the one period and the first of the other"
    if rate["began"] is None:
        return
    yield f"since about {rate['began']}"
    if rate["began_with"] is None:
        yield rate["began_with_unknown"]
        return
    for each in rate["began_with"]:
        before = f"{each['before_s'] / 3_600:.1f} h before" if each["before_s"] > 0 else "with it"
        back = f" (back to {each['rollback_to']}, {each['owner']})" if each["rollback_to"] else ""
        yield f"began with {each['what']} in {each['slice']}, {before}{back}"
    if not rate["began_with"]:
        yield "no bundle, artifact, index or policy began to be served in the day before"


def _is_news(rate: Answer) -> bool:
    return bool(rate["is_mix"] or rate["overall"]["state"] == "worse" or any(cut["worse"] for cut in rate["cuts"]))


def _table(rate: Answer) -> Table:
    cut = rate["cuts"][0]
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column(Text(printable(f"slice of {cut['cut']}")), overflow="fold")
    for name in ("old", "new", "samples", "weight", "by rate", "by mix"):
        table.add_column(name, justify="right")
    table.add_column("")
    shown = cut["slices"][:ROWS_MAX]
    for row in shown:
        table.add_row(Text(printable(row["slice"])), *map(Text, _cells(row)))
    rest = [*cut["slices"][ROWS_MAX:]]
    count = len(rest) + cut["others"]["slices"]
    if count:
        parts = (sum(row[name] for row in rest) + cut["others"][name] for name in ("rate_billionths", "mix_billionths"))
        table.add_row(f"{count:,} others", "", "", "", "", *map(_part, parts), "")
    table.add_row("all together", "", "", "", "", _part(cut["rate_billionths"]), _part(cut["mix_billionths"]), "")
    return table


def _cells(row: Answer) -> Iterator[str]:
    for side in ("old", "new"):
        yield "-" if row[side] is None else f"{row[side]:.4g}"
    yield f"{row['old_samples']:,.0f} → {row['new_samples']:,.0f}"
    yield f"{row['old_weight']:.1%} → {row['new_weight']:.1%}"
    yield _part(row["rate_billionths"])
    yield _part(row["mix_billionths"])
    yield row["state"].replace("_", " ")


def _part(billionths: int) -> str:
    return f"{billionths / BILLION:+.5f}"


def _other_cuts(rate: Answer) -> Iterator[str]:
    """What the best cut leaves out, or cannot judge, and what the other cuts say, in one line each."""
    best = rate["cuts"][0]
    if best["undivided"]:
        yield f"{best['undivided']:,} counted in slices that have nothing to divide it by, and in no part"
    if best["not_enough"]:
        yield f"not enough was told of {counted(best['not_enough'], 'slice')} of {best['cut']}: neither fine nor worse"
    if best["empty"]:
        yield f"{counted(best['empty'], 'slice')} of {best['cut']} told nothing of {rate['rate']} in either period"
    for cut in rate["cuts"][1:]:
        parts = f"by rate {_part(cut['rate_billionths'])}, by mix {_part(cut['mix_billionths'])}"
        yield f"by {cut['cut']}: {cut['worse'] or 'no'} {'slice' if cut['worse'] < 2 else 'slices'} worse, {parts}"
