"""The mapping as tables of Markdown, for `docs/otlp.md`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from producers.otlp.mapping import ATTRIBUTES, INDICATOR_OF_STAGE, NOT_TAKEN, OTHERS, Line


def mapping_table() -> str:
    """One line for each that is not of ours."""
    rows = [(_metric(line), line.unit, line.takes, _place(line), _where(line)) for line in OTHERS]
    return _table(("metric", "unit", "of it", "counts as", "where"), rows)


def not_taken_table() -> str:
    return _table(("metric", "why"), [(f"`{metric}`", why) for metric, why in NOT_TAKEN.items()])


def attributes_table() -> str:
    rows = [(name, ", ".join(f"`{each}`" for each in attributes)) for name, attributes in ATTRIBUTES.items()]
    return _table(("dimension", "attributes"), rows)


def _metric(line: Line) -> str:
    return f"`{line.metric}`" + (" †" if line.is_turn else "")


def _place(line: Line) -> str:
    if line.takes != "buckets":
        return f"`{line.family}.{line.measure}`"
    return f"stage `{line.stage}`" + (" ‡" if line.is_judged and line.stage in INDICATOR_OF_STAGE else "")


def _where(line: Line) -> str:
    told = (
        f"`{name}` " + ("is there" if values == "*" else " or ".join(values.split("|"))) for name, values in line.where
    )
    return "; ".join(told)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def lines() -> Iterator[str]:
        yield f"| {' | '.join(heads)} |"
        yield "|" + "---|" * len(heads)
        for row in rows:
            yield f"| {' | '.join(row)} |"

    return "\n".join(lines())
