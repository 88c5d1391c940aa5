"""Streams: concurrent calls, second by second."""

from __future__ import annotations

from schemas.declarations import Family, Key, Measure
from schemas.families.partitions import OPERATIONAL, OPERATIONAL_CUTS
from schemas.families.purposes import CAPACITY

STREAMS = Family(
    name="streams",
    meaning="concurrent calls: active at the window's start, and starts and ends in each of its seconds",
    kind="streams",
    purpose=CAPACITY,
    partitions=(OPERATIONAL,),
    keys=(Key("second", "second of the window, from 0", integer_range=(0, 9)),),
    measures=(
        Measure(
            "active_at_start", "streams", "streams active at the window's first instant (second 0 only)", merge="gauge"
        ),
        Measure("starts", "streams", "streams that started in this second"),
        Measure("ends", "streams", "streams that ended in this second"),
    ),
    cuts=OPERATIONAL_CUTS,
)
