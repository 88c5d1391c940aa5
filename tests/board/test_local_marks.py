"""Marks of what happened, as charts draw them."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Any

from dashboards.local import specs
from dashboards.panels import CALM, PAGE


def test_bands_of_one_colour_cover_an_instant_once_however_many_last() -> None:
    """Laid over each other, two dozen pages made a chart one dark field."""
    dice = Random(3)
    begins = [dice.randrange(1_000) for _ in range(60)]
    rows: list[dict[str, Any]] = [
        {
            "t": t,
            "t2": t + dice.randrange(60),
            "name": "n",
            "title": str(t),
            "text": "",
            "colour": dice.choice([PAGE, CALM]),
        }
        for t in begins
    ]
    merged = specs.bands(rows)
    for colour in (PAGE, CALM):
        mine = [(each["t"], each["t2"]) for each in merged if each["colour"] == colour]
        assert all(before[1] < after[0] for before, after in pairwise(sorted(mine)))
        covered = {instant for begin, end in mine for instant in range(begin, end + 1)}
        assert covered == {at for row in rows if row["colour"] == colour for at in range(row["t"], row["t2"] + 1)}
    assert len(merged) < len(rows)
    (one,) = specs.bands([dict(rows[0], title=str(place)) for place in range(5)])
    assert (one["title"], one["text"]) == ("0; 1; 2 and 2 more", "5 that overlap")
