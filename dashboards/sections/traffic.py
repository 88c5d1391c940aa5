"""Panels about volume: turns, concurrent streams and the replicas they take, tokens, audio."""

from __future__ import annotations

from dashboards.panels import Panel, Place, chart, coloured
from dashboards.queries import traffic
from schemas.dimensions import DIMENSIONS

_POOLS = DIMENSIONS["pool"].vocabulary


def turns() -> Panel:
    meaning = "Turns that ended, per second, realtime and batch pools apart."
    return coloured(
        chart(traffic.TURNS_PER_SECOND, "Turns", meaning, "si: turns/s", Place(8, 8), axis="turns per second"), _POOLS
    )


def streams() -> Panel:
    meaning = (
        "The peak of concurrent streams in each step lies between these two: within a second ends came first, or "
        "starts did. Where the two coincide it is exact. Several slices together widen the bounds."
    )
    panel = chart(
        traffic.PEAK_STREAMS, "Peak of concurrent streams", meaning, "si: streams", Place(8, 8), axis="streams"
    )
    return coloured(panel, [f"{pool} at {bound}" for pool in _POOLS for bound in ("least", "most")])


def replicas() -> Panel:
    meaning = (
        "Replicas that the upper bound of concurrent streams takes, at the deployment's capacity figures; 0 where "
        "none are configured."
    )
    return coloured(
        chart(traffic.REPLICAS_NEEDED, "Replicas needed", meaning, "si: replicas", Place(8, 8), axis="replicas"), _POOLS
    )


def tokens() -> Panel:
    meaning = "Prompt tokens read and tokens generated, per second and pool."
    panel = chart(traffic.TOKENS_PER_SECOND, "Tokens", meaning, "si: tokens/s", Place(12, 8), axis="tokens per second")
    return coloured(panel, [f"{pool} {kind}" for pool in _POOLS for kind in ("prompt", "generated")])


def audio() -> Panel:
    meaning = "Seconds of audio heard from users and spoken to them, per second and pool."
    panel = chart(traffic.AUDIO_PER_SECOND, "Audio", meaning, "si: s/s", Place(12, 8), axis="audio seconds per second")
    return coloured(panel, [f"{pool} {kind}" for pool in _POOLS for kind in ("heard", "spoken")])
