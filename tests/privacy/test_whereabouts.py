"""Who judges the attack knows in which row a turn was counted, also where another row would fit it better."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from producers.observations import TURN_COLUMNS, with_unsaid
from tests.privacy.attacker import Attacker, Target, decoded_rows
from tests.privacy.fleets import POOL, START_MS, frames_of
from tests.privacy.studies import OF_TURNS
from tests.privacy.whereabouts import marked, whereabouts

STUDY = replace(OF_TURNS, counts={"turns": "turns"})
"""Of two views: where turns are counted, and by language and device."""
CELLS = {("en", "phone"): 21, ("de", "phone"): 12, ("is", "phone"): 13, ("en", "car"): 30, ("en", "headset"): 5}
"""Headsets are too few with any language, and take the smallest cell of the pool along: English on the phone."""


def world() -> pl.DataFrame:
    told = [cell for cell, count in CELLS.items() for _ in range(count)]
    known = {"region": "eu-west-1", "pool": POOL, "route": "support", "bundle": "v1", "moment": 0}
    facts = {"ended_at_ms": START_MS + 1_000, "audio_in_ms": 1_000, "turn_ms": 900.0}
    flags = dict.fromkeys(("is_error", "is_abandoned", "is_retrieval_stale"), False)
    rows = [
        {**known, **facts, **flags, "session": place, "language": language, "device_class": device}
        for place, (language, device) in enumerate(told)
    ]
    unsaid = dict.fromkeys(("audio_out_ms", "tokens_in", "tokens_out"), 0)
    table = pl.DataFrame([row | unsaid for row in rows], schema_overrides={"session": pl.UInt64()})
    return with_unsaid(table, {"moment": pl.Int64(), **TURN_COLUMNS})


@pytest.mark.parametrize(
    ("cell", "row"),
    [
        (("en", "phone"), ("*", "*", 26)),
        (("en", "headset"), ("*", "*", 26)),
        (("de", "phone"), ("*", "phone", 25)),
        (("en", "car"), ("en", "car", 30)),
    ],
)
def test_a_cell_that_was_taken_along_is_where_the_gate_put_it(cell: tuple[str, str], row: tuple[str, str, int]) -> None:
    turns = marked(world(), STUDY, POOL)
    frames = frames_of(turns)
    counted_in = whereabouts(turns, frames, STUDY, POOL)
    target = Target(0, START_MS, {"route": "support", "bundle": "v1", "language": cell[0], "device_class": cell[1]})
    _, where = Attacker(frames, STUDY, POOL, counted_in).class_of(target)
    told = dict(decoded_rows(frames, STUDY.partitions))[where]  # type: ignore[index]  # It is not held.
    assert (told["language"], told["device_class"], told["turns"]) == row


def test_whoever_does_not_ask_takes_another_row_for_the_one() -> None:
    frames = frames_of(marked(world(), STUDY, POOL))
    target = Target(0, START_MS, {"route": "support", "bundle": "v1", "language": "en", "device_class": "phone"})
    _, where = Attacker(frames, STUDY, POOL, {}).class_of(target)
    assert dict(decoded_rows(frames, STUDY.partitions))[where]["turns"] == 25  # type: ignore[index]
