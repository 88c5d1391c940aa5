"""Targets, and scrapes of them without a network."""

from __future__ import annotations

from typing import Any

from producers.scraping.exposition import read_exposition
from producers.scraping.readings import Reading, TargetState, reading
from producers.scraping.targets import Target

TEXT = "text/plain; version=0.0.4; charset=utf-8"
INTERVAL_MS = 10_000
SPOKEN = {"route": "voice", "model_version": "llama-31", "gpu_type": "h100", "purchase": "reserved"}


def target(kind: str = "vllm", **fields: Any) -> Target:
    """A target that is asked for everything that can be asked of it."""
    declared = {"url": f"http://{kind}:8000/metrics", "kind": kind, "host": "gpu-07", "pool": "realtime"} | SPOKEN
    return Target.model_validate({**declared, "queue": "llm_first_token", "bundle": "v2", **fields})


class Scraper:
    """One target, scraped every ten seconds."""

    def __init__(self, of: Target) -> None:
        self.target, self.state, self.at_ms = of, TargetState(), 1_700_000_008_000

    def scrape(self, text: str, after_ms: int = INTERVAL_MS, content_type: str = TEXT) -> Reading:
        self.at_ms += after_ms
        shown = read_exposition(text.encode(), content_type, self.target.kind)
        return reading(self.target, "eu-west-1", self.state, shown, self.at_ms, INTERVAL_MS)


def said(of: Reading, kind: str) -> dict[str, Any]:
    """The one row of a kind, without what is 0 or not said."""
    rows = of.kinds[kind].to_dicts() if kind in of.kinds else []
    assert len(rows) <= 1
    return {name: value for row in rows for name, value in row.items() if value}
