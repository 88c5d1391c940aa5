"""Panels about volume: turns, concurrent streams and the replicas they take, tokens, audio."""

from __future__ import annotations

from dashboards.panels import Chart, Place
from dashboards.queries import traffic
from schemas.dimensions import DIMENSIONS

_POOLS = DIMENSIONS["pool"].vocabulary


def turns() -> Chart:
    meaning = "Turns that ended, per second, realtime and batch pools apart."
    return Chart(
        traffic.TURNS_PER_SECOND, "Turns", meaning, "count:turns/s", Place(8, 8), axis="turns per second", series=_POOLS
    )


def streams() -> Chart:
    meaning = (
        "The peak of concurrent streams in each step lies between these two: within a second ends came first, or "
        "starts did. Where the two coincide it is exact. Several slices together widen the bounds."
    )
    title, series = (
        "Peak of concurrent streams",
        tuple(f"{pool} at {bound}" for pool in _POOLS for bound in ("least", "most")),
    )
    return Chart(traffic.PEAK_STREAMS, title, meaning, "count:streams", Place(8, 8), axis="streams", series=series)


def replicas() -> Chart:
    meaning = (
        "Replicas that the upper bound of concurrent streams takes, at the deployment's capacity figures; nothing "
        "where none are configured."
    )
    return Chart(
        traffic.REPLICAS_NEEDED,
        "Replicas needed",
        meaning,
        "count:replicas",
        Place(8, 8),
        axis="replicas",
        series=_POOLS,
    )


def tokens() -> Chart:
    meaning = "Prompt tokens read and tokens generated, per second and pool."
    series = tuple(f"{pool} {kind}" for pool in _POOLS for kind in ("prompt", "generated"))
    axis = "tokens per second"
    return Chart(traffic.TOKENS_PER_SECOND, "Tokens", meaning, "count:tokens/s", Place(12, 8), axis=axis, series=series)


def audio() -> Chart:
    meaning = "Seconds of audio heard from users and spoken to them, per second and pool."
    series = tuple(f"{pool} {kind}" for pool in _POOLS for kind in ("heard", "spoken"))
    axis = "audio seconds per second"
    return Chart(traffic.AUDIO_PER_SECOND, "Audio", meaning, "count:s/s", Place(12, 8), axis=axis, series=series)
