"""The answer of `turnwatch cost why` for a terminal: two lines of what changed, a waterfall, and where it happened."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from turnwatch.answers.waterfall import waterfall
from turnwatch.printable import printable

MICRO = 1_000_000
Answer = dict[str, Any]


def print_why(answer: Answer) -> None:
    """Prints the document that `turnwatch.answers.cost_why.told` makes."""
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    for line in headline(answer):
        console.print(Text(printable(line)))
    console.print()
    console.print(_table(answer))
    for line in notes(answer):
        console.print(Text(printable(line), style="dim"))


def headline(answer: Answer) -> Iterator[str]:
    """What a success cost and costs, and what the bill was and is."""
    old, new = answer["old"], answer["new"]
    per_success = (f"${each['micro_dollars_per_success'] / MICRO:.6f}" for each in (old, new))
    yield f"a success cost {' → '.join(per_success)} ({signed(answer['relative_change'], '.1%')})"
    bills = " → ".join(f"${each['bill_cents'] / 100:,.2f}" for each in (old, new))
    counts = ", ".join(f"{name} {old[name]:,} → {new[name]:,}" for name in ("turns", "successes"))
    yield f"the bill {bills} ({_relative(old['bill_cents'], new['bill_cents'])}); {counts}"


def notes(answer: Answer) -> Iterator[str]:
    """Where the strongest driver was strongest, and what has no price."""
    for driver in answer["drivers"][:1]:
        place = " ".join(f"{name}={value}" for name, value in driver["mostly_in"].items())
        yield f"{driver['meaning']}: mostly {place}"
    for side in (answer["old"], answer["new"]):
        if side["uncosted_gpu_hours"] or side["uncosted_tokens"]:
            yield (
                f"{side['name']}: {side['uncosted_gpu_hours']:,.2f} GPU hours and {side['uncosted_tokens']:,} tokens "
                "have no price, and cost nothing here"
            )


def signed(value: float, form: str) -> str:
    """With its sign, which what is shown as zero does not have.

    >>> signed(0.5, ".1f"), signed(-0.04, ".1f")
    ('+0.5', '0.0')
    """
    text = f"{value:+{form}}"
    return text if any(digit in text for digit in "123456789") else text[1:]


def _table(answer: Answer) -> Table:
    drivers = answer["drivers"]
    old, new = answer["old"], answer["new"]
    bars = waterfall(old["micro_dollars_per_success"], [each["micro_dollars"] for each in drivers])
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("what")
    for name in ("of a success", "of the bill"):
        table.add_column(name, justify="right")
    table.add_column(f"bars begin at ${bars.begins_at / MICRO:.6f}, not at 0" if bars.begins_at else "")
    table.add_row("before", *_levels(old), Text(bars.lines[0]))
    for driver, bar in zip(drivers, bars.lines[1:-1], strict=True):
        style = "red" if driver["micro_dollars"] > 0 else "green"
        added = signed(driver["micro_dollars"] / MICRO, ".6f"), signed(driver["bill_cents"] / 100, ",.2f")
        table.add_row(driver["meaning"], *added, Text(bar, style=style))
    table.add_row("the number of successes", "", signed(answer["volume_cents"] / 100, ",.2f"), "")
    table.add_row("after", *_levels(new), Text(bars.lines[-1]))
    return table


def _levels(side: Answer) -> tuple[str, str]:
    return f"{side['micro_dollars_per_success'] / MICRO:.6f}", f"{side['bill_cents'] / 100:,.2f}"


def _relative(old: int, new: int) -> str:
    return signed(new / old - 1, ".1%") if old else "of less than a cent"
