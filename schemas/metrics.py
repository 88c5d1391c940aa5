"""The counters and gauges that a worker, and a collector, show at `/metrics`, each declared once.

Names follow Prometheus conventions: base units, `_total` for counters.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from schemas.burns import FIRST_FAMILY
from schemas.slices import slice_dimensions
from schemas.slo_counts import SloCounts
from schemas.slos import SLO_SLICES_MAX

SLO_EVENTS, SLO_BAD_EVENTS = "turnwatch_slo_events", "turnwatch_slo_bad_events"
"""Counters of what objectives judge, by `slo`, `slice` and its dimensions; both are shown with `_total` behind."""


class SloCounters(Collector):
    """The SLO counters of the shards that a worker owns, told from what each has counted when it is asked.

    Stages replace a shard's counts as a whole, so that the thread that is asked sees one instant of each. Beyond
    `slices_max` the slices with the most dimensions are left out, and how many is told.
    """

    def __init__(self, slices_max: int) -> None:
        self._slices_max = slices_max
        self._shards: dict[tuple[str, int], SloCounts] = {}

    def show(self, shard: int, counts: SloCounts, family: str = FIRST_FAMILY) -> None:
        self._shards = {**self._shards, (family, shard): counts}

    def forget(self, family: str = FIRST_FAMILY) -> None:
        """Shows nothing of a family until somebody is counting again: other workers may own its shards by then."""
        self._shards = {owner: counts for owner, counts in self._shards.items() if owner[0] != family}

    def collect(self) -> Iterator[Metric]:
        events = CounterMetricFamily(SLO_EVENTS, "events of decided buckets that an objective judged, by slice")
        bad_events = CounterMetricFamily(SLO_BAD_EVENTS, "those of them that were bad")
        found = list(chain.from_iterable(counts for _, counts in sorted(self._shards.items())))
        left_out = max(0, len(found) - self._slices_max)
        if left_out:
            found = sorted(found, key=lambda each: each[1].count(","))[: self._slices_max]
        for slo, text, bad, total in found:
            labels = {"slo": slo, "slice": text, **slice_dimensions(text)}
            events.add_sample(f"{SLO_EVENTS}_total", labels, total)
            bad_events.add_sample(f"{SLO_BAD_EVENTS}_total", labels, bad)
        meaning = "slices, by objective, whose SLO counters are not shown because there are too many"
        yield from (events, bad_events, GaugeMetricFamily("turnwatch_slo_slices_left_out", meaning, value=left_out))


class WorkerMetrics:
    """What a worker counts. One instance a process; a test gives its own registry."""

    def __init__(self, registry: CollectorRegistry = REGISTRY, slo_slices_max: int = SLO_SLICES_MAX) -> None:
        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"turnwatch_{name}", meaning, labels, registry=registry)

        def gauge(name: str, meaning: str, *labels: str) -> Gauge:
            return Gauge(f"turnwatch_{name}", meaning, labels, registry=registry)

        self.worker_ready = gauge("worker_ready", "1 once the worker owns partitions and has recovered their state")
        self.frames_applied = counter("frames_applied", "frames taken in, counted once", "family")
        self.frames_late = counter(
            "frames_late", "frames that came after their family's lateness, and landed apart", "family"
        )
        self.frames_repeated = counter("frames_repeated", "frames that had been taken in before", "family")
        self.frames_missing = counter(
            "frames_missing", "sequence numbers that had not come when many later ones had", "family"
        )
        self.frames_given_up = counter(
            "frames_given_up", "missing sequence numbers that are refused should they come after all", "family"
        )
        self.frames_refused = counter("frames_refused", "frames sent to the dead letters", "family", "reason")
        self.records_diverted = counter(
            "records_diverted", "records of any topic that were sent to the dead letters", "topic", "reason"
        )
        self.records_gone = counter(
            "records_gone", "records that were passed over because Kafka had them no more", "stage", "topic"
        )
        self.rows_applied = counter("rows_applied", "rows taken in", "family")
        self.columns_dropped = counter(
            "columns_dropped",
            "unknown columns of newer minor versions, dropped, by what they hold: of frames by family, of rollups by table",
            "family",
            "reason",
        )
        self.slices_overflowed = counter(
            "slices_overflowed", "slices counted under `other` because their cut was full", "family", "cut"
        )
        self.partials_sent = counter("partials_sent", "partial messages sent", "family")
        self.partials_applied = counter("partials_applied", "partial messages applied", "question", "family")
        self.rows_too_late = counter(
            "rows_too_late", "rows of partials that came after their bucket was folded", "question", "family"
        )
        self.decisions = counter("decisions", "decisions made by a shard", "question")
        self.held_left_out = counter(
            "held_left_out", "slices that want evidence and were not stated by a decision, being too many", "question"
        )
        self.rollup_rows_sent = counter("rollup_rows_sent", "rows sent on their way to ClickHouse", "table")
        self.rollup_rows_landed = counter("rollup_rows_landed", "rows that ClickHouse acknowledged", "table")
        self.sink_retries = counter("sink_retries", "inserts that had to be tried again", "table")
        self.sink_waiting_seconds = gauge(
            "sink_waiting_seconds", "how long rows have been waiting for ClickHouse to take them; 0 while it does"
        )
        self.kafka_waiting_seconds = gauge("kafka_waiting_seconds", "how long Kafka has not answered; 0 while it does")
        self.rollups_lost = counter("rollups_lost", "messages that Kafka deleted before they had landed")
        self.rollups_refused = counter(
            "rollups_refused", "messages of the rollups topic that name no table or do not fit it"
        )
        self.pages_sent = counter("pages_sent", "alerts delivered to an Alertmanager", "state")
        self.pages_waiting_seconds = gauge(
            "pages_waiting_seconds", "how long an Alertmanager has not taken alerts; 0 while it does", "alertmanager"
        )
        self.pages_failed = counter("pages_failed", "deliveries to an Alertmanager that failed and will be repeated")
        self.alerts = gauge("alerts", "alerts of objectives that are open, by state", "state")
        self.silence_alerts = gauge("silence_alerts", "alerts of silent telemetry that fire", "severity")
        self.finding_alerts = gauge("finding_alerts", "alerts of what questions found that are open", "alert", "state")
        self.findings_left_out = gauge(
            "findings_left_out", "findings in the newest statements that are no alerts, being too many", "question"
        )
        self.producers_silent = gauge("producers_silent", "producers that have stopped reporting", "family")
        self.state_bytes = counter("state_changelog_bytes", "bytes of state written to a changelog", "stage")
        self.watermark_seconds = gauge(
            "watermark_timestamp_seconds", "newest decided instant, event time", "question", "shard"
        )
        self.completeness = gauge(
            "completeness_ratio", "share of recent volume in the newest decision", "question", "shard"
        )
        self.slices = gauge("slices", "slices in state", "question", "shard")
        self.growth_slices_left_out = gauge(
            "growth_slices_left_out",
            "slices whose stages are not watched for growth because others of their shard have more observations",
            "shard",
        )
        self.queue_slices_left_out = gauge(
            "queue_slices_left_out",
            "slices whose queues are not watched for saturation because those of others of their shard have more arrivals",
            "shard",
        )
        self.abuse_slices_left_out = gauge(
            "abuse_slices_left_out",
            "tenants whose synthetic voices are not watched, being too many in a minute",
            "shard",
        )
        self.drift_slices_left_out = gauge(
            "drift_slices_left_out", "slices of a family that are not watched for drift, being too many", "shard"
        )
        self.slo_counters = SloCounters(slo_slices_max)
        registry.register(self.slo_counters)


NOISED = ("family", "partition", "measure")
"""Labels of what has a budget of noise."""


class CollectorMetrics:
    """What a collector counts. One instance a process; a test gives its own registry."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.registry = registry

        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"turnwatch_collector_{name}", meaning, labels, registry=registry)

        def gauge(name: str, meaning: str, *labels: str) -> Gauge:
            return Gauge(f"turnwatch_collector_{name}", meaning, labels, registry=registry)

        self.batches_taken = counter("batches_taken", "batches of recorders taken in, counted once", "kind")
        self.batches_repeated = counter("batches_repeated", "batches that had been taken in before", "kind")
        self.batches_refused = counter("batches_refused", "requests that were not taken, by HTTP status", "status")
        self.observations_taken = counter("observations_taken", "observations taken in", "kind")
        self.observations_refused = counter(
            "observations_refused", "observations of taken batches that were refused", "kind", "reason"
        )
        self.columns_dropped = counter(
            "columns_dropped", "columns that no kind of observation declares, dropped", "kind"
        )
        self.fields_dropped = counter(
            "fields_dropped", "values in columns that no kind declares, by what they were", "kind", "reason"
        )
        self.windows_closed = counter("windows_closed", "windows whose frames are on disk")
        self.frames_sent = counter("frames_sent", "frames that Kafka has, repeats after a restart included", "family")
        self.kafka_waiting_seconds = gauge(
            "kafka_waiting_seconds", "how long Kafka has not taken frames; 0 while it does"
        )
        self.waiting_bytes = gauge("waiting_bytes", "bytes on disk that wait for windows to close, or for Kafka")
        self.waiting_frames_bytes = gauge(
            "waiting_frames_bytes", "those of them that are frames which Kafka does not have"
        )
        self.waiting_observations = gauge("waiting_observations", "observations that wait for windows to close")
        self.recorders = gauge("recorders", "incarnations and kinds of recorders that are known")
        self.noise_windows_spent = gauge(
            "noise_windows_spent", "windows of this day's budget that were told with noise", *NOISED
        )
        self.noise_windows_withheld = gauge(
            "noise_windows_withheld", "windows of this day told as 0 because the budget of noise was spent", *NOISED
        )
        self.clock_behind_seconds = gauge(
            "clock_behind_seconds",
            "how far the clock is behind the newest window that was closed; 0 unless it went back",
        )


class GateMetrics:
    """What a gate server counts. One instance a process; a test gives its own registry."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.registry = registry

        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"turnwatch_gate_{name}", meaning, labels, registry=registry)

        self.verdicts = counter("verdicts", "verdicts that were recorded and told", "decision")
        self.unanswered = counter("unanswered", "questions without a verdict, by HTTP status", "status")
