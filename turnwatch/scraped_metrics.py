"""The page of what is scraped: every metric of every engine, and what it becomes, out of the mappings."""

from __future__ import annotations

from producers.scraping.mapping import KINDS, Entry, Kind, mapping_of


def scraped_metrics() -> str:
    opening = (
        "<!-- Rendered by `turnwatch render` from producers/scraping/mappings/: change it there. -->\n"
        "# Scraped metrics\n\n"
        "What is read of each engine and exporter, and what it becomes. Metrics that are not listed are not read. How to "
        "set it up, and what each kind of reading means, is in [scraping](scraping.md).\n"
    )
    return "\n".join([opening, *map(_engine, KINDS)])


def _engine(kind: Kind) -> str:
    mapping = mapping_of(kind)
    told_apart = ", ".join(f"`{name}`" for name in mapping.labels) or "nothing"
    known = ", ".join(f"`{name}`" for name in mapping.ignored_labels)
    facts = [
        f"Checked against {mapping.checked.version}: {'; '.join(mapping.checked.sources)}.",
        f"Series are told apart by {told_apart}." + (f" Known, and looked at no further: {known}." if known else ""),
    ]
    if mapping.arrivals == "derived":
        facts.append("Arrivals are derived: what was served, and what waiting and running requests have grown by.")
    rows = [
        f"| {_names(entry)} | {entry.type} | {entry.unit} | {entry.destination} | {entry.note} |"
        for entry in mapping.metrics
    ]
    head = "| metric | read as | unit | becomes | note |\n|---|---|---|---|---|"
    return f"## {mapping.title} (`{kind}`)\n\n{chr(10).join(facts)}\n\n{head}\n" + "\n".join(rows) + "\n"


def _names(entry: Entry) -> str:
    label = f", label `{entry.label}`" if entry.label else ""
    return ", else ".join(f"`{name}`" for name in entry.names) + label
