"""What is left of a slice at the edge, on observations that can be counted by hand."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pytest

from producers.observations import TURN_COLUMNS, with_unsaid
from turnwatch.bench.privacy import KEPT_SHARE_MIN, Kept, counted, views_of


def turns(*groups: tuple[str, str, int]) -> pl.DataFrame:
    """One turn per session for each (device, connection, sessions)."""
    rows = [
        {"device_class": device, "connection": connection} for device, connection, count in groups for _ in range(count)
    ]
    said = {"region": "eu-west-1", "pool": "realtime", "route": "support", "bundle": "v1", "language": "en"}
    zeros = dict.fromkeys(("ended_at_ms", "audio_in_ms", "audio_out_ms", "tokens_in", "tokens_out"), 0)
    flags = {"is_error": False, "is_abandoned": False}
    table = pl.DataFrame(rows).with_columns(
        pl.lit(value).alias(name) for name, value in {**said, **zeros, **flags}.items()
    )
    numbered = table.with_columns(session=pl.int_range(pl.len()))
    whole = with_unsaid(numbered, TURN_COLUMNS)
    return whole.select(pl.col(name).cast(dtype) for name, dtype in TURN_COLUMNS.items())


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"device_class": ["mobile_app"]}, (60, 60)),
        ({"connection": ["cellular"]}, (45, 45)),
        ({"device_class": ["mobile_app"], "connection": ["cellular"]}, (30, 30)),
        ({"device_class": ["car"]}, (15, 0)),
        ({"pool": ["realtime"], "device_class": ["car", "mobile_app"]}, (75, 60)),
    ],
)
def test_a_turn_keeps_its_slice_where_every_partition_releases_it_so(
    where: dict[str, Sequence[str]], expected: tuple[int, int]
) -> None:
    """Fifteen in cars are below k: they and the smallest sibling, browsers, lose their device."""
    observed = turns(
        ("mobile_app", "cellular", 30), ("mobile_app", "wifi", 30), ("browser", "wifi", 25), ("car", "cellular", 15)
    )
    kind, views = views_of(where)
    assert kind == "turns"
    assert counted(observed, where, views) == expected


def test_accents_are_of_labelled_calls_and_what_identifies_nobody_needs_no_gate() -> None:
    assert views_of({"accent": ["indian"], "noise_class": ["noisy"]})[0] == "quality"
    assert views_of({"pool": ["realtime"], "bundle": ["v2"]})[1] == []


def test_exactly_on_the_limit_is_within_and_nothing_observed_is_not() -> None:
    assert Kept("s", "slice", "turns", 100, 90).is_within and KEPT_SHARE_MIN == 0.9
    assert not Kept("s", "slice", "turns", 100, 89).is_within
    assert not Kept("s", "slice", "turns", 0, 0).is_within
    assert Kept("s", "slice", None).is_within
