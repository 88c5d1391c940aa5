"""The counters and gauges that a scraper shows at `/metrics`, each declared once."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge


class ScrapeMetrics:
    """What a scraper counts. One instance a process; a test gives its own registry."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"turnwatch_scrape_{name}", meaning, labels, registry=registry)

        self.scrapes = counter(
            "scrapes", "scrapes by what came of them: taken, or why the target gave nothing", "kind", "outcome"
        )
        self.refused = counter("refused", "samples and answers that were refused", "reason")
        self.labels_dropped = counter(
            "labels_dropped", "labels that samples count without, by what they held", "reason"
        )
        self.resets = counter("counter_resets", "series that began at zero again", "kind")
        self.gaps = counter("gaps", "scrapes whose increases span more than one and a half intervals", "kind")
        self.blunt_histograms = counter(
            "blunt_histograms", "histograms without an edge at the threshold they are asked about", "kind"
        )
        self.frames_sent = counter("frames_sent", "frames that Kafka has", "family")
        self.targets_away = Gauge(
            "turnwatch_scrape_targets_away", "targets that gave nothing in the last round", registry=registry
        )
        self.waiting_frames = Gauge(
            "turnwatch_scrape_waiting_frames", "frames that Kafka does not have yet", registry=registry
        )
