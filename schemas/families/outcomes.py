"""Outcomes: what became of the same turns, beside their objectives: by client too."""

from __future__ import annotations

from schemas.declarations import Cut, Family, Measure
from schemas.families.partitions import CLIENT, OPERATIONAL, OPERATIONAL_CUTS
from schemas.families.purposes import ABUSE, CAPACITY, CONVERSATION, MONEY

OUTCOMES = Family(
    name="outcomes",
    meaning="what became of turns: successes, handoffs, refusals, tool calls, retries, fallbacks, and how audio arrived",
    kind="turns",
    purpose=CONVERSATION,
    since_minor=2,
    owned_without=("bundle",),
    partitions=(OPERATIONAL, CLIENT),
    measures=(
        Measure("outcomes", "turns", "turns whose outcome was observed"),
        Measure("successes", "turns", "turns that did what their user wanted", part_of="outcomes"),
        Measure("errors", "turns", "turns that ended in an error", part_of="outcomes"),
        Measure("abandonments", "turns", "turns that their user abandoned", part_of="outcomes"),
        Measure("interruptions", "turns", "turns that their user interrupted", part_of="outcomes"),
        Measure("handoffs", "turns", "turns that were handed to a human", part_of="outcomes"),
        Measure("cancellations", "turns", "turns that were cancelled before they were answered", part_of="outcomes"),
        Measure("refusals", "turns", "turns that the assistant refused to answer", part_of="outcomes"),
        Measure("lookups", "turns", "turns that retrieved something"),
        Measure("lookups_stale", "turns", "turns that retrieved from a stale index", part_of="lookups"),
        Measure("tool_calls", "calls", "tool calls", purpose=ABUSE),
        Measure(
            "tool_calls_unsafe",
            "calls",
            "tool calls that a safety check found wrong",
            part_of="tool_calls",
            purpose=ABUSE,
        ),
        Measure("synthetic_voices", "turns", "turns spoken by a synthetic voice", part_of="outcomes", purpose=ABUSE),
        Measure("retries", "attempts", "attempts after the first one", purpose=MONEY),
        Measure("fallbacks", "attempts", "attempts on a fallback model or route", purpose=MONEY),
        Measure("shadows", "attempts", "attempts on shadow traffic, which nobody heard", purpose=MONEY),
        Measure("tokens_cached", "tokens", "prompt tokens that a cache had", purpose=MONEY),
        Measure("tokens_audio", "tokens", "audio tokens, in and out", purpose=MONEY),
        Measure("jitter_turns", "turns", "turns whose network jitter was measured", purpose=CAPACITY),
        Measure("jitter_ms_sum", "ms", "sum of their mean jitters", purpose=CAPACITY),
        Measure("jitter_ms_sumsq", "ms^2", "sum of their squared mean jitters", purpose=CAPACITY),
        Measure("chunks", "chunks", "chunks of audio that were sent", purpose=CAPACITY),
        Measure(
            "chunks_late",
            "chunks",
            "chunks sent later than the one before had been played",
            part_of="chunks",
            purpose=CAPACITY,
        ),
    ),
    cuts=(
        *OPERATIONAL_CUTS,
        Cut("client", ("pool", "client_version")),
        Cut("client", ("pool", "connection")),
        Cut("client", ("pool", "codec")),
    ),
)
